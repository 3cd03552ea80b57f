"""What a capture tells of one port, as one source asked it: replies, silence, history. No files.

Exchange -> Evidence, or what its silence means -> RULES -> Verdict -> Finding
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rawscan.correlate import Exchange
from rawscan.engine import LossModel
from rawscan.findings import Finding, Spell
from rawscan.model import NO_TIME_S, Evidence, Protocol, ReplyKind, Signal
from rawscan.portstates import history, spells, spells_of_one
from rawscan.rules import rule_for, strength
from rawscan.silence import Patience, judge_silence
from rawscan.verdict import TtlBook, judge

_MOST_LOST = 127


@dataclass(frozen=True, slots=True)
class Watch:
    """How long, and how well, the capture watched.

    Packets were dropped by the times `drops_s`, and perhaps at any time from `unsure_s` on. Fewer
    tries than `least_tries` are no silence.
    """

    until_s: float
    drops_s: tuple[float, ...]
    unsure_s: float | None
    patience: Patience
    both_ways: bool
    legible: bool
    least_tries: int = 1
    own: bool = False


def learn_losses(exchanges: Sequence[Exchange]) -> dict[Protocol, LossModel]:
    """What the answered probes say of the path, as the engine learns it during a scan."""
    losses = {protocol: LossModel() for protocol in Protocol}
    for exchange in exchanges:
        model = losses[exchange.port.protocol]
        model.asked += 1
        model.replied += any(has_verdict(exchange, e) for e in exchange.evidence)
        for e in exchange.evidence:
            if e.from_target and e.try_number is not None and has_verdict(exchange, e):
                # A conversation in UDP may have any number of "tries" before the first answer.
                lost = min(e.try_number, _MOST_LOST)
                model.add(_host(exchange), np.array([lost], np.int8))
                break
    return losses


def _host(exchange: Exchange) -> NDArray[np.uint64]:
    """The target as the loss model knows hosts: by a number."""
    return np.array([int(exchange.port.target) & 0xFFFF_FFFF_FFFF_FFFF], np.uint64)


def has_verdict(exchange: Exchange, evidence: Evidence) -> bool:
    """Does this evidence alone decide about the port?"""
    rule = rule_for(exchange.port.kind, evidence.signal, evidence.from_target)
    return strength(rule) >= 0


def finding_of(exchange: Exchange, watch: Watch, losses: LossModel, ttls: TtlBook) -> Finding:
    """Judge one exchange, when the whole capture was read. `losses` are those of its protocol."""
    evidence, sure, tries = [*exchange.evidence], 1.0, len(exchange.probes)
    if not watch.own:
        # The live scan saw no such thing, and a recording must say what it said.
        evidence += exchange.unseen
    told = () if tries == 1 else _history(exchange, evidence, watch, losses)
    if not any(has_verdict(exchange, e) for e in evidence):
        times_s = [probe.time_s for probe in exchange.probes]
        evidence.append(_silence(times_s, watch, tries))
        (sure,) = losses.confidence(_host(exchange), np.array([tries])).tolist()
    last_s = max(
        [p.time_s for p in exchange.probes] + [e.time_s for e in evidence if e.frame_number]
    )
    verdict = judge(exchange.port, evidence, tries=tries, confidence=sure, time_s=last_s)
    hint = ttls.hint(verdict)
    return Finding(
        verdict=replace(verdict, hints=(*verdict.hints, hint)) if hint else verdict,
        source=exchange.source,
        first_seen_s=min(probe.time_s for probe in exchange.probes),
        last_seen_s=last_s,
        probe_frames=tuple(probe.frame_number for probe in exchange.probes),
        history=told or spells_of_one(exchange, verdict),
    )


def _history(
    exchange: Exchange, evidence: Sequence[Evidence], watch: Watch, losses: LossModel
) -> tuple[Spell, ...]:
    """What the port's state was over time, as this source saw it.

    A port that has answered before is as likely to have changed as to be unlucky: no odds here.
    """
    (loss,) = losses.loss(_host(exchange)).tolist()
    return history(
        spells(
            exchange,
            evidence,
            watch.patience.in_all_s,
            lambda first_s, last_s: _silence((first_s, last_s), watch, len(exchange.probes)),
            lambda tries: 1.0 - loss**tries,
        )
    )


def _silence(times_s: Sequence[float], watch: Watch, tries: int) -> Evidence:
    """What it means that nothing came for probes sent at these times, of so many in all."""
    if not watch.legible:
        kind = ReplyKind.SILENCE_SNAPLEN
    elif not watch.both_ways:
        kind = ReplyKind.SILENCE_ONE_WAY
    elif NO_TIME_S in times_s or tries < watch.least_tries:
        kind = ReplyKind.SILENCE_CUT_SHORT  # for all that is known
    else:
        span_s = min(times_s), max(times_s)
        kind = judge_silence(*span_s, watch.until_s, watch.drops_s, watch.patience)
        unsure = watch.unsure_s is not None and watch.patience.enough_at(*span_s) >= watch.unsure_s
        if unsure and kind is ReplyKind.SILENCE:
            kind = ReplyKind.SILENCE_DROPS
    return Evidence(Signal(kind), None, from_target=False, time_s=watch.until_s)
