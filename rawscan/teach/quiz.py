"""Quizzes: real exchanges, and the question which state they show. Reads captures.

The questions of a quiz follow from its captures, its seed and its length alone, so that whoever
grades it can ask them again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2s
from pathlib import Path
from random import Random

from rawscan.errors import UsageError
from rawscan.model import ProbeKind, State
from rawscan.rules import RULES
from rawscan.teach.case import Case, cases_in
from rawscan.teach.reference import recorded_cases
from rawscan.teach.shelf import shelf


@dataclass(frozen=True, slots=True)
class Question:
    """One exchange, the states to choose from, and the right one.

    `item` names the exchange within its captures: file, target, port and probe.
    """

    item: str
    case: Case
    choices: tuple[State, ...]

    @property
    def answer(self) -> State:
        """The state that the rules give."""
        return self.case.verdict.state


def states_of(kind: ProbeKind) -> tuple[State, ...]:
    """Every state that a probe can end in, in the order of the words of the field."""
    possible = {rule.state for rule in RULES if rule.probe is kind}
    return tuple(state for state in State if state in possible)


def bank(paths: Sequence[Path] = ()) -> list[Question]:
    """Every question that these captures hold; without any, the curated ones.

    Raises `UsageError` if there is none.
    """
    files = list(paths) or _curated()
    questions = [
        _question(path, case)
        for path in files
        for case in (recorded_cases(path) if path.suffix == ".jsonl" else cases_in(path))
    ]
    if not questions:
        names = ", ".join(map(str, files)) or "no capture"
        raise UsageError(f"nothing to ask: {names} holds no probe of its ports and no answer")
    return questions


def _curated() -> list[Path]:
    """The curated captures, in a fixed order, and the records of probes that never left."""
    place = shelf()
    if place is None:
        raise UsageError("this installation has no curated captures; name a capture of your own")
    captures = sorted(p for p in place.glob("*/*") if p.suffix in (".pcapng", ".pcap"))
    return [*captures, place / "rules" / "unsent.jsonl"]


def _question(path: Path, case: Case) -> Question:
    port = case.port
    item = f"{path.parent.name}/{path.name}:{port.target}:{port.number}/{port.kind.value}"
    if case.asker is not None:
        item += f" by {case.asker}"
    return Question(item, case, states_of(port.kind))


def choose(questions: Sequence[Question], seed: str, count: int) -> list[Question]:
    """`count` questions, or all that there are, of as many different states and rules as can be.

    No rule is asked about twice before all were once, and the states take turns; what comes first,
    the seed decides.
    """
    order = list(questions)
    Random(seed).shuffle(order)
    turns: Counter[str] = Counter()
    piles: dict[State, list[tuple[int, Question]]] = {}
    for question in order:
        rule = question.case.rule.id
        turns[rule] += 1
        piles.setdefault(question.answer, []).append((turns[rule], question))
    for pile in piles.values():
        pile.sort(key=lambda each: each[0], reverse=True)  # the next one stands at the end
    chosen: list[Question] = []
    while len(chosen) < count and any(piles.values()):
        turn = min(pile[-1][0] for pile in piles.values() if pile)
        for pile in piles.values():
            if pile and pile[-1][0] == turn and len(chosen) < count:
                chosen.append(pile.pop()[1])
    Random(f"{seed} order").shuffle(chosen)
    return chosen


def digest(items: Iterable[str]) -> str:
    """A short name for a set of questions, to tell whether two people have the same captures."""
    return blake2s("\n".join(sorted(items)).encode(), digest_size=8).hexdigest()
