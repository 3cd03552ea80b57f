"""Runs a lesson at a terminal: says, asks, scans, shows. Talks through the calls it is given."""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import fill

from rawscan.output.records import port_record
from rawscan.output.table import Rows, port_table
from rawscan.teach.case import Case, example_of
from rawscan.teach.ladder import draw, ladder_of
from rawscan.teach.lesson import Lesson, Predict, Read, Run, Show, Step
from rawscan.teach.stage import Stage, scan_arguments

MOST_LADDERS = 2
"""A run of more ports than these shows its table only."""

_TABLE_COLUMNS = 100


class LeftError(Exception):
    """The learner wants to go on another time."""


@dataclass(slots=True)
class Teacher:
    """Takes a learner through lessons.

    `say` prints a text; `ask` shows a prompt and gives what was typed, and raises `LeftError` when
    nobody is there any more. `open_stage` gives the stage when a lesson first needs it, and whoever
    gave it closes it. `right` of `asked` predictions came true.
    """

    say: Callable[[str], None]
    ask: Callable[[str], str]
    open_stage: Callable[[], Stage]
    columns: int
    right: int = 0
    asked: int = 0
    _stage: Stage | None = None
    _pending: tuple[Predict, str] | None = None

    def teach(self, lesson: Lesson, first: int, reached: Callable[[int], None]) -> None:
        """Go through the steps from number `first` on; `reached` is told of each that is done.

        A prediction is compared after the run that follows it, and is made again when the lesson
        was left between the two.
        """
        steps = lesson.steps
        if 0 < first < len(steps) and _is_tested(steps[first - 1], steps[first]):
            first -= 1
        for number in range(first, len(steps)):
            step = steps[number]
            following = steps[number + 1] if number + 1 < len(steps) else None
            self._take(step, following)
            reached(number + 1)

    def _take(self, step: Step, following: Step | None) -> None:
        match step:
            case Read(text):
                self._paragraphs(text)
                self._go_on()
            case Predict():
                self._predict(step)
                if not _is_tested(step, following):
                    self._compare()
            case Run():
                self._run(step)
                self._compare()
                self._paragraphs(step.look)
                self._go_on()
            case Show(rule, look):
                case = example_of(rule)
                if case is not None:
                    self._ladder(case)
                self._compare()
                self._paragraphs(look)
                self.say(f"(rawscan explain {rule.id} tells all of it)\n")
                self._go_on()

    def _predict(self, step: Predict) -> None:
        self._paragraphs(step.question)
        for number, choice in enumerate(step.choices, start=1):
            self.say(f"  {number}  {choice}")
        self.say("")
        self._pending = step, self._choice(step.choices)
        self.say("")

    def _compare(self) -> None:
        """Hold the last prediction against what came."""
        if self._pending is None:
            return
        (step, choice), self._pending = self._pending, None
        self.asked += 1
        if choice == step.answer:
            self.right += 1
            self._paragraphs(f"You said {choice}, and so it is. {step.because}")
        else:
            self._paragraphs(f"You said {choice}, but it is {step.answer}. {step.because}")

    def _choice(self, choices: tuple[str, ...]) -> str:
        """Ask until one of the choices is named, by number or by word."""
        while True:
            typed = self.ask("Your prediction").strip().lower()
            if typed in ("q", "quit"):
                raise LeftError
            for number, choice in enumerate(choices, start=1):
                if typed in (str(number), choice.lower()):
                    return choice
            self.say(f"Type a number from 1 to {len(choices)}, or q to leave.")

    def _run(self, run: Run) -> None:
        if self._stage is None:
            self._stage = self.open_stage()
        cases = self._stage.cases(run)
        where = "in the lab" if self._stage.live else "recorded in the same lab before"
        shown = list(dict.fromkeys(case.port.target for case in cases))
        arguments = shlex.join(["rawscan", *scan_arguments(shown, run)])
        self.say(f"$ {arguments}    ({where})\n")
        self._table(cases)
        if len(cases) <= MOST_LADDERS:
            for case in cases:
                self._ladder(case)

    def _table(self, cases: Sequence[Case]) -> None:
        from rich.console import Console

        text = io.StringIO()
        # The narrow table would leave out tries and times; its lines come out short enough.
        console = Console(file=text, width=_TABLE_COLUMNS, emoji=False, color_system=None)
        port_table(Rows([port_record(case.verdict) for case in cases]), console)
        self.say("\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n")

    def _ladder(self, case: Case) -> None:
        self.say("\n".join([*draw(ladder_of(case), self.columns), ""]))

    def _go_on(self) -> None:
        if self.ask("Enter goes on, q leaves").strip().lower() in ("q", "quit"):
            raise LeftError

    def _paragraphs(self, text: str) -> None:
        self.say(wrapped(text, self.columns) + "\n")


def _is_tested(step: Step, following: Step | None) -> bool:
    """Is this a prediction that the next step puts to the test?"""
    return isinstance(step, Predict) and isinstance(following, Run | Show)


def wrapped(text: str, columns: int) -> str:
    """Paragraphs, each filled to the width; what is indented stays as it is."""
    return "\n\n".join(
        part if part.startswith(" ") else fill(part, columns, break_on_hyphens=False)
        for part in text.split("\n\n")
    )
