"""The pcapng format: sections, interfaces and packet blocks. Reads from a `Source` only.

Section numbers in this file are those of draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, Self

from rawscan.capture.batch import Batch
from rawscan.capture.blocks import (
    DATA_AT,
    ENHANCED_PACKET_BLOCK,
    IF_TSOFFSET,
    IF_TSRESOL,
    INTERFACE_BLOCK,
    ISB_IFDROP,
    OBSOLETE_PACKET_BLOCK,
    OPT_COMMENT,
    OPT_ENDOFOPT,
    SECTION_BLOCK,
    SECTION_MAGIC,
    SIMPLE_PACKET_BLOCK,
    SMALLEST_BLOCK_BYTES,
    STATISTICS_BLOCK,
    Blocks,
    Interface,
)
from rawscan.capture.lanes import Chain, Words, walk
from rawscan.capture.note import SectionNote
from rawscan.capture.parser import RecordParser
from rawscan.capture.source import CHUNK_BYTES, MAX_BYTES, Source
from rawscan.errors import CaptureError
from rawscan.model import NO_TIME_S, Frame

_BYTE_ORDERS: Final = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}

_Fields = Callable[[bytearray, int], tuple[int, ...]]
"""`unpack_from` of a record."""


class _Codec:
    """The records of a section in its byte order."""

    def __init__(self, order: str) -> None:
        self.order = order
        self.block = struct.Struct(f"{order}II").unpack_from
        self.u32 = struct.Struct(f"{order}I").unpack_from
        # The timestamp is two 32-bit words, the upper first in either byte order (section 4.3).
        self.enhanced = struct.Struct(f"{order}IIIII").unpack_from
        # An Enhanced Packet Block but for a narrow interface number and a count of drops
        # (appendix A), which is passed over.
        self.obsolete = struct.Struct(f"{order}HxxIIII").unpack_from


class PcapngParser(RecordParser):
    """One pcapng file. The constructor reads the first section header and raises if it is bad.

    `linktypes`, `notes` and `drops` grow while `frames` goes through the file.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.linktypes: list[int] = []
        self.notes: list[SectionNote | None] = []
        self._interfaces: list[Interface] = []
        self._codec = _Codec("<")
        _, body, end = self._next_block()
        self._section(body, end)
        source.position = end + 4

    def frames(self) -> Iterator[Frame]:
        """Every whole packet. Raises `CaptureError` where the file ends too early, or in damage."""
        source = self._source
        while source.more():
            try:
                frame = self._read_block()
            except CaptureError as error:
                self._go_on_after(error)
                continue
            if frame is not None:
                yield frame

    def _read_block(self) -> Frame | None:
        """Read a block and go on to the next; gives the packet, if it is one."""
        kind, body, end = self._next_block()
        frame = self._frame(kind, body, end)
        self._source.position = end + 4
        return frame

    def _frame(self, kind: int, body: int, end: int) -> Frame | None:
        """Read a block; gives the packet, if it is one."""
        if kind == ENHANCED_PACKET_BLOCK:
            return self._timed(self._codec.enhanced, body, end)
        if kind == SIMPLE_PACKET_BLOCK:
            return self._simple(body, end)
        if kind == OBSOLETE_PACKET_BLOCK:
            return self._timed(self._codec.obsolete, body, end)
        if kind == SECTION_BLOCK:
            self._section(body, end)
        elif kind == INTERFACE_BLOCK:
            self._interface(body, end)
        elif kind == STATISTICS_BLOCK and self.notes[-1] is not None:
            self._statistics(body, end)
        return None

    def batches(self, stop: int | None = None) -> Iterator[Batch]:
        """The same packets, many at once; those of the blocks that begin before the offset `stop`.

        A batch ends where a block changes how later ones are read, and is good until the next one
        is asked for.
        """
        source = self._source
        while (stop is None or source.offset < stop) and source.more():
            source.need(CHUNK_BYTES)
            try:
                self._next_block()  # makes room for it
            except CaptureError as error:
                self._go_on_after(error)
                continue
            blocks = Blocks(self._words(self._codec.order), self._interfaces)
            last = source.end if stop is None else source.position + stop - source.offset
            walked = walk(blocks.words, blocks, source.position, min(last, source.end), source.end)
            if walked.end > source.position:
                source.position = walked.end
                yield from blocks.batch(walked)
                continue
            try:
                if self._read_block() is not None:
                    raise AssertionError("a packet that is one for only one of two readers")
            except CaptureError as error:
                self._go_on_after(error)

    def prepare(self) -> None:
        """Go to the first packet: past the interfaces that are described before it."""
        source = self._source
        while source.more():
            kind, body, end = self._next_block()
            if kind in DATA_AT:
                return
            self._frame(kind, body, end)
            source.position = end + 4

    @property
    def state(self) -> object:
        """All that later blocks are read by, and what was found besides packets and drops."""
        found = tuple(self._interfaces), tuple(self.notes), tuple(self.linktypes)
        return self._codec.order, *found

    def at(self, source: Source) -> Self:
        """A parser of the same section that goes on with another source."""
        other = super().at(source)
        other._interfaces, other.notes, other.linktypes = (
            list(self._interfaces), list(self.notes), list(self.linktypes),
        )  # fmt: skip
        return other

    def _chain(self) -> tuple[Words, Chain]:
        words = self._words(self._codec.order)
        return words, Blocks(words, self._interfaces)

    def _next_block(self) -> tuple[int, int, int]:
        """Type of the block at the source's position, and where in `data` its body is.

        The position is left at the block, for the offset in error messages (section 3.1).
        """
        source = self._source
        if not source.need(SMALLEST_BLOCK_BYTES):
            raise source.cut("a block")
        position = source.position
        if source.data[position : position + 4] == SECTION_MAGIC:
            self._codec = self._codec_of_section()
        kind, length = self._codec.block(source.data, position)
        if length < SMALLEST_BLOCK_BYTES or length % 4 or length > MAX_BYTES:
            raise source.damage(f"a block of {length} bytes (type {kind:#x})")
        if not source.need(length):
            raise source.cut(f"a block (type {kind:#x})")
        body = source.position + 8
        end = source.position + length - 4
        (again,) = self._codec.u32(source.data, end)
        if again != length:
            raise source.damage(f"a block of {length} bytes that says {again} at its end")
        return kind, body, end

    def _codec_of_section(self) -> _Codec:
        """Byte order from the byte-order magic (section 4.1); the length depends on it."""
        source = self._source
        magic = bytes(source.data[source.position + 8 : source.position + 12])
        order = _BYTE_ORDERS.get(magic)
        if order is None:
            raise source.damage(f"a section header with byte-order magic {magic.hex(' ')}")
        return _Codec(order)

    def _section(self, body: int, end: int) -> None:
        """Section Header Block (section 4.1). Interfaces of the last section are forgotten."""
        source = self._source
        if end - body < 16:
            raise source.damage("a section header without its fields")
        order = self._codec.order
        major, minor = struct.unpack_from(f"{order}HH", source.data, body + 4)
        # 1.2 was written by some programs and is the same as 1.0.
        if major != 1:
            raise source.damage(f"a section of version {major}.{minor}; rawscan reads 1.x")
        self._interfaces = []
        comments = [v for code, v in self._options(body + 16, end) if code == OPT_COMMENT]
        notes = [note for note in map(SectionNote.parse, comments) if note is not None]
        self.notes.append(notes[0] if notes else None)

    def _interface(self, body: int, end: int) -> None:
        """Interface Description Block (section 4.2)."""
        source, order = self._source, self._codec.order
        if end - body < 8:
            raise source.damage("an interface description without its fields")
        linktype, _, snaplen = struct.unpack_from(f"{order}HHI", source.data, body)
        ticks, offset_s = 10**6, 0
        for code, value in self._options(body + 8, end):
            if code == IF_TSRESOL and len(value) == 1:
                # The upper bit chooses between a power of two and of ten.
                power = value[0] & 0x7F
                ticks = 2**power if value[0] & 0x80 else 10**power
            elif code == IF_TSOFFSET and len(value) == 8:
                (offset_s,) = struct.unpack(f"{order}q", value)
        self._interfaces.append(Interface(linktype, snaplen, ticks, offset_s * ticks))
        if linktype not in self.linktypes:
            self.linktypes.append(linktype)

    def _statistics(self, body: int, end: int) -> None:
        """Interface Statistics Block (section 4.6), as our own recordings have it."""
        source, order = self._source, self._codec.order
        if end - body < 12:
            raise source.damage("interface statistics without their fields")
        number, high, low = struct.unpack_from(f"{order}III", source.data, body)
        time_s = self._interface_number(number, "statistics").time_s(high << 32 | low)
        for code, value in self._options(body + 12, end):
            if code == ISB_IFDROP and len(value) == 8:
                self.drops.append((time_s, struct.unpack(f"{order}Q", value)[0]))

    def _options(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Code and value of each option in `data[start:end]` (section 3.5)."""
        source = self._source
        while start + 4 <= end:
            code, length = struct.unpack_from(f"{self._codec.order}HH", source.data, start)
            if code == OPT_ENDOFOPT:
                return
            if start + 4 + length > end:
                raise source.damage(f"an option (code {code}) longer than its block")
            yield code, bytes(source.data[start + 4 : start + 4 + length])
            start += 4 + length + -length % 4

    def _timed(self, fields_of: _Fields, body: int, end: int) -> Frame:
        """Enhanced Packet Block (section 4.3) or its forerunner, the Packet Block (appendix A)."""
        source = self._source
        if end - body < 20:
            raise source.damage("a packet block without its fields")
        number, high, low, captured, original = fields_of(source.data, body)
        interface = self._interface_number(number)
        data = self._packet(captured, body + 20, end)
        time_s = interface.time_s(high << 32 | low)
        return Frame(time_s, data, interface.linktype, max(original, captured))

    def _simple(self, body: int, end: int) -> Frame:
        """Simple Packet Block (section 4.4): of the first interface, and without a time."""
        if end - body < 4:
            raise self._source.damage("a simple packet block without its fields")
        (original,) = self._codec.u32(self._source.data, body)
        interface = self._interface_number(0)
        # The captured length is not written down: it is the snaplen's or the packet's.
        captured = min(interface.snaplen or original, original)
        return Frame(NO_TIME_S, self._packet(captured, body + 4, end), interface.linktype, original)

    def _packet(self, captured: int, start: int, end: int) -> bytes:
        if captured > end - start:
            raise self._source.damage(
                f"a packet of {captured} bytes in a block with room for {end - start}"
            )
        return bytes(self._source.data[start : start + captured])

    def _interface_number(self, number: int, what: str = "a packet") -> Interface:
        if number >= len(self._interfaces):
            raise self._source.damage(
                f"{what} of interface {number}, but {len(self._interfaces)} are described"
            )
        return self._interfaces[number]
