"""Every rule can be reached: a case, an explanation, a question, and a lesson or the reference."""

from __future__ import annotations

import json

import pytest

from rawscan.model import ReplyKind
from rawscan.rules import RULES, Rule
from rawscan.teach.case import Case, example_of
from rawscan.teach.explanation import explain_rule
from rawscan.teach.lesson import Run, lessons
from rawscan.teach.quiz import bank
from rawscan.teach.shelf import capture_of
from rawscan.teach.site import stories_of
from tests.teach.shared import CAPTURES, ROOT

REFERENCE = (ROOT / "docs" / "rules.md").read_text()


def cases_of(rule: Rule) -> list[dict[str, str]]:
    lines = (CAPTURES / "rules" / "expected.jsonl").read_text().splitlines()
    return [case for case in map(json.loads, lines) if case["row"] == rule.id]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_is_reached(rule: Rule) -> None:
    cases = cases_of(rule)
    assert cases
    if rule.reply is not ReplyKind.SEND_FAILED:
        assert capture_of(rule) is not None
        assert example_of(rule) is not None
    explanation = explain_rule(rule, example_of(rule))
    assert explanation.otherwise
    items = " ".join(question.item for question in bank())
    for case in cases:
        assert f"{case['capture']}:{case['target']}:561/{case['probe']}" in items
    assert f"`{rule.id}`" in REFERENCE


def test_lessons_show_much_of_the_table() -> None:
    seen: set[str] = set()
    for lesson in lessons():
        stories: dict[int, list[Case]] = stories_of(lesson)
        seen |= lesson.rules | {case.rule.id for cases in stories.values() for case in cases}
        assert any(isinstance(step, Run) for step in lesson.steps) or lesson.rules
    assert len(seen) > 25
    states = {rule.state for rule in RULES if rule.id in seen}
    assert states >= {rule.state for rule in RULES}
