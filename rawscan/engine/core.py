"""The scan as events in, commands out. No socket, no clock: `now_s` is an argument.

    poll(now)     -> what to send and what is decided
    receive(...)  <- a reply that was proved to be about one of our ports
    wake_s(now)   -> when to call poll again at the latest

A port is decided a moment after its first reply that means something (a stronger one may be on its
way), or when silence has lasted long enough (`rawscan.silence`) over enough tries (`engine.loss`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import count

from rawscan.engine.loss import LossModel, confidence, tries_needed
from rawscan.engine.pacing import Pacer
from rawscan.engine.rtt import RttEstimator
from rawscan.model import Evidence, Port, Probe, Protocol, ReplyKind, Signal
from rawscan.rules import rule_for, strength
from rawscan.silence import OWN, judge_silence

MAX_RETRY_DELAY_S = 1.0
"""Retries back off by doubling, but not beyond this: patience is spent on more tries instead."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user may set. `max_in_flight` bounds the memory for undecided ports."""

    rate_pps: float = 1000.0
    max_retries: int = 10
    confidence: float = 0.9999
    max_in_flight: int = 10_000


@dataclass(frozen=True, slots=True)
class Send:
    """Command: send this probe now."""

    probe: Probe


@dataclass(frozen=True, slots=True)
class Decided:
    """Nothing more is awaited for this port. `revised`: it replaces an earlier decision."""

    port: Port
    evidence: tuple[Evidence, ...]
    tries: int
    confidence: float
    time_s: float
    revised: bool = False


@dataclass(slots=True)
class _Undecided:
    """A port in flight. `due_s` is when it wants attention again."""

    port: Port
    sent_s: list[float] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    best: int = -1
    due_s: float = 0.0

    def silence_enough_s(self) -> float:
        """From when on silence is honest."""
        return OWN.enough_at(self.sent_s[0], self.sent_s[-1])


class Engine:
    """Asks each of `ports` once, in their order, and keeps asking the silent ones.

    Memory: some 500 bytes for each port in flight, of which there are at most
    `settings.max_in_flight`, and some 300 for each port decided, so that a late reply that is
    stronger than the decision can revise it.
    """

    def __init__(self, ports: Iterable[Port], settings: Settings) -> None:
        self.settings = settings
        self.rtt = RttEstimator()
        self.losses = {protocol: LossModel() for protocol in Protocol}
        self._pacer = Pacer(settings.rate_pps)
        self._new = iter(ports)
        self._exhausted = False
        self._in_flight: dict[Port, _Undecided] = {}
        self._decided: dict[Port, tuple[int, Decided]] = {}
        self._retries: deque[_Undecided] = deque()
        self._timers: list[tuple[float, int, _Undecided]] = []
        self._serial = count()
        self._dropped_s: float | None = None

    @property
    def finished(self) -> bool:
        """Every port was asked and is decided."""
        return self._exhausted and not self._in_flight

    @property
    def in_flight(self) -> int:
        """Ports that were asked and are not decided."""
        return len(self._in_flight)

    def poll(self, now_s: float) -> list[Send | Decided]:
        """What to do at `now_s`: probes to send, in order, and ports that are decided."""
        commands: list[Send | Decided] = []
        while self._timers and self._timers[0][0] <= now_s:
            due_s, _, item = heappop(self._timers)
            if item.due_s != due_s:
                continue  # Something moved this timer; the newer entry counts.
            if item.best >= 0:
                commands.append(self._decide(item, now_s))
            elif len(item.sent_s) < self._tries_wanted(item):
                self._retries.append(item)
            elif now_s < (enough_s := item.silence_enough_s()):
                self._wake(item, enough_s)  # Fewer tries are wanted by now than when it was set.
            else:
                commands.append(self._decide(item, now_s))
        commands.extend(self._sends(now_s))
        return commands

    def receive(self, port: Port, evidence: Evidence, now_s: float) -> list[Decided]:
        """A reply about `port`. Usually no command follows at once; a late one may revise."""
        item = self._in_flight.get(port)
        if item is None:
            return self._receive_late(port, evidence, now_s)
        evidence = self._timed(item, evidence)
        item.evidence.append(evidence)
        rank = strength(rule_for(port.kind, evidence.signal, evidence.from_target))
        if rank >= 0 and item.best < 0:
            self._learn(item, evidence)
            self._wake(item, now_s + self.rtt.timeout_s)
        item.best = max(item.best, rank)
        return []

    def sent(self, probe: Probe, time_s: float) -> None:
        """The probe left at `time_s`, which is a little later than `poll` told it to."""
        item = self._in_flight.get(probe.port)
        if item is not None:
            item.sent_s[probe.number] = time_s

    def send_failed(self, probe: Probe, why: ReplyKind, now_s: float) -> None:
        """The probe could not be sent; unless something else is known, that is the verdict."""
        item = self._in_flight.get(probe.port)
        if item is None:
            return
        item.evidence.append(Evidence(Signal(why), None, False, now_s))
        item.best = max(item.best, 0)
        self._wake(item, now_s)

    def wake_s(self, now_s: float) -> float | None:
        """When `poll` has something to do next; None: never, the scan is finished."""
        times = [self._timers[0][0]] if self._timers else []
        if self._retries or self._may_admit():
            times.append(self._pacer.next_s(now_s))
        return min(times, default=None)

    def dropped(self, now_s: float) -> None:
        """The kernel threw replies away: from now on silence is no verdict in this scan."""
        if self._dropped_s is None:
            self._dropped_s = now_s

    def stop(self, now_s: float) -> list[Decided]:
        """End here: decide every port in flight with what is known of it."""
        return [self._decide(item, now_s) for item in list(self._in_flight.values())]

    def _may_admit(self) -> bool:
        return not self._exhausted and len(self._in_flight) < self.settings.max_in_flight

    def _sends(self, now_s: float) -> Iterable[Send]:
        """Retries first, then new ports, as far as the rate and the memory allow."""
        while self._retries or self._may_admit():
            if self._retries and self._retries[0].best >= 0:
                self._retries.popleft()  # It was answered while it waited for its turn.
                continue
            if not self._pacer.take(now_s):
                return
            item = self._retries.popleft() if self._retries else self._admit()
            if item is not None:
                yield self._send(item, now_s)

    def _admit(self) -> _Undecided | None:
        port = next(self._new, None)
        if port is None:
            self._exhausted = True
            return None
        item = self._in_flight[port] = _Undecided(port)
        return item

    def _send(self, item: _Undecided, now_s: float) -> Send:
        number = len(item.sent_s)
        item.sent_s.append(now_s)
        if len(item.sent_s) < self._tries_wanted(item):
            delay_s = self.rtt.timeout_s * 2**number
            self._wake(item, now_s + min(delay_s, max(MAX_RETRY_DELAY_S, self.rtt.timeout_s)))
        else:
            last_s = now_s + max(self.rtt.timeout_s - OWN.after_last_s, 0.0)
            self._wake(item, OWN.enough_at(item.sent_s[0], last_s))
        return Send(Probe(item.port, number))

    def _tries_wanted(self, item: _Undecided) -> int:
        loss = self.losses[item.port.protocol].loss(item.port.target)
        needed = tries_needed(loss, self.settings.confidence)
        return min(needed, self.settings.max_retries + 1)

    def _wake(self, item: _Undecided, due_s: float) -> None:
        item.due_s = due_s
        heappush(self._timers, (due_s, next(self._serial), item))

    def _timed(self, item: _Undecided, evidence: Evidence) -> Evidence:
        number = evidence.try_number
        if number is None or number >= len(item.sent_s):
            return evidence
        return replace(evidence, rtt_s=max(evidence.time_s - item.sent_s[number], 0.0))

    def _learn(self, item: _Undecided, evidence: Evidence) -> None:
        """Only the target's own answers tell of the path; routers take seconds to give up."""
        if not evidence.from_target or evidence.try_number is None:
            return
        if evidence.rtt_s is not None:
            self.rtt.add(evidence.rtt_s)
        self.losses[item.port.protocol].add(item.port.target, evidence.try_number)

    def _decide(self, item: _Undecided, now_s: float) -> Decided:
        evidence, sure = tuple(item.evidence), 1.0
        if item.best < 0:
            loss = self.losses[item.port.protocol].loss(item.port.target)
            sure = confidence(loss, len(item.sent_s))
            evidence += (Evidence(Signal(self._silence(item, now_s)), None, False, now_s),)
        decided = Decided(item.port, evidence, len(item.sent_s), sure, now_s)
        del self._in_flight[item.port]
        item.due_s = -1.0  # Timers of this port that are still queued no longer match.
        item.best = max(item.best, 0)
        rank = max(strength(rule_for(item.port.kind, e.signal, e.from_target)) for e in evidence)
        self._decided[item.port] = (rank, decided)
        return decided

    def _receive_late(self, port: Port, evidence: Evidence, now_s: float) -> list[Decided]:
        if port not in self._decided:
            return []
        rank, before = self._decided[port]
        late = strength(rule_for(port.kind, evidence.signal, evidence.from_target))
        if late <= rank:
            return []
        after = replace(
            before,
            evidence=(*before.evidence, evidence),
            confidence=1.0,
            time_s=now_s,
            revised=True,
        )
        self._decided[port] = (late, after)
        return [after]

    def _silence(self, item: _Undecided, now_s: float) -> ReplyKind:
        return judge_silence(item.sent_s[0], item.sent_s[-1], now_s, self._dropped_s, OWN)
