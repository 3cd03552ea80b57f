"""Results: whatever was changed in one after it was written is noticed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rawscan.lab.individual import word_of
from rawscan.teach.grading import bank_digest, duplicates, grade, result, seal
from rawscan.teach.quiz import Question, bank, for_student

TIMES = ("2026-11-24T08:00:00.000000Z", "2026-11-24T08:12:30.000000Z")


@pytest.fixture(scope="module")
def every() -> list[Question]:
    return bank()


def taken(every: list[Question], wrong: int = 2, student: str = "Ada L.") -> dict[str, Any]:
    questions = for_student(word_of(student, "2b"), 9, every)
    answers = [question.answer.value for question in questions]
    answers[:wrong] = ["none of these"] * wrong
    return result(student, "2b", questions, answers, TIMES, bank_digest(every))


def test_an_honest_result(every: list[Question]) -> None:
    found = grade(json.dumps(taken(every)), every)
    assert (found.student, found.right, found.count, found.minutes) == ("Ada L.", 7, 9, 12.5)
    assert found.remarks == ()


def test_a_third_is_about_the_lab_of_ones_own(every: list[Question]) -> None:
    items = [question.item for question in for_student("2b/ada l.", 9, every)]
    assert [item.startswith("lab:") for item in items] == [False] * 6 + [True] * 3


@pytest.mark.parametrize(
    "change",
    [
        {"right": 9}, {"student": "Bob"}, {"class": "2c"}, {"started": "2026-11-24T07:00:00Z"},
        {"count": 7}, {"bank": "0"}, {"seal": "0"},
    ],
    ids=str,
)  # fmt: skip
def test_every_change_is_noticed(change: dict[str, Any], every: list[Question]) -> None:
    found = grade(json.dumps(taken(every) | change), every)
    assert "changed after it was written" in found.remarks


def test_a_better_answer_put_in_later_is_noticed(every: list[Question]) -> None:
    data = taken(every)
    data["answers"][0]["answer"] = for_student("2b/ada l.", 9, every)[0].answer.value
    found = grade(json.dumps(data), every)
    assert "changed after it was written" in found.remarks
    assert found.right == 8
    assert "claims 7 right" in found.remarks


def test_a_copied_result_fits_nobody_else_even_with_a_seal(every: list[Question]) -> None:
    data = taken(every) | {"student": "Bob"}
    found = grade(json.dumps(data | {"seal": seal(data)}), every)
    assert "not the questions of this name and class" in found.remarks


def test_a_quiz_that_was_left(every: list[Question]) -> None:
    questions = for_student(word_of("Ada", ""), 9, every)
    answers = [question.answer.value for question in questions[:4]]
    data = result("Ada", "", questions, answers, TIMES, bank_digest(every))
    found = grade(json.dumps(data), every)
    assert (found.right, found.remarks) == (4, ("5 not answered",))


def test_other_captures_than_the_teachers(every: list[Question]) -> None:
    assert "asked from other captures" in grade(json.dumps(taken(every)), every[:50]).remarks


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[]", "is no result of a quiz"),
        ('{"type": "port"}', "is no result of a quiz"),
        ('{"type": "quiz"}', "it lacks student, class"),
        ("{", "Expecting"),
    ],
)
def test_what_is_no_result(text: str, complaint: str, every: list[Question]) -> None:
    with pytest.raises(ValueError, match=complaint):
        grade(text, every)


def test_case_and_spaces_of_a_name_do_not_matter() -> None:
    assert word_of("Ada  L.", "2B ") == word_of("ada l.", "2b") != word_of("ada l.", "2c")


def test_two_files_of_one_name(every: list[Question]) -> None:
    one = grade(json.dumps(taken(every)), every)
    assert duplicates([one, one]) == ["Ada L."]
    assert duplicates([one]) == []
