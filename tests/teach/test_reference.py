"""References to one port of a file: how they are written, and what a slip of the pen gets."""

from __future__ import annotations

import json
from ipaddress import ip_address
from pathlib import Path

import pytest

from rawscan.errors import CaptureError, UsageError
from rawscan.model import ProbeKind, Protocol
from rawscan.rules import BY_ID
from rawscan.teach.reference import Reference, find, parse_reference
from tests.teach.shared import CAPTURES
from tests.teach.test_explanation import record

LAB = CAPTURES / "lab-basic" / "capture.pcapng"


@pytest.mark.parametrize(
    ("written", "target", "port", "protocol", "kind"),
    [
        ("10.0.0.5:561/tcp", "10.0.0.5", 561, Protocol.TCP, None),
        ("10.0.0.5:561", "10.0.0.5", 561, None, None),
        ("10.0.0.5:80/ack", "10.0.0.5", 80, None, ProbeKind.ACK),
        ("10.0.0.5:53/udp", "10.0.0.5", 53, Protocol.UDP, None),
        ("[fd56:1::11]:561/udp", "fd56:1::11", 561, Protocol.UDP, None),
        ("fd56:1::11:561/udp", "fd56:1::11", 561, Protocol.UDP, None),
        ("[::1]:561/tcp", "::1", 561, Protocol.TCP, None),
    ],
)
@pytest.mark.parametrize("name", ["out.jsonl", "a:b.jsonl", "with [brackets].jsonl"])
def test_forms(
    name: str, written: str, target: str, port: int, protocol: Protocol | None,
    kind: ProbeKind | None, tmp_path: Path,
) -> None:  # fmt: skip
    path = tmp_path / name
    path.write_text("")
    wanted = Reference(path, ip_address(target), port, protocol, kind)
    assert parse_reference(f"{path}:{written}") == wanted


@pytest.mark.parametrize("text", ["filtered", "icmp:3/13", "icmp6:1/4", "x:y:z", "a:561", ""])
def test_what_is_none(text: str) -> None:
    assert parse_reference(text) is None


def test_what_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nosuch.jsonl: there is no such file"):
        parse_reference("nosuch.jsonl:10.0.0.5:561/tcp")
    path = tmp_path / "x.jsonl"
    path.write_text("")
    for end in ("561/icmp", "65536/tcp", "561/"):
        with pytest.raises(UsageError, match="is no port; right would be"):
            parse_reference(f"{path}:10.0.0.5:{end}")


def lookup(text: str) -> list[str]:
    reference = parse_reference(text)
    assert reference is not None
    return [case.rule.id for case in find(reference)]


def test_a_port_of_a_capture() -> None:
    assert lookup(f"{LAB}:10.56.1.11:561/tcp") == ["syn-rst"]
    assert lookup(f"{LAB}:[fd56:1::32]:561/udp") == ["udp-port-unreach-v6-other"]
    assert sorted(lookup(f"{LAB}:10.56.1.11:561")) == ["syn-rst", "udp-port-unreach"]
    with pytest.raises(UsageError, match=r"no verdict on port 561/tcp of 10.9.9.9; it has 10.56"):
        lookup(f"{LAB}:10.9.9.9:561/tcp")


def test_the_last_record_of_a_port_counts(tmp_path: Path) -> None:
    rows = [record(BY_ID["syn-no-response"]), record(BY_ID["syn-rst"], revises="filtered")]
    path = tmp_path / "out.jsonl"
    path.write_text('{"type":"scan"}\n' + "".join(json.dumps(row) + "\n" for row in rows))
    assert lookup(f"{path}:10.0.0.5:561/tcp") == ["syn-rst"]
    array = tmp_path / "out.json"
    array.write_text(json.dumps(rows))
    assert lookup(f"{array}:10.0.0.5:561/tcp") == ["syn-rst"]
    with pytest.raises(UsageError, match=r"no verdict on port 561/udp of 10.0.0.5"):
        lookup(f"{path}:10.0.0.5:561/udp")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"rule": "syn-of-tomorrow"}, "KeyError"),
        ({"tries": None}, "TypeError"),
        ({"state": "open"}, "says open reset, but its rule syn-rst gives closed reset"),
    ],
)
def test_a_record_that_cannot_be(
    changes: dict[str, object], complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text(json.dumps(record(BY_ID["syn-rst"], **changes)) + "\n")
    with pytest.raises(UsageError, match=complaint):
        lookup(f"{path}:10.0.0.5:561/tcp")


def test_a_file_that_is_neither(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("{ not json\n")
    with pytest.raises(UsageError, match="is no file of records"):
        lookup(f"{path}:10.0.0.5:561/tcp")
    path.write_text("neither")
    with pytest.raises(CaptureError):
        lookup(f"{path}:10.0.0.5:561/tcp")
