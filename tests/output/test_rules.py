"""The rule table for people: nothing of a rule is lost on the way to the terminal."""

from __future__ import annotations

import io

import pytest

from rawscan.output.rules import rule_table, rule_text
from rawscan.rules import BY_ID, RULES, Rule


def table(rules: list[Rule], width: int) -> list[str]:
    stream = io.StringIO()
    rule_table(rules, stream, width)
    return stream.getvalue().splitlines()


def text(rule: Rule) -> str:
    stream = io.StringIO()
    rule_text(rule, stream, 160)
    return stream.getvalue()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_one_rule_in_full(rule: Rule) -> None:
    words = " ".join(text(rule).split())
    assert words.startswith(rule.id)
    sender = {True: "the target", False: "anybody else", None: "anybody"}[rule.from_target]
    assert f"probe {rule.probe.value} " in words
    assert f"reply {rule.signal}, from {sender} " in words
    assert f"state {rule.state.value if rule.state else '(a hint only)'} " in words
    assert f"reason {rule.reason} why {rule.why} source " in words
    assert words.endswith(rule.section if rule.rfc else "no RFC speaks of it")
    assert rule.rfc in words


def test_sections_are_named_as_what_they_are() -> None:
    assert "RFC 9293, section 3.5.2" in text(BY_ID["syn-rst"])
    assert "RFC 768, Fields" in text(BY_ID["udp-response"])


def test_wide_and_less_wide() -> None:
    rules = [BY_ID["syn-rst"], BY_ID["udp-port-unreach-other"]]
    wide, less = table(rules, 160), table(rules, 90)
    assert wide[0].split() == ["RULE", "PROBE", "REPLY", "FROM", "STATE", "REASON", "WHY", "RFC"]
    assert less[0].split() == ["RULE", "PROBE", "REPLY", "FROM", "STATE", "REASON"]
    assert max(map(len, less)) <= 90
    for line in (wide[1], less[1]):
        assert line.split()[:3] == ["syn-rst", "syn", "rst"]


@pytest.mark.parametrize("width", [40, 60, 80, 89])
def test_where_columns_do_not_fit_each_rule_is_a_record(width: int) -> None:
    lines = table(list(RULES), width)
    assert [line for line in lines if not line.startswith(" ")] == [rule.id for rule in RULES]
    assert max(map(len, lines)) <= width
    assert lines == [line.rstrip() for line in lines]
    shown = " ".join(" ".join(lines).split())
    for rule in RULES:
        assert f"reason {rule.reason} why {rule.why} source " in shown


def test_every_rule_has_its_line() -> None:
    starts = [line.split()[0] for line in table(list(RULES), 250)[1:]]
    assert [start for start in starts if start in BY_ID] == [rule.id for rule in RULES]
