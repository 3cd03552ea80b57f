"""The wheel: send, receive, decide, until every port is decided. Owns the clock."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from rawscan.engine import NOBODY, TARGET, Answer, Decided, Engine, Send, Settings
from rawscan.errors import BusyError, CaptureError, NeighbourError
from rawscan.model import Evidence, ProbeKind, ReplyKind, Signal, Verdict
from rawscan.net.link import Block, Link
from rawscan.rules import RULES
from rawscan.scanner.listen import Listener
from rawscan.scanner.transmit import Sources, Transmitter
from rawscan.space import Group, Ints, PortSpace
from rawscan.verdict import TtlColumn, judge, ttl_hint
from rawscan.verdicts import ITSELF, Verdicts, sureness
from rawscan.wire.token import Token

_LONGEST_WAIT_S = 0.1
"""An interrupt is noticed at the latest after this."""

_DROPS_APART_S = 0.1
"""Drops are noted no closer than this. Those in between are noted late, and no silence is judged
otherwise for that: it is waited for much longer, so that it saw the note before or the one after.
"""

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

    `not_sent` counts the probes that the system would not send, by its reason; `unsure` verdicts of
    silence that are less sure than was asked for.
    """

    probes_sent: int = 0
    replies: int = 0
    drops: int = 0
    decided: int = 0
    unsure: int = 0
    not_sent: Counter[str] = field(default_factory=Counter)
    states: dict[str, int] = field(default_factory=dict)


class Scan:
    """One scan over one link. Iterate `run()` for the verdicts, as they are known.

    `batches()` gives the same in columns, which is how a large scan should be taken.
    """

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
        on_drops: Callable[[float, int], None] = lambda time_s, total: None,
    ) -> None:
        """`sources` gives our address on the way to targets; `stop` ends the scan early.

        `done` are the ordinals, ascending, that an earlier run has decided: they are left alone.
        `on_drops` is told when the kernel has thrown packets away, and how many so far.
        """
        self._clock = clock or steady_clock()
        self.engine = Engine(space, settings or Settings(), self._clock(), done)
        self.counters = Counters()
        self.complete = False
        self.error: CaptureError | None = None
        self.watched_until_s: float | None = None
        self.listener = Listener(space, token, kinds)
        self.link_name = link.name
        self._space = space
        self._link = link
        self._transmitter = Transmitter(space, token, link, sources, udp_payload)
        self._stop = stop
        self._ttls = TtlColumn(space.targets.count)
        self._on_drops = on_drops

    @property
    def drops_s(self) -> list[float]:
        """When packets were found to have been thrown away by the kernel."""
        return self.engine.drops_s

    def run(self) -> Iterator[Verdict]:
        """`batches()`, as single verdicts."""
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[Verdicts]:
        """Scan until every port is decided, or `stop()` is true.

        A verdict that revises an earlier one (a late reply that is stronger) comes as a second one
        for its port, with the hint `revised`. A recording that cannot be written any further ends
        the scan as `stop()` does, and is in `error`. Ports that were still open come last.
        """
        try:
            while not self.engine.finished and not self._stop():
                yield from self._turn()
            self._count_drops(apart_s=0.0)
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

    def _turn(self) -> Iterator[Verdicts]:
        yield from self._read(self._wait_s())
        # What is decided is decided as of a moment up to which everything has been read: silence
        # is not what lies unread, however long sending took, or this process was stopped.
        now_s = self._clock()
        yield from self._read(0.0)
        for command in self.engine.poll(now_s):
            if isinstance(command, Send):
                self._send(command)
            else:
                yield from self._verdicts(command)

    def _read(self, timeout_s: float) -> Iterator[Verdicts]:
        """Take in all that has come, waiting at most `timeout_s` for the first of it."""
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
            busy = isinstance(outcome.error, BusyError)
            self.engine.send_failed(outcome.ordinals, why, self._clock(), passing=busy)
            self.counters.not_sent[str(outcome.error)] += len(outcome.ordinals)

    def _take(self, block: Block) -> Iterator[Verdicts]:
        self._count_drops()
        if not len(block):
            return
        for arrivals in self.listener.hear(block):
            self.counters.replies += len(arrivals)
            for decided in self.engine.receive(arrivals, self._clock()):
                yield from self._verdicts(decided)

    def _count_drops(self, apart_s: float = _DROPS_APART_S) -> None:
        drops, now_s = self._link.drops(), self._clock()
        noted_s = self.drops_s[-1] if self.drops_s else -inf
        if drops > self.counters.drops and now_s >= noted_s + apart_s:
            self.counters.drops = drops
            self.engine.dropped(now_s)
            self._on_drops(now_s, drops)

    def _verdicts(self, decided: Decided) -> Iterator[Verdicts]:
        for group in self._space.groups(decided.ordinals):
            everything = self._columns(decided, group)
            own = everything.answered & (everything.responder == ITSELF)
            firsts = np.zeros(len(own), np.uint8)
            firsts[own] = self._ttls.firsts(group.hosts[own], everything.ttl[own])
            is_odd = (firsts != 0) & (firsts != everything.ttl)
            if decided.revised is not None:
                is_odd[:] = True
            if decided.extras:
                is_odd |= np.isin(group.ordinals, list(decided.extras))
            odd = tuple(
                self._odd(everything.record(row), decided, int(group.rows[row]), int(firsts[row]))
                for row in np.flatnonzero(is_odd).tolist()
            )
            plain = np.flatnonzero(~is_odd)
            plain = plain[np.argsort(everything.alike[plain], kind="stable")]
            batch = replace(everything.take(plain), odd=odd)
            self._count(batch)
            yield batch

    def _columns(self, decided: Decided, group: Group) -> Verdicts:
        """The rows of one group, as if only one thing were known of each."""
        rows = group.rows
        rule, responder = decided.rule[rows], decided.responder[rows]
        return Verdicts(
            kind=group.kind,
            targets=group.targets,
            ports=group.ports,
            rule=rule,
            tries=decided.tries[rows],
            confidence=sureness(rule, decided.confidence[rows]),
            answered=responder != NOBODY,
            ttl=decided.ttl[rows],
            rtt_s=decided.rtt_s[rows],
            responder=np.where(responder == TARGET, np.int32(ITSELF), responder),
            others=self.listener.responders,
            time_s=decided.time_s,
        )

    def _odd(self, plain: Verdict, decided: Decided, index: int, first_ttl: int) -> Verdict:
        """The verdict with all that there is to say: contradictions, and what it revises."""
        extras = decided.extras.get(int(decided.ordinals[index]))
        verdict = plain if extras is None else self._judged(plain, decided, index, extras)
        hints = list(verdict.hints)
        if first_ttl and first_ttl != plain.reason_ttl:
            assert plain.reason_ttl is not None
            hints.append(ttl_hint(plain.reason_ttl, first_ttl))
        before = None if decided.revised is None else RULES[decided.revised[index]].state
        if before:
            hints.append("revised")
        return replace(verdict, hints=tuple(hints), revises=before)

    def _judged(
        self, plain: Verdict, decided: Decided, index: int, extras: tuple[Answer, ...]
    ) -> Verdict:
        """The verdict where several things are known."""
        evidence = [self.listener.evidence(answer, plain.port.target) for answer in extras]
        if decided.responder[index] == NOBODY:  # what was heard gave no verdict: it is silence
            silence = RULES[decided.rule[index]].reply
            evidence.append(Evidence(Signal(silence), None, False, decided.time_s))
        return judge(
            plain.port,
            evidence,
            tries=plain.tries,
            confidence=float(decided.confidence[index]),
            time_s=decided.time_s,
        )

    def _count(self, batch: Verdicts) -> None:
        states = self.counters.states
        self.counters.decided += len(batch)
        for state, count in batch.states().items():
            states[state.value] = states.get(state.value, 0) + count
        self.counters.unsure += batch.less_sure_than(self.engine.settings.confidence)
        for verdict in batch.odd:
            if verdict.revises is not None:
                self.counters.decided -= 1
                states[verdict.revises.value] -= 1
