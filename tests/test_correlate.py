"""Which reply answers which probe: what packets are, and the live token."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from rawscan.correlate import (
    LiveCorrelator,
    proves,
    signal_of,
)
from rawscan.model import (
    Flags,
    IPAddress,
    Other,
    Packet,
    Port,
    ProbeKind,
    ReplyKind,
    Signal,
    Tcp,
)
from rawscan.rules import rule_for
from rawscan.wire.token import Token
from tests.packets import (
    ACK,
    MAX,
    ME,
    ME6,
    ROUTER,
    STRANGER,
    SYN,
    TARGET,
    TARGET6,
    UDP,
    A,
    F,
    R,
    S,
    eight_bytes,
    icmp,
    tcp,
    udp,
)

TOKEN = Token(b"secret", range(40000, 60000))
LIVE = LiveCorrelator(TOKEN, [SYN, UDP])


class Sent:
    """A probe of ours, and the replies it may get."""

    def __init__(self, kind: ProbeKind, number: int = 0, source: IPAddress = ME,
                 target: IPAddress = TARGET, token: Token = TOKEN) -> None:  # fmt: skip
        self.port, self.source = Port(target, 561, kind), source
        self.sport = token.source_port(source, self.port, number)
        self.seq = token.sequence(source, self.port, number)

    @property
    def packet(self) -> Packet:
        if self.port.kind is UDP:
            bits = 0xFFFF if self.source.version == 4 else 0xF_FFFF
            dgram = udp(self.source, self.sport, self.port.target, 561)
            return replace(dgram, identification=self.seq & bits or 1)
        ack = self.seq if self.port.kind is ACK else 0
        flags = A if self.port.kind is ACK else S
        return tcp(self.source, self.sport, self.port.target, 561, flags, self.seq, ack)

    def reply(self, flags: Flags, ack: int = 0, seq: int = 0) -> Packet:
        return tcp(self.port.target, 561, self.source, self.sport, flags, seq, ack & MAX)

    @property
    def datagram(self) -> Packet:
        return udp(self.port.target, 561, self.source, self.sport)


# --- what a packet is


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        (S | A, ReplyKind.SYN_ACK),
        (S | A | Flags.ECE, ReplyKind.SYN_ACK),
        (S, ReplyKind.SYN),
        (S | F, ReplyKind.SYN),
        (R, ReplyKind.RST),
        (R | A, ReplyKind.RST),
        (R | S | A, ReplyKind.RST),
        (A, ReplyKind.TCP_OTHER),
        (F | A, ReplyKind.TCP_OTHER),
        (Flags(0), ReplyKind.TCP_OTHER),
    ],
)
def test_signal_of_a_segment(flags: Flags, kind: ReplyKind) -> None:
    assert signal_of(tcp(TARGET, 561, ME, 40000, flags)) == Signal(kind)


def test_signals_of_others() -> None:
    probe = Sent(SYN).packet
    assert signal_of(tcp(TARGET, 561, ME, 40000, None)) is None
    assert signal_of(udp(TARGET, 561, ME, 40000)) == Signal(ReplyKind.UDP)
    assert signal_of(icmp(ROUTER, ME, probe, 3, 13)) == Signal(ReplyKind.ICMP, 3, 13)
    assert signal_of(icmp(ROUTER, ME, probe, 200, 99)) == Signal(ReplyKind.ICMP, 200, 99)
    assert signal_of(icmp(ROUTER, ME, None)) is None
    assert signal_of(Packet(TARGET, ME, 64, Other(47))) is None
    six = Sent(UDP, source=ME6, target=TARGET6).packet
    assert signal_of(icmp(TARGET6, ME6, six, 1, 4)) == Signal(ReplyKind.ICMP6, 1, 4)


def test_our_own_host_unreachable_is_no_neighbour() -> None:
    probe = Sent(SYN).packet
    assert signal_of(icmp(ME, ME, probe, 3, 1)) == Signal(ReplyKind.NO_NEIGHBOUR)
    six = Sent(SYN, source=ME6, target=TARGET6).packet
    assert signal_of(icmp(ME6, ME6, six, 1, 3)) == Signal(ReplyKind.NO_NEIGHBOUR)
    # The same from a router, or another complaint from ourselves, is what it says.
    assert signal_of(icmp(ROUTER, ME, probe, 3, 1)) == Signal(ReplyKind.ICMP, 3, 1)
    assert signal_of(icmp(ME, ME, probe, 3, 13)) == Signal(ReplyKind.ICMP, 3, 13)
    assert signal_of(icmp(ME6, ME6, six, 1, 1)) == Signal(ReplyKind.ICMP6, 1, 1)


def test_scanning_our_own_address_is_no_missing_neighbour() -> None:
    probe = Sent(SYN, target=ME).packet
    assert signal_of(icmp(ME, ME, probe, 3, 1)) == Signal(ReplyKind.ICMP, 3, 1)


@pytest.mark.parametrize(
    ("kind", "flags", "seq", "ack", "proof"),
    [
        (SYN, S | A, 7, 101, True),
        (SYN, S | A, 7, 100, False),  # only a RST may leave the one out
        (SYN, S | A, 101, 0, False),
        (SYN, R | A, 0, 101, True),
        (SYN, R | A, 0, 100, True),
        (SYN, R | A, 0, 102, False),
        (SYN, R, 101, 0, False),
        (SYN, S, 7, 0, True),  # it acknowledges nothing
        (SYN, F, 7, 101, False),
        (SYN, None, 7, 101, False),
        (ACK, R, 200, 0, True),
        (ACK, R | A, 200, 0, True),
        (ACK, R, 201, 0, False),
        (ACK, R | A, 0, 101, False),
        (ACK, S | A, 200, 101, False),
        (ACK, A, 200, 101, False),
    ],
)
def test_proofs(kind: ProbeKind, flags: Flags | None, seq: int, ack: int, proof: bool) -> None:
    assert proves(kind, tcp(TARGET, 561, ME, 40000, flags, seq, ack), 100, 200, None) is proof


def test_proof_at_the_end_of_the_numbers() -> None:
    for flags in (S | A, R | A):
        assert proves(SYN, tcp(TARGET, 561, ME, 40000, flags, 0, 0), MAX, 0, None)
    for kind in (SYN, ACK):
        quote = tcp(ME, 40000, TARGET, 561, None, 100, None)
        assert proves(kind, icmp(ROUTER, ME, quote), 100, 200, None)
        assert not proves(kind, icmp(ROUTER, ME, quote), 101, 100, None)
    assert not proves(SYN, Packet(TARGET, ME, 64, Other(6)), 0, 0, None)


# --- live


@pytest.mark.parametrize("number", [0, 1, 15])
@pytest.mark.parametrize(("source", "target"), [(ME, TARGET), (ME6, TARGET6)])
def test_the_right_token_matches(source: IPAddress, target: IPAddress, number: int) -> None:
    syn, dgram = (Sent(kind, number, source, target) for kind in (SYN, UDP))
    acker, ack = LiveCorrelator(TOKEN, [ACK]), Sent(ACK, number, source, target)
    kind = ReplyKind.ICMP if source.version == 4 else ReplyKind.ICMP6
    for live, sent, packet, signal in (
        (LIVE, syn, syn.reply(S | A, syn.seq + 1, 9), Signal(ReplyKind.SYN_ACK)),
        (LIVE, syn, syn.reply(R | A, syn.seq + 1), Signal(ReplyKind.RST)),
        (LIVE, syn, syn.reply(R | A, syn.seq), Signal(ReplyKind.RST)),
        (LIVE, syn, syn.reply(S), Signal(ReplyKind.SYN)),
        (LIVE, syn, icmp(target, source, eight_bytes(syn.packet)), Signal(kind, 3, 13)),
        (LIVE, dgram, dgram.datagram, Signal(ReplyKind.UDP)),
        (LIVE, dgram, icmp(target, source, dgram.packet), Signal(kind, 3, 13)),
        (acker, ack, ack.reply(R, seq=ack.seq), Signal(ReplyKind.RST)),
        (acker, ack, icmp(target, source, eight_bytes(ack.packet)), Signal(kind, 3, 13)),
    ):
        found = live.match(packet, 12.5)
        assert found is not None
        port, evidence = found
        assert port == sent.port
        assert (evidence.signal, evidence.responder) == (signal, target)
        assert evidence.from_target
        assert (evidence.try_number, evidence.time_s, evidence.ttl) == (number, 12.5, packet.ttl)
        assert evidence.window == (1024 if isinstance(packet.body, Tcp) else None)


def swapped(number: int | None) -> int:
    """The bytes of 16 bits, the other way round."""
    return int.from_bytes((number or 0).to_bytes(2, "little"), "big")


def test_a_printer_quotes_the_identification_with_its_bytes_swapped() -> None:
    probe = Sent(UDP).packet
    found = LIVE.match(icmp(TARGET, ME, requoted(probe, swapped(probe.identification))), 0.0)
    assert found is not None
    assert found[1].signal == Signal(ReplyKind.ICMP, 3, 13)


def requoted(probe: Packet, identification: int | None) -> Packet:
    return replace(probe, identification=identification)


def test_about_tcp_the_identification_does_not_count() -> None:
    # The sequence number is enough; a path that changes the identification loses nothing.
    assert LIVE.match(icmp(ROUTER, ME, requoted(eight_bytes(Sent(SYN).packet), 7)), 0.0)


def test_from_target_is_who_sent_it() -> None:
    found = LIVE.match(icmp(ROUTER, ME, Sent(UDP).packet), 0.0)
    assert found is not None
    assert (found[1].responder, found[1].from_target) == (ROUTER, False)


def test_another_segment_that_proves_itself_is_only_a_hint() -> None:
    sent = Sent(SYN)
    found = LIVE.match(sent.reply(A, sent.seq + 1), 0.0)
    assert found is not None
    assert rule_for(SYN, found[1].signal, found[1].from_target) is None


def test_no_neighbour_live() -> None:
    found = LIVE.match(icmp(ME, ME, Sent(SYN).packet, 3, 1), 0.0)
    assert found is not None
    assert found[1].signal == Signal(ReplyKind.NO_NEIGHBOUR)


def forgeries() -> dict[str, Packet]:
    """Replies like those above, each wrong in one thing."""
    sent, second = Sent(SYN), Sent(SYN, 1)
    other_key = Sent(SYN, token=Token(b"another", TOKEN.source_ports))
    good = sent.reply(S | A, sent.seq + 1)
    assert isinstance(good.body, Tcp)
    quote = eight_bytes(sent.packet)
    assert isinstance(quote.body, Tcp)
    dgram, dgram6 = Sent(UDP).packet, Sent(UDP, 0, ME6, TARGET6).packet
    number, label = dgram.identification or 0, dgram6.identification or 0
    return {
        "ack + 1": sent.reply(S | A, sent.seq + 2),
        "ack of the sequence number": sent.reply(S | A, sent.seq),
        "ack of another try": sent.reply(S | A, second.seq + 1),
        "reset, ack + 1": sent.reply(R | A, sent.seq + 2),
        "reset without ack": sent.reply(R, 0, sent.seq),
        "ack in seq": sent.reply(S | A, 0, sent.seq + 1),
        "another key": other_key.reply(S | A, other_key.seq + 1),
        "another port": replace(good, body=replace(good.body, sport=562)),
        "another port of ours": replace(good, body=replace(good.body, dport=sent.sport + 1)),
        "no port of ours": replace(good, body=replace(good.body, dport=22)),
        "another target": replace(good, source=STRANGER),
        "to somebody else": replace(good, destination=STRANGER),
        "no acknowledgement captured": replace(good, body=Tcp(561, sent.sport)),
        "quotes a wrong seq": icmp(
            ROUTER, ME, replace(quote, body=replace(quote.body, seq=sent.seq ^ 1))
        ),
        "quotes no seq": icmp(ROUTER, ME, replace(quote, body=replace(quote.body, seq=None))),
        "quotes another target": icmp(ROUTER, ME, replace(quote, destination=STRANGER)),
        "quotes another source": icmp(ROUTER, ME, replace(quote, source=STRANGER)),
        "quotes the answer": icmp(ROUTER, ME, good),
        "quotes nothing": icmp(ROUTER, ME, None),
        "quotes another identification": icmp(TARGET, ME, requoted(dgram, number ^ 1)),
        "quotes no identification": icmp(TARGET, ME, requoted(dgram, None)),
        "quotes the identification 0": icmp(TARGET, ME, requoted(dgram, 0)),
        "quotes another try's identification": icmp(
            TARGET, ME, requoted(dgram, Sent(UDP, 1).packet.identification)
        ),
        "quotes another flow label": icmp(TARGET6, ME6, requoted(dgram6, label ^ 1 << 19)),
        "quotes no flow label": icmp(TARGET6, ME6, requoted(dgram6, 0)),
        "quotes half of the flow label, swapped": icmp(
            TARGET6, ME6, requoted(dgram6, swapped(label & 0xFFFF))
        ),
        "another probe's kind": Sent(ACK).reply(R, seq=Sent(ACK).seq),
        "a datagram from another port": udp(TARGET, 562, ME, Sent(UDP).sport),
        "a datagram from elsewhere": udp(STRANGER, 561, ME, Sent(UDP).sport),
        "a datagram to a SYN's port": udp(TARGET, 561, ME, sent.sport),
        "the probe itself": sent.packet,
    }


@pytest.mark.parametrize("name", forgeries())
def test_a_forgery_matches_nothing(name: str) -> None:
    assert LIVE.match(forgeries()[name], 0.0) is None


def test_a_hundred_thousand_forgeries_match_nothing() -> None:
    # They know our addresses, port and window; not the key.
    dice = random.Random(561)
    ports = TOKEN.source_ports
    live = LiveCorrelator(TOKEN, [SYN, ACK])
    flags = (S | A, R | A, R)
    in_window = 0
    for number in range(100_000):
        port, seq = dice.choice(ports), dice.getrandbits(32)
        if number % 4 == 3:
            packet = icmp(ROUTER, ME, Packet(ME, TARGET, 1, Tcp(port, 561, seq)))
        else:
            packet = tcp(TARGET, 561, ME, port, flags[number % 4], seq, dice.getrandbits(32))
        in_window += live.is_ours(packet)
        assert live.match(packet, 0.0) is None
    assert in_window == 100_000


def test_what_is_worth_recording() -> None:
    sent = Sent(SYN)
    assert LIVE.is_ours(sent.reply(S | A, 0))  # unproved, but to one of our ports
    assert LIVE.is_ours(icmp(ROUTER, ME, sent.packet))
    assert not LIVE.is_ours(tcp(TARGET, 561, ME, 22, S | A))
    assert not LIVE.is_ours(Packet(TARGET, ME, 64, Other(6)))
