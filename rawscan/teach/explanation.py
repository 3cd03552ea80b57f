"""An explanation: everything that can be said of one case, or of one rule, in its order. Pure.

It is data. `text` writes it for a terminal, `page` as HTML; both say the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor

from rawscan.model import Protocol, ReplyKind, State
from rawscan.rules import BY_ID, Rule
from rawscan.teach.case import Case, Shot, rule_of
from rawscan.teach.departures import Departure, departures_from
from rawscan.teach.fields import Field, fields_of, probe_of
from rawscan.teach.ladder import Ladder, ladder_of
from rawscan.teach.otherwise import Otherwise, otherwise


@dataclass(frozen=True, slots=True)
class Explanation:
    """What there is to say.

    `case` is None for a rule whose reply no capture can hold. `example` says that the case only
    shows the rule at work, and is not what was asked about. `read` are the packets whose fields
    decided, with these fields.
    """

    rule: Rule
    case: Case | None
    example: bool
    ladder: Ladder | None
    read: tuple[tuple[Shot, tuple[Field, ...]], ...]
    otherwise: tuple[Otherwise, ...]
    sure: tuple[str, ...]
    beside: tuple[str, ...]
    departures: tuple[Departure, ...]

    @property
    def claim(self) -> str:
        """The verdict in one line; of a rule, what it says."""
        if self.case is None or self.example:
            state = self.rule.state.value if self.rule.state else "no verdict, a hint only"
            return f"{self.rule.id}: {state}"
        port, verdict = self.case.port, self.case.verdict
        probe = f" ({port.kind.value} probe)" if port.kind.value == "ack" else ""
        who = f", from {verdict.reason_ip}" if verdict.reason_ip else ""
        return (
            f"{port.target} {port.number}/{port.protocol.value}{probe}: {verdict.state.value}"
            f" {verdict.reason}{who}"
        )


def explain_case(case: Case) -> Explanation:
    """Explain a verdict."""
    return _explanation(case.rule, case, example=False)


def explain_rule(rule: Rule, example: Case | None) -> Explanation:
    """Explain a row, with a case of it as an example if there is one."""
    return _explanation(rule, example, example=True)


def _explanation(rule: Rule, case: Case | None, example: bool) -> Explanation:
    version = None if case is None else case.port.target.version
    return Explanation(
        rule=rule,
        case=case,
        example=example,
        ladder=None if case is None else ladder_of(case),
        read=() if case is None else tuple(_read(case, rule)),
        otherwise=otherwise(rule, version),
        sure=() if case is None else tuple(_sure(case)),
        beside=() if case is None else tuple(_beside(case)),
        departures=departures_from(rule),
    )


def _read(case: Case, rule: Rule) -> Iterator[tuple[Shot, tuple[Field, ...]]]:
    """The reply that decided (or that the asked rule is about) and the probe it answers."""
    replies = [
        shot
        for shot in case.replies
        if shot.evidence is not None and rule_of(case.port.kind, shot.evidence) == rule
    ]
    chosen = replies[0] if replies else case.decisive
    probe = probe_of(case, chosen) if chosen is not None else None
    first = probe or next(iter(case.probes), None)
    for shot in (first, chosen):
        if shot is not None and (fields := fields_of(shot, case)):
            yield shot, fields


def _sure(case: Case) -> Iterator[str]:
    """How sure the verdict is, and from what."""
    verdict = case.verdict
    tries = f"{verdict.tries} times" if verdict.tries != 1 else "once"
    asked = f"Asked {tries}."
    if verdict.state is State.UNKNOWN:
        yield f"{asked} Not sure at all: what was seen allows no verdict."
    elif case.rule.reply is ReplyKind.SILENCE:
        yield f"{asked} {_odds(verdict.confidence, verdict.tries)}"
    else:
        yield f"{asked} A reply is no matter of luck: lost packets cannot have made this verdict."
        yield _worth(case)
    if any(e.try_number for e in verdict.evidence if e.responder is not None):
        first = min(e.try_number or 0 for e in verdict.evidence if e.try_number is not None)
        if first:
            yield f"The first answer is to try {first + 1}: nothing came of {first} before it."


def _odds(confidence: float, tries: int) -> str:
    """The arithmetic of silence, backwards from the record: confidence = 1 - loss ** tries."""
    doubt = 1 - confidence
    if not 0 < doubt < 1 or tries < 1:
        return f"Sure to {_percent(confidence)}."
    loss = doubt ** (1 / tries)
    return (
        f"If {loss:.0%} of all exchanges are lost on this path, {tries} in a row are lost with a"
        f" chance of {loss:.2f} ** {tries} = {doubt:.2g}; so it is sure to {_percent(confidence)}."
    )


def _percent(confidence: float) -> str:
    """Rounded down, and never to certainty: this is about silence."""
    return f"{min(floor(confidence * 1e6), 999_999) / 1e4:.4f} %"


def _worth(case: Case) -> str:
    """What a forger who sees nothing of the path would have to guess."""
    if case.port.protocol is Protocol.TCP and case.rule.reply is not ReplyKind.SYN:
        return (
            "The reply repeats a number of the probe's: 32 bits, which somebody off the path has to"
            " guess if the asker chose them at random."
        )
    return (
        "The reply knows the probe's ports and nothing else: somebody off the path who guesses"
        " them could have sent it."
    )


_HINTS = {
    "rst-and-syn-ack": "Both a RST and a SYN+ACK came. The stronger counts (open before closed); a"
    " firewall or a middlebox has sent one of them.",
    "syn-proxy": "The SYN+ACK has window 0 and no options, as those of SYN proxies have: perhaps"
    " something before the target answers for every port.",
    "ttl-differs": "This reply has another TTL than the host's first one: perhaps somebody on the"
    " way answers in its name.",
    "revised": "A stronger reply came late and took the place of an earlier verdict.",
}


def _beside(case: Case) -> Iterator[str]:
    """What else came, and did not make the verdict."""
    for hint in case.verdict.hints:
        word = hint.partition(":")[0]
        if word in _HINTS:
            yield f"{hint}: {_HINTS[word]}"
            continue
        reason, _, who = hint.partition(" from ")
        row = _row_of(case, reason)
        why = f" {row.why}" if row else ""
        yield f"{reason} from {who} came too, and does not decide.{why}" if who else hint


def _row_of(case: Case, reason: str) -> Rule | None:
    v6 = case.port.target.version == 6
    names = [
        f"{case.port.kind.value}-{reason}{suffix}" for suffix in (("-v6", "") if v6 else ("",))
    ]
    return next((BY_ID[name] for name in names if name in BY_ID), None)
