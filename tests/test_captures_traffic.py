"""Every case in `captures/` that is a plain pcap: the records expected of it, and no others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rawscan.analysis import analyse
from rawscan.output.records import analysis_records
from rawscan.ports import parse_ports

CASES = sorted(
    path.parent for path in (Path(__file__).parents[1] / "captures").glob("*/capture.pcap")
)


def test_there_are_cases() -> None:
    names = {case.name for case in CASES}
    assert {"one-way", "history", "sessions", "backscatter", "block", "tools"} <= names


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path) -> None:
    """Of each type of record that is expected, all are there, each once, and nothing else."""
    expected = [json.loads(line) for line in (case / "expected.jsonl").read_text().splitlines()]
    ports = parse_ports((case / "ports").read_text().strip())
    found = list(analysis_records(analyse(case / "capture.pcap", ports)))
    for kind in {record["type"] for record in expected}:
        wanted = [record for record in expected if record["type"] == kind]
        rest = [record for record in found if record["type"] == kind]
        for record in wanted:
            match = _closest(record, rest)
            assert {name: match[name] for name in record} == record
            rest.remove(match)
        assert rest == []


def _closest(record: dict[str, Any], found: list[dict[str, Any]]) -> dict[str, Any]:
    """The one that has most in common, so that a failure shows what differs."""
    return max(found, key=lambda other: sum(other[name] == record[name] for name in record))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_is_whole(case: Path) -> None:
    names = {"README.md", "make.py", "capture.pcap", "expected.jsonl", "ports"}
    assert names <= {path.name for path in case.iterdir()}
