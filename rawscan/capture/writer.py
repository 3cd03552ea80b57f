"""Writes a scan's own packets to a pcapng file. Creates and writes that one file.

One section, one interface. The file is valid at any moment: a crash leaves whole packets and a
section note that does not claim to be complete. Section numbers are draft-ietf-opsawg-pcapng's.

Linux does a write that stays within one page of the file whole or not at all, even if the process
is killed meanwhile. So no block crosses a page unless it is larger than one: where the next one
does not fit, a Name Resolution Block without a name fills the page. (Wireshark takes Custom Blocks
for frames, and numbers them.)
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
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
_PAGE_BYTES = 4096
_LEAST_FILL_BYTES = 16
_OPT_COMMENT = 1
_SHB_USERAPPL = 4
_IF_NAME = 2
_IF_TSRESOL = 9
_ISB_IFDROP = 5
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

    `snaplen` is in bytes, 0 for no limit; `now_s` is when recording begins. `ports`, `probes` and
    `least_tries` say how was asked, for the note. An output that cannot seek (a pipe) keeps its
    first note.
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
        least_tries: int | None = None,
    ) -> None:
        self.path = path
        self.linktype = linktype
        self.note = SectionNote(
            __version__,
            since_s=now_s,
            ports=ports,
            probes=tuple(probes),
            least_tries=least_tries,
        )
        self._snaplen = snaplen
        header, self._note_offset = _section_header(self.note)
        header += _interface_description(linktype, interface, snaplen)
        try:  # Unbuffered: a buffer that fills up anywhere would write half a block.
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
        self._append(
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

    def drops(self, time_s: float, total: int) -> None:
        """Append an Interface Statistics Block (section 4.6): so many drops by this time."""
        time_ns = to_ns(time_s)
        fields = struct.pack("<III", 0, time_ns >> 32, time_ns & 0xFFFF_FFFF)
        count = _option(_ISB_IFDROP, struct.pack("<Q", total))
        self._append([_block(5, fields + count + _END_OF_OPTIONS)])

    def flush(self) -> None:
        """Hand all that was written to the operating system."""
        pending, self._pending = memoryview(bytes(self._pending)), bytearray()
        done = 0
        try:
            while done < len(pending):
                room = _PAGE_BYTES - (self._written_bytes + done) % _PAGE_BYTES
                done += self._file.write(pending[done : done + room]) or 0
        except OSError as error:
            self._fail(error)
        self._written_bytes += done

    def _append(self, parts: Iterable[bytes]) -> None:
        """Put a block behind the others, on a page of its own if it would cross one."""
        block = b"".join(parts)
        room = -(self._written_bytes + len(self._pending)) % _PAGE_BYTES
        left = room - len(block)
        fits = left == 0 or left >= _LEAST_FILL_BYTES
        if not fits and len(block) <= _PAGE_BYTES and room >= _LEAST_FILL_BYTES:
            self._pending += _filler(room)
        self._pending += block

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


def _option(code: int, value: bytes) -> bytes:
    """One option, padded to 32 bits (section 3.5)."""
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    """A block: type, total length, body, total length (section 3.1)."""
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _filler(size: int) -> bytes:
    """A Name Resolution Block (section 4.5) of this size, at least 16: no records, and spaces."""
    no_records, spare = bytes(4), size - _LEAST_FILL_BYTES
    if not spare:
        return _block(4, no_records)
    spaces = _option(_OPT_COMMENT, b" " * (spare - 8)) if spare >= 8 else b""
    return _block(4, no_records + spaces + _END_OF_OPTIONS)


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
