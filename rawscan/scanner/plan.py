"""What a scan would do, found out without doing it.

Asks the kernel for routes and reads /proc; sends nothing, and opens nothing that needs privilege.
The sample probes take the way of the real ones: order, token, template, transmitter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import ceil, inf

import numpy as np

from rawscan.engine import Send
from rawscan.errors import LinkError
from rawscan.icmplimit import floor_s
from rawscan.model import IPAddress, ProbeKind
from rawscan.net.link import Sent
from rawscan.net.nexthop import LinkKind, Path, PathFinder
from rawscan.net.privilege import may_open_raw_sockets
from rawscan.scanner.admission import Admitted
from rawscan.scanner.request import (
    LARGEST_HEADERS,
    Request,
    each_source,
    link_for,
    space_and_token,
)
from rawscan.scanner.transmit import Transmitter
from rawscan.silence import OWN
from rawscan.space import PortSpace
from rawscan.wire.addresses import Addresses

_MOST_SPANS = 1 << 16
"""Of target sets in more pieces than this, the ways of the first pieces are told."""

_LOOKED_AT, _SAMPLES = 1024, 3


@dataclass(frozen=True, slots=True)
class Way:
    """Where so many of the targets go, or why they go nowhere."""

    targets: int
    path: Path | LinkError


@dataclass(frozen=True, slots=True)
class Durations:
    """How long a scan takes, in seconds.

    `least_s`: if every port answers its first probe; None if there is no limit to reckon with.
    `silent_s`: if none answers, which takes `tries` probes a port; None if the rate has no limit.
    `udp_floor_s`: what closed UDP ports of one host take by Linux's limits, 0 if nothing.
    """

    least_s: float | None
    silent_s: float | None
    udp_floor_s: float
    tries: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a scan would do. `samples` are whole IP packets; `notes` say what is not known."""

    request: Request
    admitted: Admitted
    link: str | None
    ways: tuple[Way, ...]
    durations: Durations
    samples: tuple[bytes, ...]
    notes: tuple[str, ...]


def plan_of(request: Request, admitted: Admitted) -> Plan:
    """Plan it. Memory and time do not grow with the number of targets."""
    notes: list[str] = []
    link: str | None = None
    ways: tuple[Way, ...] = ()
    try:
        link, ways = link_for(request), tuple(_ways(request))
        notes += _notes(link, ways)
    except LinkError as error:
        notes.append(str(error))
    samples = _samples(request, notes)
    told_of = sum(way.targets for way in ways)
    if told_of < request.targets.count:
        notes.append(f"the ways are those of {told_of} of {request.targets.count} targets")
    if not may_open_raw_sockets():
        notes.append("this process may not send probes: that needs root or CAP_NET_RAW")
    durations = durations_of(request)
    return Plan(request, admitted, link, ways, durations, samples, tuple(notes))


def _samples(request: Request, notes: list[str]) -> tuple[bytes, ...]:
    """Probes as they would be sent; a note says why one cannot be shown."""
    space, token = space_and_token(request)
    tray = _Tray(LARGEST_HEADERS + len(request.udp_payload))
    sources = each_source(request.source_of)
    sender = Transmitter(space, token, tray, sources, request.udp_payload)
    failed = [out.error for out in sender.send(Send(_some(space), 0)) if out.error is not None]
    notes += [f"no sample probe: {error}" for error in failed]
    return tuple(tray.packets)


def durations_of(request: Request) -> Durations:
    """How long it takes, by the limits that are set and by Linux's on ICMP errors."""
    settings, parts = request.settings, request.shard.count
    a_host = sum(ceil(request.ports.of(kind.protocol).count / parts) for kind in request.kinds)
    udp = ceil(request.ports.udp.count / parts) if ProbeKind.UDP in request.kinds else 0
    udp_floor_s = floor_s(udp, 4 if request.targets.v4 else 6)
    once_s = max(request.count / settings.rate_pps, a_host / settings.host_rate_pps)
    tries = settings.least_tries
    limited = settings.rate_pps < inf
    return Durations(
        least_s=max(once_s, udp_floor_s) or None,
        silent_s=once_s * tries + OWN.in_all_s if limited else None,
        udp_floor_s=udp_floor_s,
        tries=tries,
    )


class _Tray:
    """Takes packets as a link does, and keeps them."""

    name, headroom = "dry-run", 0

    def __init__(self, size: int) -> None:
        self.buffer = np.zeros((_SAMPLES, size), np.uint8)
        self.packets: list[bytes] = []

    def send(self, count: int, size: int, targets: Addresses) -> Sent:
        """Keep them; none is sent."""
        self.packets += [row[:size].tobytes() for row in self.buffer[:count]]
        return Sent(np.zeros(count))


def _some(space: PortSpace) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The first ports of each kind and IP version, among the first that will be asked."""
    groups = list(space.groups(np.arange(min(space.count, _LOOKED_AT), dtype=np.int64)))
    each = max(1, _SAMPLES // len(groups))
    return np.concatenate([group.ordinals[:each] for group in groups])


def _ways(request: Request) -> Iterator[Way]:
    """Each different way, the one of most targets first."""
    for version in (4, 6):
        targets = request.targets.v4 if version == 4 else request.targets.v6
        if not targets:
            continue
        with PathFinder(request.interface, _source(request.source_ip, version)) as finder:
            spans = islice(targets.spans(version), _MOST_SPANS)
            counts = finder.ways(spans, version)
            for number in sorted(counts, key=lambda number: -counts[number]):
                yield Way(counts[number], finder.answers[number])


def _source(source: IPAddress | None, version: int) -> IPAddress | None:
    return source if source is not None and source.version == version else None


def _notes(link: str, ways: tuple[Way, ...]) -> Iterator[str]:
    """What only a real scan finds out."""
    paths = [way.path for way in ways if isinstance(way.path, Path)]
    if link not in ("packet", "xdp"):
        return
    others = {path.interface for path in paths if path.kind is not LinkKind.ETHERNET}
    for name in sorted(others):
        yield f"{name} is no Ethernet, and the {link} link will not send there; use --link rawip"
    if len({path.interface for path in paths}) > 1:
        yield f"the {link} link sends through one interface only; --link rawip goes every way"
    if any(path.kind is LinkKind.ETHERNET for path in paths):
        yield "who answers ARP or neighbour discovery: asked when the scan begins"
    if link == "xdp":
        yield "whether the driver takes AF_XDP; if not, the packet link is used"
