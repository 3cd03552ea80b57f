"""Records say all that a verdict or an analysis holds, in the form that other programs read."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address

import pytest

from rawscan.findings import Analysis, Finding
from rawscan.model import (
    Counts,
    Evidence,
    Port,
    ProbeKind,
    ReplyKind,
    Signal,
    State,
    Verdict,
)
from rawscan.output.records import capture_record, finding_record, port_record, rfc3339, to_line

TARGET, ROUTER = ip_address("10.0.0.5"), ip_address("10.0.0.254")
T = 1_700_000_000.0
VERDICT = Verdict(
    port=Port(TARGET, 561, ProbeKind.SYN),
    state=State.FILTERED,
    reason="admin-prohibited",
    rule="syn-admin-prohibited",
    tries=3,
    confidence=1.0,
    time_s=T,
    reason_ip=ROUTER,
    reason_ttl=63,
    rtt_s=0.0004567,
    hints=("a", "b"),
    evidence=(
        Evidence(Signal(ReplyKind.ICMP, 3, 13), ROUTER, False, T, frame_number=7),
        Evidence(Signal(ReplyKind.SILENCE), None, False, T),
    ),
)
SILENT = Verdict(Port(TARGET, 561, ProbeKind.UDP), State.OPEN_FILTERED, "no-response",
                 "udp-no-response", 7, 0.99996, T)  # fmt: skip


@pytest.mark.parametrize(
    ("time_s", "text"),
    [
        (T, "2023-11-14T22:13:20.000000Z"),
        (T + 0.123456, "2023-11-14T22:13:20.123456Z"),
        (1.5, "1970-01-01T00:00:01.500000Z"),
        (0.0, None),  # how a frame without a time says so
        (None, None),
    ],
)
def test_times_are_rfc_3339_in_utc(time_s: float | None, text: str | None) -> None:
    assert rfc3339(time_s) == text


def test_port_record_of_a_reply() -> None:
    assert port_record(VERDICT) == {
        "type": "port",
        "target": "10.0.0.5",
        "port": 561,
        "protocol": "tcp",
        "probe": "syn",
        "state": "filtered",
        "reason": "admin-prohibited",
        "reason_ip": "10.0.0.254",
        "reason_ttl": 63,
        "rtt_ms": 0.457,
        "tries": 3,
        "confidence": 1.0,
        "rule": "syn-admin-prohibited",
        "hints": ["a", "b"],
        "time": "2023-11-14T22:13:20.000000Z",
        "revises": None,
    }
    assert next(iter(port_record(VERDICT))) == "type"


def test_port_record_of_silence_has_nulls() -> None:
    record = port_record(SILENT)
    assert list(record) == list(port_record(VERDICT))
    assert [record[name] for name in ("reason_ip", "reason_ttl", "rtt_ms")] == [None] * 3
    assert (record["protocol"], record["confidence"]) == ("udp", 0.99996)


def test_an_rtt_of_nothing_is_not_an_unknown_one() -> None:
    assert port_record(replace(VERDICT, rtt_s=0.0))["rtt_ms"] == 0.0


def test_finding_record_adds_where_it_was_seen() -> None:
    finding = Finding(VERDICT, ip_address("10.0.0.1"), T, T + 1, (3, 5))
    record = finding_record(finding, "a.pcap")
    assert record == port_record(VERDICT) | {
        "source": "10.0.0.1",
        "first_seen": "2023-11-14T22:13:20.000000Z",
        "last_seen": "2023-11-14T22:13:21.000000Z",
        "capture": "a.pcap",
        "frames": [7],  # silence has none
        "probe_frames": [3, 5],
        "history": [],
        "history_text": "",
        "protocols": None,  # nobody asked tshark
        "expert": None,
    }


def test_capture_record() -> None:
    counts = Counts(tcp_to=1, tcp_from=2, udp_to=3, udp_from=4, syn=5, syn_ack=6, rst=7)
    counts.icmp["3/3"] += 8
    counts.icmp6["1/4"] += 9
    analysis = Analysis(
        path="a.pcap", format="pcap", linktypes=(1, 101), packets=10, bytes=11, matched=12,
        first_s=T, last_s=None, truncated=True, error="cut short", error_offset=13, counts=counts,
        undecoded=Counter({"empty packet": 2}), findings=(), own=False,
    )  # fmt: skip
    record = capture_record(analysis)
    assert record == {
        "type": "capture",
        "path": "a.pcap",
        "format": "pcap",
        "linktypes": [1, 101],
        "packets": 10,
        "bytes": 11,
        "matched": 12,
        "first": "2023-11-14T22:13:20.000000Z",
        "last": None,
        "truncated": True,
        "error": "cut short",
        "counts": {
            "tcp_to": 1, "tcp_from": 2, "udp_to": 3, "udp_from": 4, "syn": 5, "syn_ack": 6,
            "rst": 7, "icmp": {"3/3": 8}, "icmp6": {"1/4": 9},
        },
        "undecoded": {"empty packet": 2},
        "own": False,
        "conn_states": {},
        "sources_left_out": 0,
        "activity": None,
        "dissect_error": None,
    }  # fmt: skip
    assert json.loads(to_line(record)) == record


def test_a_line_is_one_line() -> None:
    line = to_line({"type": "x", "text": "two\nlines, h\u00e9", "none": None})
    assert line == '{"type":"x","text":"two\\nlines, h\u00e9","none":null}'
