"""Every case in `captures/`: what is expected of it is found in it, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rawscan.analysis import analyse
from rawscan.output.records import finding_record
from rawscan.ports import parse_ports

CASES = sorted(
    path.parent for path in (Path(__file__).parents[1] / "captures").glob("*/capture.pcapng")
)


def test_there_are_cases() -> None:
    assert CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path) -> None:
    expected = [json.loads(line) for line in (case / "expected.jsonl").read_text().splitlines()]
    analysis = analyse(case / "capture.pcapng", parse_ports("561"))
    found = [finding_record(finding, case.name) for finding in analysis.findings]
    assert sorted(map(_key, found)) == sorted(map(_key, expected))
    by_key = {_key(record): record for record in found}
    for record in expected:
        same = {name: by_key[_key(record)][name] for name in record}
        assert same == record


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_is_whole(case: Path) -> None:
    assert {"README.md", "make.py", "capture.pcapng"} <= {path.name for path in case.iterdir()}


def _key(record: dict[str, Any]) -> tuple[str, str]:
    return record["target"], record["protocol"]
