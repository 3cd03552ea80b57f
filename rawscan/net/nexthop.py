"""Next hop: for each target the interface, our source address, and whose MAC address is needed.

Asks the kernel over netlink; sends nothing to any network.

What is exact. Destinations enter the kernel's decision as prefixes only: those of the routes in all
tables, those of the policy rules (`to`), for IPv6 also those of the source address selection (RFC
6724: labels, and how many leading bits a source shares with the target). The ends of all of them
cut the addresses into intervals whose members the kernel cannot tell apart, and it is asked once
for an interval in which there are targets. So every kind of policy routing is the kernel's own.
Routes with several ways are decided by a hash over the target, and an address of this machine
answers itself: there the kernel is asked for each target.

What is assumed: routes and rules stay as they are until `refresh()`; no ICMP redirect and no
path MTU has been learnt for a single target of an interval and not for the others; with a rule
about ports, the caller has said protocol and ports.
"""

from __future__ import annotations

import errno
import socket
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

from rawscan.errors import LinkError
from rawscan.model import IPAddress
from rawscan.net.netlink import BROADCAST, LOCAL, Flow, Interface, Netlink, Prefix, Route

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# linux/if_arp.h and linux/if.h
_ARPHRD_ETHER, _ARPHRD_LOOPBACK = 1, 772
_NO_NEIGHBOURS = 0x08 | 0x10 | 0x80  # IFF_LOOPBACK, IFF_POINTOPOINT, IFF_NOARP

_SINGLE_QUESTIONS = 16
"""So many targets are cheaper asked for one by one than by reading all routes."""

_UNASKED, _EACH = -1, -2  # in place of the number of an answer
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}

_REFUSALS = {
    errno.ENETUNREACH: "there is no route",
    errno.EHOSTUNREACH: "the routes say that it is unreachable",
    errno.EACCES: "the routes prohibit it",
    errno.EINVAL: "the routes discard it (blackhole)",
    errno.ENODEV: "the interface is gone or down",
}

# Route types blackhole, unreachable, prohibit, throw (linux/rtnetlink.h, RTN_*).
_DEAD_ENDS = {6: errno.EINVAL, 7: errno.EHOSTUNREACH, 8: errno.EACCES, 9: errno.ENETUNREACH}

# Where Linux decides by the address alone: IPv4 0/8, 127/8, 224/4, 240/4 and the two ends; IPv6
# unspecified, loopback, mapped, link-local, site-local, and multicast by its scope (RFC 4291, 2.7).
_SPECIAL_4 = [(0, 32), (0, 8), (127 << 24, 8), (14 << 28, 4), (15 << 28, 4), (0xFFFF_FFFF, 32)]
_SPECIAL_6 = [
    *((0, length) for length in (96, 128)),
    *((1, 128), (0xFFFF << 32, 96), (0xFE80 << 112, 10), (0xFEC0 << 112, 10), (0xFF << 120, 8)),
    *(((0xFF00 | flags_scope) << 112, 16) for flags_scope in range(256)),
]


class LinkKind(Enum):
    """What is below IP: Ethernet with addresses to be resolved, this machine, anything else."""

    ETHERNET = "ethernet"
    LOOPBACK = "loopback"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Path:
    """Where packets to a target go.

    Frames can be made for `LinkKind.ETHERNET` alone; anything else is for the kernel to send.
    `mac` is the interface's own. `gateway` is None for a target on our own link. `broadcast`: the
    target is one. `mtu` is in bytes and the route's where that is smaller than the interface's.
    """

    interface: str
    index: int
    kind: LinkKind
    mac: bytes | None
    mtu: int
    source: IPAddress
    gateway: IPAddress | None
    broadcast: bool = False

    def neighbour(self, target: IPAddress) -> IPAddress:
        """Whose MAC address a frame to `target` needs."""
        return target if self.gateway is None else self.gateway

    def fixed_mac(self, target: IPAddress) -> bytes | None:
        """The MAC address where nobody has to be asked: broadcast and multicast on our own link.

        RFC 1112, section 6.4, for IPv4 multicast; RFC 2464, section 7, for IPv6.
        """
        if self.broadcast:
            return b"\xff" * 6
        if not target.is_multicast or self.gateway is not None:
            return None
        if target.version == 6:
            return b"\x33\x33" + target.packed[12:]
        return b"\x01\x00\x5e" + (int(target) & 0x7F_FFFF).to_bytes(3, "big")


class PathFinder:
    """Answers for the network namespace in which it was made. Close it when done.

    The arguments are what the sending sockets will be bound to: interface name, source address,
    firewall mark; protocol number and ports matter only to policy rules about ports.
    """

    def __init__(
        self,
        interface: str | None = None,
        source: IPAddress | None = None,
        mark: int = 0,
        protocol: int = 0,
        sport: int = 0,
        dport: int = 0,
    ) -> None:
        try:
            index = socket.if_nametoindex(interface) if interface else 0
        except OSError as error:
            raise LinkError(f"interface {interface!r}: {error.strerror}") from error
        try:
            self._kernel = Netlink()
        except OSError as error:
            raise LinkError(f"cannot ask the kernel for routes: {error.strerror}") from error
        self._flow = Flow(index, source, mark, protocol, sport, dport)
        self.refresh()

    def refresh(self) -> None:
        """Forget everything: the routes have changed."""
        self.answers: list[Path | LinkError] = []
        """Every different answer so far; an error says why there is no way."""
        self._numbers: dict[Path | str, int] = {}
        self._interfaces: dict[int, Interface] = {}
        self._maps: dict[int, _Map] = {}
        self._asked = 0

    def close(self) -> None:
        """Close the netlink socket."""
        self._kernel.close()

    def __enter__(self) -> PathFinder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def path_for(self, target: IPAddress) -> Path:
        """The way to one target. Raises `LinkError` if there is none."""
        self._asked += 1
        if _scope(target) or (not self._maps and self._asked <= _SINGLE_QUESTIONS):
            answer = self._answer(target)
            if isinstance(answer, LinkError):
                raise LinkError(f"no way to {target}: {answer}")
            return answer
        ways = self._map(target.version)
        place = ways.place(int(target))
        if ways.numbers[place] == _UNASKED:
            ways.numbers[place] = self._number_for(target, whole_interval=True)
        number = ways.numbers[place]
        answer = self._answer(target) if number == _EACH else self.answers[number]
        if isinstance(answer, LinkError):
            raise LinkError(f"no way to {target}: {answer}")
        return answer

    def paths_for(self, targets: NDArray[np.uint8]) -> NDArray[np.int64]:
        """For each target the number of its answer in `answers`.

        Targets are rows of 4 or 16 bytes in network order. Answers keep their numbers until
        `refresh()`.
        """
        import numpy as np

        ways = self._map(4 if targets.shape[1] == 4 else 6)
        numbers, places = np.frombuffer(ways.numbers, np.int64), ways.places(targets)
        found = numbers[places]
        unasked = np.flatnonzero(found == _UNASKED)
        if len(unasked):
            new, first = np.unique(places[unasked], return_index=True)
            for place, at in zip(new.tolist(), unasked[first].tolist(), strict=True):
                numbers[place] = self._number_for(_from_row(targets[at]), whole_interval=True)
            found = numbers[places]
        for at in np.flatnonzero(found == _EACH).tolist():
            found[at] = self._number_for(_from_row(targets[at]), whole_interval=False)
        return found

    def ways(
        self, spans: Iterable[tuple[int, int]], version: int, most: int = 4096
    ) -> dict[int, int]:
        """How many addresses of these spans go by which answer, by its number in `answers`.

        No address is written out: each interval that a span meets is asked about once, `most` of
        them at most, and the rest left uncounted. Where every target would have to be asked for,
        the first one speaks for its interval.
        """
        map_, make = self._map(version), IPv4Address if version == 4 else IPv6Address
        counts: dict[int, int] = {}
        for low, high in spans:
            place = map_.place(low)
            while low <= high and most:
                after = map_.starts[place + 1] if place + 1 < len(map_.starts) else 1 << map_.bits
                number = map_.numbers[place]
                if number == _UNASKED:
                    number = map_.numbers[place] = self._number_for(make(low), True)
                if number == _EACH:
                    number = self._number_for(make(low), False)
                counts[number] = counts.get(number, 0) + min(after, high + 1) - low
                low, place, most = after, place + 1, most - 1  # noqa: PLW2901
            if not most:
                break
        return counts

    def parts(
        self, first_from: Callable[[int], int | None], version: int
    ) -> Iterator[tuple[int, tuple[int, int]]]:
        """Which intervals have targets, and the number of the answer for the first target of each.

        `first_from` gives the least target that is not below a number. However many targets there
        are, each interval is asked about once.
        """
        map_, make = self._map(version), IPv4Address if version == 4 else IPv6Address
        low, end = 0, 1 << map_.bits
        while low < end and (target := first_from(low)) is not None:
            place = map_.place(target)
            low = map_.starts[place + 1] if place + 1 < len(map_.starts) else end
            if map_.numbers[place] == _UNASKED:
                map_.numbers[place] = self._number_for(make(target), whole_interval=True)
            number = map_.numbers[place]
            if number == _EACH:
                number = self._number_for(make(target), whole_interval=False)
            yield number, (map_.starts[place], low - 1)

    def _map(self, version: int) -> _Map:
        if version not in self._maps:
            bits = 32 if version == 4 else 128
            try:
                self._maps[version] = _Map(bits, _prefixes(self._kernel, version))
            except OSError as error:
                raise LinkError(f"cannot read the routes: {error.strerror}") from error
        return self._maps[version]

    def _number_for(self, target: IPAddress, whole_interval: bool) -> int:
        """The number of the kernel's answer, a new one if it is the first of its kind."""
        try:
            if whole_interval and self._kernel.is_multipath(target, self._flow):
                return _EACH
        except OSError:
            pass  # no route, which the next question says better
        answer = self._answer(target)
        if whole_interval and _is_own_source(answer, target):
            return _EACH
        key = answer if isinstance(answer, Path) else str(answer)
        if key not in self._numbers:
            self._numbers[key] = len(self.answers)
            self.answers.append(answer)
        return self._numbers[key]

    def _answer(self, target: IPAddress) -> Path | LinkError:
        """The kernel's decision for one target, or why there is none."""
        flow = self._flow
        if flow.source and flow.source.version != target.version:
            return LinkError(f"the source {flow.source} is of another IP version")
        if target.version == 6 and target.is_link_local and not flow.interface:
            # As connect(2) has it: every link has the same link-local addresses.
            if not _scope(target):
                return LinkError("say on which interface this link-local address is")
            flow = replace(flow, interface=_scope(target))
        try:
            route = self._kernel.route(type(target)(target.packed), flow)
            if route.type in _DEAD_ENDS:  # older kernels answer so for IPv6
                raise OSError(_DEAD_ENDS[route.type], "")
            return self._path(target.version, route)
        except OSError as error:
            return LinkError(_REFUSALS.get(error.errno or 0, str(error.strerror)))

    def _path(self, version: int, route: Route) -> Path | LinkError:
        if route.interface is None:
            return LinkError("its route has no interface")
        if route.interface not in self._interfaces:
            (self._interfaces[route.interface],) = self._kernel.interfaces(route.interface)
        device = self._interfaces[route.interface]
        if route.source is None:
            return LinkError(f"{device.name} has no IPv{version} address to send from")
        kind = _kind(route, device)
        return Path(
            interface=device.name,
            index=device.index,
            kind=kind,
            mac=device.mac if kind is LinkKind.ETHERNET else None,
            mtu=min(device.mtu, route.mtu or device.mtu),
            source=route.source,
            gateway=route.gateway,
            broadcast=route.type == BROADCAST,
        )


class _Map:
    """Intervals of addresses, and for each the number of its answer.

    `numbers` is an array that NumPy sees as well, without NumPy being needed for a few targets.
    """

    def __init__(self, bits: int, prefixes: Iterable[Prefix]) -> None:
        self.bits = bits
        self.starts = _cut(bits, prefixes)
        self.numbers = array("q", [_UNASKED]) * len(self.starts)
        self._keys: NDArray[Any] | None = None

    def place(self, address: int) -> int:
        """The interval that holds an address."""
        return bisect_right(self.starts, address) - 1

    def places(self, rows: NDArray[np.uint8]) -> NDArray[np.intp]:
        """The same for many addresses."""
        import numpy as np

        from rawscan.net.neighbours import keys_of

        if self._keys is None:
            octets = self.bits // 8
            joined = b"".join(start.to_bytes(octets, "big") for start in self.starts)
            self._keys = keys_of(np.frombuffer(joined, np.uint8).reshape(-1, octets))
        return np.searchsorted(self._keys, keys_of(rows), side="right") - 1


def _cut(bits: int, prefixes: Iterable[Prefix]) -> list[int]:
    """Where the intervals begin: at 0, where a prefix begins, and behind where it ends."""
    starts = {0}
    for value, length in prefixes:
        size = 1 << (bits - length)
        start = value & -size
        starts.add(start)
        starts.add(start + size)
    starts.discard(1 << bits)
    return sorted(starts)


def _prefixes(kernel: Netlink, version: int) -> Iterator[Prefix]:
    """Every prefix that the kernel compares a destination with."""
    family = _FAMILIES[version]
    yield from kernel.route_prefixes(family)
    with suppress(OSError):  # a kernel without policy routing has no rules
        yield from kernel.rule_prefixes(family)
    if version == 4:
        yield from _SPECIAL_4
        return
    yield from _SPECIAL_6
    with suppress(OSError):  # or without address labels
        yield from kernel.label_prefixes()
    # RFC 6724, section 5, rule 8: Linux compares no more bits than the address's prefix has.
    for own in kernel.addresses(family):
        yield from ((int(own.address), length) for length in range(1, own.prefix_length + 1))


def _kind(route: Route, device: Interface) -> LinkKind:
    """A route that wraps packets (MPLS, SRv6, ...) is for the kernel alone."""
    if route.type == LOCAL or device.type == _ARPHRD_LOOPBACK:
        return LinkKind.LOOPBACK
    plain = device.type == _ARPHRD_ETHER and not device.flags & _NO_NEIGHBOURS
    return LinkKind.ETHERNET if plain and not route.encapsulated else LinkKind.OTHER


def _is_own_source(answer: Path | LinkError, target: IPAddress) -> bool:
    """Whether the source changes with the target, as it does within local prefixes (AnyIP)."""
    return isinstance(answer, Path) and answer.source == target


def _scope(target: IPAddress) -> int:
    """The interface's index in an address like fe80::1%eth0, 0 if there is none."""
    zone = target.scope_id if isinstance(target, IPv6Address) else None
    if zone is None:
        return 0
    try:
        return int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    except OSError as error:
        raise LinkError(f"no way to {target}: there is no interface {zone}") from error


def _from_row(row: NDArray[np.uint8]) -> IPAddress:
    octets = row.tobytes()
    return IPv4Address(octets) if len(octets) == 4 else IPv6Address(octets)
