"""Who of the targets is on our own link, and alive. Opens packet sockets; needs CAP_NET_RAW.

Which part of the targets is on-link follows from the routes' intervals by set algebra, so a large
set behind a gateway costs nothing. The on-link ones are asked before the scan, by ARP or neighbour
discovery: the kernel reports only some dead neighbours, and none to a socket that is bound to an
interface, and packets that wait for its own questions fill the socket's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from rawscan.errors import LinkError, NeighbourError
from rawscan.model import IPAddress
from rawscan.net.neighbours import Rows, keys_of
from rawscan.net.nexthop import LinkKind, Path, PathFinder
from rawscan.net.resolver import Answers, Resolver
from rawscan.targets import TargetSet
from rawscan.wire.addresses import Addresses

MOST_NEIGHBOURS = 1 << 20
"""More are not asked: at 1,000 a second it would take a quarter of an hour, and 30 MB."""

_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Part:
    """Targets of one IP version on the link of one path, each with a MAC address to be found."""

    path: Path
    version: int
    targets: TargetSet

    def require_askable(self) -> None:
        """Raise `LinkError` if they are too many."""
        if self.targets.count > MOST_NEIGHBOURS:
            raise LinkError(
                f"{self.targets.count} targets are on our own link ({self.path.interface}), and "
                f"no more than {MOST_NEIGHBOURS} can be asked for their MAC addresses; scan "
                "smaller parts, or use --link rawip, which asks none of so many and takes dead "
                "ones for filtered"
            )

    def blocks(self) -> Iterator[Rows]:
        """Their addresses as rows, made as they are asked for."""
        octets = 4 if self.version == 4 else 16
        spans = self.targets.spans(self.version)
        numbers = chain.from_iterable(range(low, high + 1) for low, high in spans)
        while some := list(islice(numbers, _BLOCK)):
            joined = b"".join(number.to_bytes(octets, "big") for number in some)
            yield np.frombuffer(joined, np.uint8).reshape(-1, octets)


def on_link(finder: PathFinder, targets: TargetSet) -> list[Part]:
    """The parts of the targets that are on our own Ethernet links.

    Not those that need no question: our own addresses, broadcast and multicast. Where a route has
    several ways, that of the first target speaks for all of the interval.
    """
    found: list[Part] = []
    for version in (4, 6):
        spans: dict[int, list[tuple[int, int]]] = {}
        for number, span in finder.parts(partial(targets.first_from, version), version):
            path = finder.answers[number]
            if isinstance(path, Path) and _has_neighbours(path, version, span[0]):
                spans.setdefault(number, []).append(span)
        for number, those in spans.items():
            path = finder.answers[number]
            assert isinstance(path, Path)
            found.append(Part(path, version, targets.within(version, those)))
    return found


def ways_of(finder: PathFinder, targets: TargetSet) -> Iterator[Path | LinkError]:
    """Each different way to these targets, or why there is none, in the order of the targets."""
    numbers = {
        number: None
        for version in (4, 6)
        for number, _ in finder.parts(partial(targets.first_from, version), version)
    }
    for number in numbers:
        yield finder.answers[number]


def _has_neighbours(path: Path, version: int, first: int) -> bool:
    target = IPv4Address(first) if version == 4 else IPv6Address(first)
    ethernet = path.kind is LinkKind.ETHERNET and path.mac is not None
    return ethernet and path.gateway is None and path.fixed_mac(target) is None


class Neighbours:
    """MAC addresses of on-link targets, as sorted arrays; all zeros for those who do not answer."""

    def __init__(self) -> None:
        self._keys: dict[int, NDArray[np.generic]] = {}
        self._macs: dict[int, NDArray[np.uint8]] = {}

    def learn(self, part: Part, rate_pps: float, stop: Callable[[], bool]) -> None:
        """Ask all of these, at no more than the rate; it takes three seconds if any is dead.

        Raises `LinkError` if they are too many, or the interface will not do.
        """
        part.require_askable()
        with Resolver(part.path, part.version, rate_pps=rate_pps) as resolver:
            self._keep(part.version, list(resolver.stream(part.blocks(), stop)))

    def macs(self, targets: Addresses) -> NDArray[np.uint8]:
        """The MAC address of each target, all zeros where it is not known."""
        found = np.zeros((len(targets), 6), np.uint8)
        rows, at = self._asked(targets)
        if len(rows):
            found[rows] = self._macs[targets.version][at]
        return found

    def dead(self, targets: Addresses) -> list[int]:
        """Rows of those that were asked and did not answer."""
        rows, at = self._asked(targets)
        if not len(rows):
            return []
        silent: list[int] = rows[~self._macs[targets.version][at].any(axis=1)].tolist()
        return silent

    def _asked(self, targets: Addresses) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Which rows were asked, and where each of them stands in the arrays."""
        known = self._keys.get(targets.version)
        if known is None:
            return np.empty(0, np.intp), np.empty(0, np.intp)
        keys = keys_of(targets.octets)
        at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        rows = np.flatnonzero(known[at] == keys)
        return rows, at[rows]

    def _keep(self, version: int, answers: list[Answers]) -> None:
        if not answers:
            return
        keys = keys_of(np.concatenate([answer.addresses for answer in answers]))
        macs = np.concatenate([answer.macs for answer in answers])
        if version in self._keys:  # another path's neighbours are known already
            keys = np.concatenate([self._keys[version], keys])
            macs = np.concatenate([self._macs[version], macs])
        order = np.argsort(keys, kind="stable")
        self._keys[version], self._macs[version] = keys[order], macs[order]


class DeadNeighbours:
    """Keeps packets to dead neighbours from a link whose kernel finds the living ones itself."""

    def __init__(
        self, interface: str | None, source: IPAddress | None, few: int, *, skip_many: bool = False
    ) -> None:
        """`interface` and `source` are what the sending sockets are bound to.

        So `few` neighbours are left to the kernel, and with `skip_many` also those that are more
        than can be asked.
        """
        self._skip_many = skip_many
        self._bound = interface, source
        self._few = few
        self._neighbours = Neighbours()

    def prepare(self, targets: TargetSet, rate_pps: float, stop: Callable[[], bool]) -> None:
        """Ask those on our own links. Raises `LinkError` if they are too many."""
        with PathFinder(*self._bound) as finder:
            parts = on_link(finder, targets)
            if sum(part.targets.count for part in parts) <= self._few:
                return
            for part in parts:
                if not self._skip_many:
                    part.require_askable()
                # What cannot be asked here is the kernel's business, and it says so when sending.
                with suppress(LinkError):
                    self._neighbours.learn(part, rate_pps, stop)

    def refusals(self, targets: Addresses) -> Iterator[tuple[int, NeighbourError]]:
        """Which rows go to dead neighbours."""
        for row in self._neighbours.dead(targets):
            yield row, nobody_answers(targets.at(row))


def nobody_answers(target: IPAddress) -> NeighbourError:
    """What is said of a target without a MAC address."""
    return NeighbourError(f"nobody answers ARP or neighbour discovery for {target}, or its gateway")
