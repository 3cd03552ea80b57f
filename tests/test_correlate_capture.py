"""Which reply answers which probe in a capture: it must acknowledge a probe seen before it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rawscan.correlate import (
    _REMEMBERED_OF_ONE,
    _REMEMBERED_REPLIES,
    CaptureCorrelator,
)
from rawscan.hearing import _REMEMBERED_FLOWS
from rawscan.model import (
    Flags,
    IPAddress,
    Packet,
    Tcp,
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


def test_only_an_answer_to_a_source_is_heard() -> None:
    capture = Capture(syn(100))
    assert not capture.correlator.hearing.hears(ME)
    # Somebody talks to the prober, as in a capture of what comes in: no answer, so no proof.
    capture.correlator.add(tcp(STRANGER, 80, ME, 5000, S | A), 200.0, 2)
    assert not capture.correlator.hearing.hears(ME)
    capture.correlator.add(back(A, 7), 201.0, 3)
    assert capture.correlator.hearing.hears(ME)
    assert not capture.correlator.hearing.hears(STRANGER)


def test_an_icmp_error_that_quotes_a_packet_of_the_source_is_heard() -> None:
    sent = udp(ME, 5353, STRANGER, 53)
    assert Capture(sent, icmp(ROUTER, ME, sent)).correlator.hearing.hears(ME)
    # Nobody has seen that packet; and here somebody else is told of it.
    assert not Capture(icmp(ROUTER, ME, sent)).correlator.hearing.hears(ME)
    assert not Capture(sent, icmp(ROUTER, STRANGER, sent)).correlator.hearing.hears(ME)


def test_what_a_host_says_to_itself_proves_nothing_but_on_loopback() -> None:
    sent = udp(ME, 5353, STRANGER, 53)
    assert not Capture(sent, icmp(ME, ME, sent, 3, 1)).correlator.hearing.hears(ME)
    mirror = udp(ME, 53, ME, 53)
    assert not Capture(mirror, mirror).correlator.hearing.hears(ME)
    local = udp(ME, 5353, ME, 53)
    assert Capture(local, icmp(ME, ME, local, 3, 3)).correlator.hearing.hears(ME)


def test_memory_of_who_said_what_is_bounded() -> None:
    capture = Capture()
    old, new = udp(ME, 5353, STRANGER, 53), udp(ME, 5354, STRANGER, 53)
    for number in range(_REMEMBERED_FLOWS + 1):
        flow = udp(ME, number % 65536, TARGET if number < 65536 else ROUTER, 53)
        capture.correlator.add(old if number == 0 else flow, 100.0, number + 1)
    capture.correlator.add(new, 100.0, 0)
    capture.correlator.add(udp(STRANGER, 53, ME, 5353), 100.0, 0)
    assert not capture.correlator.hearing.hears(ME)
    capture.correlator.add(udp(STRANGER, 53, ME, 5354), 100.0, 0)
    assert capture.correlator.hearing.hears(ME)


def test_an_error_delivered_to_somebody_else_is_no_evidence() -> None:
    capture = Capture(syn(100), icmp(TARGET, STRANGER, syn(100)))
    assert (capture.taken, capture.story) == ([True, False], [("10.56.1.1", "syn", [1], [])])


def at(*packets: tuple[float, Packet]) -> Capture:
    """A capture with these times, in the order of its file."""
    capture = Capture()
    for number, (time_s, packet) in enumerate(packets, start=1):
        capture.correlator.add(packet, time_s, number)
    return capture


def test_file_order_swapped_and_time_right() -> None:
    capture = at((5.001, back(S | A, 101)), (5.0, syn(100)))
    assert capture.story == [("10.56.1.1", "syn", [2], [("syn-ack", 0, 1)])]
    (exchange,) = capture.correlator.exchanges
    assert exchange.evidence[0].rtt_s == pytest.approx(0.001)
    assert capture.correlator.hearing.hears(ME)
    probe = udp(ME, 40000, TARGET, 561)
    for reply, said in (
        (udp(TARGET, 561, ME, 40000), "udp"),
        (icmp(ROUTER, ME, probe), "icmp:3/13"),
    ):
        story = at((5.001, reply), (5.0, probe), (6.0, probe)).story
        assert story == [("10.56.1.1", "udp", [2, 3], [(said, 0, 1)])]


@pytest.mark.parametrize(
    ("reply_s", "probe_s"),
    [(5.0, 5.001), (6.1, 5.0), (0.0, 0.0)],
    ids=["before", "late", "no time"],
)
def test_what_stands_before_the_probe_and_is_not_its_answer(reply_s: float, probe_s: float) -> None:
    story = at((reply_s, back(S | A, 101)), (probe_s, syn(100))).story
    assert story == [("10.56.1.1", "syn", [2], [])]


def test_replies_are_not_kept_for_long_nor_in_any_number() -> None:
    early = (5.0, back(S | A, 101))
    others = [(5.0, back(S | A, 101, sport=n)) for n in range(_REMEMBERED_REPLIES)]
    assert at(early, *others[1:], (5.0, syn(100))).story[0][3] != []
    assert at(early, *others, (5.0, syn(100))).story[0][3] == []
    same = [(5.0, back(S | A, 7))] * _REMEMBERED_OF_ONE
    assert at(early, *same[1:], (5.0, syn(100))).story[0][3] != []
    assert at(early, *same, (5.0, syn(100))).story[0][3] == []
    assert at(early, (6.1, back(S | A, 9, sport=9)), (5.0, syn(100))).story[0][3] == []


def test_a_reply_answers_the_last_try_before_it_by_the_clock() -> None:
    capture = at((1.0, syn(100)), (3.0, syn(100)), (2.0, back(R | A, 101)), (4.0, back(S | A, 101)))
    story = [("10.56.1.1", "syn", [1, 2], [("rst", 0, 3), ("syn-ack", 1, 4)])]
    assert capture.story == story
    # A clock that was set back leaves the order of the file.
    back_then = at((10.0, syn(100)), (12.0, syn(100)), (2.0, back(R | A, 101)))
    assert back_then.story == [("10.56.1.1", "syn", [1, 2], [("rst", 1, 3)])]


def hang_up(seq: int = 101, window: int | None = 0, flags: Flags = R) -> Packet:
    packet = tcp(ME, 40000, TARGET, 561, flags, seq)
    assert isinstance(packet.body, Tcp)
    return replace(packet, body=replace(packet.body, window=window))


@pytest.mark.parametrize(
    ("packets", "missed"),
    [
        ((syn(100), hang_up()), True),
        ((syn(100), hang_up(window=None)), True),
        ((syn(0xFFFF_FFFF), hang_up(0)), True),
        ((syn(100), syn(300), hang_up(101)), True),
        ((syn(100), back(S | A, 101), hang_up()), False),
        ((syn(100), back(A, 101), hang_up()), False),
        ((syn(100), hang_up(100)), False),
        ((syn(100), hang_up(102)), False),
        ((syn(100), hang_up(window=1024)), False),
        ((syn(100), hang_up(flags=A)), False),
        ((syn(100), icmp(ROUTER, ME, syn(100)), hang_up()), True),
    ],
)
def test_who_hangs_up_had_an_answer(packets: tuple[Packet, ...], missed: bool) -> None:
    (exchange,) = Capture(*packets).correlator.exchanges
    assert bool(exchange.unseen) == missed
