"""What would have changed the verdict: the neighbouring cells of the rule table. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rawscan.model import ReplyKind
from rawscan.rules import RULES, Rule
from rawscan.teach.words import describe_reply

_ICMP = {4: ReplyKind.ICMP, 6: ReplyKind.ICMP6}


@dataclass(frozen=True, slots=True)
class Otherwise:
    """A change in what came back, and the row that would then have spoken."""

    change: str
    rule: Rule


def otherwise(rule: Rule, version: int | None = None) -> tuple[Otherwise, ...]:
    """The nearest rows of the same probe that give another state, the nearest first.

    `version` is the IP version that ICMP errors are of; None: that of the rule, else 4. Of rows
    that differ from this one in the same way, one for each state is named.
    """
    if version is None:
        version = 6 if rule.reply is ReplyKind.ICMP6 else 4
    found: list[Otherwise] = []
    seen: set[tuple[str, object]] = set()
    for distance, change, other in sorted(_others(rule, version), key=lambda each: each[0]):
        key = distance, other.state
        if other.state in (None, rule.state) or key in seen:
            continue
        seen.add(key)
        found.append(Otherwise(change, other))
    return tuple(found)


def _others(rule: Rule, version: int) -> Iterator[tuple[str, str, Rule]]:
    """Every other row of the probe: how it differs (sorted by nearness) and in what words."""
    for other in RULES:
        if other.probe is not rule.probe or other == rule:
            continue
        if other.reply in _ICMP.values() and other.reply is not _ICMP[version]:
            continue
        same_reply = other.reply is rule.reply
        if same_reply and (other.type, other.codes) == (rule.type, rule.codes):
            sender = "the target itself" if other.from_target else "somebody else"
            yield "1 sender", f"the same, but from {sender}", other
        elif same_reply:
            yield "2 code", _sent(other), other
        elif other.reply is ReplyKind.SILENCE or _is_watching(rule) == _is_watching(other) is True:
            yield "3 silence", describe_reply(other), other
        elif not _is_watching(other):
            yield f"4 {other.reply:02}", _sent(other), other
        elif rule.reply is ReplyKind.SILENCE:
            yield f"5 {other.reply:02}", describe_reply(other), other


def _is_watching(rule: Rule) -> bool:
    """Is this row about how well was watched, rather than about what was sent?"""
    return rule.reply <= ReplyKind.SEND_FAILED


def _sent(rule: Rule) -> str:
    sender = {True: " from the target", False: " from somebody else", None: ""}[rule.from_target]
    return describe_reply(rule) + sender
