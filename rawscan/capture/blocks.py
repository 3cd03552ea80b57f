"""Blocks of pcapng in arrays: what they are called, and the packets in many of them at once.

Section numbers in this file are those of draft-ietf-opsawg-pcapng. Touches nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from rawscan.capture.batch import Batch, Rows
from rawscan.capture.lanes import Fields, Offsets, Walk, Words
from rawscan.capture.note import LATEST_S
from rawscan.capture.source import MAX_BYTES
from rawscan.model import NO_TIME_S

SECTION_MAGIC: Final = b"\x0a\x0d\x0d\x0a"
"""The Section Header Block's type: the same in both byte orders, and broken by FTP in text mode."""

SECTION_BLOCK = int.from_bytes(SECTION_MAGIC, "big")
INTERFACE_BLOCK = 0x00000001
OBSOLETE_PACKET_BLOCK = 0x00000002
SIMPLE_PACKET_BLOCK = 0x00000003
STATISTICS_BLOCK = 0x00000005
ENHANCED_PACKET_BLOCK = 0x00000006

OPT_ENDOFOPT = 0
OPT_COMMENT = 1
IF_TSRESOL = 9
IF_TSOFFSET = 14
ISB_IFDROP = 5

SMALLEST_BLOCK_BYTES = 12


@dataclass(frozen=True, slots=True)
class Interface:
    """An Interface Description Block (section 4.2).

    `snaplen` 0 is no limit. A timestamp of t ticks is `(t + offset_ticks) / ticks_per_s` seconds
    since the Unix epoch.
    """

    linktype: int
    snaplen: int
    ticks_per_s: int
    offset_ticks: int

    def time_s(self, ticks: int) -> float:
        """Seconds since the Unix epoch; `NO_TIME_S` for what no calendar has."""
        time_s = (ticks + self.offset_ticks) / self.ticks_per_s
        return time_s if 0 <= time_s < LATEST_S else NO_TIME_S


_LIKELY_BYTES = 1 << 18
_NO_INTERFACE = -1
# Block type -> where in the block the packet's bytes begin.
DATA_AT = {ENHANCED_PACKET_BLOCK: 28, OBSOLETE_PACKET_BLOCK: 28, SIMPLE_PACKET_BLOCK: 12}


class Blocks:
    """The chain of blocks in one section, after these interfaces were described.

    What changes how later blocks are read ends it, as do statistics (the parser reads them) and
    what is no valid block.
    """

    least = SMALLEST_BLOCK_BYTES
    size_at = 4
    size_plus = 0
    head_bytes = 28

    def __init__(self, words: Words, interfaces: Sequence[Interface]) -> None:
        self.words = words
        self._interfaces = tuple(interfaces)

    def mark(self, order: str) -> tuple[int, bytes]:
        """The type of nearly every block."""
        return 0, struct.pack(f"{order}I", ENHANCED_PACKET_BLOCK)

    def near(self, words: Words, at: int) -> Blocks:
        """Those that would follow the block at `at`: any."""
        return self

    def plausible(self, words: Words, at: Offsets) -> NDArray[np.bool_]:
        """An Enhanced Packet Block whose lengths fit each other."""
        u32 = words.u32
        size = u32[at + 4]
        fits = (u32[at] == ENHANCED_PACKET_BLOCK) & (size % 4 == 0)
        fits &= (size >= 32) & (size <= _LIKELY_BYTES)
        fits &= u32[at + 20].astype(np.int64) <= size.astype(np.int64) - 32
        return cast(NDArray[np.bool_], fits)

    def valid(self, words: Words, at: Offsets, heads: Fields) -> NDArray[np.bool_]:
        """As `PcapngParser` has it: both lengths, and room for the packet in it."""
        kinds, sizes, numbers = heads[:, 0], heads[:, 1].astype(np.int64), heads[:, 2]
        fits = (sizes >= SMALLEST_BLOCK_BYTES) & (sizes % 4 == 0) & (sizes <= MAX_BYTES)
        last = np.clip(at + sizes - 4, 0, len(words.u32) - 1)
        fits &= words.u32[last] == sizes
        timed = kinds == ENHANCED_PACKET_BLOCK
        fits &= ~timed | (heads[:, 5] <= sizes - 32) & (numbers < len(self._interfaces))
        for row in np.flatnonzero(~timed).tolist():
            fits[row] = fits[row] and self._valid(int(kinds[row]), at[row], heads[row])
        return cast(NDArray[np.bool_], fits)

    def _valid(self, kind: int, at: int, head: Fields) -> bool:
        """The same for one block that is no Enhanced Packet Block."""
        size = int(head[1])
        if kind == OBSOLETE_PACKET_BLOCK:
            number, captured = self._old_number(at), int(head[5])
            return number < len(self._interfaces) and captured <= size - 32
        if kind == SIMPLE_PACKET_BLOCK:
            return size >= 16 and self._known and self._simple_captured(head[2]) <= size - 16
        return kind not in (SECTION_BLOCK, INTERFACE_BLOCK, STATISTICS_BLOCK)

    @property
    def _known(self) -> bool:
        return bool(self._interfaces)

    def _old_number(self, at: Any) -> Any:
        """The interface of an obsolete Packet Block: 16 bits, and a count of drops behind it."""
        return self.words.view("u2")[at + 8]

    def _simple_captured(self, original: Any) -> Any:
        """The captured length is not written down: it is the snaplen's or the packet's."""
        snaplen = self._interfaces[0].snaplen
        return np.minimum(original, snaplen or original)

    def batch(self, walked: Walk) -> Iterator[Batch]:
        """The packets in valid blocks; none if there are none."""
        at, heads = walked.at, walked.heads
        kinds = heads[:, 0]
        usual = bool((kinds == ENHANCED_PACKET_BLOCK).all())
        if not usual:
            packets = np.isin(kinds, list(DATA_AT))
            at, heads = at[packets], heads[packets]
            if not len(at):
                return
        _, _, numbers, high, low, captured, original = heads.T.astype(np.int64)
        data_at = at + DATA_AT[ENHANCED_PACKET_BLOCK]
        original = np.maximum(original, captured)
        if not usual:
            old = np.flatnonzero(heads[:, 0] == OBSOLETE_PACKET_BLOCK)
            numbers[old] = self._old_number(at[old])
            simple = np.flatnonzero(heads[:, 0] == SIMPLE_PACKET_BLOCK)
            original[simple] = heads[simple, 2]
            captured[simple] = self._simple_captured(original[simple]) if simple.size else 0
            data_at[simple] = at[simple] + DATA_AT[SIMPLE_PACKET_BLOCK]
            numbers[simple] = _NO_INTERFACE
        times = _TickTimes(high.astype(np.uint64) << np.uint64(32) | low.astype(np.uint64),
                           numbers, self._interfaces)  # fmt: skip
        linktypes = tuple(self._linktypes(numbers))
        yield Batch(self.words.data, data_at, captured, original, linktypes, times)

    def _linktypes(self, numbers: NDArray[np.int64]) -> Iterator[tuple[int, Rows | None]]:
        if (numbers == numbers[0]).all():
            yield self._interfaces[max(int(numbers[0]), 0)].linktype, None
            return
        for number in np.unique(numbers).tolist():
            linktype = self._interfaces[max(number, 0)].linktype
            yield linktype, np.flatnonzero(numbers == number)


@dataclass(frozen=True, slots=True, eq=False)
class _TickTimes:
    """Times of packets, in the ticks of their interfaces."""

    ticks: NDArray[np.uint64]
    numbers: NDArray[np.int64]
    interfaces: Sequence[Interface]

    def span(self) -> tuple[float, float] | None:
        """First and last."""
        found: list[float] = []
        for number in np.unique(self.numbers).tolist():
            if number == _NO_INTERFACE:
                continue
            interface, ticks = self.interfaces[number], self.ticks[self.numbers == number]
            borders = [interface.time_s(int(tick)) for tick in (ticks.min(), ticks.max())]
            if NO_TIME_S in borders:  # then others may lie within the calendar
                borders = [interface.time_s(tick) for tick in ticks.tolist()]
            found += [time_s for time_s in borders if time_s != NO_TIME_S]
        return (min(found), max(found)) if found else None

    def of(self, rows: Rows) -> NDArray[np.float64]:
        """Some. One by one, since 64 bits of ticks are more than a double can divide exactly."""
        pairs = zip(self.numbers[rows].tolist(), self.ticks[rows].tolist(), strict=True)
        return np.array(
            [
                NO_TIME_S if number == _NO_INTERFACE else self.interfaces[number].time_s(ticks)
                for number, ticks in pairs
            ],
            np.float64,
        )
