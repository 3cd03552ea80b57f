"""The history of a port: which answer it gave when, and when that changed. Touches nothing.

A change is two askings that were answered differently. Retries of one asking are no change, and an
asking without a verdict ends nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby

from rawscan.correlate import Exchange, SeenProbe
from rawscan.findings import Finding, Spell
from rawscan.model import Evidence, Port, State, Verdict
from rawscan.rules import rule_for, strength
from rawscan.verdict import judge

_MOST_FRAMES = 32
"""So many frame numbers of a spell are kept."""
_MOST_SPELLS = 64
"""A port that changes more often than this is not told of further."""
_MOST_PORTS = 1 << 17
_SURE = 0.95
"""Of fewer silent tries than make this, a change is not told: they may have been lost."""
_INCLUDES = {
    State.OPEN_FILTERED: (State.OPEN, State.FILTERED),
    State.CLOSED_FILTERED: (State.CLOSED, State.FILTERED),
}


def spells_of_one(exchange: Exchange, verdict: Verdict) -> tuple[Spell, ...]:
    """The history of a port that was asked by one packet: it is the verdict's."""
    return (_spell(exchange.probes, verdict),)


def spells(
    exchange: Exchange,
    evidence: Sequence[Evidence],
    patience_s: float,
    silence: Callable[[float, float], Evidence],
    sureness: Callable[[int], float],
) -> Iterator[Spell]:
    """What each asking of a port came to, in the order of time.

    `evidence` is all there is about the port. `silence` says what it means that nothing came for
    tries between two times, `sureness` how sure so many silent tries are. A silence that is not
    sure enough is left out, unless there is nothing else.
    """
    answered = {e.try_number for e in evidence if _has_verdict(exchange, e)}
    by_try: defaultdict[int | None, list[Evidence]] = defaultdict(list)
    for e in evidence:
        by_try[e.try_number].append(e)
    judged = []
    for span in _askings(exchange.probes, answered, patience_s):
        tries = sorted(exchange.probes[span.start : span.stop], key=lambda probe: probe.time_s)
        mine = [e for number in span for e in by_try.get(number, ())]
        if answered.isdisjoint(span):
            mine.append(silence(tries[0].time_s, tries[-1].time_s))
        verdict = judge(
            exchange.port, mine, tries=len(tries), confidence=1.0, time_s=tries[-1].time_s
        )
        judged.append((tries, verdict))
    judged.sort(key=lambda pair: pair[0][0].time_s)  # files are merged out of order
    for _, group in groupby(judged, lambda pair: pair[1].claim):
        same = list(group)
        silent = all(_is_silent(verdict) for _, verdict in same)
        number = sum(len(tries) for tries, _ in same)
        if silent and len(same) < len(judged) and sureness(number) < _SURE:
            continue
        yield from (_spell(tries, verdict) for tries, verdict in same)


def _askings(
    probes: Sequence[SeenProbe], answered: set[int | None], patience_s: float
) -> Iterator[range]:
    """Which tries belong together, as ranges of their numbers.

    A try belongs to the one before if that was not answered and is no longer ago than `patience_s`.
    """
    begin = 0
    for number in range(1, len(probes)):
        paused_s = probes[number].time_s - probes[number - 1].time_s
        if number - 1 in answered or abs(paused_s) > patience_s:
            yield range(begin, number)
            begin = number
    yield range(begin, len(probes))


def _has_verdict(exchange: Exchange, evidence: Evidence) -> bool:
    rule = rule_for(exchange.port.kind, evidence.signal, evidence.from_target)
    return strength(rule) >= 0


def _is_silent(verdict: Verdict) -> bool:
    return verdict.reason == "no-response"


def _spell(tries: Sequence[SeenProbe], verdict: Verdict) -> Spell:
    frames = tuple(e.frame_number for e in verdict.evidence if e.frame_number is not None)
    frames = frames or tuple(probe.frame_number for probe in tries)
    return Spell(
        state=verdict.state,
        reason=verdict.reason,
        reason_ip=verdict.reason_ip,
        since_s=tries[0].time_s,
        until_s=tries[-1].time_s,
        frames=frames[:_MOST_FRAMES],
    )


def history(spells: Iterable[Spell]) -> tuple[Spell, ...]:
    """Join spells of one port that say the same, given in the order of time.

    An unknown state ends nothing, nor does one that leaves open what is known: `open|filtered`
    after `open`. If all are unknown, so is the port.
    """
    joined: list[Spell] = []
    for spell in spells:
        if joined and spell.state is State.UNKNOWN:
            continue
        if joined and joined[-1].state is State.UNKNOWN:
            joined.pop()
        if joined and _says_no_more(spell, joined[-1]):
            joined[-1] = _longer(joined[-1], spell)
        elif joined and len(joined) < _MOST_SPELLS and _says_no_more(joined[-1], spell):
            before = joined.pop()
            joined.append(replace(_longer(before, spell), state=spell.state, reason=spell.reason,
                                  reason_ip=spell.reason_ip))  # fmt: skip
        elif len(joined) < _MOST_SPELLS:
            joined.append(spell)
    return tuple(joined)


def _claim(spell: Spell) -> tuple[object, ...]:
    return spell.state, spell.reason, spell.reason_ip


def _says_no_more(spell: Spell, other: Spell) -> bool:
    return _claim(spell) == _claim(other) or other.state in _INCLUDES.get(spell.state, ())


def _longer(spell: Spell, by: Spell) -> Spell:
    frames = (spell.frames + by.frames)[:_MOST_FRAMES]
    return replace(spell, until_s=max(spell.until_s, by.until_s), frames=frames)


def _merged(histories: Sequence[tuple[Spell, ...]]) -> tuple[Spell, ...] | None:
    """One history out of those that several sources saw of a port.

    None where they contradict each other at one and the same time: then the port does not change,
    but treats its askers differently.
    """
    spells = sorted((s for each in histories for s in each), key=lambda s: (s.since_s, s.until_s))
    known = [spell for spell in spells if spell.state is not State.UNKNOWN]
    latest = None
    for spell in known:
        if latest is not None and spell.since_s < latest.until_s and not (
            _says_no_more(spell, latest) or _says_no_more(latest, spell)
        ):  # fmt: skip
            return None
        if latest is None or spell.until_s > latest.until_s:
            latest = spell
    return history(known or spells)


def with_common_histories(findings: Sequence[Finding]) -> list[Finding]:
    """The same, where several asked one port each with the history that all of them saw."""
    findings = list(findings)
    if len({int(finding.source) for finding in findings}) < 2:
        return findings
    by_port: dict[Port, list[int]] = {}
    for index, finding in enumerate(findings):
        by_port.setdefault(finding.verdict.port, []).append(index)
    for indexes in by_port.values():
        if len(indexes) == 1:
            continue
        one = _merged([findings[index].history for index in indexes])
        for index in indexes:
            if one is not None:
                findings[index] = replace(findings[index], history=one)
                continue
            verdict = findings[index].verdict
            verdict = replace(verdict, hints=(*verdict.hints, "differs-by-source"))
            findings[index] = replace(findings[index], verdict=verdict)
    return findings


class LongHistory:
    """What ports were over several captures. Memory is bounded by the number of ports."""

    def __init__(self, most_ports: int = _MOST_PORTS) -> None:
        self._most_ports = most_ports
        self._seen: dict[Port, list[tuple[Spell, ...]]] = {}

    def add(self, findings: Iterable[Finding]) -> None:
        """Take what one capture tells into account."""
        for finding in findings:
            port = finding.verdict.port
            if port in self._seen or len(self._seen) < self._most_ports:
                told = self._seen.setdefault(port, [])
                if finding.history not in told:
                    told.append(finding.history)

    def changes(self) -> Iterator[tuple[Port, tuple[Spell, ...]]]:
        """The ports that changed from one capture to another, each with its whole history.

        Their spells have no frame numbers: each capture counts its own. A port of which captures
        contradict each other at one and the same time is left out.
        """
        for port, histories in self._seen.items():
            told = _merged(histories) if len(histories) > 1 else None
            if told is not None and len(told) > 1:
                yield port, tuple(replace(spell, frames=()) for spell in told)


def in_words(spells: Sequence[Spell]) -> str:
    """`closed until 2019-03-02, then filtered (admin-prohibited from 10.0.0.1)`; times are UTC."""
    texts = []
    for spell, after in zip(spells, [*spells[1:], None], strict=False):
        text = spell.state.value + _because(spell)
        if after is not None:
            text += f" until {_moment(spell.until_s, after.since_s)}"
        texts.append(text)
    return ", then ".join(texts)


_PLAIN = ("syn-ack", "reset", "udp-response", "cut-short")


def _because(spell: Spell) -> str:
    if spell.reason in _PLAIN or (spell.state, spell.reason) == (State.CLOSED, "port-unreach"):
        return ""
    who = "" if spell.reason_ip is None else f" from {spell.reason_ip}"
    return f" ({spell.reason}{who})"


def _moment(time_s: float, other_s: float) -> str:
    """The day, or where that would not tell the two times apart, the time too."""
    one, other = (datetime.fromtimestamp(s, UTC) for s in (time_s, other_s))
    if one.date() != other.date():
        return one.date().isoformat()
    short, long = "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f"
    return one.strftime(short if one.strftime(short) != other.strftime(short) else long)
