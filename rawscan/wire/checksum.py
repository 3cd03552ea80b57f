"""The Internet checksum (RFC 1071) and its incremental update (RFC 1624). Touches nothing.

Sums are one's complement sums of 16-bit words. A number made of several such words, 32 or 64 bits
of them, may be added as it is: 2**16 is 1 modulo 0xffff, so that carries end where they belong when
`fold` brings the sum down to 16 bits (RFC 1071, section 2 (C)).

Zero has two faces in one's complement. A sum is folded to 0 only if it was 0 to begin with, and
else to 0xffff: that is what the addition with end-around carry gives, so that sums made in either
way are alike bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_SIXTEEN = 0xFFFF


def fold(total: int) -> int:
    """Bring a sum that is not negative down to 16 bits with end-around carry."""
    return total % _SIXTEEN or (_SIXTEEN if total else 0)


def ones_sum(data: bytes) -> int:
    """The sum of big-endian words; an odd last byte is the upper half of one (RFC 1071, 1)."""
    return fold(int.from_bytes(data + b"\0" * (len(data) % 2), "big"))


def checksum(data: bytes) -> int:
    """What stands in a header whose checksum field is 0 in `data`."""
    return ~ones_sum(data) & _SIXTEEN


def without(old_checksum: int, old_words: Iterable[int]) -> int:
    """The sum that is left once `old_words` are taken out: RFC 1624's `~HC + ~m`, folded.

    `old_words` are 16-bit words.
    """
    left = ~old_checksum & _SIXTEEN
    return fold(left + sum(~word & _SIXTEEN for word in old_words))


def update(old_checksum: int, old_words: Iterable[int], new_words: Iterable[int]) -> int:
    """The checksum after words have changed: `HC' = ~(~HC + ~m + m')`.

    That is RFC 1624's equation 3 (section 3). RFC 1141's way is not used: it gives 0xffff
    where the header's sum gives 0 (section 4).
    """
    return ~fold(without(old_checksum, old_words) + sum(new_words)) & _SIXTEEN


def for_udp(found: int) -> int:
    """UDP's rule (RFC 768): 0 means no checksum, so a computed 0 is sent as 0xffff.

    Over IPv6 there must be one (RFC 8200, section 8.1), and the same rule holds.
    """
    return found or _SIXTEEN


def fold_all(totals: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`fold` for many sums of up to 64 bits. `totals` is overwritten."""
    sixteen = np.uint64(_SIXTEEN)
    # 64 bits become 33, then 18, then at most 0x10002, then 16.
    carries = totals >> np.uint64(32)
    totals &= np.uint64(0xFFFF_FFFF)
    totals += carries
    for _ in range(3):
        np.right_shift(totals, np.uint64(16), out=carries)
        totals &= sixteen
        totals += carries
    return totals


def checksums(totals: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """The checksums for many sums of up to 64 bits. `totals` is overwritten."""
    found: NDArray[np.uint16] = fold_all(totals).astype(np.uint16)
    return np.invert(found, out=found)


def updates(
    old_checksums: NDArray[np.uint16],
    old_words: NDArray[np.uint16],
    new_words: NDArray[np.uint16],
) -> NDArray[np.uint16]:
    """`update` for many packets: the words of one packet are one row, and all rows are as long."""
    totals = np.invert(old_checksums).astype(np.uint64)
    totals += np.invert(old_words).sum(axis=1, dtype=np.uint64)
    totals += new_words.sum(axis=1, dtype=np.uint64)
    return checksums(totals)


def all_for_udp(found: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """`for_udp` for many; `found` is overwritten."""
    found[found == 0] = _SIXTEEN
    return found
