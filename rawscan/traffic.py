"""All that a capture tells of the asked ports beside their states: joins the observers of it. Pure.

Feeds each packet to the sessions, and by what its flow says to the sources or the backscatter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rawscan.activity import Timeline
from rawscan.backscatter import BackscatterTable
from rawscan.findings import Contact, Finding, Traffic
from rawscan.model import Flags, Icmp, IPAddress, Packet, Protocol, State, Tcp, Udp
from rawscan.ports import PortSpec
from rawscan.sessions import Flow, SessionTable
from rawscan.sources import SourceTable

_SYN, _ACK, _RST, _FIN = map(int, (Flags.SYN, Flags.ACK, Flags.RST, Flags.FIN))
_REACHED = (State.OPEN, State.UNFILTERED)
_CONTROL = _SYN | _ACK | _RST | _FIN


class TrafficObserver:
    """Watches the packets of the asked ports go by, in the order of the file."""

    def __init__(self, ports: PortSpec) -> None:
        self._ports = ports
        self._sessions = SessionTable(ports)
        self._sources = SourceTable()
        self._backscatter = BackscatterTable()
        self._timeline = Timeline()

    def add(self, packet: Packet, time_s: float, frame_number: int) -> None:
        """Take a packet into account that is of an asked port, or an error about one."""
        if isinstance(packet.body, Icmp):
            self._add_error(packet, time_s)
            return
        found = self._sessions.add(packet, time_s, frame_number)
        if found is None:
            return
        flow, from_client = found
        kind = _kind(packet.body, from_client == flow.is_service)
        self._timeline.add(kind, time_s)
        if not flow.is_service:
            return
        if from_client and not flow.server_side.packets and _opens(packet.body, flow):
            self._sources.add(packet, flow.port, time_s)
        if kind in ("syn-ack", "rst") and not from_client and not flow.client_side.packets:
            self._backscatter.add(packet.source, flow.port, kind, packet.destination, time_s)

    def finish(self, contacts: Mapping[IPAddress, Iterable[Contact]]) -> Traffic:
        """Everything, once the capture is at its end; `contacts` by source, in order of time."""
        return Traffic(
            sessions=self._sessions.finish(),
            sources=self._sources.finish(contacts),
            backscatter=self._backscatter.finish(),
            activity=self._timeline.finish(),
            conn_states=self._sessions.states,
            sources_left_out=self._sources.left_out,
        )

    def _add_error(self, packet: Packet, time_s: float) -> None:
        match packet.body:
            case Icmp(quoted=Packet(body=Tcp() | Udp() as body) as quoted):
                protocol = Protocol.TCP if isinstance(body, Tcp) else Protocol.UDP
                if body.dport not in self._ports.of(protocol):
                    return
                self._timeline.add("icmp", time_s)
                ends = (quoted.source, body.sport, quoted.destination, body.dport)
                if not self._sessions.knows(*ends, protocol):
                    self._backscatter.add(
                        quoted.destination, body.dport, "icmp", packet.destination, time_s
                    )


def contacts_of(findings: Sequence[Finding]) -> dict[IPAddress, Iterator[Contact]]:
    """What became of each source's first contact with each port, in the order of time."""
    by_source: dict[IPAddress, list[Finding]] = {}
    for finding in sorted(findings, key=lambda f: f.first_seen_s):
        by_source.setdefault(finding.source, []).append(finding)
    return {source: map(_contact, theirs) for source, theirs in by_source.items()}


def _contact(finding: Finding) -> Contact:
    verdict = finding.verdict
    answered = None if verdict.state is State.UNKNOWN else verdict.state in _REACHED
    return Contact(finding.first_seen_s, verdict.port.target, verdict.port.number, answered)


def _kind(body: object, to_port: bool) -> str:
    """What the timeline counts a frame as."""
    if isinstance(body, Udp):
        return "udp" if to_port else "udp-reply"
    flags = int(body.flags or 0) if isinstance(body, Tcp) else 0
    if to_port:
        return "syn" if flags & (_SYN | _ACK) == _SYN else "tcp"
    if flags & _RST:
        return "rst"
    return "syn-ack" if flags & _SYN and flags & _ACK else "tcp-reply"


def _opens(body: object, flow: Flow) -> bool:
    """Is this the flow's first packet once more? Nobody has answered so far."""
    if not isinstance(body, Tcp):
        return True
    flags = int(body.flags or 0)
    return not flags & _RST and flags & _CONTROL == flow.opening & _CONTROL
