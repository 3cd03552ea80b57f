"""What each end knows after each rung of a ladder, from the packets and nothing else. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from rawscan.model import ReplyKind
from rawscan.teach.case import Case, rule_of
from rawscan.teach.ladder import ASKER, Ladder, Rung


@dataclass(frozen=True, slots=True)
class Knowledge:
    """One sentence about the asker, and one about the target, at one moment."""

    asker: str
    target: str


def knowledge(ladder: Ladder, case: Case) -> tuple[Knowledge, ...]:
    """An entry for each rung: what is known once it has happened."""
    asker, target = "Nothing yet.", "Nothing yet."
    decisive = {
        shot.frame_number
        for shot in case.replies
        if shot.evidence is not None and rule_of(case.port.kind, shot.evidence) == case.rule
    }
    found = []
    sent = 0
    for rung in ladder.rungs:
        if rung.kind == "probe":
            sent += 1
            asker = f"Has sent {sent} probe{'s' * (sent > 1)} and waits."
            target = _target_after(rung, ladder, target)
        elif rung.kind == "reply":
            asker = _asker_after(rung, ladder, case, rung.frame_number in decisive)
        elif rung.kind == "beside":
            asker = f"The conversation goes on: {rung.label}."
        elif rung.kind == "gap":
            asker = f"({rung.label})"
        else:
            asker = _verdict(case)
        found.append(Knowledge(asker, target))
    return tuple(found)


def _target_after(rung: Rung, ladder: Ladder, before: str) -> str:
    if rung.receiver == len(ladder.lanes) - 1:
        return f"Has got {rung.label.split(' seq=')[0].split(' ttl=')[0]}, for its answer is here."
    if before.startswith("Has got"):
        return before
    if rung.receiver is not None:
        return "Nothing shows that the probe came as far: somebody else has answered it."
    return "Nothing shows whether the probe came as far."


def _asker_after(rung: Rung, ladder: Ladder, case: Case, decides: bool) -> str:
    if case.rule.reply is ReplyKind.NO_NEIGHBOUR and rung.sender == ASKER:
        return f"Its own kernel tells it that nobody has the address. {_verdict(case)}"
    if not decides and case.shots:
        return "Something came back that does not decide; it is kept as a hint."
    return _verdict(case)


def _verdict(case: Case) -> str:
    return f"Verdict: {case.verdict.state.value}, {case.verdict.reason}."
