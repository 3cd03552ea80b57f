"""Rounds that alternate, the rows that come of them, and the tables these make. Touches no network.

Single times on a shared machine mean little, ratios within one round do: every round runs each
program once, A B C A B C ..., and a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from subprocess import TimeoutExpired
from typing import Literal, TypeVar

from rawscan.lab.tools import search_path

OURS = "rawscan"
HEAD = "| work | rawscan | peer | ratio | goal | |"
RULE = "|---|---|---|---|---|---|"


class RunError(Exception):
    """A run that came to nothing; its words stand in the table."""


T = TypeVar("T")
Runs = Sequence[float | str]
"""What one program did in each round: a number, or in words what went wrong."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How many rounds there are, and in how many of them a peer runs that takes a minute."""

    rounds: int = 5
    slow: int = 5


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on the ratio to the peer, on our median, or on each of our rounds."""

    of: Literal["ratio", "median", "each"]
    bound: float
    least: bool = False
    unit: str = ""

    def holds(self, values: Sequence[float]) -> bool:
        """Whether all values are on the right side of the bound."""
        return all(v >= self.bound if self.least else v <= self.bound for v in values)

    def __str__(self) -> str:
        words = {"ratio": "ratio ", "median": "", "each": "each "}[self.of]
        return f"{words}{'≥' if self.least else '≤'} {round(self.bound, 3):,.15g}{self.unit}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table, as words. `verdict`: met, missed, or nothing where there is no goal."""

    work: str
    ours: str
    peer: str
    ratio: str
    goal: str
    verdict: str

    def __str__(self) -> str:
        cells = (self.work, self.ours, self.peer, self.ratio, self.goal, self.verdict)
        return f"| {' | '.join(cells)} |"


def alternate(
    programs: Mapping[str, Callable[[], T]],
    effort: Effort,
    slow: Sequence[str] = (),
    rest_s: float = 0.0,
) -> dict[str, list[T | str]]:
    """What each program returned in each round, or in words why nothing.

    A program's name begins with its command, which may be missing. `rest_s` of sleep goes before
    each run. Those in `slow` run in the first `effort.slow` rounds only.
    """
    found: dict[str, list[T | str]] = {name: [] for name in programs}
    for number in range(effort.rounds):
        for name, program in programs.items():
            if name in slow and number >= effort.slow:
                continue
            if not is_there(name):
                found[name].append("is missing")
                continue
            time.sleep(rest_s)
            try:
                found[name].append(program())
            except RunError as trouble:
                found[name].append(str(trouble))
            except TimeoutExpired as late:
                found[name].append(f"hung: killed after {late.timeout:.0f} s")
    return found


def is_there(name: str) -> bool:
    """Whether the command that a name begins with can be run."""
    command = name.split(maxsplit=1)[0]
    return command == OURS or shutil.which(command, path=search_path()) is not None


def each(outcomes: Sequence[T | str], number: Callable[[T], float]) -> Runs:
    """One number of every outcome; words stay."""
    return [one if isinstance(one, str) else number(one) for one in outcomes]


def ratios(ours: Runs, theirs: Runs) -> list[float]:
    """Our number over theirs, for each round that both came through."""
    pairs = zip(ours, theirs, strict=False)  # a slow peer may have had fewer rounds
    return [a / b for a, b in pairs if not isinstance(a, str) and not isinstance(b, str)]


def numbers(runs: Runs) -> list[float]:
    """The rounds that came to something."""
    return [run for run in runs if not isinstance(run, str)]


def told(runs: Runs, show: str, goal: Goal | None = None) -> str:
    """A program's rounds as one cell: the median, or every round where each counts.

    `show` formats one number. What went wrong is told with the number of its rounds.
    """
    good = numbers(runs)
    words = []
    if good and goal is not None and goal.of == "each":
        words.append(", ".join(show.format(run) for run in good))
    elif good:
        words.append(show.format(median(good)))
    wrong = [run for run in runs if isinstance(run, str)]
    for what in dict.fromkeys(wrong):
        count = wrong.count(what)
        words.append(what if count == len(runs) else f"{what} ({count} of {len(runs)})")
    return "; ".join(words).replace("|", "/") or "-"


def row(
    work: str,
    ours: Runs,
    show: str,
    goal: Goal | None = None,
    peer: tuple[str, Runs] | None = None,
) -> Row:
    """One line. A goal that not all of our rounds can be held against is not met."""
    theirs = "-" if peer is None else f"{told(peer[1], show, goal)} ({peer[0]})"
    found = ratios(ours, peer[1]) if peer else []
    counts = goal is not None and goal.of == "each"
    return Row(
        work,
        told(ours, show, goal),
        theirs,
        f"{median(found):.2f}" if found and not counts else "-",
        str(goal) if goal else "-",
        _verdict(goal, ours, found),
    )


def _verdict(goal: Goal | None, ours: Runs, found: Sequence[float]) -> str:
    if goal is None:
        return ""
    good = numbers(ours)
    if len(good) < len(ours) or not good or (goal.of == "ratio" and not found):
        return "**not measured**"
    values = {"ratio": found, "median": good, "each": good}[goal.of]
    held = goal.holds(values) if goal.of == "each" else goal.holds([median(values)])
    return "met" if held else "**missed**"


def table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table."""
    return "\n".join([HEAD, RULE, *map(str, rows)])
