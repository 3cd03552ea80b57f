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
from rawscan.lab.individual import individual
from rawscan.model import ProbeKind, Protocol, State
from rawscan.ports import PortSpec
from rawscan.rules import RULES
from rawscan.teach.case import Case, cases_in
from rawscan.teach.reference import recorded_cases
from rawscan.teach.shelf import shelf


@dataclass(frozen=True, slots=True)
class Question:
    """One question, the states to choose from, and the right one.

    `item` names it: the file, target, port and probe of an exchange, or a port of the student's own
    lab. `case` is the exchange that is shown, None where the student has to find out in the lab.
    """

    item: str
    asked: str
    choices: tuple[State, ...]
    answer: State
    because: str
    case: Case | None = None

    @property
    def rule(self) -> str:
        """The row behind it, "" for a port of the lab."""
        return "" if self.case is None else self.case.rule.id


def states_of(kind: ProbeKind) -> tuple[State, ...]:
    """Every state that a probe can end in, in the order of the words of the field."""
    possible = {rule.state for rule in RULES if rule.probe is kind}
    return tuple(state for state in State if state in possible)


def bank(paths: Sequence[Path] = (), ports: PortSpec | None = None) -> list[Question]:
    """Every question that these captures hold about the ports; without any, the curated ones.

    `ports` is as for `analyse`. Raises `UsageError` if there is none.
    """
    files = list(paths) or _curated()
    questions = [
        _question(path, case)
        for path in files
        for case in (recorded_cases(path) if path.suffix == ".jsonl" else cases_in(path, ports))
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
    port, rule = case.port, case.rule
    item = f"{path.parent.name}/{path.name}:{port.target}:{port.number}/{port.kind.value}"
    if case.asker is not None:
        item += f" by {case.asker}"
    return Question(
        item=item,
        asked=f"In which state is port {port.number}/{port.protocol.value}?",
        choices=states_of(port.kind),
        answer=case.verdict.state,
        because=f"{rule.reason}: {rule.why} ({rule.id})",
        case=case,
    )


def lab_questions(word: str) -> list[Question]:
    """One question for each port of the student's own lab (`rawscan lab up --student`)."""
    plan = individual(word)
    kinds = {Protocol.TCP: ProbeKind.SYN, Protocol.UDP: ProbeKind.UDP}
    return [
        Question(
            item=f"lab:{target}:{plan.port}/{expected.protocol.value}",
            asked=f"In your own lab: in which state is {plan.port}/{expected.protocol.value} of "
            f"{target}?",
            choices=states_of(kinds[expected.protocol]),
            answer=expected.state,
            because=f"the lab's plan says {expected.state.value}, {expected.reason}.",
        )
        for _, target, expected in plan.claims()
    ]


def for_student(word: str, count: int, questions: Sequence[Question]) -> list[Question]:
    """A quiz of `count` questions of one's own: a third of them about one's own lab."""
    own = count // 3
    return [*choose(questions, word, count - own), *choose(lab_questions(word), word, own)]


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
        rule = question.rule or question.because
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
