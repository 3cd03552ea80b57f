"""From all the evidence about a port to one verdict. Touches nothing.

The strongest evidence wins, whenever it came, and contradictions are shown as hints. The live scan
and the offline analysis both end here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rawscan.model import Evidence, IPAddress, Port, ReplyKind, State, Verdict
from rawscan.rules import SURE_BY_INFERENCE, rule_for, strength


def judge(
    port: Port, evidence: Sequence[Evidence], *, tries: int, confidence: float, time_s: float
) -> Verdict:
    """Give the verdict on `port`.

    Of equally strong evidence the first counts. Raises `ValueError` if none of it has a verdict:
    whoever watched has to say what kind of silence it was.
    """
    ranked = [(e, rule_for(port.kind, e.signal, e.from_target)) for e in evidence]
    best, rule = max(ranked, key=lambda pair: strength(pair[1]), default=(None, None))
    if best is None or rule is None or rule.state is None:
        raise ValueError(f"no evidence about {port} has a verdict")
    if rule.state is State.UNKNOWN:
        confidence = 0.0
    elif rule.inferred:
        confidence = min(confidence, SURE_BY_INFERENCE)
    hints = ["inferred"] if rule.inferred else []
    return Verdict(
        port=port,
        state=rule.state,
        reason=rule.reason,
        rule=rule.id,
        tries=tries,
        confidence=confidence,
        time_s=time_s,
        reason_ip=best.responder,
        reason_ttl=best.ttl,
        rtt_s=best.rtt_s,
        hints=(*hints, *_hints(port, evidence)),
        evidence=tuple(evidence),
    )


def _hints(port: Port, evidence: Sequence[Evidence]) -> Iterator[str]:
    kinds = {e.signal.kind for e in evidence}
    if {ReplyKind.SYN_ACK, ReplyKind.RST} <= kinds:
        yield "rst-and-syn-ack"
    if any(
        e.signal.kind is ReplyKind.SYN_ACK and e.window == 0 and e.options_bytes == 0
        for e in evidence
    ):
        yield "syn-proxy"
    yield from _overruled(port, evidence)


def _overruled(port: Port, evidence: Sequence[Evidence]) -> Iterator[str]:
    """Replies that did not make the verdict, each kind once: `frag-needed from 10.0.0.1`."""
    rules = [(e, rule_for(port.kind, e.signal, e.from_target)) for e in evidence]
    best = max(strength(rule) for _, rule in rules)
    seen: set[str] = set()
    for e, rule in rules:
        if strength(rule) == best or e.responder is None:
            continue
        hint = f"{rule.reason if rule else e.signal} from {e.responder}"
        if hint not in seen:
            seen.add(hint)
            yield hint


class TtlBook:
    """Remembers the TTL of each target's first reply, so that a different one stands out.

    Somebody on the way who answers in the target's name is seldom as many hops away as it is.
    """

    def __init__(self) -> None:
        self._first: dict[IPAddress, int] = {}

    def hint(self, verdict: Verdict) -> str | None:
        """`ttl-differs: 63, elsewhere 64` if this reply's TTL is unlike the target's first."""
        ttl, target = verdict.reason_ttl, verdict.port.target
        if ttl is None or verdict.reason_ip != target:
            return None
        first = self._first.setdefault(target, ttl)
        return None if first == ttl else ttl_hint(ttl, first)


class TtlColumn:
    """`TtlBook` for a whole scan: its targets by number, many at once, one byte for each.

    Those numbered `MAX_TTLS` and above are not remembered.
    """

    def __init__(self, targets: int) -> None:
        self._first = np.zeros(min(targets, MAX_TTLS), np.uint8)

    def firsts(self, hosts: NDArray[np.uint64], ttls: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Each target's first TTL, learnt from this reply if there was none; 0: not remembered."""
        known = np.flatnonzero(hosts < len(self._first))
        places = hosts[known].astype(np.int64)
        new = np.flatnonzero(self._first[places] == 0)[::-1]  # of several, the first is kept
        self._first[places[new]] = ttls[known[new]]
        firsts = np.zeros(len(hosts), np.uint8)
        firsts[known] = self._first[places]
        return firsts


MAX_TTLS = 1 << 22
"""Targets whose first TTL a scan remembers, one byte for each."""


def ttl_hint(ttl: int, first: int) -> str:
    """The hint for a TTL that is not the target's first."""
    return f"ttl-differs: {ttl}, elsewhere {first}"
