"""What is known of the ports in flight, as arrays. Pure.

Ports are numbered in the order in which they are first asked: their ordinal. Those in flight are a
window of ordinals, and a port's place in the arrays is its ordinal modulo their size, so nothing
has to be looked up. A port leaves the window when it and all before it are done.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ABSENT, ASKED, ANSWERED, DONE = 0, 1, 2, 3
"""`status`: not in the window; silent so far; answered, a stronger reply may follow; decided."""

TARGET, NOBODY = -1, -2
"""`responder`: the target itself; nobody. Other numbers mean something to the receiver only."""

ANSWER = ("kind", "type", "code", "from_target", "try_number", "ttl", "responder", "time_s")
"""The columns that hold the reply that a port is judged by, besides `rule`, `rank` and `rtt_s`."""

_FIRST_SIZE = 1 << 12
_US = 1_000_000
_COLUMNS: dict[str, tuple[type, float]] = {
    "status": (np.uint8, ABSENT),
    "tries": (np.uint8, 0),
    "refused": (np.uint8, 0),
    "voided": (np.uint8, 0),
    "paced": (np.uint8, 0),
    "flying": (np.uint8, 0),
    "probe": (np.uint8, 0),
    "host": (np.uint64, 0),
    "rank": (np.int8, -1),
    "rule": (np.uint8, 0),
    "kind": (np.uint8, 0),
    "type": (np.uint8, 0),
    "code": (np.uint8, 0),
    "from_target": (np.bool_, 0),
    "try_number": (np.int8, -1),
    "ttl": (np.uint8, 0),
    "responder": (np.int32, NOBODY),
    "rtt_s": (np.float32, np.nan),
    "time_s": (np.float64, 0),
    "first_s": (np.float64, 0),
    "last_s": (np.float64, 0),
}


class Window:
    """Columns by ordinal. Memory: some 60 bytes a port and 4 for each try, in powers of two.

    `base` is the first ordinal in the window, `head` the first after it. Of the `tries` that left,
    `voided` ones prove nothing by their silence, and `paced` ones were sent when a host that limits
    its errors could afford an answer (`flying`: the last one was, and is not answered); `refused`
    ones did not leave at all. `probe` is an index into
    `rawscan.rules.PROBES`, `host` a number that ports of one host share.
    """

    status: NDArray[np.uint8]
    tries: NDArray[np.uint8]
    refused: NDArray[np.uint8]
    voided: NDArray[np.uint8]
    paced: NDArray[np.uint8]
    flying: NDArray[np.uint8]
    probe: NDArray[np.uint8]
    host: NDArray[np.uint64]
    rank: NDArray[np.int8]
    rule: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    type: NDArray[np.uint8]
    code: NDArray[np.uint8]
    from_target: NDArray[np.bool_]
    try_number: NDArray[np.int8]
    ttl: NDArray[np.uint8]
    responder: NDArray[np.int32]
    rtt_s: NDArray[np.float32]
    time_s: Floats
    first_s: Floats
    last_s: Floats

    def __init__(self, start_s: float, first: int = 0) -> None:
        """`first` is the first ordinal that will be admitted."""
        self.base = first
        self.head = first
        self._start_s = start_s
        self._size = 0
        self._sent_us: list[NDArray[np.uint32]] = []
        self._grow(_FIRST_SIZE)

    def __len__(self) -> int:
        return self.head - self.base

    def at(self, ordinals: Ints) -> Ints:
        """Where these ports stand in the columns."""
        return ordinals & (self._size - 1)

    def contains(self, ordinals: Ints) -> NDArray[np.bool_]:
        """Which of these are in the window."""
        inside: NDArray[np.bool_] = (ordinals >= self.base) & (ordinals < self.head)
        return inside

    def admit(self, count: int) -> Ints:
        """Take in the next `count` ports; returns their ordinals."""
        while len(self) + count > self._size:
            self._grow(self._size * 2)
        ordinals = np.arange(self.head, self.head + count, dtype=np.int64)
        at = self.at(ordinals)
        for name, (_, empty) in _COLUMNS.items():
            getattr(self, name)[at] = empty
        self.status[at] = ASKED
        self.head += count
        return ordinals

    def retire(self, keep: int) -> None:
        """Let go of the ports at the front that are done, but for the last `keep` ports."""
        limit = self.head - keep
        while self.base < limit:
            block = np.arange(self.base, min(limit, self.base + 65_536), dtype=np.int64)
            waiting = np.flatnonzero(self.status[self.at(block)] != DONE)
            self.base += int(waiting[0]) if len(waiting) else len(block)
            if len(waiting):
                return

    def sent(self, ordinals: Ints, number: int, times_s: Floats) -> None:
        """Note when try `number` of each of these left."""
        while len(self._sent_us) <= number:
            self._sent_us.append(np.zeros(self._size, np.uint32))
        at = self.at(ordinals)
        self._sent_us[number][at] = self._us(times_s)
        if number == 0:
            self.first_s[at] = times_s
        self.last_s[at] = times_s

    def unsend(self, ordinals: Ints) -> None:
        """The last try of each of these did not leave after all."""
        at = self.at(ordinals)
        self.tries[at] -= 1
        self.refused[at] += 1
        for number in np.unique(self.tries[at]).tolist():
            if number:
                those = at[self.tries[at] == number]
                before_us = self._sent_us[number - 1][those] - self._us(self.first_s[those])
                self.last_s[those] = self.first_s[those] + before_us / _US

    def sent_s(self, ordinals: Ints, number: int) -> Floats:
        """When try `number` of each left; only where it did, and within the last hour."""
        at = self.at(ordinals)
        before_us = self._us(self.last_s[at]) - self._sent_us[number][at]
        sent_s: Floats = self.last_s[at] - before_us / _US
        return sent_s

    def round_trips_s(self, ordinals: Ints, numbers: NDArray[np.int8], times_s: Floats) -> Floats:
        """Time from each try to its answer; NaN where no such try was made."""
        rtt_s = np.full(len(ordinals), np.nan)
        arrived_us, at = self._us(times_s), self.at(ordinals)
        for number in range(len(self._sent_us)):
            those = (numbers == number) & (self.tries[at] > number)
            # Microseconds modulo 2**32: an hour and eleven minutes, more than any answer takes.
            took_us = arrived_us[those] - self._sent_us[number][at[those]]
            rtt_s[those] = np.where(took_us < 1 << 31, took_us / _US, 0.0)
        return rtt_s

    def _us(self, times_s: Floats) -> NDArray[np.uint32]:
        since = np.round((np.asarray(times_s) - self._start_s) * _US).astype(np.int64)
        return since.astype(np.uint32)

    def _grow(self, size: int) -> None:
        """Make the columns larger; every port moves to its place modulo the new size."""
        ordinals = np.arange(self.base, self.head, dtype=np.int64)
        old, new = self.at(ordinals) if len(ordinals) else ordinals, ordinals & (size - 1)
        for name, (kind, empty) in _COLUMNS.items():
            column: NDArray[Any] = np.full(size, empty, kind)
            if len(ordinals):
                column[new] = getattr(self, name)[old]
            setattr(self, name, column)
        for number, times in enumerate(self._sent_us):
            self._sent_us[number] = np.zeros(size, np.uint32)
            self._sent_us[number][new] = times[old]
        self._size = size
