"""Marks of tools: chance hits, mixtures and near misses. The formulas are in captures/tools."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from random import Random

import pytest

from rawscan.capture.reader import open_capture
from rawscan.fingerprint import MARKS, SEVERAL, recognise
from rawscan.model import Flags, IPAddress, Packet, Tcp
from rawscan.wire.decode import decode_frame

TOOLS = Path(__file__).parents[1] / "captures" / "tools"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "captures"
needs_captures = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no captures at {SHARED}")


def probes_of(path: Path, port: int | None = 561) -> dict[IPAddress, list[Packet]]:
    """What each source sent to the port that is no RST and no answer."""
    by_source = defaultdict(list)
    with open_capture(path) as reader:
        for frame in reader:
            try:
                packet = decode_frame(frame)
            except Exception:  # whatever else is in there is no probe
                continue
            match packet.body:
                case Tcp(dport=dport, flags=flags) if flags is not None and not flags & Flags.RST:
                    answer = flags & Flags.SYN and flags & Flags.ACK
                    if port in (None, dport) and not answer:
                        by_source[packet.source].append(packet)
    return by_source


CASE = {str(source): found for source, found in probes_of(TOOLS / "capture.pcap").items()}
NAMES = {
    record["address"]: record["tool"]
    for record in map(json.loads, (TOOLS / "expected.jsonl").read_text().splitlines())
}


@pytest.mark.parametrize("source", CASE)
def test_tools_by_the_formula_in_their_source(source: str) -> None:
    found = recognise(CASE[source])
    assert (found and found[0]) == NAMES[source]
    if found:
        assert found[1].startswith("8 of 8 probes: ")


@pytest.mark.parametrize("source", [source for source, tool in NAMES.items() if tool])
def test_a_few_are_too_few_and_copies_are_no_more(source: str) -> None:
    few = CASE[source][: SEVERAL - 1]
    assert recognise(few * 9) is None
    assert recognise(CASE[source][:SEVERAL]) is not None


@pytest.mark.parametrize("source", [source for source, tool in NAMES.items() if tool])
def test_among_as_many_others_a_mark_is_chance(source: str) -> None:
    assert recognise([*CASE[source], *CASE["10.9.0.9"]]) is None


def test_every_mark_has_its_case_and_its_source() -> None:
    assert {mark.tool for mark in MARKS} == set(NAMES.values()) - {None}
    assert all(mark.source and mark.what for mark in MARKS)


def change(packet: Packet, **fields: object) -> Packet:
    of_packet = {k: v for k, v in fields.items() if k in ("ttl", "identification", "dont_fragment")}
    of_tcp = {k: v for k, v in fields.items() if k not in of_packet}
    assert isinstance(packet.body, Tcp)
    return replace(packet, body=replace(packet.body, **of_tcp), **of_packet)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "fields"),
    [
        ("10.9.0.1", {"ttl": 60}),
        ("10.9.0.1", {"dont_fragment": True}),
        ("10.9.0.1", {"identification": 54321}),
        ("10.9.0.2", {"window": 1024}),
        ("10.9.0.3", {"ttl": 128}),  # Windows sends the same options
        ("10.9.0.3", {"sport": 1024}),
        ("10.9.0.5", {"ttl": 64}),
        ("10.9.0.5", {"options": b""}),
        ("10.9.0.5", {"dont_fragment": True}),
        ("10.9.0.6", {"ack": 0}),
        ("10.9.0.6", {"window": 1024}),
        ("10.9.0.8", {"window": 64240}),
    ],
)
def test_near_misses(source: str, fields: dict[str, object]) -> None:
    assert recognise([change(packet, **fields) for packet in CASE[source]]) is None


def test_numbers_at_random_are_nobodys() -> None:
    random = Random(1)
    packets = [
        change(packet, seq=random.getrandbits(32), options=b"\x02\x04\x05\xb4")
        for packet in CASE["10.9.0.7"] * 50
    ]
    assert recognise(packets) is None


@needs_captures
@pytest.mark.parametrize(
    ("name", "port", "tool"),
    [
        ("scans/masscan_tcp.pcap", 561, "masscan"),
        ("scans/nmap_sS.pcap", 561, "nmap"),
        ("scans/nmap_sA.pcap", 561, "nmap"),
        ("scans/nmap_sF.pcap", 561, "nmap"),
        ("scans/hping_S.pcap", 561, "hping"),
        ("scans/session_tcp.pcap", 561, None),
        ("scans/nmap_6_sS.pcap", 561, None),  # two probes
        ("public/test7-malicious.pcap", 23, None),  # a program's own connections
        ("public/synscan.pcapng", None, "nmap"),
    ],
)
def test_real_captures(name: str, port: int | None, tool: str | None) -> None:
    by_source = probes_of(SHARED / name, port)
    busiest = max(by_source, key=lambda source: len(by_source[source]))
    found = recognise(by_source[busiest])
    assert (found and found[0]) == tool


def test_no_packets_no_tool() -> None:
    assert recognise([]) is None
    one, other = ip_address("10.0.0.1"), ip_address("10.0.0.2")
    assert recognise([Packet(one, other, 64, Tcp(1, 2))] * 9) is None  # flags cut off
