"""Which reply answers which probe. No socket, no clock.

Live, the token proves it (`LiveCorrelator`): nothing is remembered. Offline there is no key, and a
reply must answer a probe that the capture holds and that is not later (`CaptureCorrelator`). Both
read one and the same `signal_of`, so a packet means the same to both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from rawscan.ask import Ask, answered_ask, ask_of
from rawscan.hearing import Hearing
from rawscan.model import (
    Evidence,
    Flags,
    Icmp,
    IPAddress,
    Packet,
    Port,
    ProbeKind,
    ReplyKind,
    Signal,
    Tcp,
    Udp,
)
from rawscan.ports import PortSpec
from rawscan.wire.token import Token, identification, is_identification

_SEQ = 1 << 32
_SWAPPED_S = 1.0
"""How much later than its probe a reply may be that stands before it in the file. Queues of one
card, and files that were merged, come out of order by less; an answer proves itself anyway."""
_REMEMBERED_REPLIES = 1 << 12
_REMEMBERED_OF_ONE = 8
"""Bounds, so that a capture of floods is read in bounded memory; the oldest go first."""
_HOST_UNREACHABLE = ((4, 3, 1), (6, 1, 3))
"""IP version, type and code of "nobody on the last link has this address"."""


def signal_of(packet: Packet) -> Signal | None:
    """What kind of reply this packet can be; None if it can be none."""
    match packet.body:
        case Tcp(flags=flags) if flags is not None:
            return _SIGNALS[flags]
        case Udp():
            return Signal(ReplyKind.UDP)
        case Icmp(quoted=Packet() as quoted) as icmp:
            # The last hop's complaint about its own link comes from the asker's own address.
            own = packet.source == quoted.source != quoted.destination
            if own and (icmp.version, icmp.type, icmp.code) in _HOST_UNREACHABLE:
                return Signal(ReplyKind.NO_NEIGHBOUR)
            kind = ReplyKind.ICMP if icmp.version == 4 else ReplyKind.ICMP6
            return Signal(kind, icmp.type, icmp.code)
    return None


def _tcp_kind(flags: int) -> ReplyKind:
    if flags & Flags.RST:
        return ReplyKind.RST
    if flags & Flags.SYN:
        return ReplyKind.SYN_ACK if flags & Flags.ACK else ReplyKind.SYN
    return ReplyKind.TCP_OTHER


# One look instead of several operations on flags, each of which makes an object.
_SIGNALS = tuple(Signal(_tcp_kind(flags)) for flags in range(256))
_CONTROL = int(Flags.SYN | Flags.ACK | Flags.RST | Flags.FIN)


def proves(kind: ProbeKind, packet: Packet, seq: int, ack: int, sent_id: int | None) -> bool:
    """Does this packet, or the one it quotes, answer a `kind` probe with these numbers?

    `seq` and `ack` are those of a TCP probe. `sent_id` is the identification (or flow label) of a
    UDP probe, which an ICMP error must quote; None: any will do. A datagram has only its ports.

    RFC 9293, section 3.5.2: a RST answers a SYN by acknowledging its number plus one (some
    stacks leave the one out), and an ACK by taking its acknowledgement number as its own number.
    """
    match packet.body:
        case Icmp(quoted=Packet(body=Tcp(seq=quoted))):
            return quoted == seq
        case Icmp(quoted=Packet(body=Udp()) as udp) if sent_id is not None:
            return bool(is_identification(udp.source.version, sent_id, udp.identification))
        case Tcp(flags=flags) as tcp if flags is not None:
            reply = _SIGNALS[flags].kind
            reset = reply is ReplyKind.RST
            if kind is ProbeKind.ACK:
                return reset and tcp.seq == ack
            if reset or int(flags) & Flags.ACK.value:
                return tcp.ack == (seq + 1) % _SEQ or (reset and tcp.ack == seq)
            # A SYN without ACK acknowledges nothing; the ports must do.
            return reply is ReplyKind.SYN
    return kind is ProbeKind.UDP


def evidence_of(
    packet: Packet, signal: Signal, target: IPAddress, time_s: float, try_number: int
) -> Evidence:
    """Put a reply that was proved to be one into a record."""
    tcp = packet.body if isinstance(packet.body, Tcp) else None
    return Evidence(
        signal=signal,
        responder=packet.source,
        from_target=packet.source == target,
        time_s=time_s,
        try_number=try_number,
        ttl=packet.ttl,
        window=tcp.window if tcp else None,
        options_bytes=tcp.options_bytes if tcp else None,
    )


class LiveCorrelator:
    """Checks replies by their token; keeps no memory of what was sent."""

    def __init__(self, token: Token, kinds: Iterable[ProbeKind]) -> None:
        self._token = token
        self._kinds = tuple(kinds)

    def match(self, packet: Packet, time_s: float) -> tuple[Port, Evidence] | None:
        """The port that this packet is evidence about; None if it proves nothing to us."""
        signal, ask = signal_of(packet), answered_ask(packet)
        if signal is None or ask is None:
            return None
        for kind in self._kinds:
            if kind.protocol is not ask.protocol:
                continue
            port = Port(ask.target, ask.port, kind)
            number = self._token.try_number(ask.source, port, ask.source_port)
            if number is None:
                continue
            seq = self._token.sequence(ask.source, port, number)
            if proves(kind, packet, seq, seq, identification(port.target.version, seq)):
                return port, evidence_of(packet, signal, ask.target, time_s, number)
        return None

    def is_ours(self, packet: Packet) -> bool:
        """Does it at least go to (or quote) one of our source ports? Worth recording if so."""
        ask = answered_ask(packet)
        return ask is not None and ask.source_port in self._token.source_ports


@dataclass(frozen=True, slots=True)
class SeenProbe:
    """A probe in a capture. `seq` and `ack` are 0 for UDP."""

    time_s: float
    frame_number: int
    source_port: int
    seq: int = 0
    ack: int = 0
    identification: int | None = None


@dataclass(slots=True)
class Exchange:
    """All that a capture holds about one port, as asked by one source."""

    source: IPAddress
    port: Port
    probes: list[SeenProbe] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    hung_up: list[Evidence] = field(default_factory=list)

    @property
    def unseen(self) -> list[Evidence]:
        """Answers that the asker hung up on, if none of that kind is in the capture."""
        seen = (ReplyKind.SYN_ACK, ReplyKind.SYN, ReplyKind.TCP_OTHER)
        if self.hung_up and any(e.signal.kind in seen for e in self.evidence):
            return []
        return self.hung_up


@dataclass(frozen=True, slots=True)
class _Seen:
    """A packet of the capture, and where it stands there."""

    packet: Packet
    time_s: float
    frame_number: int


class CaptureCorrelator:
    """Joins probes and replies of a capture, fed in the order of the file.

    `strict`: an error about a UDP probe must quote the identification that the probe has in the
    capture, as the live scan demands it. Memory grows with the number of distinct probes, not with
    the length of the capture.
    """

    def __init__(self, ports: PortSpec, *, strict: bool = False) -> None:
        self._ports = ports
        self._strict = strict
        self._exchanges: dict[tuple[IPAddress, Port], Exchange] = {}
        self._open: dict[Ask, list[tuple[Exchange, int]]] = {}  # with the number of the try
        # Conversations that the other side began, and when: what goes to the port in them is no
        # probe.
        self._begun_there: dict[Ask, float] = {}
        # Replies whose probe may stand a little later in the file, the oldest first.
        self._early: dict[Ask, list[_Seen]] = {}
        self.hearing = Hearing()

    @property
    def exchanges(self) -> Iterator[Exchange]:
        """Every exchange, in the order of its first probe."""
        return iter(self._exchanges.values())

    def add(self, packet: Packet, time_s: float, frame_number: int) -> bool:
        """Take one packet into account; True if it is a probe to one of the ports, or a reply."""
        ask, answered = ask_of(packet), answered_ask(packet)
        if ask is None or answered is None:
            return False
        seen = _Seen(packet, time_s, frame_number)
        self.hearing.add(packet, ask, answered)
        from_port = answered.port in self._ports.of(answered.protocol)
        if from_port and self._add_reply(seen, answered):
            return True
        if isinstance(packet.body, Icmp):
            self._keep_early(seen, answered, from_port)
            return False
        if ask.port in self._ports.of(ask.protocol):
            self._notice_hanging_up(seen, ask)
            if self._add_probe(seen, ask):
                return True
        self._keep_early(seen, answered, from_port)
        if from_port and answered not in self._open:
            self._begun_there.setdefault(answered, time_s)
        return False

    def _add_probe(self, seen: _Seen, ask: Ask) -> bool:
        packet = seen.packet
        kind = self._probe_kind(seen, ask)
        if kind is None:
            return False
        port = Port(ask.target, ask.port, kind)
        exchange = self._exchanges.setdefault((ask.source, port), Exchange(ask.source, port))
        body = packet.body
        numbers = (body.seq or 0, body.ack or 0) if isinstance(body, Tcp) else (0, 0)
        place = seen.time_s, seen.frame_number, ask.source_port
        probe = SeenProbe(*place, *numbers, packet.identification)
        self._open.setdefault(ask, []).append((exchange, len(exchange.probes)))
        exchange.probes.append(probe)
        self._begun_there.pop(ask, None)
        self._take_early(ask, probe)
        return True

    def _probe_kind(self, seen: _Seen, ask: Ask) -> ProbeKind | None:
        match seen.packet.body:
            case Udp():
                return None if self._begun_before(ask, seen.time_s) else ProbeKind.UDP
            case Tcp(flags=flags) as tcp if flags is not None:
                control = int(flags) & _CONTROL
                if control == Flags.SYN.value:
                    return ProbeKind.SYN
                # An ACK out of the blue; in a conversation that was seen to begin it is no probe.
                blue = not self._begun_before(ask, seen.time_s) and not self._is_conversation(ask)
                if control == Flags.ACK.value and not tcp.payload_bytes and blue:
                    return ProbeKind.ACK
        return None

    def _begun_before(self, ask: Ask, time_s: float) -> bool:
        """Did the other side begin this conversation? By the clock, where file and clock differ."""
        begun_s = self._begun_there.get(ask)
        return begun_s is not None and begun_s <= time_s

    def _is_conversation(self, ask: Ask) -> bool:
        return any(exchange.port.kind is ProbeKind.SYN for exchange, _ in self._open.get(ask, ()))

    def _notice_hanging_up(self, seen: _Seen, ask: Ask) -> None:
        """A SYN of no socket's is answered, and the asker's own kernel resets what it never began.

        Its RST takes the answer's acknowledgement for its own number (RFC 9293, section 3.5.2), and
        that is the SYN's plus one: so there was an answer, seen or not.
        """
        match seen.packet.body:
            case Tcp(flags=flags, seq=seq, window=0 | None) if (
                flags and int(flags) & Flags.RST.value
            ):
                for exchange, number in reversed(self._open.get(ask, ())):
                    probe = exchange.probes[number]
                    if exchange.port.kind is ProbeKind.SYN and seq == (probe.seq + 1) % _SEQ:
                        _hang_up(exchange, number, seen)
                        return

    def _keep_early(self, seen: _Seen, answered: Ask, from_port: bool) -> None:
        # Without a time, the order of the file is all there is.
        if not (from_port and seen.time_s and signal_of(seen.packet)):
            return
        while self._early:
            oldest = next(iter(self._early))
            last_s = self._early[oldest][-1].time_s
            if len(self._early) < _REMEMBERED_REPLIES and last_s >= seen.time_s - _SWAPPED_S:
                break
            del self._early[oldest]
        replies = self._early.setdefault(answered, [])
        replies.append(seen)
        del replies[:-_REMEMBERED_OF_ONE]

    def _take_early(self, ask: Ask, probe: SeenProbe) -> None:
        """Match the replies that the file has before this probe, and the clock after it."""
        for reply in self._early.pop(ask, ()):
            matched = probe.time_s <= reply.time_s <= probe.time_s + _SWAPPED_S and (
                self._add_reply(reply, ask)
            )
            if matched:
                self.hearing.note(ask.source)

    def _add_reply(self, seen: _Seen, answered: Ask) -> bool:
        packet, time_s = seen.packet, seen.time_s
        signal = signal_of(packet)
        # An error that is delivered to somebody else than whose packet it quotes is forged or
        # strayed: it tells that somebody saw the probe, not that it was rejected.
        if signal is None or packet.destination != answered.source:
            return False
        found = self._answered_try(packet, answered, time_s)
        if found is None:
            return False
        exchange, number = found
        probe = exchange.probes[number]
        exchange.evidence.append(
            replace(
                evidence_of(packet, signal, exchange.port.target, time_s, number),
                # 0: a frame that bears no time.
                rtt_s=max(time_s - probe.time_s, 0.0) if probe.time_s and time_s else None,
                frame_number=seen.frame_number,
            )
        )
        return True

    def _answered_try(
        self, packet: Packet, answered: Ask, time_s: float
    ) -> tuple[Exchange, int] | None:
        """The last probe that this can answer: that is the one whose answer it most likely is."""
        last = None
        for exchange, number in reversed(self._open.get(answered, ())):
            kind, probe = exchange.port.kind, exchange.probes[number]
            sent_id = probe.identification if self._strict else None
            if not proves(kind, packet, probe.seq, probe.ack, sent_id):
                continue
            if probe.time_s <= time_s:
                return exchange, number
            last = last or (exchange, number)
            if probe.time_s > time_s + _SWAPPED_S:
                break  # the clock was set, so the order of the file counts
        return last


def _hang_up(exchange: Exchange, number: int, seen: _Seen) -> None:
    """Note that try `number` must have been answered; one such note a try is enough."""
    if not exchange.hung_up or exchange.hung_up[-1].try_number != number:
        signal, frame = Signal(ReplyKind.SYN_ACK_UNSEEN), seen.frame_number
        exchange.hung_up.append(
            Evidence(signal, None, False, seen.time_s, number, frame_number=frame)
        )
