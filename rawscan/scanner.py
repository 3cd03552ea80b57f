"""A live scan: joins engine, token, craft, link and rules. The library's `scan()`.

    Port -> Probe -> frame -> [link] -> frame -> Reply -> correlate -> Evidence -> RULES -> Verdict

The loop owns the clock; everything it calls is told the time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_bytes
from typing import Any

from rawscan.capture.writer import PcapngWriter
from rawscan.correlate import LiveCorrelator
from rawscan.engine import Decided, Engine, Send, Settings
from rawscan.errors import CaptureError, DecodeError, LinkError, NeighbourError, UsageError
from rawscan.model import (
    DEFAULT_PORT,
    Frame,
    IPAddress,
    Packet,
    Port,
    Probe,
    ProbeKind,
    ReplyKind,
    Verdict,
)
from rawscan.net.link import Link, RecordingLink
from rawscan.net.localports import source_ports
from rawscan.net.rawip import RawIpLink
from rawscan.net.routes import resolve, source_for
from rawscan.ports import PortSpec, parse_ports
from rawscan.targets import TargetSet
from rawscan.verdict import TtlBook, judge
from rawscan.wire.craft import craft
from rawscan.wire.decode import decode_frame
from rawscan.wire.linklayer import RAW
from rawscan.wire.token import Token

_LONGEST_WAIT_S = 0.1
"""An interrupt is noticed at the latest after this."""


def all_ports(targets: TargetSet, ports: PortSpec, kinds: Sequence[ProbeKind]) -> Iterator[Port]:
    """Every (target, port, kind) once. Targets change fastest, so that no host is hit in a row."""
    for kind in kinds:
        numbers = ports.udp if kind is ProbeKind.UDP else ports.tcp
        for number in numbers:
            for target in targets:
                yield Port(target, number, kind)


def count_ports(targets: TargetSet, ports: PortSpec, kinds: Sequence[ProbeKind]) -> int:
    """How many ports `all_ports` gives."""
    each = sum(ports.udp.count if kind is ProbeKind.UDP else ports.tcp.count for kind in kinds)
    return targets.count * each


def make_token(source_ports: range, seed: int | None = None) -> Token:
    """A token with a key that nobody can guess; with `seed`, one that can be had again."""
    key = token_bytes(32) if seed is None else (seed % 2**256).to_bytes(32, "big")
    return Token(key, source_ports)


@dataclass(slots=True)
class Counters:
    """What happened on the wire, for the summary and for the progress bar.

    `not_sent` counts the probes that the system would not send, by its reason.
    """

    probes_sent: int = 0
    replies: int = 0
    unmatched: int = 0
    drops: int = 0
    decided: int = 0
    not_sent: Counter[str] = field(default_factory=Counter)
    states: dict[str, int] = field(default_factory=dict)


class Scan:
    """One scan over one link. Iterate `run()` for the verdicts, as they are known."""

    def __init__(
        self,
        ports: Iterable[Port],
        link: Link,
        token: Token,
        *,
        kinds: Sequence[ProbeKind],
        source_of: Callable[[IPAddress], IPAddress],
        settings: Settings | None = None,
        udp_payload: bytes = b"",
        clock: Callable[[], float] = time.time,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """`source_of` gives our address on the way to a target; `stop` ends the scan early."""
        self.engine = Engine(ports, settings or Settings())
        self.counters = Counters()
        self.complete = False
        self.dropped_s: float | None = None
        self.watched_until_s: float | None = None
        self._link = link
        self._token = token
        self._correlator = LiveCorrelator(token, kinds)
        self._source_of = source_of
        self._udp_payload = udp_payload
        self._clock = clock
        self._stop = stop
        self._ttls = TtlBook()

    def run(self) -> Iterator[Verdict]:
        """Scan until every port is decided, or `stop()` is true.

        A verdict that revises an earlier one (a late reply that is stronger) comes as a second one
        for its port, with the hint `revised`.
        """
        while not self.engine.finished and not self._stop():
            now_s = self._clock()
            for command in self.engine.poll(now_s):
                if isinstance(command, Send):
                    self._send(command.probe)
                else:
                    yield self._verdict(command)
            yield from self._receive(self._wait_s())
        self.complete = self.engine.finished
        self.watched_until_s = self._clock()
        for decided in self.engine.stop(self.watched_until_s):
            yield self._verdict(decided)

    def _wait_s(self) -> float:
        now_s = self._clock()
        wake_s = self.engine.wake_s(now_s)
        return _LONGEST_WAIT_S if wake_s is None else min(wake_s - now_s, _LONGEST_WAIT_S)

    def _send(self, probe: Probe) -> None:
        target = probe.port.target
        try:
            packet = craft(probe, self._source_of(target), self._token, self._udp_payload)
            frame = self._link.send(packet, target)
        except LinkError as error:
            nobody = isinstance(error, NeighbourError)
            why = ReplyKind.NO_NEIGHBOUR if nobody else ReplyKind.SEND_FAILED
            self.engine.send_failed(probe, why, self._clock())
            self.counters.not_sent[str(error)] += 1
        else:
            self.engine.sent(probe, frame.time_s)
            self.counters.probes_sent += 1

    def _receive(self, timeout_s: float) -> Iterator[Verdict]:
        frames = self._link.receive(timeout_s)
        self._count_drops()
        for frame in frames:
            try:
                packet = decode_frame(frame)
            except DecodeError:
                continue  # Somebody else's packet: ours are answered in ways that can be read.
            match = self._correlator.match(packet, frame.time_s)
            if match is None:
                self.counters.unmatched += self._correlator.is_ours(packet)
                continue
            self.counters.replies += 1
            port, evidence = match
            for decided in self.engine.receive(port, evidence, self._clock()):
                yield self._verdict(decided)

    def _count_drops(self) -> None:
        drops = self._link.drops()
        if drops > self.counters.drops:
            self.counters.drops = drops
            self.dropped_s = self.dropped_s or self._clock()
            self.engine.dropped(self.dropped_s)

    def _verdict(self, decided: Decided) -> Verdict:
        verdict = verdict_of(decided, self._ttls)
        states = self.counters.states
        if decided.revised:  # The reply that changed the verdict is the last one.
            before = verdict_of(replace(decided, evidence=decided.evidence[:-1]), self._ttls)
            states[before.state.value] -= 1
        else:
            self.counters.decided += 1
        states[verdict.state.value] = states.get(verdict.state.value, 0) + 1
        return verdict


def verdict_of(decided: Decided, ttls: TtlBook) -> Verdict:
    """Apply the rules to what the engine has collected."""
    verdict = judge(
        decided.port,
        decided.evidence,
        tries=decided.tries,
        confidence=decided.confidence,
        time_s=decided.time_s,
    )
    more = [hint for hint in (ttls.hint(verdict), "revised" if decided.revised else None) if hint]
    return replace(verdict, hints=(*verdict.hints, *more)) if more else verdict


@dataclass(frozen=True, slots=True)
class Request:
    """What to scan, and how. `seed` makes tokens repeatable; `record_to` is a pcapng file."""

    targets: TargetSet
    ports: PortSpec
    kinds: tuple[ProbeKind, ...] = (ProbeKind.SYN, ProbeKind.UDP)
    settings: Settings = field(default_factory=Settings)
    link: str = "rawip"
    interface: str | None = None
    source_ip: IPAddress | None = None
    udp_payload: bytes = b""
    seed: int | None = None
    record_to: Path | None = None

    @property
    def count(self) -> int:
        """How many ports will be judged."""
        return count_ports(self.targets, self.ports, self.kinds)

    def source_of(self, target: IPAddress) -> IPAddress:
        """Our address on the way to `target`."""
        if self.source_ip is not None and self.source_ip.version == target.version:
            return self.source_ip
        return source_for(target, self.interface)


def open_link(name: str, interface: str | None) -> Link:
    """Open a link by its name. Raises `PrivilegeError` or `LinkError`; nothing is sent."""
    if name == "scapy":
        from rawscan.net.scapylink import ScapyLink

        return ScapyLink(interface)
    return RawIpLink(interface)


LINKS = ("rawip", "scapy")


@contextmanager
def open_scan(request: Request, stop: Callable[[], bool] = lambda: False) -> Iterator[Scan]:
    """A scan that is ready to `run()`. At the end the link is closed, and the recording finished.

    Raises `PrivilegeError`, `LinkError`, or `UsageError` if the recording cannot be written.
    """
    token = make_token(source_ports(), request.seed)
    with ExitStack() as stack:
        link = open_link(request.link, request.interface)
        stack.callback(link.close)
        writer = None
        if request.record_to is not None:
            writer = stack.enter_context(_recorder(request, request.record_to))
            link = RecordingLink(link, writer, recordable(token, request.kinds))
        scan = Scan(
            all_ports(request.targets, request.ports, request.kinds),
            link,
            token,
            kinds=request.kinds,
            source_of=request.source_of,
            settings=request.settings,
            udp_payload=request.udp_payload,
            stop=stop,
        )
        yield scan
        if writer is not None:
            writer.close(
                scan.watched_until_s,
                complete=scan.complete,
                drops=scan.counters.drops,
                dropped_s=scan.dropped_s,
            )


def _recorder(request: Request, path: Path) -> PcapngWriter:
    try:
        return PcapngWriter(
            path,
            linktype=RAW,
            interface=request.interface or "any",
            now_s=time.time(),
            ports=str(request.ports),
            probes=[kind.value for kind in request.kinds],
        )
    except CaptureError as error:
        raise UsageError(str(error)) from error


def scan(
    targets: str | Iterable[str], ports: str = str(DEFAULT_PORT), **options: Any
) -> Iterator[Verdict]:
    """Scan and give the verdicts as they are known. Needs CAP_NET_RAW.

    `targets` are specs as on the command line, `options` the fields of `Request`.
    """
    specs = [targets] if isinstance(targets, str) else targets
    request = Request(TargetSet.parse(specs, resolve), parse_ports(ports), **options)
    with open_scan(request) as opened:
        yield from opened.run()


def recordable(token: Token, kinds: Sequence[ProbeKind]) -> Callable[[Frame], bool]:
    """What belongs into a recording: frames that go to, or quote, one of our source ports."""
    correlator = LiveCorrelator(token, kinds)

    def is_ours(frame: Frame) -> bool:
        try:
            packet: Packet = decode_frame(frame)
        except DecodeError:
            return False
        return correlator.is_ours(packet)

    return is_ours
