"""A lesson as the learner meets it: what is said, what is asked, and in which order."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from rawscan.model import ProbeKind
from rawscan.rules import BY_ID
from rawscan.teach.lesson import Lesson, Predict, Read, Run, Show
from rawscan.teach.runner import LeftError, Teacher, wrapped
from rawscan.teach.stage import ShelfStage, Stage

GUESS = Predict("What comes back?", ("a SYN+ACK", "a RST"), "a RST", "Nobody listens.")
RUN = Run(("closed",), 4, (ProbeKind.SYN,), "Look at the arithmetic.")
LESSON = Lesson(
    1, "x", "X", "goal", 5, "basic",
    (Read("First.\n\n  code stays  here"), GUESS, RUN, Show(BY_ID["udp-response"], "The end.")),
)  # fmt: skip


class Room:
    """A learner who types what was written down for him."""

    def __init__(self, *typed: str) -> None:
        self.said: list[str] = []
        self.reached: list[int] = []
        self._typed: Iterator[str] = iter(typed)
        self.stages = 0
        self.teacher = Teacher(self.said.append, self._ask, self._stage, 72)

    def _ask(self, prompt: str) -> str:
        self.said.append(f"[{prompt}]")
        try:
            return next(self._typed)
        except StopIteration:
            raise LeftError from None

    def _stage(self) -> Stage:
        self.stages += 1
        return ShelfStage("basic")

    def teach(self, first: int = 0) -> str:
        self.teacher.teach(LESSON, first, self.reached.append)
        return "\n".join(self.said)


def test_predict_run_compare_understand() -> None:
    room = Room("", "2", "", "")
    text = room.teach()
    order = [
        "First.",
        "What comes back?",
        "$ rawscan scan 10.56.1.11 --no-udp",
        "closed",
        "You said a RST, and so it is. Nobody listens.",
        "Look at",
        "The end.",
    ]
    assert re.search(r"ack \d+ = seq of", text)
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "  code stays  here" in text
    assert (room.teacher.right, room.teacher.asked) == (1, 1)
    assert room.reached == [1, 2, 3, 4]
    assert "recorded in the same lab before" in text


def test_the_answer_is_not_given_away_before_the_run() -> None:
    room = Room("", "1", "", "")
    text = room.teach()
    assert "Nobody listens." not in text[: text.index("$ rawscan scan")]
    assert "You said a SYN+ACK, but it is a RST. Nobody listens." in text
    assert (room.teacher.right, room.teacher.asked) == (0, 1)


def test_other_ways_to_answer() -> None:
    text = Room("", "nonsense", "0", "3", "A rst", "", "").teach()
    assert text.count("Type a number from 1 to 2, or q to leave.") == 3
    assert "You said a RST" in text


@pytest.mark.parametrize("typed", [("q",), ("", "Q"), ("", "2", "quit"), (), ("",)])
def test_leaving_at_any_time(typed: tuple[str, ...]) -> None:
    room = Room(*typed)
    with pytest.raises(LeftError):
        room.teach()
    assert room.reached == list(range(1, len(room.reached) + 1))
    assert len(room.reached) <= len(typed)


def test_a_lesson_that_was_left_before_the_run_asks_again_for_the_prediction() -> None:
    text = Room("2", "", "").teach(first=2)
    assert "First." not in text
    assert "What comes back?" in text
    assert "You said a RST" in text


def test_no_lab_is_built_for_a_lesson_that_only_shows() -> None:
    room = Room("")
    room.teach(first=3)
    assert room.stages == 0


def test_paragraphs_are_filled_and_drawings_are_not() -> None:
    assert wrapped("a b\n\n  c   d", 3) == "a b\n\n  c   d"
    assert wrapped("one-two three", 7) == "one-two\nthree"
