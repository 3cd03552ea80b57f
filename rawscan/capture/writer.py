"""Writes a scan's own packets to a pcapng file. Creates and writes that one file.

One section, one interface. The file is valid at any moment: a crash leaves whole packets and a
section note that does not claim to be complete. Section numbers are draft-ietf-opsawg-pcapng's.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from rawscan import __version__
from rawscan.capture.emit import block, option
from rawscan.capture.note import NOTE_BYTES, SectionNote, to_ns
from rawscan.errors import CaptureError
from rawscan.model import Frame

Direction = Literal["in", "out"]

_FLUSH_BYTES = 1 << 16
_OPT_COMMENT = 1
_SHB_USERAPPL = 4
_IF_NAME = 2
_IF_TSRESOL = 9
_NANOSECONDS = b"\x09"
_END_OF_OPTIONS: Final = bytes(4)

# epb_flags (section 4.3.1): option code 2, 4 bytes; bits 0 and 1 are 01 inbound, 10 outbound.
_EPB_OPTIONS: Final[dict[Direction, bytes]] = {
    "in": struct.pack("<HHI", 2, 4, 0b01) + _END_OF_OPTIONS,
    "out": struct.pack("<HHI", 2, 4, 0b10) + _END_OF_OPTIONS,
}
_EPB_HEADER: Final = struct.Struct("<IIIIIII")
_EPB_FIXED_BYTES = 28 + 12 + 4  # header, options, the length again


class PcapngWriter:
    """A recording in the making. Use it as a context manager, or call `close`.

    `snaplen` is in bytes, 0 for no limit; `now_s` is when recording begins. `ports` and `probes`
    are what was asked, for the note. An output that cannot seek (a pipe) keeps its first note.
    """

    def __init__(
        self,
        path: Path,
        *,
        linktype: int,
        interface: str,
        snaplen: int = 65535,
        now_s: float,
        ports: str = "",
        probes: Sequence[str] = (),
    ) -> None:
        self.path = path
        self.linktype = linktype
        self.note = SectionNote(__version__, since_s=now_s, ports=ports, probes=tuple(probes))
        self._snaplen = snaplen
        header, self._note_offset = _section_header(self.note)
        header += _interface_description(linktype, interface, snaplen)
        # Unbuffered, and whole blocks in each write: whoever kills the process kills no packet in
        # the middle, as a buffer that fills up anywhere would.
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise CaptureError(f"{path}: cannot be written: {error.strerror}") from error
        self._seekable = self._file.seekable()
        self._pending = bytearray(header)
        self._written_bytes = 0
        self._packets = 0
        self.flush()

    def write(self, frame: Frame, direction: Direction) -> None:
        """Append an Enhanced Packet Block (section 4.3), cut to the snaplen."""
        if frame.linktype != self.linktype:
            raise ValueError(f"linktype {frame.linktype} in a recording of {self.linktype}")
        data = frame.data[: self._snaplen] if self._snaplen else frame.data
        padding = bytes(-len(data) % 4)
        length = _EPB_FIXED_BYTES + len(data) + len(padding)
        time_ns = to_ns(frame.time_s)
        self._pending += b"".join(
            (
                _EPB_HEADER.pack(
                    6,
                    length,
                    0,
                    time_ns >> 32,
                    time_ns & 0xFFFF_FFFF,
                    len(data),
                    frame.original_bytes,
                ),
                data,
                padding,
                _EPB_OPTIONS[direction],
                length.to_bytes(4, "little"),
            )
        )
        self._packets += 1
        if len(self._pending) >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand all that was written to the operating system."""
        pending, self._pending = memoryview(bytes(self._pending)), bytearray()
        done = 0
        try:
            while done < len(pending):
                done += self._file.write(pending[done:]) or 0
        except OSError as error:
            self._fail(error)
        self._written_bytes += done

    def mark(
        self,
        until_s: float,
        *,
        complete: bool = False,
        drops: int = 0,
        dropped_s: float | None = None,
    ) -> None:
        """Say how far the recording goes: patch the note in place. A pipe is left as it is.

        `until_s` promises that every frame up to then is in the file, but for `drops`, the
        first of which was noticed at `dropped_s`. The promise is for the frames written so far:
        a reader believes it only of a file that holds exactly as many.
        """
        # Packets first: the note must never promise what is not in the file yet.
        self.flush()
        self.note = replace(
            self.note,
            until_s=until_s,
            complete=complete,
            drops=drops,
            dropped_s=dropped_s,
            packets=self._packets,
        )
        if not self._seekable:
            return
        try:
            os.pwrite(self._file.fileno(), self.note.to_bytes(), self._note_offset)
        except OSError as error:
            self._fail(error)

    def close(
        self,
        until_s: float | None = None,
        *,
        complete: bool = False,
        drops: int = 0,
        dropped_s: float | None = None,
    ) -> None:
        """Finish the file. Without `until_s` the note stays what it was. Closing twice is fine."""
        if self._file.closed:
            return
        try:
            if until_s is None:
                self.flush()
            else:
                self.mark(until_s, complete=complete, drops=drops, dropped_s=dropped_s)
        finally:
            self._file.close()

    def _fail(self, error: OSError) -> None:
        """Cut off a half-written block, if the file allows it, and give up."""
        if self._seekable:
            with suppress(OSError):  # a device cannot be cut
                os.ftruncate(self._file.fileno(), self._written_bytes)
        self._file.close()
        raise CaptureError(
            f"{self.path}: cannot be written any further: {error.strerror}; "
            f"its first {self._written_bytes} bytes are whole packets"
        ) from error

    def __enter__(self) -> Self:
        """For `with`: closes at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close; unless `close` or `mark` said otherwise, the note says incomplete."""
        self.close()


def _section_header(note: SectionNote) -> tuple[bytes, int]:
    """Section Header Block (section 4.1), and the offset of the note in it.

    The section's length is not known (-1); the comment is the first option.
    """
    fields = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    options = (
        option(_OPT_COMMENT, note.to_bytes(NOTE_BYTES))
        + option(_SHB_USERAPPL, f"rawscan {note.version}".encode())
        + _END_OF_OPTIONS
    )
    return block(0x0A0D0D0A, fields + options), 8 + len(fields) + 4


def _interface_description(linktype: int, interface: str, snaplen: int) -> bytes:
    """Interface Description Block (section 4.2)."""
    options = option(_IF_NAME, interface.encode()) + option(_IF_TSRESOL, _NANOSECONDS)
    return block(1, struct.pack("<HHI", linktype, 0, snaplen) + options + _END_OF_OPTIONS)
