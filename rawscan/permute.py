"""The order in which a scan asks: a keyed shuffle with no memory per element. Touches nothing.

A scan that asks in address order knocks every host of one network at once, and trips whatever
limits or blocks by rate there. So index `permutation.at(0)` is asked first, `at(1)` next, and so
on: every index exactly once, scattered over all of them. One number, the position, is all that a
scan must remember to go on later, and shards need no word between them.

How: a Feistel network over a domain hardly larger than asked for, and cycle walking: what falls
outside goes through once more until it falls inside. That is from J. Black and P. Rogaway,
"Ciphers with Arbitrary Finite Domains", CT-RSA 2002 (their generalized-Feistel and cycle-walking
ciphers); masscan's "BlackRock" is made of the same. zmap walks a cyclic group instead (Durumeric,
Wustrow and Halderman, "ZMap: Fast Internet-wide Scanning and Its Security Applications", USENIX
Security 2013): that needs a prime above the size, and the way from an index back to its position
is a discrete logarithm.

The order is well mixed, and no secret: the round function is a fast mixer, not a cipher.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rawscan.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BATCH_SIZE", "Permutation", "Shard"]

BATCH_SIZE = 1 << 64
"""The largest size whose positions and indexes fit NumPy's uint64, so the largest for `batch`."""

# Even, for both halves to have the same. Compared with truly random orders, 4 rounds show: steps
# as long as a half is wide repeat too often, by 10 to 40 standard deviations; 6 are the least that
# do not. With a few elements, some first pairs are likelier than others over 20,000 keys until
# there are 10 rounds; speed does not matter there. Two more than the least, in both cases.
_ROUNDS = 8
_SMALL, _SMALL_ROUNDS = 4096, 12
_WORD = (1 << 64) - 1
_NARROW_BITS = 32
# Odd, with about half of the bits set: 2**64 over the golden ratio, and the first multiplier of
# D. Stafford's "mix13" for MurmurHash3. One multiplication carries bits upwards only; the shift
# and the second let all of them reach the upper half of the word, which alone is used.
_FIRST = 0x9E3779B97F4A7C15
_SECOND = 0xBF58476D1CE4E5B9
_BLOCK = 16384  # elements; four arrays of these stay in a core's second-level cache


@dataclass(frozen=True, slots=True)
class Permutation:
    """A bijection of 0 .. size-1, chosen by `key`: the same two give the same order for ever.

    `size` is any number from 1, far above 2**64 too; `key` is any bytes. Sizes do not share their
    orders, even under one key. Raises ValueError for a size below 1.
    """

    size: int
    key: bytes = field(repr=False)
    _low_bits: int = field(init=False, repr=False, compare=False)
    _high: int = field(init=False, repr=False, compare=False)
    _hash_bits: int = field(init=False, repr=False, compare=False)
    _keys: tuple[tuple[int, int], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Choose the domain, `_high` times 2**`_low_bits`, and derive the round keys.

        Only the lower half is a power of two: that makes it cheap to take a number apart, and the
        domain exceeds the size by less than that power, about the size's square root. Two powers
        of two would exceed it by up to its double, and then every other element walks.
        """
        import hashlib  # 3 ms, for those who want an order

        if self.size < 1:
            raise ValueError(f"a permutation of {self.size} elements")
        low_bits = max(1, (self.size - 1).bit_length() // 2)
        high = -(-self.size >> low_bits)
        narrow = self.size <= BATCH_SIZE
        # 64 bits more than the half it is scaled to: what that favours cannot be measured.
        wide_bits = (high.bit_length() + 64 + 7) // 8 * 8
        rounds = _SMALL_ROUNDS if self.size < _SMALL else _ROUNDS
        seed = hashlib.shake_256(b"rawscan order %d " % self.size + self.key).digest(8 * rounds)
        keys = [int.from_bytes(seed[i : i + 8], "little") for i in range(0, len(seed), 8)]
        object.__setattr__(self, "_low_bits", low_bits)
        object.__setattr__(self, "_high", high)
        object.__setattr__(self, "_hash_bits", _NARROW_BITS if narrow else wide_bits)
        object.__setattr__(self, "_keys", tuple(zip(keys[::2], keys[1::2], strict=True)))

    def at(self, position: int) -> int:
        """The index that is asked at `position`. Raises IndexError outside 0 .. size-1."""
        self._check(position)
        index = self._encipher(position)
        while index >= self.size:
            index = self._encipher(index)
        return index

    def position(self, index: int) -> int:
        """When `index` is asked: the inverse of `at`. Raises IndexError outside 0 .. size-1."""
        self._check(index)
        position = self._decipher(index)
        while position >= self.size:
            position = self._decipher(position)
        return position

    def batch(self, positions: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """`at` for every element: a new array of the same shape. Quickest from 4,096 elements on.

        Raises IndexError if any is outside 0 .. size-1, TypeError for an array of anything but
        unsigned integers, ValueError for a size above `BATCH_SIZE`.
        """
        return self._many(positions, inverse=False)

    def inverse(self, indexes: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """`position` for every element: a new array of the same shape. Raises what `batch` does."""
        return self._many(indexes, inverse=True)

    def _check(self, number: int) -> None:
        if not 0 <= number < self.size:
            raise IndexError(f"{number} is outside 0 .. {self.size - 1}")

    def _encipher(self, number: int) -> int:
        """All rounds over one number of the domain; what comes out may exceed the size."""
        # Low first: it changes at every position, so the next one is already far away.
        bits, high = self._low_bits, self._high
        upper, lower = number >> bits, number & (1 << bits) - 1
        for key, other in self._keys:
            upper = (upper + (self._hash(lower, key) * high >> self._hash_bits)) % high
            lower ^= self._hash(upper, other) >> self._hash_bits - bits
        return upper << bits | lower

    def _decipher(self, number: int) -> int:
        """`_encipher` backwards."""
        bits, high = self._low_bits, self._high
        upper, lower = number >> bits, number & (1 << bits) - 1
        for key, other in reversed(self._keys):
            lower ^= self._hash(upper, other) >> self._hash_bits - bits
            upper = (upper - (self._hash(lower, key) * high >> self._hash_bits)) % high
        return upper << bits | lower

    def _hash(self, half: int, key: int) -> int:
        """The round function: `_hash_bits` bits of half and key. `_hash_many` is its twin."""
        if self._hash_bits == _NARROW_BITS:
            word = (half + key) * _FIRST & _WORD
            return ((word ^ word >> 32) * _SECOND & _WORD) >> 32
        import hashlib

        # Halves of any width, and no array to agree with: a real hash is simpler, and no slower
        # than the mixer would be in Python for several words.
        length = self._hash_bits // 8
        text = key.to_bytes(8, "little") + half.to_bytes(length, "little")
        return int.from_bytes(hashlib.shake_128(text).digest(length), "little")

    def _many(self, numbers: NDArray[np.uint64], *, inverse: bool) -> NDArray[np.uint64]:
        """`batch` and `inverse`, in blocks that fit the cache."""
        import numpy as np

        if self.size > BATCH_SIZE:
            raise ValueError(f"{self.size} elements are too many for arrays, ask for one at a time")
        out = numbers.astype(np.uint64, casting="safe", order="C")
        flat = out.reshape(-1)
        if flat.size:
            self._check(int(flat.max()))
        for start in range(0, flat.size, _BLOCK):
            block = flat[start : start + _BLOCK]
            self._cipher_many(block, inverse)
            if self._high << self._low_bits == self.size:
                continue
            stray = np.flatnonzero(block >= np.uint64(self.size))
            while stray.size:
                walked = block[stray]
                self._cipher_many(walked, inverse)
                block[stray] = walked
                stray = stray[walked >= np.uint64(self.size)]
        return out

    def _cipher_many(self, numbers: NDArray[np.uint64], inverse: bool) -> None:
        """`_encipher` or `_decipher` for each, in place."""
        import numpy as np

        bits, high = np.uint64(self._low_bits), np.uint64(self._high)
        upper, lower = numbers >> bits, numbers & np.uint64((1 << self._low_bits) - 1)
        mixed, spare = np.empty_like(upper), np.empty_like(upper)
        for key, other in reversed(self._keys) if inverse else self._keys:
            if inverse:
                _hash_many(upper, other, mixed, spare)
                mixed >>= np.uint64(_NARROW_BITS) - bits
                lower ^= mixed
            _hash_many(lower, key, mixed, spare)
            mixed *= high
            mixed >>= np.uint64(_NARROW_BITS)
            # Modulo `high` with no division: of the two candidates the wrong one is the larger,
            # because it is too large by `high` or has wrapped round below zero.
            if inverse:
                upper -= mixed
                np.add(upper, high, out=spare)
            else:
                upper += mixed
                np.subtract(upper, high, out=spare)
            np.minimum(upper, spare, out=upper)
            if not inverse:
                _hash_many(upper, other, mixed, spare)
                mixed >>= np.uint64(_NARROW_BITS) - bits
                lower ^= mixed
        upper <<= bits
        np.bitwise_or(upper, lower, out=numbers)


def _hash_many(
    half: NDArray[np.uint64], key: int, out: NDArray[np.uint64], spare: NDArray[np.uint64]
) -> None:
    """`Permutation._hash` of each narrow half into `out`; `spare` is overwritten."""
    import numpy as np

    np.add(half, np.uint64(key), out=out)
    out *= np.uint64(_FIRST)
    np.right_shift(out, np.uint64(32), out=spare)
    out ^= spare
    out *= np.uint64(_SECOND)
    out >>= np.uint64(32)


_SHARD = re.compile(r"\s*([0-9]{1,18})\s*/\s*([0-9]{1,18})\s*")


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` of `count`, from 1 as masscan counts them: 1/3, 2/3 and 3/3 are the whole scan.

    Raises ValueError unless 1 <= index <= count.
    """

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse a part that no whole has."""
        if not 1 <= self.index <= self.count:
            raise ValueError(f"there is no shard {self.index} of {self.count}")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that "I/N" means. Raises `UsageError`."""
        match = _SHARD.fullmatch(text)
        index, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if match and 1 <= index <= count:
            return cls(index, count)
        shown = repr(text if len(text) <= 40 else text[:37] + "...")
        what = "is not I/N with I from 1 to N"
        if not match and re.fullmatch(r"\s*[0-9]+\s*/\s*[0-9]+\s*", text):
            what = "has a number of more than 18 digits"
        if match and count and not index:
            what = "counts from 0, the first shard is 1"
        raise UsageError(
            f"shard {shown} {what}; right would be, for example, 1/{count or 3}"
            f" for the first part of {count or 3}"
        )

    def positions(self, size: int) -> range:
        """The positions that this shard asks, of a scan of `size`: every `count`-th.

        So all shards advance through the order side by side. The range may be longer than `len`
        can say; `share` says it.
        """
        return range(self.index - 1, size, self.count)

    def share(self, size: int) -> int:
        """How many positions that is, exactly. All shards together have `size`."""
        return -((self.index - 1 - size) // self.count)  # a division that rounds up

    def __str__(self) -> str:
        """Text that parses to the same shard."""
        return f"{self.index}/{self.count}"
