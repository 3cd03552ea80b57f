"""What each packet counts as: a probe, an answer, backscatter, or none of it."""

from __future__ import annotations

from typing import Any

import pytest

from rawscan.analysis import analyse
from rawscan.findings import Traffic
from rawscan.model import Flags, Packet
from rawscan.ports import parse_ports
from rawscan.traffic import TrafficObserver
from tests.packets import ME, ROUTER, TARGET, A, F, R, S, icmp, tcp, udp
from tests.test_analysis import DIFFERING, ROWS, SHARED, needs_captures


def traffic(*packets: Packet) -> Traffic:
    observer = TrafficObserver(parse_ports("561"))
    for number, packet in enumerate(packets, start=1):
        observer.add(packet, 1.7e9 + number, number)
    return observer.finish({})


def to(flags: Flags, sport: int = 40000, seq: int = 0) -> Packet:
    return tcp(ME, sport, TARGET, 561, flags, seq)


def back(flags: Flags, sport: int = 40000) -> Packet:
    return tcp(TARGET, 561, ME, sport, flags)


@pytest.mark.parametrize(
    ("packets", "probes"),
    [
        ((to(S), to(S)), 2),  # a retry is a probe
        ((to(S), back(S | A), to(A), to(F | A)), 1),
        ((to(S), to(A), to(A)), 1),  # a handshake, seen from one side
        ((to(S), to(R)), 1),
        ((to(R),), 0),
        ((to(F), to(Flags(0), sport=2), to(Flags(0x29), sport=3)), 3),
        ((to(A), back(R)), 1),
        ((to(S), back(R | A), to(S, seq=9)), 2),
        ((udp(ME, 5000, TARGET, 561), udp(ME, 5000, TARGET, 561)), 2),
        ((udp(ME, 5000, TARGET, 561), udp(TARGET, 561, ME, 5000), udp(ME, 5000, TARGET, 561)), 1),
        # 561 as the client's own port.
        ((tcp(TARGET, 561, ME, 80, S), tcp(ME, 80, TARGET, 561, S | A)), 0),
    ],
)
def test_what_is_a_probe(packets: tuple[Packet, ...], probes: int) -> None:
    assert sum(source.probes for source in traffic(*packets).sources) == probes


def scattered(*packets: Packet) -> list[tuple[str, int]]:
    return [(found.kind, found.packets) for found in traffic(*packets).backscatter]


PORTS = range(40000, 40005)


def to_others(flags: Flags) -> list[Packet]:
    """Answers to five addresses."""
    return [tcp(TARGET, 561, type(ME)(int(ME) + n), 7, flags) for n in range(5)]


def test_what_is_backscatter() -> None:
    assert scattered(*to_others(S | A)) == [("syn-ack", 5)]
    assert scattered(*to_others(R | A)) == [("rst", 5)]
    assert scattered(*to_others(A)) == []
    assert scattered(*(back(R, sport) for sport in PORTS)) == []  # to one host only


def test_an_answer_to_a_probe_that_was_seen_is_none() -> None:
    probes = [tcp(type(ME)(int(ME) + n), 7, TARGET, 561, S) for n in range(5)]
    assert scattered(*probes, *to_others(S | A), *to_others(R)) == []


def test_errors() -> None:
    quoted = [udp(type(ME)(int(ME) + n), 7, TARGET, 561) for n in range(5)]
    errors = [icmp(ROUTER, packet.source, packet) for packet in quoted]
    assert scattered(*errors) == [("icmp", 5)]
    (found,) = traffic(*errors).backscatter
    assert found.victim == TARGET  # not the router
    assert scattered(*quoted, *errors) == []
    # About what came *from* port 561: nothing to do with it.
    outward = [udp(TARGET, 561, type(ME)(int(ME) + n), 7) for n in range(5)]
    assert scattered(*(icmp(ROUTER, TARGET, packet) for packet in outward)) == []


def test_kinds_of_frames_over_time() -> None:
    found = traffic(
        to(S), back(S | A), to(A), back(A), to(R), to(S, 2), back(R, 2),
        udp(ME, 5000, TARGET, 561), udp(TARGET, 561, ME, 5000), icmp(ROUTER, ME, to(S)),
    ).activity  # fmt: skip
    assert found is not None
    assert {kind: sum(counts) for kind, counts in found.counts.items()} == {
        "syn": 2, "syn-ack": 1, "tcp": 2, "tcp-reply": 1, "rst": 1, "udp": 1, "udp-reply": 1,
        "icmp": 1,
    }  # fmt: skip


@needs_captures
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['path']}:{row['port']}")
def test_sources_and_destinations_are_tsharks(row: dict[str, Any]) -> None:
    """Each of these captures has one source an address family, and so no destination twice."""
    sources = analyse(SHARED / row["path"], parse_ports(str(row["port"]))).traffic.sources
    agrees = (len(sources), sum(s.targets for s in sources)) == (
        row["sources"],
        row["destinations"],
    )
    # That one differs in flags only, and a probe needs none.
    looked_into = row["path"] not in DIFFERING or row["path"] == "scans/snap48_eth.pcap"
    assert agrees == looked_into
