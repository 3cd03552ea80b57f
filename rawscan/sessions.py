"""Connections and flows of the asked ports: who, how it went, what was said. Touches nothing.

Fed with the packets of a capture in the order of the file. Memory is bounded: what there is no room
for is counted by its state.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from rawscan.connstate import ACK, RST, SYN, End, Side, advance, conn_state, letter_of, udp_state
from rawscan.findings import Session
from rawscan.model import IPAddress, Packet, Protocol, Tcp, Udp
from rawscan.ports import PortSpec
from rawscan.services import PRETENDING, appraise, preview, recognise

Key = tuple[int, int, int, int, int]

_TCP, _UDP = Protocol.TCP.number, Protocol.UDP.number
_OPEN = 1 << 15
_KEPT = 1 << 15
"""Flows that are followed at once, and sessions that are kept: of those with payload, and of those
without, so many each."""
_SAID_BYTES = 256
_SERVICE_PORTS = range(1, 1024)
_UDP_PAUSE_S = 60.0
"""After a pause like this a datagram begins a new flow (Zeek's udp_inactivity_timeout)."""
_RETRY_S = 5.0
"""Within this a SYN with a new number is still the same attempt."""
_OVER = (End.CLOSED, End.RESET)


class Flow:
    """A session in the making. `is_service`: the asked port is the server's."""

    __slots__ = (
        "client", "client_port", "client_side", "first_frame", "first_s", "is_service",
        "last_frame", "last_s", "letters", "opening", "packets", "port", "protocol", "server",
        "server_port", "server_side", "syn_seq", "touched",
    )  # fmt: skip

    def __init__(self, packet: Packet, asked_to: bool, protocol: Protocol, time_s: float) -> None:
        body = packet.body
        assert isinstance(body, Tcp | Udp)
        self.opening = int(body.flags or 0) if isinstance(body, Tcp) else 0
        to_server = _goes_to_server(body, self.opening, asked_to)
        forward = (packet.source, packet.destination, body.sport, body.dport)
        backward = (packet.destination, packet.source, body.dport, body.sport)
        self.client, self.server, self.client_port, self.server_port = (
            forward if to_server else backward
        )
        self.is_service = asked_to == to_server
        self.port = body.dport if asked_to else body.sport
        self.protocol = protocol
        self.client_side, self.server_side = Side(), Side()
        self.first_s = self.last_s = time_s
        self.first_frame = self.last_frame = 0
        self.packets = 0
        self.letters = ""
        self.syn_seq: int | None = None
        self.touched = False

    def add(self, packet: Packet, body: Tcp | Udp, time_s: float, frame_number: int) -> bool:
        """Take a packet of this flow into account; True if the client sent it."""
        from_client = body.sport == self.client_port and (
            body.dport != self.client_port or packet.source == self.client
        )
        me, peer = self.client_side, self.server_side
        if not from_client:
            me, peer = peer, me
        self.packets += 1
        me.packets += 1
        self.touched = True
        if time_s:
            self.first_s = min(self.first_s or time_s, time_s)
            self.last_s = max(self.last_s, time_s)
        self.first_frame = self.first_frame or frame_number
        self.last_frame = frame_number
        before = me.size
        if isinstance(body, Tcp):
            self._add_segment(me, peer, body, from_client)
        else:
            me.size += body.payload_bytes or 0
            self._note("D" if body.payload_bytes else "", 0, me, from_client)
        if body.payload and me.size > before and len(me.said) < _SAID_BYTES:
            me.first = me.first or self.packets
            # Of what is sent again, only what is new.
            known = max((body.payload_bytes or 0) - (me.size - before), 0)
            me.said += body.payload[known : known + _SAID_BYTES - len(me.said)]
        return from_client

    def _add_segment(self, me: Side, peer: Side, tcp: Tcp, from_client: bool) -> None:
        if tcp.flags is None:
            return
        flags, payload_bytes = int(tcp.flags), tcp.payload_bytes or 0
        if flags & (SYN | ACK) == SYN and from_client:
            self.syn_seq = tcp.seq
        letter = letter_of(flags, payload_bytes)
        number = (tcp.seq or 0) + (payload_bytes if letter == "F" else 0)
        self._note(letter, number, me, from_client)
        if tcp.seq is not None:
            me.count(tcp.seq, flags, payload_bytes)
        advance(me, peer, flags, payload_bytes, from_client)

    def _note(self, letter: str, number: int, me: Side, from_client: bool) -> None:
        if letter and me.notes(letter, number):
            self.letters += letter if from_client else letter.lower()

    def is_over_before(self, body: Tcp | Udp, time_s: float) -> bool:
        """Does this packet begin another session between the same ports?"""
        paused_s = time_s - self.last_s
        if isinstance(body, Udp):
            return paused_s > _UDP_PAUSE_S
        if body.flags is None or int(body.flags) & (SYN | ACK | RST) != SYN:
            return False
        if body.seq == self.syn_seq:
            return False
        ended = self.client_side.state in _OVER or self.server_side.state in _OVER
        return ended or (self.syn_seq is not None and paused_s > _RETRY_S)

    @property
    def state(self) -> str:
        """Zeek's word for how it stands."""
        asked, answered = self.client_side, self.server_side
        if self.protocol is Protocol.TCP:
            return conn_state(asked, answered, self.letters)
        return udp_state(asked.packets, answered.packets)

    def finish(self) -> Session:
        """The record."""
        asked, answered = self.client_side, self.server_side
        server_first = answered.first > 0 and (not asked.first or answered.first < asked.first)
        guess = recognise(self.protocol, asked.said, answered.said, server_first)
        looks = None
        if self.is_service:
            looks = appraise(self.protocol, self.server_port, guess, answered.said)
        return Session(
            client=self.client,
            client_port=self.client_port,
            server=self.server,
            server_port=self.server_port,
            port=self.port,
            port_role="server" if self.is_service else "client",
            protocol=self.protocol,
            conn_state=self.state,
            flags=self.letters,
            packets_to_server=asked.packets,
            packets_to_client=answered.packets,
            bytes_to_server=asked.size,
            bytes_to_client=answered.size,
            payload_preview=preview(asked.said, answered.said),
            service=guess.name if guess else None,
            service_why=guess.why if guess else None,
            looks_like=looks[0] if looks else None,
            looks_why=looks[1] if looks else None,
            first_s=self.first_s,
            last_s=self.last_s,
            first_frame=self.first_frame,
            last_frame=self.last_frame,
        )


def _goes_to_server(body: Tcp | Udp, flags: int, asked_to: bool) -> bool:
    """Does the first packet of a flow go to the server? `asked_to`: it goes to the asked port.

    A SYN goes there and a SYN+ACK comes from there. Of a datagram, or a segment from the middle of
    a conversation, the asked port is the server's unless the other one is a service's: then it is
    rather that one's client. A RST, or a segment without ACK, is no middle of anything.
    """
    if flags & SYN:
        return not flags & ACK
    if isinstance(body, Tcp) and (flags & RST or not flags & ACK):
        return asked_to
    other, asked = (body.sport, body.dport) if asked_to else (body.dport, body.sport)
    if other in _SERVICE_PORTS and other != asked:
        return not asked_to
    return asked_to


class SessionTable:
    """All flows of the asked ports."""

    def __init__(self, ports: PortSpec, most_open: int = _OPEN, most_kept: int = _KEPT) -> None:
        self._tcp, self._udp = frozenset(ports.tcp), frozenset(ports.udp)
        self._most_open, self._most_kept = most_open, most_kept
        self._flows: dict[Key, Flow] = {}
        self._talking: list[Session] = []
        self._mute: list[Session] = []
        self.states: Counter[str] = Counter()

    def add(self, packet: Packet, time_s: float, frame_number: int) -> tuple[Flow, bool] | None:
        """Take a packet into account; the flow that it belongs to, and whether its client sent it.

        None if it is no segment or datagram of an asked port.
        """
        body = packet.body
        if isinstance(body, Tcp):
            protocol, ports = Protocol.TCP, self._tcp
        elif isinstance(body, Udp):
            protocol, ports = Protocol.UDP, self._udp
        else:
            return None
        asked_to = body.dport in ports
        if not asked_to and body.sport not in ports:
            return None
        key = key_of(packet.source, body.sport, packet.destination, body.dport, protocol)
        flow = self._flows.get(key)
        if flow is not None and flow.is_over_before(body, time_s):
            self._keep(self._flows.pop(key))
            flow = None
        if flow is None:
            if len(self._flows) >= self._most_open:
                self._make_room()
            flow = self._flows[key] = Flow(packet, asked_to, protocol, time_s)
        return flow, flow.add(packet, body, time_s, frame_number)

    def knows(
        self, source: IPAddress, sport: int, target: IPAddress, dport: int, protocol: Protocol
    ) -> bool:
        """Is there a flow between these, in which the first one has sent something?"""
        flow = self._flows.get(key_of(source, sport, target, dport, protocol))
        if flow is None:
            return False
        from_client = flow.client == source and flow.client_port == sport
        return (flow.client_side if from_client else flow.server_side).packets > 0

    def finish(self) -> tuple[Session, ...]:
        """Every session that there was room for, in the order of their first packets."""
        for flow in self._flows.values():
            self._keep(flow)
        self._flows.clear()
        sessions = sorted(chain(self._talking, self._mute), key=lambda s: s.first_frame)
        return tuple(_compared(sessions))

    def _make_room(self) -> None:
        """Finish the oldest half of the flows, but for those in use since the last time."""
        for key in list(self._flows)[: self._most_open // 2]:
            flow = self._flows.pop(key)
            if flow.touched and flow.packets > 1:
                flow.touched = False
                self._flows[key] = flow
            else:
                self._keep(flow)
        if len(self._flows) >= self._most_open:
            oldest = next(iter(self._flows))
            self._keep(self._flows.pop(oldest))

    def _keep(self, flow: Flow) -> None:
        talked = bool(flow.client_side.said or flow.server_side.said)
        kept = self._talking if talked else self._mute
        self.states[flow.state] += 1
        if len(kept) < self._most_kept:
            kept.append(flow.finish())


def key_of(source: IPAddress, sport: int, target: IPAddress, dport: int, protocol: Protocol) -> Key:
    """The same for both directions. Numbers, since addresses are slow to hash."""
    one, other = int(source), int(target)
    number = (_TCP if protocol is Protocol.TCP else _UDP) + (source.version << 8)
    if one < other or (one == other and sport < dport):
        return one, sport, other, dport, number
    return other, dport, one, sport, number


def _compared(sessions: list[Session]) -> Iterator[Session]:
    """What is one thing to one client and another to the next is only pretending."""
    services: defaultdict[object, set[str]] = defaultdict(set)
    for session in sessions:
        if session.service and session.looks_like and session.port_role == "server":
            services[_listener(session)].add(session.service)
    for session in sessions:
        names = services.get(_listener(session), set())
        if len(names) > 1 and session.looks_like:
            why = f"the same port spoke {' and '.join(sorted(names))}"
            yield replace(session, looks_like=PRETENDING, looks_why=why)
        else:
            yield session


def _listener(session: Session) -> tuple[IPAddress, int, Protocol]:
    return session.server, session.server_port, session.protocol
