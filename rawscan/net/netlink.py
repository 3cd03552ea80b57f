"""Questions to the kernel about routes, rules, interfaces and neighbours, over rtnetlink.

Opens one netlink socket (netlink(7), rtnetlink(7)); sends nothing to any network and changes
nothing. Importing pyroute2 for the same answers takes longer than a scan of one host; the tests
compare the two.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from rawscan.errors import LinkError
from rawscan.model import IPAddress

# linux/netlink.h
_ERROR, _DONE = 2, 3
_REQUEST, _DUMP, _DUMP_INTERRUPTED = 0x001, 0x300, 0x010
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # struct rtattr: length, type
_TYPE_MASK = 0x3FFF  # the two bits above say nested and byte order

# linux/rtnetlink.h: what is asked for, and the length of the fixed part of each answer
_GETLINK, _GETADDR, _GETROUTE, _GETNEIGH, _GETRULE, _GETADDRLABEL = 18, 22, 26, 30, 34, 74
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, lengths, tos, table, ..., type, flags
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # ndmsg: family, index, state, flags, type
_RULE = struct.Struct("=BBBBBBBBI")  # fib_rule_hdr: family, lengths, tos, table, ..., flags
_LABEL = struct.Struct("=BxBBII")  # ifaddrlblmsg: family, prefix length, flags, index, sequence

_RTA_DST, _RTA_SRC, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC = 1, 2, 4, 5, 7
_RTA_METRICS, _RTA_MULTIPATH, _RTA_MARK, _RTA_VIA = 8, 9, 16, 18
_RTA_ENCAP, _RTA_UID, _RTA_PROTOCOL, _RTA_SPORT, _RTA_DPORT, _RTA_NEXTHOP = 22, 25, 27, 28, 29, 30
_RTAX_MTU = 2
_FIB_MATCH = 0x2000  # RTM_F_FIB_MATCH: show the route's entry instead of the decision
_FRA_DST = 1
_IFLA_ADDRESS, _IFLA_NAME, _IFLA_MTU = 1, 3, 4
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFAL_ADDRESS = 1
_NDA_DST, _NDA_MAC = 1, 2

LOCAL, BROADCAST = 2, 3
"""Route types (linux/rtnetlink.h, RTN_*) of addresses of this machine, and of broadcasts."""

_BUFFER_BYTES = 1 << 18
_PATIENCE_S = 5.0
_DUMP_TRIES = 5

Attributes = dict[int, bytes]
Prefix = tuple[int, int]
"""An address as an integer, and how many of its first bits count."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What else than the target decides about the way; None or 0 where it is left open.

    `interface` is an index, `mark` a firewall mark; the last three are for rules about ports.
    """

    interface: int = 0
    source: IPAddress | None = None
    mark: int = 0
    protocol: int = 0
    sport: int = 0
    dport: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """The kernel's decision for one target. `mtu` is that of the route, None if it has none."""

    type: int
    interface: int | None
    source: IPAddress | None
    gateway: IPAddress | None
    encapsulated: bool
    mtu: int | None


@dataclass(frozen=True, slots=True)
class Interface:
    """`type` is an ARPHRD_* number, `flags` are IFF_* (linux/if_arp.h, linux/if.h)."""

    index: int
    name: str
    type: int
    flags: int
    mac: bytes
    mtu: int


@dataclass(frozen=True, slots=True)
class Address:
    """An address of this machine."""

    interface: int
    address: IPAddress
    prefix_length: int


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A line of the kernel's neighbour table; `state` are NUD_* bits (linux/neighbour.h)."""

    interface: int
    address: IPAddress
    mac: bytes
    state: int


class Netlink:
    """One netlink socket, in whichever network namespace the process is in when it is made.

    Every question raises `OSError` with the kernel's error number when the kernel answers so.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.settimeout(_PATIENCE_S)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def route(self, target: IPAddress, flow: Flow = Flow()) -> Route:
        """Where a packet to `target` would go (RTM_GETROUTE, as `ip route get` asks it)."""
        answer, found = self._route(target, flow, 0)
        metrics = dict(_attributes(found.get(_RTA_METRICS, b""), 0))
        oif, mtu = found.get(_RTA_OIF), metrics.get(_RTAX_MTU)
        return Route(
            type=answer[7],
            interface=None if oif is None else _u32(oif),
            source=_address(found.get(_RTA_PREFSRC)) or flow.source,
            gateway=_gateway(found),
            encapsulated=_RTA_ENCAP in found,
            mtu=None if mtu is None else _u32(mtu),
        )

    def is_multipath(self, target: IPAddress, flow: Flow = Flow()) -> bool:
        """Whether the route that holds for `target` has several ways, chosen for each flow.

        A next hop object may be a group that the kernel does not show here, so it counts as one.
        """
        _, found = self._route(target, flow, _FIB_MATCH)
        return _RTA_MULTIPATH in found or _RTA_NEXTHOP in found

    def interfaces(self, index: int | None = None) -> list[Interface]:
        """All interfaces, or the one of that index."""
        body = _LINK.pack(socket.AF_UNSPEC, 0, index or 0, 0, 0)
        found = []
        for message in self._ask(_GETLINK, body, dump=index is None):
            _, kind, number, flags, _ = _LINK.unpack_from(message)
            values = dict(_attributes(message, _LINK.size))
            name = values[_IFLA_NAME].rstrip(b"\0").decode(errors="surrogateescape")
            mac = values.get(_IFLA_ADDRESS, b"")
            found.append(Interface(number, name, kind, flags, mac, _u32(values[_IFLA_MTU])))
        return found

    def addresses(self, family: int) -> list[Address]:
        """All addresses of this machine of one family."""
        found = []
        for message in self._ask(_GETADDR, _ADDRESS.pack(family, 0, 0, 0, 0), dump=True):
            _, length, _, _, index = _ADDRESS.unpack_from(message)
            values = dict(_attributes(message, _ADDRESS.size))
            # On a point-to-point interface IFA_ADDRESS is the other end.
            address = _address(values.get(_IFA_LOCAL, values.get(_IFA_ADDRESS)))
            if address is not None:
                found.append(Address(index, address, length))
        return found

    def neighbours(self, family: int) -> list[Neighbour]:
        """The kernel's neighbour table (what `ip neigh` shows), all interfaces."""
        found = []
        for message in self._ask(_GETNEIGH, _NEIGHBOUR.pack(family, 0, 0, 0, 0), dump=True):
            _, index, state, _, _ = _NEIGHBOUR.unpack_from(message)
            values = dict(_attributes(message, _NEIGHBOUR.size))
            address = _address(values.get(_NDA_DST))
            if address is not None:
                found.append(Neighbour(index, address, values.get(_NDA_MAC, b""), state))
        return found

    def route_prefixes(self, family: int) -> Iterator[Prefix]:
        """The destinations of all routes in all tables."""
        body = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        return self._prefixes(_GETROUTE, body, _RTA_DST, 1)

    def rule_prefixes(self, family: int) -> Iterator[Prefix]:
        """The destinations (`to`) of all policy rules."""
        body = _RULE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        return self._prefixes(_GETRULE, body, _FRA_DST, 1)

    def label_prefixes(self) -> Iterator[Prefix]:
        """The prefixes of the IPv6 policy table (RFC 6724, section 2.1; `ip addrlabel`)."""
        body = _LABEL.pack(socket.AF_INET6, 0, 0, 0, 0)
        return self._prefixes(_GETADDRLABEL, body, _IFAL_ADDRESS, 2)

    def _route(
        self, target: IPAddress, flow: Flow, flags: int
    ) -> tuple[tuple[int, ...], Attributes]:
        family = socket.AF_INET if target.version == 4 else socket.AF_INET6
        bits = target.max_prefixlen
        source_bits = bits if flow.source else 0
        body = _ROUTE.pack(family, bits, source_bits, 0, 0, 0, 0, 0, flags)
        body += _attribute(_RTA_DST, target.packed)
        # The rules may ask who is sending (`ip rule ... uidrange`).
        body += _attribute(_RTA_UID, struct.pack("=I", os.geteuid()))
        if flow.source:
            body += _attribute(_RTA_SRC, flow.source.packed)
        if flow.interface:
            body += _attribute(_RTA_OIF, struct.pack("=I", flow.interface))
        if flow.mark:
            body += _attribute(_RTA_MARK, struct.pack("=I", flow.mark))
        if flow.protocol:
            body += _attribute(_RTA_PROTOCOL, struct.pack("=B", flow.protocol))
            body += _attribute(_RTA_SPORT, struct.pack("!H", flow.sport))
            body += _attribute(_RTA_DPORT, struct.pack("!H", flow.dport))
        (answer,) = self._ask(_GETROUTE, body, dump=False)
        return _ROUTE.unpack_from(answer), dict(_attributes(answer, _ROUTE.size))

    def _prefixes(self, kind: int, body: bytes, attribute: int, field: int) -> Iterator[Prefix]:
        """Prefixes of a dump; the four structures all begin with bytes, `field` is the length's."""
        size = _ROUTE.size  # of the label's structure as well
        for message in self._ask(kind, body, dump=True):
            value = dict(_attributes(message, size)).get(attribute, b"")
            yield int.from_bytes(value, "big"), message[field]

    def _ask(self, kind: int, body: bytes, dump: bool) -> list[bytes]:
        """Ask once; a dump that changed on the way is asked for again."""
        for _ in range(_DUMP_TRIES):
            self._sequence += 1
            flags = _REQUEST | (_DUMP if dump else 0)
            length = _HEADER.size + len(body)
            self._socket.send(_HEADER.pack(length, kind, flags, self._sequence, 0) + body)
            messages, whole = self._answers(dump)
            if whole:
                return messages
        raise LinkError("the kernel's routes change faster than they can be read")

    def _answers(self, dump: bool) -> tuple[list[bytes], bool]:
        """The bodies of all messages that answer the last question; False if they do not fit."""
        found: list[bytes] = []
        whole = True
        while True:
            try:
                data, (sender, _) = self._socket.recvfrom(_BUFFER_BYTES)
            except TimeoutError:
                raise LinkError("the kernel does not answer questions about routes") from None
            if sender != 0:  # not the kernel
                continue
            for kind, flags, sequence, body in _messages(data):
                if sequence != self._sequence:  # belongs to a dump that was given up
                    continue
                whole = whole and not flags & _DUMP_INTERRUPTED
                # Both begin with an error number, negative, or 0 for none.
                if kind in (_ERROR, _DONE):
                    code = -int(struct.unpack_from("=i", body)[0]) if len(body) >= 4 else 0
                    if code:
                        raise OSError(code, os.strerror(code))
                    return found, whole
                found.append(body)
                if not dump:
                    return found, True


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, sequence number and body of each message (netlink(7): NLMSG_NEXT)."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
        yield kind, flags, sequence, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def _attributes(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Type and value of each attribute from offset `at` on (rtnetlink(7): RTA_NEXT)."""
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    padding = bytes(-len(value) % 4)
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + padding


def _gateway(found: Attributes) -> IPAddress | None:
    """RTA_GATEWAY, or RTA_VIA (struct rtvia) when the gateway is of another family."""
    if _RTA_VIA in found:
        return _address(found[_RTA_VIA][2:])
    return _address(found.get(_RTA_GATEWAY))


def _address(value: bytes | None) -> IPAddress | None:
    """An address from its bytes; None for none, and for lengths that are no IP's."""
    match len(value or b""):
        case 4:
            return IPv4Address(value or b"")
        case 16:
            return IPv6Address(value or b"")
    return None


def _u32(value: bytes) -> int:
    return int(struct.unpack_from("=I", value)[0])
