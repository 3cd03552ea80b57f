"""Writes chosen frames of other captures into a pcapng file. Creates and writes that one file.

One section, an interface for each link type. Times are to the microsecond, whatever the inputs had.
Section numbers are draft-ietf-opsawg-pcapng's.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from rawscan import __version__
from rawscan.capture.emit import block, option
from rawscan.errors import CaptureError
from rawscan.model import Frame

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_SHB_USERAPPL = 4
_END_OF_OPTIONS: Final = bytes(4)
_US_PER_S = 1_000_000


class FrameWriter:
    """Frames into one file, as they come. Close it (`contextlib.closing`).

    Raises `CaptureError` where the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames = 0
        self._interfaces: dict[int, int] = {}
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise CaptureError(f"{path}: cannot be written: {error.strerror}") from error
        # Section Header Block (section 4.1): magic, version 1.0, a length that is not known.
        header = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
        writer = option(_SHB_USERAPPL, f"rawscan {__version__}".encode())
        self._put(block(_SECTION, header + writer + _END_OF_OPTIONS))

    def write(self, frame: Frame) -> None:
        """Append an Enhanced Packet Block (section 4.3) with all that was captured of a frame."""
        interface = self._interfaces.get(frame.linktype)
        if interface is None:
            interface = self._interfaces[frame.linktype] = len(self._interfaces)
            # Interface Description Block (section 4.2); no snaplen: it was the inputs' own.
            self._put(block(_INTERFACE, struct.pack("<HHI", frame.linktype, 0, 0)))
        time_us = round(frame.time_s * _US_PER_S)
        lengths = len(frame.data), frame.original_bytes
        head = struct.pack("<IIIII", interface, time_us >> 32, time_us & 0xFFFF_FFFF, *lengths)
        self._put(block(_PACKET, head + frame.data))
        self.frames += 1

    def close(self) -> None:
        """Finish the file. Closing twice is fine."""
        try:
            self._file.close()
        except OSError as error:
            raise self._failed(error) from error

    def _put(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> CaptureError:
        return CaptureError(f"{self.path}: cannot be written any further: {error.strerror}")
