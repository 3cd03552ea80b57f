"""The words of the field: their values are on the outside, and must not change by accident."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest

from rawscan.model import (
    DEFAULT_PORT,
    Flags,
    Port,
    ProbeKind,
    Protocol,
    ReplyKind,
    Signal,
    State,
    Verdict,
)

TARGET = ip_address("10.0.0.5")


def test_states_are_nmaps_and_unknown() -> None:
    words = "open closed filtered unfiltered open|filtered closed|filtered unknown"
    assert [state.value for state in State] == words.split()


def test_protocols_have_ianas_numbers() -> None:
    assert (Protocol.TCP.number, Protocol.UDP.number) == (socket.IPPROTO_TCP, socket.IPPROTO_UDP)
    assert (Protocol.TCP.value, Protocol.UDP.value) == ("tcp", "udp")
    assert DEFAULT_PORT == 561


@pytest.mark.parametrize("kind", ProbeKind)
def test_probes_travel_by_their_protocol(kind: ProbeKind) -> None:
    protocol = Protocol.UDP if kind is ProbeKind.UDP else Protocol.TCP
    assert kind.protocol is Port(TARGET, 561, kind).protocol is protocol


@pytest.mark.parametrize(
    ("signal", "text"),
    [
        (Signal(ReplyKind.RST), "rst"),
        (Signal(ReplyKind.SYN_ACK), "syn-ack"),
        (Signal(ReplyKind.SILENCE_ONE_WAY), "silence-one-way"),
        (Signal(ReplyKind.ICMP, 3, 13), "icmp:3/13"),
        (Signal(ReplyKind.ICMP6, 1, 4), "icmp6:1/4"),
        (Signal(ReplyKind.ICMP, 200, 201), "icmp:200/201"),  # unknown codes are values
    ],
)
def test_signals_in_words(signal: Signal, text: str) -> None:
    assert str(signal) == text


def test_flags_are_the_bits_on_the_wire() -> None:
    assert [flag.name for flag in Flags] == ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"]
    assert [flag.value for flag in Flags] == [1 << bit for bit in range(8)]


def test_a_claim_is_what_live_and_offline_must_agree_upon() -> None:
    port = Port(TARGET, 561, ProbeKind.SYN)
    verdict = Verdict(port, State.CLOSED, "reset", "syn-rst", 1, 1.0, 0.0, reason_ip=TARGET)
    assert verdict.claim == (State.CLOSED, "reset", TARGET)


def test_ports_sort_by_target_first() -> None:
    asked = [(TARGET + 1, 80), (TARGET, 561), (TARGET, 80)]
    ports = [Port(target, number, ProbeKind.SYN) for target, number in asked]
    expected = [(TARGET, 80), (TARGET, 561), (TARGET + 1, 80)]
    assert [(p.target, p.number) for p in sorted(ports)] == expected
