"""Who asks whom, as a probe, its reply and an error that quotes it say."""

from __future__ import annotations

from rawscan.ask import Ask, answered_ask, ask_of
from rawscan.model import Other, Packet, ProbeKind, Protocol
from tests.packets import ME, ROUTER, TARGET, A, R, icmp, udp
from tests.test_correlate import Sent

SYN = ProbeKind.SYN


def test_asks() -> None:
    probe, ask = Sent(SYN).packet, Ask(ME, TARGET, Protocol.TCP, Sent(SYN).sport, 561)
    assert ask_of(probe) == ask
    assert answered_ask(Sent(SYN).reply(R | A)) == ask
    assert ask_of(icmp(ROUTER, ME, probe)) == answered_ask(icmp(ROUTER, ME, probe)) == ask
    datagram = Ask(ME, TARGET, Protocol.UDP, 40000, 561)
    assert ask_of(udp(ME, 40000, TARGET, 561)) == datagram
    assert answered_ask(udp(TARGET, 561, ME, 40000)) == datagram
    for nothing in (
        icmp(ROUTER, ME, None),
        icmp(ROUTER, ME, Packet(ME, TARGET, 1, Other(6))),
        icmp(ROUTER, ME, icmp(ME, TARGET, probe)),
        Packet(TARGET, ME, 64, Other(6)),
    ):
        assert ask_of(nothing) is None
        assert answered_ask(nothing) is None
