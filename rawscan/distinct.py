"""How many different ones: exactly while they are few, closely beyond. Touches nothing."""

from __future__ import annotations

from math import log

import numpy as np
from numpy.typing import NDArray

_EXACT = 1 << 16
_BITS = 1 << 22
_AT_ONCE = 1 << 13
_LOW = (1 << 64) - 1


class Distinct:
    """Counts distinct numbers in bounded memory.

    Up to `exact` of them it keeps each; beyond that it counts linearly (Whang et al., A Linear-Time
    Probabilistic Counting Algorithm, 1990) in 4 MiB, within 1 % up to ten million.
    """

    __slots__ = ("_exact", "_kept", "_marks")

    def __init__(self, exact: int = _EXACT) -> None:
        self._exact = exact
        self._kept: set[int] = set()
        self._marks: NDArray[np.bool_] | None = None

    def add(self, number: int) -> None:
        """Take one number into account."""
        self._kept.add(number)
        if len(self._kept) > self._exact:
            self._exact = _AT_ONCE
            self._mark()

    def __len__(self) -> int:
        """The number of different ones; an estimate beyond `exact`."""
        if self._marks is None:
            return len(self._kept)
        self._mark()
        free = _BITS - int(np.count_nonzero(self._marks))
        return round(-_BITS * log(max(free, 1) / _BITS))

    def _mark(self) -> None:
        if self._marks is None:
            self._marks = np.zeros(_BITS, np.bool_)
        folded = ((number ^ (number >> 64)) & _LOW for number in self._kept)
        hashes = np.fromiter(folded, np.uint64, len(self._kept))
        # splitmix64's finaliser: addresses of one network differ in few bits.
        hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        self._marks[(hashes ^ (hashes >> np.uint64(31))) % np.uint64(_BITS)] = True
        self._kept.clear()
