"""The wheel: send, receive, decide, until every port is decided. Owns the clock."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import isnan

import numpy as np
from numpy.typing import NDArray

from rawscan.engine import NOBODY, Answer, Decided, Engine, Send, Settings
from rawscan.errors import CaptureError, NeighbourError
from rawscan.model import Evidence, Port, ProbeKind, ReplyKind, Signal, State, Verdict
from rawscan.net.link import Block, Link
from rawscan.rules import RULES
from rawscan.scanner.listen import Listener
from rawscan.scanner.transmit import Sources, Transmitter
from rawscan.space import Ints, PortSpace
from rawscan.verdict import TtlBook, judge
from rawscan.wire.token import Token

_LONGEST_WAIT_S = 0.1
"""An interrupt is noticed at the latest after this."""

_MOST_BLOCKS = 1000
"""Blocks that are read at once, so that a flood cannot keep the scan from going on."""


_IS_CUT_SHORT = np.array([rule.reply is ReplyKind.SILENCE_CUT_SHORT for rule in RULES])
_COLUMNS = ("ordinals", "rule", "tries", "confidence", "ttl", "rtt_s", "responder")


def _those(batch: Decided, chosen: NDArray[np.bool_]) -> Decided:
    return replace(batch, **{name: getattr(batch, name)[chosen] for name in _COLUMNS})


def steady_clock() -> Callable[[], float]:
    """The time of day as it is now, going on evenly: nobody's setting of the clock moves it."""
    offset_s = time.time() - time.monotonic()
    return lambda: offset_s + time.monotonic()


@dataclass(slots=True)
class Counters:
    """What happened on the wire, for the summary and for the progress bar.

    `not_sent` counts the probes that the system would not send, by its reason.
    """

    probes_sent: int = 0
    replies: int = 0
    drops: int = 0
    decided: int = 0
    not_sent: Counter[str] = field(default_factory=Counter)
    states: dict[str, int] = field(default_factory=dict)


class Scan:
    """One scan over one link. Iterate `run()` for the verdicts, as they are known."""

    def __init__(
        self,
        space: PortSpace,
        link: Link,
        token: Token,
        *,
        kinds: Sequence[ProbeKind],
        sources: Sources,
        settings: Settings | None = None,
        udp_payload: bytes = b"",
        clock: Callable[[], float] | None = None,
        stop: Callable[[], bool] = lambda: False,
        done: Ints | None = None,
    ) -> None:
        """`sources` gives our address on the way to targets; `stop` ends the scan early.

        `done` are the ordinals, ascending, that an earlier run has decided: they are left alone.
        """
        self._clock = clock or steady_clock()
        self.engine = Engine(space, settings or Settings(), self._clock(), done)
        self.counters = Counters()
        self.complete = False
        self.error: CaptureError | None = None
        self.dropped_s: float | None = None
        self.watched_until_s: float | None = None
        self.listener = Listener(space, token, kinds)
        self.link_name = link.name
        self._space = space
        self._link = link
        self._transmitter = Transmitter(space, token, link, sources, udp_payload)
        self._stop = stop
        self._ttls = TtlBook()

    def run(self) -> Iterator[Verdict]:
        """Scan until every port is decided, or `stop()` is true.

        A verdict that revises an earlier one (a late reply that is stronger) comes as a second one
        for its port, with the hint `revised`. A recording that cannot be written any further ends
        the scan as `stop()` does, and is in `error`. Ports that were still open come last.
        """
        try:
            while not self.engine.finished and not self._stop():
                yield from self._turn()
        except CaptureError as error:  # A full disk, say: what is known is still worth telling.
            self.error = error
        self.complete = self.engine.finished and self.error is None
        self.watched_until_s = self._clock()
        batches = self.engine.stop(self.watched_until_s)
        # What is known comes first: a journal is resumed from where only the rest follows.
        for still_open in (False, True):
            for batch in batches:
                chosen = _IS_CUT_SHORT[batch.rule] == still_open
                yield from self._verdicts(_those(batch, chosen))

    def _turn(self) -> Iterator[Verdict]:
        for command in self.engine.poll(self._clock()):
            if isinstance(command, Send):
                self._send(command)
            else:
                yield from self._verdicts(command)
        if self.engine.finished:
            return
        # Everything that has come is read before anything is decided: silence is not what lies
        # unread, however long a slow link took to send.
        timeout_s = self._wait_s()
        for _ in range(_MOST_BLOCKS):
            block = self._link.receive(timeout_s)
            yield from self._take(block)
            if not len(block):
                return
            timeout_s = 0.0

    def _wait_s(self) -> float:
        now_s = self._clock()
        wake_s = self.engine.wake_s(now_s)
        return _LONGEST_WAIT_S if wake_s is None else min(wake_s - now_s, _LONGEST_WAIT_S)

    def _send(self, command: Send) -> None:
        for outcome in self._transmitter.send(command):
            if outcome.error is None:
                self.engine.sent(outcome.ordinals, command.number, outcome.times_s)
                self.counters.probes_sent += len(outcome.ordinals)
                continue
            nobody = isinstance(outcome.error, NeighbourError)
            why = ReplyKind.NO_NEIGHBOUR if nobody else ReplyKind.SEND_FAILED
            self.engine.send_failed(outcome.ordinals, why, self._clock())
            self.counters.not_sent[str(outcome.error)] += len(outcome.ordinals)

    def _take(self, block: Block) -> Iterator[Verdict]:
        self._count_drops()
        if not len(block):
            return
        for arrivals in self.listener.hear(block):
            self.counters.replies += len(arrivals)
            for decided in self.engine.receive(arrivals, self._clock()):
                yield from self._verdicts(decided)

    def _count_drops(self) -> None:
        drops = self._link.drops()
        if drops > self.counters.drops:
            self.counters.drops = drops
            now_s = self._clock()
            self.dropped_s = self.dropped_s or now_s
            self.engine.dropped(now_s)

    def _verdicts(self, decided: Decided) -> Iterator[Verdict]:
        ports = self._space.ports(decided.ordinals)
        for index, (ordinal, port) in enumerate(zip(decided.ordinals.tolist(), ports, strict=True)):
            extras = decided.extras.get(ordinal)
            verdict = (
                self._plain(port, decided, index)
                if extras is None
                else self._judged(port, decided, index, extras)
            )
            hint = self._ttls.hint(verdict)
            before = None if decided.revised is None else RULES[decided.revised[index]].state
            more = tuple(filter(None, (hint, "revised" if before else None)))
            if more:
                verdict = replace(verdict, hints=(*verdict.hints, *more), revises=before)
            self._count(verdict)
            yield verdict

    def _plain(self, port: Port, decided: Decided, index: int) -> Verdict:
        """The verdict where only one thing is known: the row says it all."""
        rule = RULES[decided.rule[index]]
        assert rule.state is not None
        number, rtt_s = int(decided.responder[index]), float(decided.rtt_s[index])
        said = number != NOBODY
        return Verdict(
            port=port,
            state=rule.state,
            reason=rule.reason,
            rule=rule.id,
            tries=int(decided.tries[index]),
            confidence=0.0 if rule.state is State.UNKNOWN else float(decided.confidence[index]),
            time_s=decided.time_s,
            reason_ip=self.listener.responder(number, port.target) if said else None,
            reason_ttl=int(decided.ttl[index]) if said else None,
            rtt_s=rtt_s if said and not isnan(rtt_s) else None,
        )

    def _judged(
        self, port: Port, decided: Decided, index: int, extras: tuple[Answer, ...]
    ) -> Verdict:
        """The verdict where several things are known."""
        evidence = [self.listener.evidence(answer, port.target) for answer in extras]
        if decided.responder[index] == NOBODY:  # what was heard gave no verdict: it is silence
            silence = RULES[decided.rule[index]].reply
            evidence.append(Evidence(Signal(silence), None, False, decided.time_s))
        return judge(
            port,
            evidence,
            tries=int(decided.tries[index]),
            confidence=float(decided.confidence[index]),
            time_s=decided.time_s,
        )

    def _count(self, verdict: Verdict) -> None:
        states = self.counters.states
        if verdict.revises is None:
            self.counters.decided += 1
        else:
            states[verdict.revises.value] -= 1
        states[verdict.state.value] = states.get(verdict.state.value, 0) + 1
