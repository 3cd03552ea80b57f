"""When ports are to be looked at again, by the batch. Pure.

Each port has a deadline of its own, down to the microsecond at which its probe left. Taken one by
one they would undo all batches, so deadlines are put off to the next tick.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from math import ceil

import numpy as np

from rawscan.engine.window import Floats, Ints

TICK_S = 1 / 256
"""Nothing is put off by more than this. A power of two: no rounding makes a deadline early."""

MOST_AT_ONCE = 1 << 14
"""Ports in one batch: what is reckoned about each of them takes memory for a moment."""


class Timers:
    """Ports by the tick at which they are due, and the status that they then must still have."""

    def __init__(self) -> None:
        self._batches: dict[tuple[int, int], list[Ints]] = {}
        self._heap: list[tuple[int, int]] = []

    def set(self, due_s: float, status: int, ordinals: Ints) -> None:
        """All of these are due at one time."""
        if len(ordinals):
            self._add(ceil(due_s / TICK_S), status, ordinals)

    def set_each(self, due_s: Floats, status: int, ordinals: Ints) -> None:
        """Each of these is due at a time of its own."""
        ticks = np.ceil(due_s / TICK_S).astype(np.int64)
        for tick in np.unique(ticks).tolist():
            self._add(tick, status, ordinals[ticks == tick])

    def due(self, now_s: float) -> Iterator[tuple[int, Ints]]:
        """What is due by now: status and ports. What is set meanwhile comes too, if it is due."""
        while self._heap and self._heap[0][0] * TICK_S <= now_s:
            key = heappop(self._heap)
            ordinals = np.concatenate(self._batches.pop(key))
            for start in range(0, len(ordinals), MOST_AT_ONCE):
                yield key[1], ordinals[start : start + MOST_AT_ONCE]

    def next_s(self) -> float | None:
        """When something is due next."""
        return self._heap[0][0] * TICK_S if self._heap else None

    def _add(self, tick: int, status: int, ordinals: Ints) -> None:
        key = (tick, status)
        if key not in self._batches:
            self._batches[key] = []
            heappush(self._heap, key)
        self._batches[key].append(ordinals)
