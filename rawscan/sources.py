"""Who probes, how widely, how fast, with what tool, and whether it is a scan. Touches nothing.

Fed with the probes of a capture; at the end with what became of each first contact.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import log

from rawscan.distinct import Distinct
from rawscan.findings import Contact, Source
from rawscan.fingerprint import recognise
from rawscan.model import IPAddress, Packet

_MOST_SOURCES = 1 << 13
_EXAMINED = 24
"""So many probes of a source are looked at for marks of a tool."""

# Jung, Paxson, Berger, Balakrishnan: Fast Portscan Detection Using Sequential Hypothesis Testing,
# 2004, section V: chance that a first contact succeeds for the benign and for scanners, and the
# false alarms and detections that are aimed at.
_THETA_0, _THETA_1 = 0.8, 0.2
_ALPHA, _BETA = 0.01, 0.99
_STEP_SUCCESS = log(_THETA_1 / _THETA_0)
_STEP_FAILURE = log((1 - _THETA_1) / (1 - _THETA_0))
_SCANNER, _BENIGN = log(_BETA / _ALPHA), log((1 - _BETA) / (1 - _ALPHA))

# Zeek's policy/misc/scan.zeek, until it was removed in 6: failed contacts within five minutes.
_WINDOW_S = 300.0
_BUSY_TARGETS, _BUSY_PORTS = 25, 15


@dataclass(slots=True)
class _Prober:
    """What is remembered of one source."""

    address: IPAddress
    first_s: float
    last_s: float
    probes: int = 0
    targets: Distinct = field(default_factory=Distinct)
    ports: Distinct = field(default_factory=Distinct)
    examined: list[Packet] = field(default_factory=list)


class SourceTable:
    """All sources of probes, in bounded memory: of a flood from everywhere only the number."""

    def __init__(self, most: int = _MOST_SOURCES) -> None:
        self._most = most
        self._probers: dict[int, _Prober] = {}
        self.left_out = 0

    def add(self, packet: Packet, port: int, time_s: float) -> None:
        """Take a probe to `port` into account."""
        key = int(packet.source)
        prober = self._probers.get(key)
        if prober is None:
            if len(self._probers) >= self._most:
                self._forget_the_least()
            prober = self._probers[key] = _Prober(packet.source, time_s, time_s)
        prober.probes += 1
        if time_s:
            prober.first_s = min(prober.first_s or time_s, time_s)
            prober.last_s = max(prober.last_s, time_s)
        prober.targets.add(int(packet.destination))
        prober.ports.add(port)
        if len(prober.examined) < _EXAMINED:
            prober.examined.append(packet)

    def finish(self, contacts: Mapping[IPAddress, Iterable[Contact]]) -> tuple[Source, ...]:
        """Every source, the busiest first. `contacts` of each are in the order of time."""
        found = [_source(p, contacts.get(p.address, ())) for p in self._probers.values()]
        return tuple(sorted(found, key=lambda s: (-s.probes, s.first_s, int(s.address))))

    def _forget_the_least(self) -> None:
        """Make room by half, at the cost of those that have probed least."""
        by_probes = sorted(self._probers.items(), key=lambda item: item[1].probes)
        for key, _ in by_probes[: max(self._most // 2, 1)]:
            del self._probers[key]
            self.left_out += 1


def _source(prober: _Prober, contacts: Iterable[Contact]) -> Source:
    tool, evidence = recognise(prober.examined) or (None, None)
    judged = _Judge()
    for contact in contacts:
        judged.add(contact)
    duration_s = prober.last_s - prober.first_s
    return Source(
        address=prober.address,
        pattern=pattern_of(len(prober.targets), len(prober.ports)),
        tool=tool,
        tool_evidence=evidence,
        probes=prober.probes,
        targets=len(prober.targets),
        ports=len(prober.ports),
        answered=judged.answered,
        failed=judged.failed,
        walk=judged.walk.verdict,
        busy=judged.counts.busy,
        first_s=prober.first_s,
        last_s=prober.last_s,
        rate_pps=(prober.probes - 1) / duration_s if duration_s > 0 else None,
    )


def pattern_of(targets: int, ports: int) -> str:
    """The shape: `single`, `horizontal` (several hosts), `vertical` (several ports), `block`."""
    if targets > 1:
        return "block" if ports > 1 else "horizontal"
    return "vertical" if ports > 1 else "single"


class _Judge:
    """Looks at each contact of a source once, and keeps none of them."""

    def __init__(self) -> None:
        self.answered = 0
        self.failed = 0
        self.walk = Walk()
        self.counts = PlainCounts()
        self._met: set[IPAddress] = set()

    def add(self, contact: Contact) -> None:
        """Take the next contact, in the order of time, into account."""
        self.answered += contact.answered is True
        self.failed += contact.answered is False
        self.counts.add(contact)
        if self.walk.is_over or contact.target in self._met:
            return
        self._met.add(contact.target)
        if contact.answered is not None:
            self.walk.add(contact.answered)


class Walk:
    """Threshold Random Walk over the first contacts with hosts."""

    def __init__(self) -> None:
        self.verdict: str | None = None
        self._position = 0.0

    @property
    def is_over(self) -> bool:
        """Once decided, it is decided."""
        return self.verdict in ("scanner", "benign")

    def add(self, success: bool) -> None:
        """One step; `verdict` is then "scanner", "benign" or, undecided, "pending"."""
        if self.is_over:
            return
        self._position += _STEP_SUCCESS if success else _STEP_FAILURE
        over = self._position >= _SCANNER, self._position <= _BENIGN
        self.verdict = "scanner" if over[0] else "benign" if over[1] else "pending"


class PlainCounts:
    """25 hosts on one port, or 15 ports of one host, failed within five minutes: then `busy`."""

    def __init__(self) -> None:
        self.busy = False
        self._on_port: defaultdict[int, deque[tuple[float, object]]] = defaultdict(deque)
        self._on_host: defaultdict[IPAddress, deque[tuple[float, object]]] = defaultdict(deque)

    def add(self, contact: Contact) -> None:
        """Take the next contact, in the order of time, into account."""
        if self.busy or contact.answered is not False:
            return
        hosts, ports = self._on_port[contact.port], self._on_host[contact.target]
        hosts.append((contact.time_s, contact.target))
        ports.append((contact.time_s, contact.port))
        for recent in (hosts, ports):
            while recent[0][0] < contact.time_s - _WINDOW_S:
                recent.popleft()
        self.busy = _reach(hosts, _BUSY_TARGETS) or _reach(ports, _BUSY_PORTS)


def _reach(recent: deque[tuple[float, object]], enough: int) -> bool:
    """Each is there once, but for a port that TCP and UDP share."""
    return len(recent) >= enough and len({other for _, other in recent}) >= enough
