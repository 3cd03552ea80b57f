"""A case: one port's verdict and the packets that it rests on. Reads captures and records.

From a capture a case has its packets, byte for byte; from a record of a scan it has only what the
record says; from a rule it has the curated capture of that rule, as an example.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from rawscan.analysis import analyse
from rawscan.ask import Ask, answered_ask, ask_of
from rawscan.capture.reader import open_capture
from rawscan.errors import DecodeError, UsageError
from rawscan.findings import Finding
from rawscan.model import (
    DEFAULT_PORT,
    Evidence,
    Frame,
    IPAddress,
    Packet,
    Port,
    ProbeKind,
    State,
    Tcp,
    Verdict,
)
from rawscan.ports import PortSpec, parse_ports
from rawscan.rules import BY_ID, Rule, rule_for
from rawscan.teach.shelf import capture_of
from rawscan.wire.decode import innermost
from rawscan.wire.linklayer import ip_offset

_Flow = frozenset[tuple[IPAddress, int]]
"""Both ends of a TCP connection."""

MOST_BESIDE = 12
"""Packets of the same conversation that are shown beside probes and replies."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One packet of a case. `data` begins with its IP header, and is what was captured of it.

    `evidence` is set for replies, `try_number` (from 0) for probes; both are None for what else was
    said in the same conversation.
    """

    frame_number: int
    time_s: float
    data: bytes
    packet: Packet
    try_number: int | None = None
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One verdict, the rule behind it, and the packets of it in the order of time.

    `shots` is empty where there is only a record. `asker` is None where nobody says who asked.
    `origin` names the file.
    """

    rule: Rule
    verdict: Verdict
    asker: IPAddress | None
    shots: tuple[Shot, ...]
    origin: str

    @property
    def port(self) -> Port:
        """What was asked."""
        return self.verdict.port

    @property
    def probes(self) -> tuple[Shot, ...]:
        """The probes among the packets."""
        return tuple(shot for shot in self.shots if shot.try_number is not None)

    @property
    def replies(self) -> tuple[Shot, ...]:
        """The replies among the packets."""
        return tuple(shot for shot in self.shots if shot.evidence is not None)

    @property
    def decisive(self) -> Shot | None:
        """The reply that made the verdict; None for silence, or where there are no packets."""
        for shot in self.replies:
            evidence = shot.evidence
            if evidence and rule_of(self.port.kind, evidence) == self.rule:
                return shot
        return None

    @property
    def silence(self) -> Evidence | None:
        """What was made of it that no reply came, if that was needed."""
        return next((e for e in self.verdict.evidence if e.frame_number is None), None)


def rule_of(kind: ProbeKind, evidence: Evidence) -> Rule | None:
    """The row that speaks of this piece of evidence."""
    return rule_for(kind, evidence.signal, evidence.from_target)


def cases_in(path: Path, ports: PortSpec | None = None) -> list[Case]:
    """Every case of a capture. Raises `CaptureError` if it is none."""
    return list(with_packets(path, analyse(path, ports).findings))


def with_packets(path: Path, findings: Sequence[Finding]) -> Iterator[Case]:
    """Read the packets of these findings out of their file, in one more pass."""
    gathered = _Gathered(findings)
    if findings:
        with open_capture(path) as reader:
            for frame_number, frame in enumerate(reader, start=1):
                gathered.add(frame_number, frame)
    for finding, shots in zip(findings, gathered.shots, strict=True):
        shots.sort(key=lambda shot: (shot.time_s, shot.frame_number))
        verdict = finding.verdict
        yield Case(BY_ID[verdict.rule], verdict, finding.source, tuple(shots), str(path))


class _Gathered:
    """The packets of each finding, as they turn up in the file."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.shots: list[list[Shot]] = [[] for _ in findings]
        self._ports = [finding.verdict.port for finding in findings]
        self._probes: dict[int, tuple[int, int]] = {}
        self._replies: dict[int, tuple[int, Evidence]] = {}
        self._flows: dict[_Flow, int] = {}
        self._beside: Counter[int] = Counter()
        for index, finding in enumerate(findings):
            for number, frame_number in enumerate(finding.probe_frames):
                self._probes[frame_number] = index, number
            for evidence in finding.verdict.evidence:
                if evidence.frame_number is not None:
                    self._replies[evidence.frame_number] = index, evidence

    def add(self, frame_number: int, frame: Frame) -> None:
        """Keep this packet if it belongs to a finding, or to a conversation that one began."""
        try:
            packet, data = innermost(frame.data[ip_offset(frame.linktype, frame.data) :])
        except DecodeError:
            return
        flow = _flow(packet)
        shot = Shot(frame_number, frame.time_s, data, packet)
        if frame_number in self._probes:
            index, number = self._probes[frame_number]
            if not self._fits(index, ask_of(packet)):
                return
            self.shots[index].append(replace(shot, try_number=number))
            if flow is not None:
                self._flows[flow] = index
        elif frame_number in self._replies:
            index, evidence = self._replies[frame_number]
            if not self._fits(index, answered_ask(packet)):
                return
            self.shots[index].append(replace(shot, evidence=evidence))
        elif flow in self._flows:
            index = self._flows[flow]
            self._beside[index] += 1
            if self._beside[index] <= MOST_BESIDE:
                self.shots[index].append(shot)

    def _fits(self, index: int, ask: Ask | None) -> bool:
        """Is this the packet itself, rather than one that carries it inside?"""
        port = self._ports[index]
        return ask is not None and (ask.target, ask.port) == (port.target, port.number)


def _flow(packet: Packet) -> _Flow | None:
    """Both ends of a TCP segment, whichever way it goes."""
    if not isinstance(packet.body, Tcp):
        return None
    tcp = packet.body
    return frozenset({(packet.source, tcp.sport), (packet.destination, tcp.dport)})


def case_of_record(record: Mapping[str, Any], origin: str) -> Case:
    """The case that a `port` record tells of. Raises `UsageError` if it is no whole record."""
    try:
        rule = BY_ID[record["rule"]]
        responder, ttl, rtt_ms = record["reason_ip"], record["reason_ttl"], record["rtt_ms"]
        verdict = Verdict(
            port=Port(ip_address(record["target"]), int(record["port"]), rule.probe),
            state=State(record["state"]),
            reason=str(record["reason"]),
            rule=rule.id,
            tries=int(record["tries"]),
            confidence=float(record["confidence"]),
            time_s=0.0,
            reason_ip=None if responder is None else ip_address(responder),
            reason_ttl=None if ttl is None else int(ttl),
            rtt_s=None if rtt_ms is None else float(rtt_ms) / 1000,
            hints=tuple(map(str, record["hints"])),
        )
        source = record.get("source")
        asker = None if source is None else ip_address(source)
    except (KeyError, ValueError, TypeError) as error:
        raise UsageError(
            f"{origin}: a port record of {record.get('target')} cannot be explained: "
            f"{type(error).__name__}: {error}; was it written by rawscan?"
        ) from None
    if (rule.state, rule.reason) != (verdict.state, verdict.reason):
        raise UsageError(
            f"{origin}: a record says {verdict.state.value} {verdict.reason}, but its rule "
            f"{rule.id} gives {rule.state.value if rule.state else 'no verdict'} {rule.reason}: "
            "it was changed, or written by a version with other rules"
        )
    return Case(rule, verdict, asker, (), origin)


def example_of(rule: Rule, version: int | None = None) -> Case | None:
    """A case of the rule's curated capture, over this IP version (None: whichever comes first).

    None where there is no capture: the probe of that rule never left. A rule that gives no verdict
    is told by the silence beside which its reply came.
    """
    path = capture_of(rule)
    if path is None:
        return None
    cases = cases_in(path, parse_ports(str(DEFAULT_PORT)))
    fitting = [case for case in cases if version in (None, case.port.target.version)]
    return next((case for case in fitting if case.rule == rule), fitting[0] if fitting else None)
