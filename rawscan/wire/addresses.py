"""Many addresses of one IP version as arrays. Touches nothing.

An IPv6 address is two 64-bit words, an IPv4 address one, in host order, so that batches can be
compared, hashed and summed; `octets` gives them as they stand in a packet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from rawscan.model import IPAddress

_WORD = 0xFFFF_FFFF_FFFF_FFFF
_LAST_V4 = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True, eq=False)
class Addresses:
    """A batch of addresses. `high` is None for IPv4; `low` is then below 2**32."""

    version: Literal[4, 6]
    high: NDArray[np.uint64] | None
    low: NDArray[np.uint64]

    def __post_init__(self) -> None:
        if self.version not in (4, 6):
            raise ValueError(f"IP version {self.version}")
        if (self.high is None) != (self.version == 4):
            raise ValueError("IPv6 addresses have two words, IPv4 addresses one")
        if self.high is not None and len(self.high) != len(self.low):
            raise ValueError("as many high words as low words")
        if self.version == 4 and len(self.low) and int(self.low.max()) > _LAST_V4:
            raise ValueError("an IPv4 address has 32 bits")

    @classmethod
    def of(cls, addresses: Iterable[IPAddress]) -> Addresses:
        """From addresses of one version; no address at all makes an empty batch of IPv4."""
        addresses = list(addresses)
        versions = {address.version for address in addresses}
        if len(versions) > 1:
            raise ValueError("IPv4 and IPv6 addresses cannot be in one batch")
        numbers = [int(address) for address in addresses]
        low = np.array([number & _WORD for number in numbers], np.uint64)
        if versions != {6}:
            return cls(4, None, low)
        return cls(6, np.array([number >> 64 for number in numbers], np.uint64), low)

    @classmethod
    def of_octets(cls, version: Literal[4, 6], octets: bytes) -> Addresses:
        """From 4 or 16 bytes for each address, in network order: the inverse of `octets`."""
        if version == 4:
            return cls(4, None, np.frombuffer(octets, ">u4").astype(np.uint64))
        words = np.frombuffer(octets, ">u8").astype(np.uint64).reshape(-1, 2)
        return cls(6, words[:, 0], words[:, 1])

    def __len__(self) -> int:
        return len(self.low)

    def __iter__(self) -> Iterator[IPAddress]:
        return (self.at(index) for index in range(len(self)))

    def at(self, index: int) -> IPAddress:
        """The address at this place."""
        if self.high is None:
            return IPv4Address(int(self.low[index]))
        return IPv6Address(int(self.high[index]) << 64 | int(self.low[index]))

    def take(self, chosen: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Addresses:
        """Those at some places, by index, mask or slice."""
        high = None if self.high is None else self.high[chosen]
        return Addresses(self.version, high, self.low[chosen])

    @property
    def octets(self) -> NDArray[np.uint8]:
        """One row of 4 or 16 bytes for each address, in network order."""
        if self.high is None:
            low = self.low.astype(">u4")
            return cast(NDArray[np.uint8], low.view(np.uint8).reshape(-1, 4))
        words = np.empty((len(self), 2), ">u8")
        words[:, 0], words[:, 1] = self.high, self.low
        return cast(NDArray[np.uint8], words.view(np.uint8).reshape(-1, 16))

    @property
    def sums(self) -> NDArray[np.uint64]:
        """What each address adds to an Internet checksum, not folded: below 2**34.

        2**16 is 1 modulo 0xffff, so that a 32-bit word adds what its two halves would add.
        """
        if self.high is None:
            return self.low.copy()
        total: NDArray[np.uint64] = self.high >> np.uint64(32)
        total += self.high & np.uint64(_LAST_V4)
        total += self.low >> np.uint64(32)
        total += self.low & np.uint64(_LAST_V4)
        return total
