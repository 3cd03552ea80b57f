"""Results of quizzes: sealed by whoever took one, checked and tabulated by whoever taught. Pure.

The seal tells of a file that was changed by hand, and the questions are derived anew from the name
and the class's word, so a copied file fits nobody else. It is no signature: who reads this program
can make a seal. It is as much as a paper test is: somebody should be in the room.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2s
from typing import Any

from rawscan.lab.individual import word_of
from rawscan.teach.quiz import Question, digest, for_student

_SEAL_KEY = b"rawscan quiz result 1"
_FIELDS = ("type", "student", "class", "count", "bank", "started", "finished", "answers", "right")


@dataclass(frozen=True, slots=True)
class Grade:
    """One line of the teacher's table. `remarks` are what is wrong with the file."""

    student: str
    right: int
    count: int
    minutes: float
    remarks: tuple[str, ...]


def result(
    student: str,
    class_word: str,
    questions: Sequence[Question],
    answers: Sequence[str],
    times: tuple[str, str],
    bank: str,
) -> dict[str, Any]:
    """The result of a quiz, sealed. `times`: begin and end, RFC 3339; `bank`: `bank_digest`."""
    given = [
        {"item": question.item, "answer": answer}
        for question, answer in zip(questions, answers, strict=False)
    ]
    data: dict[str, Any] = {
        "type": "quiz", "student": student, "class": class_word, "count": len(questions),
        "bank": bank, "started": times[0], "finished": times[1], "answers": given,
        "right": _right(questions, given),
    }  # fmt: skip
    return data | {"seal": seal(data)}


def bank_digest(questions: Sequence[Question]) -> str:
    """Which captures were asked about."""
    return digest(question.item for question in questions)


def seal(data: Mapping[str, Any]) -> str:
    """A check over every field but itself."""
    kept = {name: data[name] for name in _FIELDS}
    text = json.dumps(kept, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return blake2s(text.encode(), key=_SEAL_KEY).hexdigest()


def grade(text: str, questions: Sequence[Question]) -> Grade:
    """Check a result against the bank that its questions came from.

    Raises `ValueError` for a file that is no result at all.
    """
    data = json.loads(text)
    if not isinstance(data, dict) or data.get("type") != "quiz":
        raise ValueError("is no result of a quiz")
    missing = [name for name in (*_FIELDS, "seal") if name not in data]
    if missing:
        raise ValueError(f"is no whole result of a quiz: it lacks {', '.join(missing)}")
    student, count = str(data["student"]), int(data["count"])
    given = [{"item": str(a["item"]), "answer": str(a["answer"])} for a in data["answers"]]
    remarks = []
    if data["seal"] != seal(data):
        remarks.append("changed after it was written")
    if data["bank"] != bank_digest(questions):
        remarks.append("asked from other captures")
    asked = for_student(word_of(student, str(data["class"])), count, questions)
    if [a["item"] for a in given] != [question.item for question in asked][: len(given)]:
        remarks.append("not the questions of this name and class")
    right = _right(asked, given)
    if right != data["right"]:
        remarks.append(f"claims {data['right']} right")
    if len(given) < count:
        remarks.append(f"{count - len(given)} not answered")
    minutes = _minutes(str(data["started"]), str(data["finished"]))
    return Grade(student, right, count, minutes, tuple(remarks))


def _right(questions: Sequence[Question], given: Sequence[Mapping[str, str]]) -> int:
    answers = {question.item: question.answer.value for question in questions}
    return sum(answers.get(each["item"]) == each["answer"] for each in given)


def _minutes(started: str, finished: str) -> float:
    taken = datetime.fromisoformat(finished) - datetime.fromisoformat(started)
    return round(taken.total_seconds() / 60, 1)


def duplicates(grades: Sequence[Grade]) -> list[str]:
    """Names that stand on more than one file."""
    names = [grade.student for grade in grades]
    return sorted({name for name in names if names.count(name) > 1})
