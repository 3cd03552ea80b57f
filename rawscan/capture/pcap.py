"""The classic pcap format: one file header, then records. Reads from a `Source` only.

Layout: draft-ietf-opsawg-pcap, sections 4 (file header) and 5 (packet record).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rawscan.capture.batch import Batch
from rawscan.capture.lanes import Chain, Fields, Offsets, Walk, Words, walk
from rawscan.capture.note import SectionNote
from rawscan.capture.parser import RecordParser
from rawscan.capture.source import CHUNK_BYTES, MAX_BYTES, Source
from rawscan.errors import CaptureError
from rawscan.model import NO_TIME_S, Frame

MAGICS: Final[dict[bytes, tuple[str, int]]] = {
    b"\xa1\xb2\xc3\xd4": (">", 10**6),
    b"\xd4\xc3\xb2\xa1": ("<", 10**6),
    b"\xa1\xb2\x3c\x4d": (">", 10**9),
    b"\x4d\x3c\xb2\xa1": ("<", 10**9),
}
"""Magic number as it stands in the file -> byte order, ticks per second (section 4)."""

FILE_HEADER_BYTES = 24
RECORD_HEADER_BYTES = 16

LINKTYPE_MASK = 0x03FF_FFFF
"""Above these bits stand the length of the frame check sequence and whether it is known. Bits 16
to 25 are kept, as libpcap does: NetBSD's raw class lives there and is no other link type."""

_LIKELY_BYTES = 262_144
"""The longest snaplen in use (tcpdump's): a longer packet is none that a guess should believe."""
_NEAR_S = 7 * 86_400
"""Packets so far apart stand seldom one after the other; where they do, no guess is made."""


class PcapParser(RecordParser):
    """One pcap file. The constructor reads the file header and raises if there is none."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.notes: list[SectionNote | None] = []
        if not source.need(FILE_HEADER_BYTES):
            raise source.cut("the pcap file header")
        order, self._ticks = MAGICS[source.peek(4)]
        fields = struct.unpack_from(f"{order}HHiIII", source.data, source.position + 4)
        major, minor, _, _, _, network = fields
        if major != 2:
            raise CaptureError(
                f"{source.name}: pcap version {major}.{minor}, but rawscan reads 2.x only; "
                "try to convert it with editcap",
                offset=4,
            )
        self._order = order
        self._header = struct.Struct(f"{order}IIII").unpack_from
        self.linktypes: list[int] = [network & LINKTYPE_MASK]
        source.position += FILE_HEADER_BYTES

    def frames(self) -> Iterator[Frame]:
        """Every whole record. Raises `CaptureError` where the file ends too early, or in damage."""
        source, ticks, linktype = self._source, self._ticks, self.linktypes[0]
        while source.more():
            fields = self._next_header()
            if fields is None:
                continue
            seconds, fraction, captured, original = fields
            start = source.position + RECORD_HEADER_BYTES
            source.position = start + captured
            data = bytes(source.data[start : source.position])
            yield Frame(seconds + fraction / ticks, data, linktype, max(original, captured))

    def _next_header(self) -> tuple[int, ...] | None:
        """The header of the whole record at the source's position.

        Gives None, and goes on to the next, if there is none but damage.
        """
        try:
            return self._header_here()
        except CaptureError as error:
            self._go_on_after(error)
            return None

    def _header_here(self) -> tuple[int, ...]:
        source = self._source
        if not source.need(RECORD_HEADER_BYTES):
            raise source.cut("the header of a packet")
        fields = self._header(source.data, source.position)
        captured: int = fields[2]
        if captured > MAX_BYTES:
            raise source.damage(f"a packet of {captured} bytes")
        if not source.need(RECORD_HEADER_BYTES + captured):
            raise source.cut("a packet")
        return fields

    def batches(self, stop: int | None = None) -> Iterator[Batch]:
        """The same frames, many at once; those of the records that begin before the offset `stop`.

        A batch is good until the next one is asked for.
        """
        source = self._source
        while (stop is None or source.offset < stop) and source.more():
            source.need(CHUNK_BYTES)
            fields = self._next_header()
            if fields is None:
                continue
            words, end = self._words(self._order), source.end
            last = end if stop is None else min(source.position + stop - source.offset, end)
            chain = _Records(self._ticks, fields[0])
            walked = walk(words, chain, source.position, last, end)
            source.position = walked.end
            yield self._batch(words, walked)

    @property
    def state(self) -> object:
        """All that later records are read by: the file header, which does not change."""
        return None

    def prepare(self) -> None:
        """Go to the first record: that is where it is."""

    def _chain(self) -> tuple[Words, Chain]:
        return self._words(self._order), _Records(self._ticks, None)

    def _batch(self, words: Words, walked: Walk) -> Batch:
        seconds, fractions, captured, original = walked.heads.T.astype(np.int64)
        return Batch(
            data=words.data,
            at=walked.at + RECORD_HEADER_BYTES,
            captured=captured,
            original=np.maximum(original, captured),
            linktypes=[(self.linktypes[0], None)],
            times=_RecordTimes(seconds, fractions, self._ticks),
        )


@dataclass(frozen=True, slots=True)
class _Records:
    """The chain of records after one of the second `seconds`, None for any."""

    ticks: int
    seconds: int | None
    least = RECORD_HEADER_BYTES
    size_at = 8
    size_plus = RECORD_HEADER_BYTES
    head_bytes = RECORD_HEADER_BYTES

    def mark(self, order: str) -> tuple[int, bytes]:
        """The upper half of the seconds: it stays the same for 18 hours."""
        upper = struct.pack(f"{order}H", (self.seconds or 0) >> 16)
        return (2 if order == "<" else 0), upper

    def near(self, words: Words, at: int) -> _Records:
        """Those that would follow the record at `at`."""
        return _Records(self.ticks, int(words.u32[at]))

    def plausible(self, words: Words, at: Offsets) -> NDArray[np.bool_]:
        """A fraction that is one, lengths that fit, and a time near that of the first."""
        u32 = words.u32
        captured, original = u32[at + 8], u32[at + 12]
        fits = u32[at + 4] < self.ticks
        fits &= (captured > 0) & (captured <= original) & (original <= _LIKELY_BYTES)
        if self.seconds is not None:
            fits &= np.abs(u32[at].astype(np.int64) - self.seconds) <= _NEAR_S
        return fits

    def valid(self, words: Words, at: Offsets, heads: Fields) -> NDArray[np.bool_]:
        """Not absurdly long."""
        return heads[:, 2] <= MAX_BYTES


@dataclass(frozen=True, slots=True, eq=False)
class _RecordTimes:
    """Times of records."""

    seconds: NDArray[np.int64]
    fractions: NDArray[np.int64]
    ticks: int

    def span(self) -> tuple[float, float] | None:
        """First and last."""
        first, last = self.seconds.min(), self.seconds.max()
        rows = np.arange(len(self.seconds))
        if first > 0 and self.fractions.max() < self.ticks:
            # Only packets of the first and of the last second can be the first and the last.
            rows = np.flatnonzero((self.seconds == first) | (self.seconds == last))
        return self._extremes(rows)

    def _extremes(self, rows: NDArray[np.intp]) -> tuple[float, float] | None:
        times_s = self.of(rows)
        times_s = times_s[times_s != NO_TIME_S]
        return (float(times_s.min()), float(times_s.max())) if len(times_s) else None

    def of(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Some."""
        return self.seconds[rows] + self.fractions[rows] / self.ticks
