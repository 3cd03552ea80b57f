"""What a user asks for, and how it becomes a scan. The library's `scan()`."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import blake2s
from pathlib import Path
from secrets import token_bytes
from typing import TYPE_CHECKING, Any

import numpy as np

from rawscan.engine import Settings
from rawscan.errors import CaptureError, LinkError, UsageError
from rawscan.model import DEFAULT_PORT, IPAddress, ProbeKind, Verdict
from rawscan.net.link import Batched, Link, RecordingLink
from rawscan.net.localports import source_ports
from rawscan.net.rawip import RawIpLink
from rawscan.net.routes import resolve, source_for
from rawscan.permute import Shard
from rawscan.ports import PortSpec, parse_ports
from rawscan.scanner.admission import admit
from rawscan.scanner.listen import recordable
from rawscan.scanner.loop import Scan
from rawscan.scanner.transmit import Sources
from rawscan.space import Ints, PortSpace
from rawscan.targets import TargetSet
from rawscan.wire.addresses import Addresses
from rawscan.wire.linklayer import RAW
from rawscan.wire.token import Token

if TYPE_CHECKING:
    from rawscan.capture.writer import PcapngWriter
    from rawscan.net.nexthop import Path as Way
    from rawscan.net.nexthop import PathFinder

LINKS = ("auto", "rawip", "packet", "xdp", "scapy")


@dataclass(frozen=True, slots=True)
class Request:
    """What to scan, and how. `seed` makes order and tokens repeatable; `record_to` is pcapng.

    `order` is the key of the order: that of an earlier run, or else it follows from the seed, or is
    new. It is no secret: nothing about the token follows from it.
    """

    targets: TargetSet
    ports: PortSpec
    kinds: tuple[ProbeKind, ...] = (ProbeKind.SYN, ProbeKind.UDP)
    settings: Settings = field(default_factory=Settings)
    link: str = "auto"
    interface: str | None = None
    source_ip: IPAddress | None = None
    udp_payload: bytes = b""
    seed: int | None = None
    shard: Shard = field(default_factory=Shard)
    record_to: Path | None = None
    order: bytes = field(default=b"", compare=False)

    def __post_init__(self) -> None:
        """Choose the order."""
        if not self.order:
            object.__setattr__(self, "order", blake2s(b"order", key=make_key(self.seed)).digest())

    @property
    def digest(self) -> str:
        """What is asked, in hex: equal for equal targets, ports and kinds of probe."""
        ports = "".join(f"{kind.value} {self.ports.of(kind.protocol)}\n" for kind in self.kinds)
        return blake2s(self.targets.digest + ports.encode()).hexdigest()

    @property
    def count(self) -> int:
        """How many ports will be judged, by this shard."""
        rows = sum(self.ports.of(kind.protocol).count for kind in self.kinds)
        return self.shard.share(rows * self.targets.count)

    @property
    def space(self) -> PortSpace:
        """The ports of this request, in its order."""
        return PortSpace(self.targets, self.ports, self.kinds, self.order, self.shard)

    def source_of(self, target: IPAddress) -> IPAddress:
        """Our address on the way to `target`. Raises `LinkError`."""
        if self.source_ip is not None and self.source_ip.version == target.version:
            return self.source_ip
        return source_for(target, self.interface)


def make_key(seed: int | None) -> bytes:
    """32 bytes that nobody can guess; with `seed`, bytes that can be had again."""
    return token_bytes(32) if seed is None else blake2s(str(seed).encode()).digest()


def make_token(source_ports: range, key: bytes) -> Token:
    """The scan's token. Its key and the order's are different: the order can be watched."""
    return Token(blake2s(b"token", key=key).digest(), source_ports)


def each_source(source_of: Callable[[IPAddress], IPAddress]) -> Sources:
    """`Sources` from a function that knows one target at a time."""

    def sources(targets: Addresses) -> Iterable[tuple[IPAddress | LinkError, Ints]]:
        rows: dict[IPAddress | str, list[int]] = {}
        errors: dict[str, LinkError] = {}
        for row, target in enumerate(targets):
            try:
                source: IPAddress | str = source_of(target)
            except LinkError as error:
                source = str(error)
                errors[source] = error
            rows.setdefault(source, []).append(row)
        for key, found in rows.items():
            yield errors[key] if isinstance(key, str) else key, np.array(found, np.int64)

    return sources


KERNELS_PORTS = 8
"""So many ports on our own link are left to the kernel on the raw IP link: it reports so few dead
neighbours reliably (its ICMP errors come in bursts of 50, and each port is tried some six times),
what it says is in the recording, and a scan of a few ports begins at once. It reports nothing to
sockets that are bound to an interface, since it does so over loopback."""

LARGEST_HEADERS = 64
"""Bytes of IPv6 and TCP headers with the MSS option: no probe has more before its payload."""


AUTO_PORTS = 4096
"""From so many ports on `auto` takes the packet link where the way is one Ethernet. Below, the raw
IP link starts sooner, and its recordings hold what the kernel says of neighbours that are dead."""

AUTO_NEIGHBOURS = 8
"""The same from so many targets on our own link: the kernel keeps 1,024 neighbours at most, and
has no room for probes to any more of them."""


KERNELS_NEIGHBOURS = 1000
"""More than Linux keeps in its neighbour table (`gc_thresh3`, 1,024), which the raw IP link needs:
then the packet link is taken even if one of the targets is our own address, which it cannot ask."""

AUTO_XDP_PORTS, AUTO_XDP_PPS = 1 << 16, 100_000.0
"""From so many ports, at such a rate, `auto` takes the xdp link: its 15 ms of setting up are earned
back, and it takes 0.85 of the packet link's processor time (decision 5). At lower rates there is
nothing to gain, and other programs on this machine can watch what the packet link sends."""


def link_for(request: Request) -> str:
    """The link that will be tried first: the request's, or what `auto` means for it."""
    if request.link not in LINKS:
        raise UsageError(f"there is no link {request.link!r}; there is {', '.join(LINKS)}")
    if request.link != "auto":
        return request.link
    if not _wants_ethernet(request):
        return "rawip"
    fast = request.count >= AUTO_XDP_PORTS and request.settings.rate_pps >= AUTO_XDP_PPS
    return "xdp" if fast else "packet"


def open_link(request: Request, ports: range, tell: Callable[[str], None]) -> tuple[Link, Sources]:
    """Open the request's link, and say how it finds source addresses. Nothing is sent.

    `tell` is given one line if another link is taken than the one that was asked for. Raises
    `PrivilegeError` or `LinkError`.
    """
    name = link_for(request)
    if name in ("packet", "xdp"):
        return _open_ethernet(request, ports, tell, xdp=name == "xdp")
    sources = each_source(request.source_of)
    if name == "scapy":
        from rawscan.net.scapylink import ScapyLink

        return Batched(ScapyLink(request.interface)), sources
    parts = {4: request.targets.v4, 6: request.targets.v6}
    versions = [version for version, part in parts.items() if part]
    link = RawIpLink(request.interface, versions)
    each = sum(request.ports.of(kind.protocol).count for kind in request.kinds)
    few = 0 if request.interface else KERNELS_PORTS // each
    if request.targets.count <= few:
        return Batched(link), sources
    from rawscan.net.onlink import DeadNeighbours

    neighbours = DeadNeighbours(
        request.interface, request.source_ip, few, skip_many=request.link == "rawip"
    )
    return Batched(link, neighbours=neighbours), sources


def _wants_ethernet(request: Request) -> bool:
    """Is it worth it, and do all targets leave by one Ethernet interface?

    Nothing is looked up for a handful of ports.
    """
    if request.count <= AUTO_NEIGHBOURS:
        return False
    from rawscan.net.nexthop import LinkKind, Path, PathFinder
    from rawscan.net.onlink import on_link, ways_of

    with PathFinder(request.interface, request.source_ip) as finder:
        paths = [way for way in ways_of(finder, request.targets) if isinstance(way, Path)]
        neighbours = sum(part.targets.count for part in on_link(finder, request.targets))
    if neighbours > KERNELS_NEIGHBOURS:  # our own address is not worth a table that overflows
        paths = [path for path in paths if path.kind is not LinkKind.LOOPBACK]
    if {path.kind for path in paths} != {LinkKind.ETHERNET}:
        return False
    if len({path.interface for path in paths}) != 1:
        return False
    return request.count >= AUTO_PORTS or neighbours >= AUTO_NEIGHBOURS


def _open_ethernet(
    request: Request, ports: range, tell: Callable[[str], None], *, xdp: bool
) -> tuple[Link, Sources]:
    from rawscan.net.nexthop import PathFinder
    from rawscan.net.packetlink import open_ethernet

    finder = PathFinder(request.interface, request.source_ip)
    path = _only_ethernet(request, finder)
    size = LARGEST_HEADERS + len(request.udp_payload)
    link = open_ethernet(path, finder, ports, xdp=xdp, tell=tell, size=size, replies=request.count)
    return link, link.sources


def _only_ethernet(request: Request, finder: PathFinder) -> Way:
    """The way to the targets that an Ethernet link will be opened on: no others may be asked for.

    Our own addresses may be among them, and are reported as not sent to.
    """
    from rawscan.net.nexthop import LinkKind
    from rawscan.net.nexthop import Path as Way
    from rawscan.net.onlink import ways_of

    ways = list(ways_of(finder, request.targets))
    paths = [way for way in ways if isinstance(way, Way)]
    if not paths:
        raise LinkError(f"no way to {request.targets.at(0)}: {ways[0]}")
    outward = [path for path in paths if path.kind is not LinkKind.LOOPBACK] or paths
    names = sorted({path.interface for path in outward})
    if len(names) > 1:
        raise UsageError(
            f"the ways to these targets leave through {' and '.join(names)}, and --link "
            f"{request.link} sends through one interface only; --link rawip goes every way"
        )
    return outward[0]


def space_and_token(request: Request) -> tuple[PortSpace, Token]:
    """The ports in their order, and what their probes will carry: a new token without a seed."""
    if request.shard.count > 1 and request.seed is None:
        raise UsageError("shards must agree on an order: give all of them the same seed")
    key = make_key(request.seed)
    token = make_token(source_ports({*request.ports.tcp, *request.ports.udp}), key)
    return request.space, token


@contextmanager
def open_scan(
    request: Request,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = lambda _: None,
    done: Ints | None = None,
) -> Iterator[Scan]:
    """A scan that is ready to `run()`. At the end the link is closed, and the recording finished.

    `stop()` ends it early; `tell` is given a line about what is done otherwise than asked; `done`
    are sorted ordinals in `request.space` of ports that are decided already. Raises
    `PrivilegeError`, `LinkError`, or `UsageError` if the recording cannot be written.
    """
    space, token = space_and_token(request)
    with ExitStack() as stack:
        link, sources = open_link(request, token.source_ports, tell)
        stack.callback(link.close)
        link.prepare(request.targets, request.settings.rate_pps, stop)
        writer = None
        if request.record_to is not None:
            writer = stack.enter_context(_recorder(request, request.record_to))
            link = RecordingLink(link, writer, recordable(token, request.kinds))
        scan = Scan(
            space,
            link,
            token,
            kinds=request.kinds,
            sources=sources,
            settings=request.settings,
            udp_payload=request.udp_payload,
            stop=stop,
            on_drops=writer.drops if writer else lambda time_s, total: None,
            done=done,
        )
        yield scan
        if writer is not None:
            writer.close(
                scan.watched_until_s,
                complete=scan.complete,
                drops=scan.counters.drops,
                dropped_s=min(scan.drops_s, default=None),
            )


def _recorder(request: Request, path: Path) -> PcapngWriter:
    from rawscan.capture.writer import PcapngWriter

    try:
        return PcapngWriter(
            path,
            linktype=RAW,
            interface=request.interface or "any",
            now_s=time.time(),
            ports=str(request.ports),
            probes=[kind.value for kind in request.kinds],
            least_tries=request.settings.least_tries,
        )
    except CaptureError as error:
        raise UsageError(str(error)) from error


def scan(
    targets: str | Iterable[str],
    ports: str = str(DEFAULT_PORT),
    *,
    consent: bool = False,
    include_reserved: bool = False,
    **options: Any,
) -> Iterator[Verdict]:
    """Scan and give the verdicts as they are known. Needs CAP_NET_RAW.

    `targets` are specs as on the command line, `options` the fields of `Request`. As there, more
    than 256 targets outside private and local networks need `consent`, and reserved, multicast and
    broadcast addresses are left out, with a `UserWarning`, unless `include_reserved`. What is
    wrong with the arguments raises `UsageError` at once, before the first verdict is asked for.
    """
    specs = [targets] if isinstance(targets, str) else targets
    admitted = admit(TargetSet.parse(specs, resolve), include_reserved)
    if admitted.need_consent and not consent:
        raise UsageError(f"{admitted.warning}; if it is, say consent=True")
    if admitted.left_out:
        warnings.warn(f"{admitted.omission}; include_reserved=True adds them", stacklevel=2)
    return _verdicts(Request(admitted.targets, parse_ports(ports), **options))


def _verdicts(request: Request) -> Iterator[Verdict]:
    with open_scan(request) as opened:
        yield from opened.run()
