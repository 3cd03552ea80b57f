"""Which of many frames may have to do with the ports? Reads bytes in arrays; touches nothing.

Nearly every packet of a capture is a whole TCP segment or UDP datagram between other ports. To know
that of one takes its ethertype, its protocol and its ports, and those are read here for thousands
at a time. Left out is only what is certain: a frame that `rawscan.wire.decode` would read without
fault, and that is neither of the ports, nor an ICMP error, nor carries other packets. Whatever is
cut off, odd, or merely rare stays in, and is decoded as ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from rawscan.model import IPAddress
from rawscan.ports import PortSpec
from rawscan.wire import linklayer
from rawscan.wire.decode import ICMP_ERRORS

Rows = NDArray[np.intp]

_TCP_BIT, _UDP_BIT, _ICMP_BIT, _ALWAYS = 1, 2, 4, 8
_VXLAN_PORT = 4789
# IP protocol -> which of the tests above decides whether a packet stays in; 0: it never does.
_CARRIERS = (4, 41, 47)  # IP in IP, 6in4, GRE
_EXTENSIONS = (0, 43, 44, 51, 60, 135, 139, 140)


def _tests(icmp: int, *always: int) -> NDArray[np.uint8]:
    tests = np.zeros(256, np.uint8)
    tests[[6, 17, icmp]] = _TCP_BIT, _UDP_BIT, _ICMP_BIT
    tests[list(always)] = _ALWAYS
    return tests


_TESTS4 = _tests(1, 58, *_CARRIERS)
_TESTS6 = _tests(58, 1, *_CARRIERS, *_EXTENSIONS)
_IS_ERROR4 = np.isin(np.arange(256), list(ICMP_ERRORS)) * np.uint8(_ICMP_BIT)
_IS_ERROR6 = (np.arange(256) < 128) * np.uint8(_ICMP_BIT)
# Fields of the eight bytes from an IPv4 header's third on, read with the first as the lowest:
# total length, identification, flags and fragment offset, TTL, protocol (RFC 791).
_IS_FRAGMENT: Final = np.uint64(0xFF3F_0000_0000)

# Link type -> where in the frame the ethertype stands, and the IP header.
_ETHERTYPES = {linklayer.ETHERNET: (12, 14), linklayer.SLL: (14, 16), linklayer.SLL2: (0, 20)}
# Link type -> where the IP header stands, whose version is in it.
_BARE = {
    linklayer.RAW: 0, linklayer.RAW_BSD: 0, linklayer.RAW_OPENBSD: 0, linklayer.IPV4: 0,
    linklayer.IPV6: 0, linklayer.NULL: 4, linklayer.LOOP: 4,
}  # fmt: skip
_MOST_TAGS = 3


def _swapped(number: int) -> int:
    """A 16-bit field of the network's as a little-endian machine reads it."""
    return number >> 8 | (number & 0xFF) << 8


def _set_of(*kinds: int) -> NDArray[np.bool_]:
    """A table of all ethertypes, as they are read, that says which are among `kinds`."""
    table = np.zeros(1 << 16, np.bool_)
    table[[_swapped(kind) for kind in kinds]] = True
    return table


_IP4, _IP6 = map(_swapped, linklayer.ETHER_IP)
_IS_TAG = _set_of(*linklayer.VLAN)
_MAY_CARRY = _set_of(*linklayer.ETHER_IP, *linklayer.VLAN, *linklayer.MPLS, linklayer.PPPOE)


class Test(Protocol):
    """Which IP packets stay in? `left` bytes were captured of each from `start` on."""

    def ipv4(self, view: View, start: Any, left: Any) -> NDArray[np.bool_]:
        """Of those that are said to be IPv4's."""
        ...

    def ipv6(self, view: View, start: Any, left: Any) -> NDArray[np.bool_]:
        """The same for IPv6."""
        ...


class PortTest:
    """Packets of these ports, and all that might carry such or tell of them."""

    def __init__(self, ports: PortSpec) -> None:
        from_, to = np.zeros(1 << 16, np.uint8), np.zeros(1 << 16, np.uint8)
        for numbers, bit in ((ports.tcp, _TCP_BIT), (ports.udp, _UDP_BIT)):
            wanted = np.array([_swapped(number) for number in numbers], np.intp)
            from_[wanted] |= bit
            to[wanted] |= bit
        to[_swapped(_VXLAN_PORT)] |= _UDP_BIT
        self._from, self._to = from_ | _ALWAYS, to

    def ipv4(self, view: View, start: Any, left: Any) -> NDArray[np.bool_]:
        """Of those that are said to be IPv4's."""
        first, fields = view.u8[start], view.u64[start + 2]
        header = (first & 15).astype(np.int64) * 4
        total = ((fields & 0xFF) << 8 | fields >> 8 & 0xFF).astype(np.int64)
        stays = first - np.uint8(0x45) > 10  # version 4, and 5 to 15 words
        stays |= fields & _IS_FRAGMENT != 0
        stays |= left < header + 4
        stays |= (total < header + 4) & (total != 0)  # 0: segmentation offload
        stays |= self._upper(view, start + header, _TESTS4[fields >> 56], _IS_ERROR4)
        return stays

    def ipv6(self, view: View, start: Any, left: Any) -> NDArray[np.bool_]:
        """The same for IPv6."""
        payload = view.u16[start + 4].byteswap()
        stays = view.u8[start] >> 4 != 6
        stays |= left < 44
        stays |= (payload < 4) & (payload != 0)  # 0: a jumbogram, or offload
        stays |= self._upper(view, start + 40, _TESTS6[view.u8[start + 6]], _IS_ERROR6)
        return stays

    def _upper(
        self, view: View, at: Any, tests: NDArray[np.uint8], is_error: NDArray[np.uint8]
    ) -> NDArray[np.bool_]:
        """By the first four bytes of what IP carries: the ports, or ICMP's type."""
        first = view.u32[at]
        marks = self._from[first & 0xFFFF] | self._to[first >> 16] | is_error[first & 0xFF]
        return marks & tests != 0


class AddressTest:
    """Packets to `to`, and from `from_` to `with_` (None: to anybody); and what carries others.

    More may stay in: addresses that share a place in a table.
    """

    def __init__(
        self,
        to: Iterable[IPAddress],
        from_: Iterable[IPAddress] = (),
        with_: Iterable[IPAddress] | None = None,
    ) -> None:
        self._to, self._from = _address_table(to), _address_table(from_)
        self._with = np.ones(1 << 16, np.bool_) if with_ is None else _address_table(with_)

    def ipv4(self, view: View, start: Any, left: Any) -> NDArray[np.bool_]:
        """Of those that are said to be IPv4's."""
        odd = (view.u8[start] >> 4 != 4) | (left < 20)
        tests = _TESTS4[view.u8[start + 9]]
        return odd | self._stays(view.u32[start + 12], view.u32[start + 16]) | self._carries(
            view, start + (view.u8[start] & 15).astype(np.int64) * 4, tests
        )

    def ipv6(self, view: View, start: Any, left: Any) -> NDArray[np.bool_]:
        """The same for IPv6."""
        odd = (view.u8[start] >> 4 != 6) | (left < 40)
        source = view.u32[start + 16] ^ view.u32[start + 20]
        destination = view.u32[start + 32] ^ view.u32[start + 36]
        carries = self._carries(view, start + 40, _TESTS6[view.u8[start + 6]])
        return odd | self._stays(source, destination) | carries

    def _carries(self, view: View, at: Any, tests: NDArray[np.uint8]) -> NDArray[np.bool_]:
        vxlan = view.u16[at + 2] == _swapped(_VXLAN_PORT)
        return (tests == _ALWAYS) | (tests == _UDP_BIT) & vxlan

    def _stays(self, source: Any, destination: Any) -> NDArray[np.bool_]:
        source, destination = _place(source), _place(destination)
        return self._to[destination] | self._from[source] & self._with[destination]


def _place(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Where an address has its place in a table of 64 Ki; multiplied as Knuth does."""
    return (words * np.uint32(2_654_435_761)) >> np.uint32(16)


def _address_table(addresses: Iterable[IPAddress]) -> NDArray[np.bool_]:
    table = np.zeros(1 << 16, np.bool_)
    words = [
        int.from_bytes(packed[-8:-4], "little") ^ int.from_bytes(packed[-4:], "little")
        if len(packed) > 4
        else int.from_bytes(packed, "little")
        for packed in (address.packed for address in addresses)
    ]
    table[_place(np.array(words, np.uint32))] = True
    return table


class Sieve:
    """Finds the IP packets in frames, and lets those through that pass a test."""

    def __init__(self, test: Test) -> None:
        self._test = test

    def __call__(
        self, data: bytearray, at: Any, captured: Any, linktype: int
    ) -> tuple[Rows, Counter[str]]:
        """Rows of the frames that stay in; of those that do not, how many are no IP, by cause.

        Frame i is the `captured[i]` bytes of `data` from `at[i]` on; behind the last of them some
        hundred bytes of `data` must follow.
        """
        view = View(data)
        if linktype in _ETHERTYPES:
            return self._by_ethertype(view, at, captured, *_ETHERTYPES[linktype])
        if linktype in _BARE:
            stays = self._bare(view, at, captured, _BARE[linktype])
            return np.flatnonzero(stays), Counter()
        if linktype in linklayer.LINKTYPES:
            return np.arange(len(at)), Counter()
        return np.zeros(0, np.intp), Counter({linklayer.unread(linktype): len(at)})

    def _by_ethertype(
        self, view: View, at: Any, captured: Any, kind_at: int, ip_at: int
    ) -> tuple[Rows, Counter[str]]:
        kinds, start, left = view.u16[at + kind_at], at + ip_at, captured - ip_at
        for _ in range(_MOST_TAGS if kind_at + 2 == ip_at else 0):
            tagged = np.flatnonzero(_IS_TAG[kinds])
            tagged = tagged[left[tagged] >= 4]
            if not tagged.size:
                break
            start[tagged] += 4
            left[tagged] -= 4
            kinds[tagged] = view.u16[start[tagged] - 2]
        stays = _MAY_CARRY[kinds] | (left < 0)
        causes = _causes(kinds[~stays])
        for kind, test in ((_IP4, self._test.ipv4), (_IP6, self._test.ipv6)):
            rows = np.flatnonzero(kinds == kind)
            if rows.size:
                stays[rows] = test(view, start[rows], left[rows])
        return np.flatnonzero(stays), causes

    def _bare(self, view: View, at: Any, captured: Any, skip: int) -> NDArray[np.bool_]:
        start, left = at + skip, captured - skip
        stays = np.ones(len(at), np.bool_)
        known = left > 0
        if skip:
            known &= np.isin(view.u32[at], _FAMILIES)
        versions = view.u8[start] >> 4
        for version, test in ((4, self._test.ipv4), (6, self._test.ipv6)):
            rows = np.flatnonzero(known & (versions == version))
            if rows.size:
                stays[rows] = test(view, start[rows], left[rows])
        return stays


class View:
    """`data` as numbers that begin at each of its bytes, read as a little-endian machine does."""

    def __init__(self, data: bytearray) -> None:
        self.u8 = np.frombuffer(data, np.uint8)
        self.u16, self.u32, self.u64 = (
            np.ndarray((len(data) - size + 1,), f"<u{size}", data, strides=(1,))
            for size in (2, 4, 8)
        )


_FAMILIES = np.array(
    [int.from_bytes(n.to_bytes(4, order), "little")
     for n in linklayer.IP_FAMILIES for order in ("little", "big")], np.uint32
)  # fmt: skip


def _causes(kinds: NDArray[np.uint16]) -> Counter[str]:
    numbers, counts = np.unique(kinds.byteswap(), return_counts=True)
    return Counter(
        {
            linklayer.no_ip(number): count
            for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)
        }
    )
