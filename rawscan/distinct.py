"""How many different ones: exactly while they are few, closely beyond. Touches nothing."""

from __future__ import annotations

from math import log

_EXACT = 1 << 14
_BITS = 1 << 22


class Distinct:
    """Counts distinct numbers in bounded memory.

    Up to `exact` of them it keeps each; beyond that it counts linearly (Whang et al., A Linear-Time
    Probabilistic Counting Algorithm, 1990) in 512 KiB, within 1 % up to ten million.
    """

    __slots__ = ("_bits", "_exact", "_kept")

    def __init__(self, exact: int = _EXACT) -> None:
        self._exact = exact
        self._kept: set[int] = set()
        self._bits: bytearray | None = None

    def add(self, number: int) -> None:
        """Take one number into account."""
        if self._bits is not None:
            self._mark(self._bits, number)
            return
        self._kept.add(number)
        if len(self._kept) > self._exact:
            self._bits = bytearray(_BITS // 8)
            for each in self._kept:
                self._mark(self._bits, each)
            self._kept.clear()

    def __len__(self) -> int:
        """The number of different ones; an estimate beyond `exact`."""
        if self._bits is None:
            return len(self._kept)
        free = _BITS - int.from_bytes(self._bits, "little").bit_count()
        return round(-_BITS * log(max(free, 1) / _BITS))

    @staticmethod
    def _mark(bits: bytearray, number: int) -> None:
        # splitmix64's finaliser: addresses of one network differ in few bits.
        number = (number ^ (number >> 64)) & 0xFFFF_FFFF_FFFF_FFFF
        number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFF_FFFF_FFFF_FFFF
        number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & 0xFFFF_FFFF_FFFF_FFFF
        place = (number ^ (number >> 31)) % _BITS
        bits[place >> 3] |= 1 << (place & 7)
