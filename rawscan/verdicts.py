"""Many verdicts at once, as columns: what a scan hands on, thousands at a time. Touches nothing.

Nearly all ports of a large scan are settled by one reply, or by silence, and nothing more is to be
said of them. Their verdicts stay columns until somebody asks for records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isnan

import numpy as np
from numpy.typing import NDArray

from rawscan.model import IPAddress, Port, ProbeKind, State, Verdict
from rawscan.rules import RULES
from rawscan.wire.addresses import Addresses

ITSELF = -1
"""`responder`: the target answered for itself."""

_STATES = tuple(State)
# A rule without a state makes no verdict; its entry is never asked for.
_STATE_OF_RULE = np.array([_STATES.index(rule.state or State.UNKNOWN) for rule in RULES], np.uint8)
_IS_UNKNOWN = np.array([rule.state is State.UNKNOWN for rule in RULES], np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """Verdicts that became known at once, on ports asked by one kind of probe, of one IP version.

    The columns have one entry a port, and stand for records without hints. `rule` is a row's number
    in `rawscan.rules.RULES`. `answered` is False for silence, where `ttl`, `rtt_s` and `responder`
    mean nothing; elsewhere `rtt_s` is NaN if it is not known, and `responder` is `ITSELF` or an
    index into `others`. `odd` are the few verdicts of which there is more to say, as records.
    Iterating gives all of them as records: the columns' first, then the odd ones.
    """

    kind: ProbeKind
    targets: Addresses
    ports: NDArray[np.uint16]
    rule: NDArray[np.uint8]
    tries: NDArray[np.uint8]
    confidence: NDArray[np.float64]
    answered: NDArray[np.bool_]
    ttl: NDArray[np.uint8]
    rtt_s: NDArray[np.float32]
    responder: NDArray[np.int32]
    others: Sequence[IPAddress]
    time_s: float
    odd: tuple[Verdict, ...] = ()

    def __len__(self) -> int:
        return len(self.ports) + len(self.odd)

    def __iter__(self) -> Iterator[Verdict]:
        yield from map(self.record, range(len(self.ports)))
        yield from self.odd

    def record(self, row: int) -> Verdict:
        """One row of the columns as a record."""
        target, rule = self.targets.at(row), RULES[self.rule[row]]
        assert rule.state is not None
        responder, rtt_s = int(self.responder[row]), float(self.rtt_s[row])
        said = bool(self.answered[row])
        who = target if responder == ITSELF else self.others[responder] if said else None
        return Verdict(
            port=Port(target, int(self.ports[row]), self.kind),
            state=rule.state,
            reason=rule.reason,
            rule=rule.id,
            tries=int(self.tries[row]),
            confidence=float(self.confidence[row]),
            time_s=self.time_s,
            reason_ip=who if said else None,
            reason_ttl=int(self.ttl[row]) if said else None,
            rtt_s=rtt_s if said and not isnan(rtt_s) else None,
        )

    def take(self, rows: NDArray[np.intp]) -> Verdicts:
        """Some rows of the columns, by index, and none of the odd ones."""
        return replace(
            self,
            targets=self.targets.take(rows),
            ports=self.ports[rows],
            rule=self.rule[rows],
            tries=self.tries[rows],
            confidence=self.confidence[rows],
            answered=self.answered[rows],
            ttl=self.ttl[rows],
            rtt_s=self.rtt_s[rows],
            responder=self.responder[rows],
            odd=(),
        )

    @property
    def alike(self) -> NDArray[np.int16]:
        """Equal numbers for rows whose records differ in targets and numbers alone."""
        return self.rule.astype(np.int16) * 2 + self.answered

    def less_sure_than(self, wanted: float) -> int:
        """How many silences are believed, and less than that."""
        believed = ~self.answered & (self.confidence < wanted) & ~_IS_UNKNOWN[self.rule]
        odd = (v for v in self.odd if v.reason_ip is None and v.state is not State.UNKNOWN)
        return int(believed.sum()) + sum(verdict.confidence < wanted for verdict in odd)

    def by_state(self) -> Iterator[tuple[State, NDArray[np.intp]]]:
        """The rows of the columns, state by state."""
        numbers = _STATE_OF_RULE[self.rule]
        for number in np.flatnonzero(np.bincount(numbers)).tolist():
            yield _STATES[number], np.flatnonzero(numbers == number)

    def states(self) -> Counter[State]:
        """How many ports are in each state now; what they were before is in the odd ones."""
        counts = Counter({state: len(rows) for state, rows in self.by_state()})
        counts.update(verdict.state for verdict in self.odd)
        return counts


def sureness(rule: NDArray[np.uint8], confidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """The confidence in each verdict: none where the rule gives no state that can be believed."""
    return np.where(_IS_UNKNOWN[rule], 0.0, confidence)
