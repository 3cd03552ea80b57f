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
from rawscan.wire.decode import ICMP_ERRORS, TUNNELS, VXLAN_PORT

Rows = NDArray[np.intp]
Mask = Any  # NDArray[np.bool_], which NumPy's own types lose on the way

_TCP_BIT, _UDP_BIT, _ICMP_BIT, _ALWAYS = 1, 2, 4, 8
# IP protocol -> which of the tests above decides whether a packet stays in; 0: it never does.
_EXTENSIONS = (0, 43, 44, 51, 60, 135, 139, 140)


def _tests(icmp: int, *always: int) -> NDArray[np.uint8]:
    tests = np.zeros(256, np.uint8)
    tests[[6, 17, icmp]] = _TCP_BIT, _UDP_BIT, _ICMP_BIT
    tests[list(always)] = _ALWAYS
    return tests


_TESTS4 = _tests(1, 58, *TUNNELS)
_TESTS6 = _tests(58, 1, *TUNNELS, *_EXTENSIONS)
_IS_ERROR4 = np.isin(np.arange(256), list(ICMP_ERRORS)) * np.uint8(_ICMP_BIT)
_IS_ERROR6 = (np.arange(256) < 128) * np.uint8(_ICMP_BIT)
# "More fragments", and the offset (RFC 791), as a little-endian machine reads them.
_IS_FRAGMENT: Final = np.uint16(0xFF3F)
_NO_OPTIONS: Final = np.uint8(0x45)
_ONE16: Final = np.uint16(1)

_BEFORE = 16
"""So much is copied with a header of what stands before it; it keeps fields at even places."""
_HEADER_BYTES = _BEFORE + 40 + 8
_RECEIVER_BITS = 22
_QUOTE_BYTES = 8 + 20 + 8

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
_KIND_OF_VERSION = np.zeros(16, np.uint16)
_KIND_OF_VERSION[[4, 6]] = _IP4, _IP6
_IS_TAG = _set_of(*linklayer.VLAN)
_MAY_CARRY = _set_of(*linklayer.ETHER_IP, *linklayer.VLAN, *linklayer.MPLS, linklayer.PPPOE)


class View:
    """`data` as numbers that begin at each of its bytes, read as a little-endian machine does."""

    def __init__(self, data: bytearray) -> None:
        self.u8 = np.frombuffer(data, np.uint8)
        self.u16, self.u32 = (
            np.ndarray((len(data) - size + 1,), f"<u{size}", data, strides=(1,)) for size in (2, 4)
        )
        self._headers = np.ndarray((len(data) - _HEADER_BYTES + 1,), f"V{_HEADER_BYTES}", data,
                                   strides=(1,))  # fmt: skip

    def headers(self, start: Any) -> Headers:
        """Copy what stands from each of `start` on. A copy a row costs no more than one a word."""
        return Headers(self._headers[start - _BEFORE].view(np.uint8).reshape(-1, _HEADER_BYTES))


class Headers:
    """IP headers, a row for each, with what stands before and behind them."""

    def __init__(self, rows: NDArray[np.uint8]) -> None:
        self.rows = rows

    def u8(self, offset: int) -> NDArray[np.uint8]:
        """The byte at `offset` of each header."""
        return self.rows[:, _BEFORE + offset]

    def u16(self, offset: int) -> NDArray[np.uint16]:
        """The two bytes there, the first as the lower; `offset` must be even."""
        return self.rows.view("<u2")[:, (_BEFORE + offset) // 2]

    def u32(self, offset: int) -> NDArray[np.uint32]:
        """Four of them; `offset` must be a multiple of four."""
        return self.rows.view("<u4")[:, (_BEFORE + offset) // 4]


class Check(Protocol):
    """Which IP packets stay in? `left` bytes were captured of each from its header on.

    It may say anything of packets that are of another IP version than asked for.
    """

    def ipv4(self, view: View, headers: Headers, start: Any, left: Any) -> Mask:
        """Of those that are said to be IPv4's."""
        ...

    def ipv6(self, view: View, headers: Headers, start: Any, left: Any) -> Mask:
        """The same for IPv6."""
        ...

    def notes(self) -> bytes:
        """What it has learnt besides, to be handed to another process."""
        ...

    def add_notes(self, notes: bytes) -> None:
        """Take in what another process has learnt."""
        ...


class PortCheck:
    """Packets of these ports, and all that might carry such or tell of them."""

    def __init__(self, ports: PortSpec) -> None:
        from_, to = np.zeros(1 << 16, np.uint8), np.zeros(1 << 16, np.uint8)
        for numbers, bit in ((ports.tcp, _TCP_BIT), (ports.udp, _UDP_BIT)):
            wanted = np.array([_swapped(number) for number in numbers], np.intp)
            from_[wanted] |= bit
            to[wanted] |= bit
        to[_swapped(VXLAN_PORT)] |= _UDP_BIT
        self._from, self._to = from_ | _ALWAYS, to
        self._received = np.zeros(1 << _RECEIVER_BITS, np.bool_)

    def may_have_received(self, address: IPAddress) -> bool:
        """Was a packet sent to this address, among those of whole headers and no strange ones?"""
        return bool(self._received[_place(_words([address]), _RECEIVER_BITS)].any())

    def notes(self) -> bytes:
        """What was learnt of addresses, to be handed to another process."""
        return np.packbits(self._received).tobytes()

    def add_notes(self, notes: bytes) -> None:
        """Take in what another process has learnt."""
        bits = np.unpackbits(np.frombuffer(notes, np.uint8))
        self._received |= bits.view(np.bool_)

    def ipv4(self, view: View, headers: Headers, start: Any, left: Any) -> Mask:
        """Of those that are said to be IPv4's."""
        first, tests = headers.u8(0), _TESTS4[headers.u8(9)]
        self._received[_place(headers.u32(16), _RECEIVER_BITS)] = True
        total = headers.u16(2).byteswap()
        # Of 24 bytes there are the ports; a total length of 0 is segmentation offload's.
        stays = self._marks(headers, 20, _IS_ERROR4) & tests != 0
        stays |= (headers.u16(6) & _IS_FRAGMENT != 0) | (left < 24) | (total - _ONE16 < 23)
        header: Any = 20
        longer = np.flatnonzero(first != _NO_OPTIONS)
        if longer.size:
            header = np.full(len(first), 20)
            header[longer] = (first[longer] & 15).astype(np.int64) * 4
            self._check_longer(view, headers, start, left, stays, longer, header[longer])
        errors = stays & (tests == _ICMP_BIT)
        if errors.any():
            left = np.where(total, np.minimum(left, total), left)
            self._unquote(view, stays, errors, start + header, left - header, self.ipv4)
        return stays

    def _check_longer(
        self, view: View, headers: Headers, start: Any, left: Any, stays: Any, rows: Any, size: Any
    ) -> None:
        """The same for headers with options, of `size` bytes, and for what are none of IPv4's."""
        first, total = headers.u8(0)[rows], headers.u16(2)[rows].byteswap()
        ports = view.u32[start[rows] + size]
        marks = self._from[ports & 0xFFFF] | self._to[ports >> 16] | _IS_ERROR4[ports & 0xFF]
        odd = marks & _TESTS4[headers.u8(9)[rows]] != 0
        odd |= headers.u16(6)[rows] & _IS_FRAGMENT != 0
        odd |= first - _NO_OPTIONS > 10  # version 4, and 5 to 15 words
        odd |= (left[rows] < size + 4) | (total < size + 4) & (total != 0)
        stays[rows] = odd

    def ipv6(self, view: View, headers: Headers, start: Any, left: Any) -> Mask:
        """The same for IPv6."""
        payload = headers.u16(4).byteswap()
        receiver = headers.u32(32) ^ headers.u32(36)
        self._received[_place(receiver, _RECEIVER_BITS)] = True
        stays = self._marks(headers, 40, _IS_ERROR6) & _TESTS6[headers.u8(6)] != 0
        stays |= headers.u8(0) >> 4 != 6
        stays |= left < 44
        stays |= (payload < 4) & (payload != 0)  # 0: a jumbogram, or offload
        errors = stays & (_TESTS6[headers.u8(6)] == _ICMP_BIT)
        if errors.any():
            left = np.where(payload, np.minimum(left - 40, payload), left - 40)
            self._unquote(view, stays, errors, start + 40, left, self.ipv6)
        return stays

    def _unquote(self, view: View, stays: Any, errors: Any, at: Any, left: Any, check: Any) -> None:
        """Let go of those ICMP errors that quote enough of a packet of other ports."""
        rows = np.flatnonzero(errors)
        # Of a quote, eight bytes of TCP tell the number by which it is known whose it was.
        rows = rows[left[rows] >= _QUOTE_BYTES]
        if rows.size:
            at, left = at[rows] + 8, left[rows] - 8
            stays[rows] = check(view, view.headers(at), at, left - 4)

    def _marks(self, headers: Headers, offset: int, is_error: NDArray[np.uint8]) -> Any:
        """What speaks for a packet: the ports that stand at `offset`, or ICMP's type."""
        marks = self._from[headers.u16(offset)] | self._to[headers.u16(offset + 2)]
        return marks | is_error[headers.u8(offset)]


class AddressCheck:
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

    def ipv4(self, view: View, headers: Headers, start: Any, left: Any) -> Mask:
        """Of those that are said to be IPv4's."""
        stays = (headers.u8(0) >> 4 != 4) | (left < 20)
        stays |= self._stays(headers.u32(12), headers.u32(16))
        header = (headers.u8(0) & 15).astype(np.int64) * 4
        return stays | _carries(view, start + header, _TESTS4[headers.u8(9)])

    def ipv6(self, view: View, headers: Headers, start: Any, left: Any) -> Mask:
        """The same for IPv6."""
        stays = (headers.u8(0) >> 4 != 6) | (left < 40)
        source = headers.u32(16) ^ headers.u32(20)
        stays |= self._stays(source, headers.u32(32) ^ headers.u32(36))
        return stays | _carries(view, start + 40, _TESTS6[headers.u8(6)])

    def notes(self) -> bytes:
        """Nothing."""
        return b""

    def add_notes(self, notes: bytes) -> None:
        """Nothing can come."""

    def _stays(self, source: Any, destination: Any) -> Mask:
        source, destination = _place(source), _place(destination)
        return self._to[destination] | self._from[source] & self._with[destination]


def _carries(view: View, at: Any, tests: NDArray[np.uint8]) -> Mask:
    """Which packets may carry others, with what IP carries at `at`?"""
    carries = tests == _ALWAYS
    datagrams = np.flatnonzero(tests == _UDP_BIT)
    carries[datagrams] = view.u16[at[datagrams] + 2] == _swapped(VXLAN_PORT)
    return carries


def _place(words: Any, bits: int = 16) -> Any:
    """Where an address has its place in a table of 2 ** `bits`; multiplied as Knuth does."""
    return np.atleast_1d(words) * np.uint32(2_654_435_761) >> np.uint32(32 - bits)


def _words(addresses: Iterable[IPAddress]) -> NDArray[np.uint32]:
    """Addresses as they are read from headers: of an IPv6 address the lower half, folded."""
    halves = (address.packed[-8:] for address in addresses)
    words = [int.from_bytes(h[:-4], "little") ^ int.from_bytes(h[-4:], "little") for h in halves]
    return np.array(words, np.uint32)


def _address_table(addresses: Iterable[IPAddress]) -> NDArray[np.bool_]:
    table = np.zeros(1 << 16, np.bool_)
    table[_place(_words(addresses))] = True
    return table


class Sieve:
    """Finds the IP packets in frames, and lets those through that a check lets through."""

    def __init__(self, check: Check) -> None:
        self._check = check

    def __call__(
        self, data: bytearray, at: Any, captured: Any, linktype: int
    ) -> tuple[Rows, Counter[str]]:
        """Rows of the frames that stay in; of those that do not, how many are no IP, by cause.

        Frame i is the `captured[i]` bytes of `data` from `at[i]` on. Some bytes must stand before
        the first of them (as those of a file's header do), and some hundred behind the last.
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

    def notes(self) -> bytes:
        """What the check has learnt, to be handed to another process."""
        return self._check.notes()

    def add_notes(self, notes: bytes) -> None:
        """Take in what another process has learnt."""
        self._check.add_notes(notes)

    def _by_ethertype(
        self, view: View, at: Any, captured: Any, kind_at: int, ip_at: int
    ) -> tuple[Rows, Counter[str]]:
        start, left = at + ip_at, captured - ip_at
        headers = view.headers(start)
        before_ip = kind_at + 2 == ip_at
        kinds = headers.u16(-2).copy() if before_ip else view.u16[at + kind_at]
        is_tag = _IS_TAG[kinds]
        if before_ip and is_tag.any():
            tagged = np.flatnonzero(is_tag)
            _untag(view, kinds, start, left, tagged)
            headers.rows[tagged] = view.headers(start[tagged]).rows
        stays = _MAY_CARRY[kinds] | (left < 0)
        causes = _causes(kinds[~stays])
        return np.flatnonzero(self._ip(view, headers, start, left, kinds, stays)), causes

    def _ip(
        self, view: View, headers: Headers, start: Any, left: Any, kinds: Any, stays: Any
    ) -> Mask:
        """Test the packets of each version, by ethertype; of other frames it is known already."""
        is4 = kinds == _IP4
        if np.count_nonzero(is4) * 2 > len(is4):  # cheaper than to pick them out
            stays = np.where(is4, self._check.ipv4(view, headers, start, left), stays)
        elif is4.any():
            rows = np.flatnonzero(is4)
            picked = Headers(headers.rows[rows])
            stays[rows] = self._check.ipv4(view, picked, start[rows], left[rows])
        rows = np.flatnonzero(kinds == _IP6)
        if rows.size:
            picked = Headers(headers.rows[rows])
            stays[rows] = self._check.ipv6(view, picked, start[rows], left[rows])
        return stays

    def _bare(self, view: View, at: Any, captured: Any, skip: int) -> Mask:
        start, left = at + skip, captured - skip
        headers = view.headers(start)
        known = left > 0
        if skip:
            known &= np.isin(headers.u32(-4), _FAMILIES)
        versions = headers.u8(0) >> 4
        kinds = _KIND_OF_VERSION[versions] * known
        return self._ip(view, headers, start, left, kinds, np.ones(len(at), np.bool_))


def _untag(view: View, kinds: Any, start: Any, left: Any, tagged: Rows) -> None:
    """Go past the VLAN tags of these frames, as far as they were captured."""
    for _ in range(_MOST_TAGS):
        tagged = tagged[_IS_TAG[kinds[tagged]] & (left[tagged] >= 4)]
        if not tagged.size:
            return
        start[tagged] += 4
        left[tagged] -= 4
        kinds[tagged] = view.u16[start[tagged] - 2]


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
