"""Every case in `captures/`: what is expected of it is found in it, and nothing else."""

from __future__ import annotations

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from rawscan.analysis import analyse
from rawscan.model import ReplyKind
from rawscan.output.records import finding_record
from rawscan.ports import parse_ports
from rawscan.rules import RULES, Rule

CAPTURES = Path(__file__).parents[1] / "captures"
CASES = sorted(path.parent for path in CAPTURES.glob("*/capture.pcapng"))
ROWS = CAPTURES / "rules"
"""One small capture for each row of the rule table."""


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
    names = {path.name for path in case.iterdir()}
    assert {"README.md", "make.py", "capture.pcapng", "expected.jsonl"} <= names


def _expected_rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ROWS / "expected.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_has_a_case_over_each_ip_version_that_it_speaks_of(rule: Rule) -> None:
    versions = {ReplyKind.ICMP: {4}, ReplyKind.ICMP6: {6}}.get(rule.reply, {4, 6})
    cases = [case for case in _expected_rows() if case["row"] == rule.id]
    assert {6 if ":" in case["target"] else 4 for case in cases} == versions


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_case_of_a_rule_is_judged_by_that_rule(rule: Rule) -> None:
    for case in (case for case in _expected_rows() if case["row"] == rule.id):
        path = ROWS / case["capture"]
        if rule.reply is ReplyKind.SEND_FAILED:  # in no capture: it never was on the wire
            records = [json.loads(line) for line in path.read_text().splitlines()]
        else:
            found = analyse(path, parse_ports("561")).findings
            records = [finding_record(finding, case["capture"]) for finding in found]
        wanted = case["target"], case["probe"]
        (record,) = (r for r in records if (r["target"], r["probe"]) == wanted)
        names = set(case) - {"row", "capture"}
        assert {name: record[name] for name in names} == {name: case[name] for name in names}
        assert record["rule"] == rule.id or rule.state is None


def test_no_capture_is_left_over() -> None:
    named = {case["capture"] for case in _expected_rows()}
    kept = {path.name for path in ROWS.iterdir() if path.suffix in (".pcap", ".pcapng")}
    assert kept == named - {"unsent.jsonl"}
    assert all(len(path.read_bytes()) < 8192 for path in ROWS.glob("*.pcap*"))


def test_the_cases_of_the_rules_come_out_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_from_file_location("make_rules", ROWS / "make.py")
    assert spec is not None
    assert spec.loader is not None
    made = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "make_rules", made)  # dataclasses look their module up
    spec.loader.exec_module(made)
    monkeypatch.setattr(made, "HERE", tmp_path)
    made.main()
    fresh = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {p.name for p in ROWS.iterdir()} - {"make.py", "README.md", "__pycache__"} == set(fresh)
    assert {name: (ROWS / name).read_bytes() for name in fresh} == fresh


def _key(record: dict[str, Any]) -> tuple[str, str]:
    return record["target"], record["probe"]
