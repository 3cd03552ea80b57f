"""Which reply answers which probe in a capture: it must acknowledge a probe seen before it."""

from __future__ import annotations

import pytest

from rawscan.correlate import (
    CaptureCorrelator,
)
from rawscan.model import (
    Flags,
    IPAddress,
    Packet,
)
from rawscan.ports import PortSpec, parse_ports
from tests.packets import (
    ME,
    ROUTER,
    STRANGER,
    TARGET,
    A,
    F,
    R,
    S,
    eight_bytes,
    icmp,
    tcp,
    udp,
)

PORTS: PortSpec = parse_ports("561")


class Capture:
    """Feeds packets to a correlator, a second apart, frames counted from 1."""

    def __init__(self, *packets: Packet) -> None:
        self.correlator = CaptureCorrelator(PORTS)
        self.taken = [
            self.correlator.add(packet, 100.0 + number, number)
            for number, packet in enumerate(packets, start=1)
        ]

    @property
    def story(self) -> list[tuple[str, str, list[int], list[tuple[str, int | None, int | None]]]]:
        """Source, kind, frames of the probes; signal, try and frame of each evidence."""
        return [
            (
                str(exchange.source),
                exchange.port.kind.value,
                [probe.frame_number for probe in exchange.probes],
                [(str(e.signal), e.try_number, e.frame_number) for e in exchange.evidence],
            )
            for exchange in self.correlator.exchanges
        ]


def syn(seq: int, sport: int = 40000, source: IPAddress = ME) -> Packet:
    return tcp(source, sport, TARGET, 561, S, seq)


def back(flags: Flags, ack: int = 0, seq: int = 0, sport: int = 40000) -> Packet:
    return tcp(TARGET, 561, ME, sport, flags, seq, ack)


def test_probe_then_reply() -> None:
    capture = Capture(syn(100), back(S | A, 101))
    assert capture.taken == [True, True]
    assert capture.story == [("10.56.1.1", "syn", [1], [("syn-ack", 0, 2)])]
    (exchange,) = capture.correlator.exchanges
    assert exchange.evidence[0].rtt_s == 1.0
    assert exchange.evidence[0].from_target


@pytest.mark.parametrize(
    "reply",
    [
        back(S | A, 102),
        back(S | A, 100),
        back(R | A, 7),
        back(S | A, 101, sport=40001),
        tcp(STRANGER, 561, ME, 40000, S | A, 0, 101),
        icmp(ROUTER, ME, tcp(ME, 40000, TARGET, 561, S, 101)),
        icmp(ROUTER, ME, tcp(ME, 40000, STRANGER, 561, S, 100)),
    ],
    ids=str,
)
def test_a_reply_to_something_else(reply: Packet) -> None:
    capture = Capture(syn(100), reply)
    assert capture.taken == [True, False]
    assert capture.story == [("10.56.1.1", "syn", [1], [])]


def test_a_reply_without_probe_is_nothing() -> None:
    probe = tcp(ME, 40000, TARGET, 561, S, 100)
    for reply in (back(S | A, 101), back(R | A, 101), icmp(ROUTER, ME, probe)):
        capture = Capture(reply)
        assert (capture.taken, capture.story) == ([False], [])
        # Nor does the probe take up what came before it.
        assert Capture(reply, syn(100)).story == [("10.56.1.1", "syn", [2], [])]


def test_retransmissions_are_tries_and_replies_find_theirs() -> None:
    capture = Capture(
        syn(100),
        syn(200, 40001),
        syn(300),
        back(R | A, 101),
        back(S | A, 301),
        back(R | A, 201, sport=40001),
    )
    evidence = [("rst", 0, 4), ("syn-ack", 2, 5), ("rst", 1, 6)]
    assert capture.story == [("10.56.1.1", "syn", [1, 2, 3], evidence)]


def test_of_equal_tries_the_last_is_answered() -> None:
    capture = Capture(syn(100), syn(100), back(S | A, 101), syn(100))
    assert capture.story == [("10.56.1.1", "syn", [1, 2, 4], [("syn-ack", 1, 3)])]


def test_sources_are_told_apart() -> None:
    capture = Capture(syn(100), syn(100, source=STRANGER), back(S | A, 101))
    assert capture.story == [
        ("10.56.1.1", "syn", [1], [("syn-ack", 0, 3)]),
        ("10.56.1.77", "syn", [2], []),
    ]


def test_a_conversation_begun_from_the_ports_side_is_no_probe() -> None:
    # 561 is a client's own port here: it says something first, and is answered.
    capture = Capture(
        back(S, seq=5, sport=80),
        tcp(ME, 80, TARGET, 561, S | A, 9, 6),
        back(A, 10, 6, sport=80),
        tcp(ME, 80, TARGET, 561, A, 10, 6),
        tcp(ME, 80, TARGET, 561, R, 10, 6),
    )
    assert (capture.taken, capture.story) == ([False] * 5, [])
    datagrams = Capture(udp(TARGET, 561, ME, 53), udp(ME, 53, TARGET, 561))
    assert (datagrams.taken, datagrams.story) == ([False] * 2, [])


def test_ack_out_of_the_blue_is_a_probe_and_inside_a_conversation_is_none() -> None:
    def ack(payload_bytes: int = 0) -> Packet:
        return tcp(ME, 40000, TARGET, 561, A, 101, 501, payload_bytes)

    blue = Capture(ack(), back(R, seq=501))
    assert blue.story == [("10.56.1.1", "ack", [1], [("rst", 0, 2)])]
    assert Capture(ack(), back(R, seq=502)).story == [("10.56.1.1", "ack", [1], [])]
    handshake = Capture(syn(100), back(S | A, 101, 500), ack(), back(R, seq=501))
    assert handshake.story == [("10.56.1.1", "syn", [1], [("syn-ack", 0, 2)])]
    assert handshake.taken == [True, True, False, False]
    assert Capture(ack(payload_bytes=5)).story == []  # data is a conversation's


@pytest.mark.parametrize("flags", [S | A, R, R | A, F | A, F, S | F, Flags(0), None])
def test_other_segments_to_the_port_are_no_probe(flags: Flags | None) -> None:
    assert Capture(tcp(ME, 40000, TARGET, 561, flags, 1, 1)).story == []


def test_an_icmp_quote_of_eight_bytes() -> None:
    capture = Capture(syn(100), syn(300), icmp(ROUTER, ME, eight_bytes(syn(100))))
    assert capture.story == [("10.56.1.1", "syn", [1, 2], [("icmp:3/13", 0, 3)])]
    (exchange,) = capture.correlator.exchanges
    assert (exchange.evidence[0].responder, exchange.evidence[0].from_target) == (ROUTER, False)


def test_udp() -> None:
    probe, reply = udp(ME, 40000, TARGET, 561), udp(TARGET, 561, ME, 40000)
    capture = Capture(probe, probe, reply, icmp(TARGET, ME, probe, 3, 3))
    evidence = [("udp", 1, 3), ("icmp:3/3", 1, 4)]
    assert capture.story == [("10.56.1.1", "udp", [1, 2], evidence)]
    assert Capture(udp(ME, 40000, TARGET, 562), udp(TARGET, 562, ME, 40000)).story == []


def test_only_what_was_on_its_way_to_a_source_is_heard() -> None:
    capture = Capture(syn(100))
    assert not capture.correlator.hears(ME)
    capture.correlator.add(tcp(STRANGER, 80, ME, 5000, S | A), 200.0, 2)
    assert capture.correlator.hears(ME)
    assert not capture.correlator.hears(STRANGER)
