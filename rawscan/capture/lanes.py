"""Walks a chain of records, each of which says where the next begins, in many lanes at once.

One step of a chain in Python costs more than all else that is done with most packets. So a piece of
a file is cut into lanes; in each a record's beginning is guessed, and all lanes go forward together
in NumPy. A lane counts only if the one before it ends exactly where it began: then, by induction
from the first, whose beginning is known, every record is one that a walk step by step would have
come to. A wrong guess costs time, never truth. Touches nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Offsets = NDArray[np.int64]
Fields = NDArray[np.uint32]
"""Words of records, a row for each."""

LANE_BYTES = 48 << 10
"""A piece is cut into lanes of this size: enough packets in each to be worth its guess, and enough
lanes that a step of them all is worth its calls."""
_LEAST_LANES = 8
_WINDOW_BYTES = 2048
"""How far into its lane a record's beginning is looked for: past the longest packet of Ethernet."""
_GUESSES = 3
_STEPS = 16
"""So many steps are taken before somebody looks which lanes have come to their end."""
_MISSES = 4
"""After so many wrong guesses in a piece its rest is walked step by step."""
_FOLLOWING = 4
"""So many records must follow one that was found without knowing anything before it."""
MARGIN_BYTES = 64
"""So many bytes of a record are looked at to see whether it is one."""


class Words:
    """Numbers that begin at each byte of `data`, in one byte order: unaligned, and overlapping."""

    def __init__(self, data: bytearray, order: str) -> None:
        self.data = data
        self.bytes = np.frombuffer(data, np.uint8)
        self.order = order
        self.u32 = self.view("u4")
        self._stairs: tuple[tuple[int, int, int], list[NDArray[np.unsignedinteger]]] | None = None

    def view(
        self, kind: str, skip: int = 0, order: str | None = None
    ) -> NDArray[np.unsignedinteger]:
        """Values of `kind` (`u2`, `u4`, `u8`): at index i the one at byte i + `skip`."""
        dtype = np.dtype(f"{order or self.order}{kind}")
        count = len(self.bytes) - skip - dtype.itemsize + 1
        return np.ndarray((max(count, 0),), dtype, self.bytes, skip, strides=(1,))

    def rows(self, at: Offsets, size: int) -> Fields:
        """The `size` bytes from each of `at` on, as words. A copy a row costs as one a word."""
        raw = np.ndarray((len(self.bytes) - size + 1,), f"V{size}", self.bytes, strides=(1,))[at]
        return raw.view(f"{self.order}u4").reshape(-1, size // 4)

    def stairs(self, first: int, rise: int, count: int) -> list[NDArray[np.unsignedinteger]]:
        """`count` views of 32-bit words, each `rise` bytes further on than the one before."""
        key = (first, rise, count)
        if self._stairs is None or self._stairs[0] != key:
            self._stairs = key, [self.view("u4", first + rise * step) for step in range(count)]
        return self._stairs[1]


class Chain(Protocol):
    """What a format says about its records."""

    least: int
    """Bytes of the shortest record."""
    size_at: int
    """Where in a record the number stands that says how long it is."""
    size_plus: int
    """What must be added to that number for all of the record's bytes."""

    def mark(self, order: str) -> tuple[int, bytes]:
        """Bytes that (nearly) every record has, and where in it they stand."""
        ...

    def near(self, words: Words, at: int) -> Chain:
        """What is known of the records behind the one at `at`, if that is one."""
        ...

    def plausible(self, words: Words, at: Offsets) -> NDArray[np.bool_]:
        """Does it look like a record? Its first `MARGIN_BYTES` bytes may be looked at."""
        ...

    head_bytes: int
    """So many bytes of a record are its head, a multiple of 4."""

    def valid(self, words: Words, at: Offsets, heads: Fields) -> NDArray[np.bool_]:
        """Is this a record, as far as its length tells? `heads` are the words of each one's head.

        The last of them may go on beyond the end of what has been read.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """Where the records begin, the words of their heads, and where the next one would begin."""

    at: Offsets
    heads: Fields
    end: int


def walk(words: Words, chain: Chain, start: int, stop: int, end: int) -> Walk:
    """Every record from the one at `start` on that begins before `stop` and ends up to `end`.

    `Walk.end` is where the next record begins, or what is no whole and valid one.
    """
    stop = min(stop, end - chain.least + 1)
    at = np.concatenate([np.zeros(0, np.int64), *_pieces(words, chain, start, stop)])
    next_at = start
    if len(at):
        next_at = int(at[-1]) + _size(words, chain, int(at[-1]))
    if next_at > end:
        at, next_at = at[:-1], int(at[-1])
    heads = words.rows(at, chain.head_bytes)
    invalid = np.flatnonzero(~chain.valid(words, at, heads)) if len(at) else at
    if invalid.size:
        first = int(invalid[0])
        return Walk(at[:first], heads[:first], int(at[first]))
    return Walk(at, heads, next_at)


def _pieces(words: Words, chain: Chain, start: int, stop: int) -> Iterator[Offsets]:
    misses = 0
    while start < stop:
        lanes = (stop - start) // LANE_BYTES if misses < _MISSES else 0
        if lanes < _LEAST_LANES:
            yield _one_by_one(words, chain, start, stop)
            return
        at = _in_lanes(words, chain, start, stop, lanes)
        yield at[:-1]
        start = int(at[-1])
        misses += 1


def _size(words: Words, chain: Chain, at: int) -> int:
    return int(words.u32[at + chain.size_at]) + chain.size_plus


def _one_by_one(words: Words, chain: Chain, start: int, stop: int) -> Offsets:
    found: list[int] = []
    while start < stop:
        found.append(start)
        size = _size(words, chain, start)
        if size < chain.least:
            break
        start += size
    return np.array(found, np.int64)


def _in_lanes(words: Words, chain: Chain, start: int, stop: int, lanes: int) -> Offsets:
    """The records of as many lanes as are right, and at last where the next one begins."""
    heads = _heads(words, chain, start, stop, lanes)
    limits = np.append(heads[1:], stop)
    steps = _steps(words, chain, heads, limits)
    own = steps < limits[:, None]
    counts = np.count_nonzero(own, axis=1)
    whose = np.arange(len(heads))
    # A lane that never came to its limit is stuck in its last step.
    ends = steps[whose, np.minimum(counts, steps.shape[1] - 1)]
    wrong = np.flatnonzero(ends[:-1] != heads[1:])
    right = int(wrong[0]) + 1 if wrong.size else len(heads)
    return np.append(steps[:right][own[:right]], ends[right - 1])


def _steps(words: Words, chain: Chain, heads: Offsets, limits: Offsets) -> Offsets:
    """Let all lanes go on, until each is at its limit or beyond: a row of records for each.

    What is beyond is of no account. The number of steps is bounded, since lengths may be 0.
    """
    # What a length leaves out is in the view that the next step looks through: one sum less.
    views = words.stairs(chain.size_at, chain.size_plus, _STEPS)
    risen = chain.size_plus * np.arange(_STEPS)[:, None]
    furthest = np.full(len(heads), len(views[-1]) - 1)
    rounds: list[Offsets] = []
    now = heads
    for _ in range(int((limits - heads).max()) // (chain.least * _STEPS) + 2):
        steps = np.empty((_STEPS + 1, len(now)), np.int64)
        steps[0] = now
        for view, here, there in zip(views, steps, steps[1:], strict=False):
            np.add(here, view[here], out=there)
            np.minimum(there, furthest, out=there)
        now = np.minimum(steps[-1] + chain.size_plus * _STEPS, furthest)
        steps[:-1] += risen
        rounds.append(steps[:-1])
        if not np.count_nonzero(now < limits):
            break
    return np.ascontiguousarray(np.vstack([*rounds, now]).T)


def _heads(words: Words, chain: Chain, start: int, stop: int, lanes: int) -> Offsets:
    """The beginning of a record in each lane, where one can be guessed; `start` is the first."""
    lane_bytes = (stop - start) // lanes
    where, mark = chain.mark(words.order)
    find = words.data.find
    begin = start + lane_bytes * np.arange(1, lanes)
    good: list[Offsets] = [np.array([start], np.int64)]
    tried = begin + where
    for _ in range(_GUESSES):
        ends = begin + _WINDOW_BYTES
        pairs = zip(tried.tolist(), ends.tolist(), strict=True)
        seen = np.array([find(mark, at, to) for at, to in pairs], np.int64)
        begin, at = begin[seen >= 0], seen[seen >= 0] - where
        fits = _two_plausible(words, chain, at, stop)
        good.append(at[fits])
        begin, tried = begin[~fits], at[~fits] + where + 1
        if not len(begin):
            break
    return np.sort(np.concatenate(good))


def _two_plausible(words: Words, chain: Chain, at: Offsets, stop: int) -> NDArray[np.bool_]:
    """Does a record begin there, and another one after it?"""
    furthest = len(words.u32) - MARGIN_BYTES
    fits = chain.plausible(words, np.minimum(at, furthest))
    following = at + words.u32[np.minimum(at, furthest) + chain.size_at] + chain.size_plus
    fits &= (at < stop) & (following < furthest)
    fits &= chain.plausible(words, np.minimum(following, furthest))
    return fits


def next_head(
    words: Words, chain: Chain, start: int, end: int, *, final: bool = False
) -> int | None:
    """Where the next record begins, as far as it can be guessed: some follow each other from there.

    Where the file ends at `end`
    (`final`), two that end there will do.
    """
    width = _WINDOW_BYTES
    last = min(end, len(words.u32) - MARGIN_BYTES)
    while start < last:
        at = np.arange(start, min(start + width, last))
        at = at[chain.plausible(words, at)]
        for candidate in at.tolist():
            if _goes_on(words, chain, candidate, end, final):
                return int(candidate)
        start, width = start + width, width * 2
    return None


def _goes_on(words: Words, chain: Chain, at: int, end: int, final: bool) -> bool:
    """Do records follow each other from here on?"""
    chain = chain.near(words, at)
    for number in range(1 + _FOLLOWING):
        if at >= min(end, len(words.u32) - MARGIN_BYTES):
            return final and at == end and number >= 2
        if not chain.plausible(words, np.array([at])).all():
            return False
        at += _size(words, chain, at)
    return at <= end
