"""Lessons as data: predict, run it for real, look, understand. Reads the lesson files shipped here.

A lesson is one TOML file in `lessons/`, named by its number and id. `test_lesson.py` checks each.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rawscan.errors import UsageError
from rawscan.model import DEFAULT_PORT, ProbeKind
from rawscan.rules import BY_ID, Rule

_LESSONS = Path(__file__).with_name("lessons")


@dataclass(frozen=True, slots=True)
class Read:
    """Something to read: paragraphs parted by empty lines; indented ones are kept as they are."""

    text: str


@dataclass(frozen=True, slots=True)
class Predict:
    """A question, asked before the answer can be seen. `answer` is one of `choices`."""

    question: str
    choices: tuple[str, ...]
    answer: str
    because: str


@dataclass(frozen=True, slots=True)
class Run:
    """A scan in the lab: hosts of the topology by name, an IP version, kinds of probe, ports.

    `look` says what to look for.
    """

    hosts: tuple[str, ...]
    family: int
    probes: tuple[ProbeKind, ...]
    look: str
    ports: str = str(DEFAULT_PORT)


@dataclass(frozen=True, slots=True)
class Show:
    """The curated capture of a rule, and what to look for in it."""

    rule: Rule
    look: str


Step = Read | Predict | Run | Show


@dataclass(frozen=True, slots=True)
class Lesson:
    """One lesson. `minutes` is how long it takes; `topology` is of `rawscan.lab.menu`."""

    number: int
    id: str
    title: str
    goal: str
    minutes: int
    topology: str
    steps: tuple[Step, ...]

    @property
    def rules(self) -> frozenset[str]:
        """Ids of the rows that it shows."""
        return frozenset(step.rule.id for step in self.steps if isinstance(step, Show))


def lessons() -> tuple[Lesson, ...]:
    """Every lesson, in their order."""
    return tuple(_load(path) for path in sorted(_LESSONS.glob("*.toml")))


def find_lesson(word: str) -> Lesson:
    """A lesson by its number or id. Raises `UsageError` that names them all."""
    every = lessons()
    for lesson in every:
        if word.lower() in (lesson.id, str(lesson.number)):
            return lesson
    raise UsageError(
        f"there is no lesson {word!r}; lessons are 1 to {len(every)}: "
        + ", ".join(lesson.id for lesson in every)
    )


def _load(path: Path) -> Lesson:
    number, _, id_ = path.stem.partition("-")
    data = tomllib.loads(path.read_text())
    return Lesson(
        number=int(number),
        id=id_,
        title=data["title"],
        goal=data["goal"],
        minutes=data["minutes"],
        topology=data.get("topology", "basic"),
        steps=tuple(_step(step) for step in data["steps"]),
    )


def _step(data: dict[str, Any]) -> Step:
    """Which kind of step it is, its fields tell."""
    if "text" in data:
        return Read(data["text"].strip())
    if "question" in data:
        choices = tuple(data["choices"])
        if data["answer"] not in choices:
            raise ValueError(f"{data['answer']!r} is no choice of {choices}")
        return Predict(data["question"], choices, data["answer"], data["because"].strip())
    if "run" in data:
        hosts = data["run"] if isinstance(data["run"], list) else [data["run"]]
        kinds = tuple(ProbeKind(name) for name in data.get("probes", ["syn"]))
        ports = data.get("ports", str(DEFAULT_PORT))
        return Run(tuple(hosts), data.get("family", 4), kinds, data["look"].strip(), ports)
    return Show(BY_ID[data["show"]], data["look"].strip())
