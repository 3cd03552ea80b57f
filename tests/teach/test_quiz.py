"""Quizzes: every rule can be asked about, a seed asks the same again, answers are the rules'."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rawscan.errors import UsageError
from rawscan.model import ProbeKind, State
from rawscan.rules import RULES
from rawscan.teach.quiz import bank, choose, digest, states_of
from tests.teach.shared import CAPTURES


def test_there_is_a_question_for_every_rule() -> None:
    questions = bank()
    expected = [json.loads(x) for x in (CAPTURES / "rules/expected.jsonl").read_text().splitlines()]
    asked = {question.item.partition(" ")[0] for question in questions}
    for case in expected:  # the README of these cases says which row each file shows
        assert f"rules/{case['capture']}:{case['target']}:561/{case['probe']}" in asked
    assert {rule.id for rule in RULES if rule.state} == {q.rule for q in questions}
    assert len({question.item for question in questions}) == len(questions)


def test_the_right_answer_is_always_among_the_choices() -> None:
    for question in bank():
        assert question.answer in question.choices
        assert len(question.choices) >= 3


def test_choices_are_the_states_that_the_probe_can_give() -> None:
    assert states_of(ProbeKind.ACK) == (State.FILTERED, State.UNFILTERED, State.UNKNOWN)
    assert State.UNFILTERED not in states_of(ProbeKind.SYN)
    assert State.OPEN_FILTERED in states_of(ProbeKind.UDP)


def test_a_seed_asks_the_same_again_and_another_one_others() -> None:
    questions = bank()
    items = [[q.item for q in choose(questions, seed, 12)] for seed in ("a", "a", "b")]
    assert items[0] == items[1] != items[2]
    assert len(set(items[0])) == 12


def test_a_short_quiz_has_every_state_in_it() -> None:
    questions = bank()
    states = {question.answer for question in questions}
    assert {q.answer for q in choose(questions, "x", len(states))} == states
    rules = [q.rule for q in choose(questions, "x", 20)]
    assert len(set(rules)) > 15


def test_more_than_there_are() -> None:
    questions = bank([CAPTURES / "rules" / "syn-rst.pcapng"])
    assert len(choose(questions, "a", 50)) == len(questions) == 2


def test_a_capture_without_questions(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(UsageError, match=r"nothing to ask: .*empty.jsonl"):
        bank([empty])


def test_the_digest_tells_sets_apart_and_not_their_order() -> None:
    assert digest(["a", "b"]) == digest(["b", "a"]) != digest(["a", "c"])
