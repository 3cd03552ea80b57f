"""The scan as events in, commands out. No socket, no clock: `now_s` is an argument.

    poll(now)     -> what to send and what is decided
    receive(...)  <- replies that were proved to be about our ports
    wake_s(now)   -> when to call poll again at the latest

A port is decided a moment after its first reply that means something (a stronger one may be on its
way), or when silence has lasted long enough (`rawscan.silence`) over enough tries (`engine.loss`).
Ports are handled in batches, as arrays (`engine.window`); nothing here is done port by port.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rawscan.engine.events import Arrivals, Book, Decided, Send, Settings
from rawscan.engine.extras import Extras
from rawscan.engine.hostcap import HostCap
from rawscan.engine.loss import LossModel
from rawscan.engine.pacing import Pacer
from rawscan.engine.persistence import Persistence
from rawscan.engine.ratecontrol import RateControl
from rawscan.engine.rows import LIMITED, STRENGTH, reply_rows, silence_rows
from rawscan.engine.rtt import RttEstimator
from rawscan.engine.timers import TICK_S, Timers
from rawscan.engine.window import ANSWER, ANSWERED, ASKED, DONE, NOBODY, Floats, Ints, Window
from rawscan.model import ReplyKind
from rawscan.silence import OWN, judge_silences

MAX_BATCH = 4096
"""Ports in one command, so that replies are looked at in between."""

MOST_REFUSALS = 5
"""So often the first try at a port may find no room; the pauses between are some half a second."""

_HOST_PAUSE_S = 0.01
_UNBEATEN = 127


class Engine:
    """Asks each port of `book` once, in the order of their ordinals, and goes on with the silent.

    Memory: some 70 bytes for each port in flight and 4 for each try, of which there are at most
    `settings.max_window`. Those decided stay until the window needs their place, so that a late
    reply that is stronger than the decision can revise it.
    """

    def __init__(
        self, book: Book, settings: Settings, start_s: float = 0.0, done: Ints | None = None
    ) -> None:
        """`done` are ordinals that are decided already, ascending: they are never asked."""
        done = np.array([], np.int64) if done is None else done
        ahead = np.flatnonzero(done != np.arange(len(done)))
        first = int(ahead[0]) if len(ahead) else len(done)
        self.settings = settings
        self.window = Window(start_s, first)
        self.undecided = 0
        self.drops_s: list[float] = []
        """When replies were found to have been thrown away."""
        self._done = done[first:]
        self._book = book
        self._hosts = HostCap(settings.host_rate_pps, book.hosts)
        ceiling_pps = min(settings.rate_pps, self._hosts.total_pps)
        self._control = RateControl(ceiling_pps, start_s)
        self._pacer = Pacer(ceiling_pps)
        self._path = Persistence(self.window, settings)
        self._retries: deque[Ints] = deque()
        self._paced: deque[Ints] = deque()
        self._timers = Timers()
        self._extras = Extras(self.window)

    @property
    def losses(self) -> tuple[LossModel, LossModel]:
        """What was learnt of losses, of TCP and of UDP."""
        return self._path.losses

    @property
    def rtt(self) -> RttEstimator:
        """What was learnt of round-trip times."""
        return self._path.rtt

    @property
    def finished(self) -> bool:
        """Every port was asked and is decided."""
        return self.window.head == self._book.count and not self.undecided

    def poll(self, now_s: float) -> list[Send | Decided]:
        """What to do at `now_s`: probes to send, in order, and ports that are decided."""
        commands: list[Send | Decided] = []
        self._control.update(now_s, self.rtt.timeout_s)
        self._pacer.rate_pps = self._control.rate_pps
        for status, due in self._timers.due(now_s):
            # Ports that were answered meanwhile may have left, and others have their places.
            due_now = due[self.window.contains(due)]
            ordinals = due_now[self.window.status[self.window.at(due_now)] == status]
            if status == ANSWERED:
                commands += self._decide(ordinals, now_s)
            else:
                commands += self._go_on(ordinals, now_s)
        commands += self._sends(now_s)
        return commands

    def receive(self, arrivals: Arrivals, now_s: float) -> list[Decided]:
        """Replies came. Usually no command follows at once; a late one may revise a decision."""
        revised: list[Decided] = []
        asked = self.window.contains(arrivals.ordinals)
        # What answers a try that was not made is a guess of somebody's.
        made = self.window.tries[self.window.at(arrivals.ordinals)]
        remaining: Ints = np.flatnonzero(asked & (arrivals.try_number < made.astype(np.int64)))
        # A port's replies are taken one after the other: each round takes the first of each port.
        while len(remaining):
            _, firsts = np.unique(arrivals.ordinals[remaining], return_index=True)
            revised += self._take(arrivals, remaining[firsts], now_s)
            remaining = np.delete(remaining, firsts)
        return revised

    def sent(self, ordinals: Ints, number: int, times_s: Floats) -> None:
        """These probes left at `times_s`, which is a little later than `poll` told them to."""
        self.window.sent(ordinals, number, times_s)

    def send_failed(
        self, ordinals: Ints, why: ReplyKind, now_s: float, *, passing: bool = False
    ) -> None:
        """These could not be sent. Where nothing ever went out, that is the verdict.

        Elsewhere, and where the reason may be `passing`, the try counts as not made, and is made
        again when the next one is due: a first try at most `MOST_REFUSALS` times.
        """
        ordinals = ordinals[self.window.status[self.window.at(ordinals)] == ASKED]
        self.window.unsend(ordinals)
        at = self.window.at(ordinals)
        final = self.window.tries[at] == 0
        if passing:
            final &= self.window.refused[at] >= MOST_REFUSALS
        ordinals, at = ordinals[final], at[final]
        self.window.rule[at] = silence_rows(self.window.probe[at], int(why))
        self.window.rank[at] = STRENGTH[self.window.rule[at]]
        self.window.responder[at] = NOBODY
        self.window.status[at] = ANSWERED
        self._timers.set(now_s, ANSWERED, ordinals)

    def dropped(self, now_s: float) -> None:
        """The kernel threw replies away: what is silent so far may have answered.

        Tries made until now are made again, as far as tries can be told apart, and more slowly.
        """
        self.drops_s.append(now_s)
        at = self.window.at(np.arange(self.window.base, self.window.head, dtype=np.int64))
        at = at[self.window.status[at] == ASKED]
        self.window.voided[at] = self.window.tries[at]
        self._control.dropped(now_s)

    def wake_s(self, now_s: float) -> float | None:
        """When `poll` has something to do next; None: never, the scan is finished."""
        times = [t for t in (self._timers.next_s(),) if t is not None]
        if self._retries or self._paced or self._room():
            times.append(self._pacer.next_s(now_s))
        limited_s = self._path.limited.next_s()
        if limited_s is not None:
            times.append(max(limited_s, now_s))
        return min(times, default=None)

    def stop(self, now_s: float) -> list[Decided]:
        """End here: decide every port in flight with what is known of it.

        A silent one that was not asked as often as silence takes has no verdict.
        """
        everything = np.arange(self.window.base, self.window.head, dtype=np.int64)
        at = self.window.at(everything)
        status = self.window.status[at]
        unfinished = (status == ASKED) & (self.window.tries[at] < self.settings.least_tries)
        decided = self._decide(everything[unfinished], now_s, ReplyKind.SILENCE_CUT_SHORT)
        others = ((status == ASKED) & ~unfinished) | (status == ANSWERED)
        return decided + self._decide(everything[others], now_s)

    # -- sending ---------------------------------------------------------------------------------

    def _room(self) -> int:
        """How many new ports may be asked now."""
        before = self.window.base
        self.window.retire(keep=self.settings.max_window // 2)
        if self.window.base != before:
            self._extras.retire()
        room = self.settings.max_window - len(self.window)
        return min(room, self._book.count - self.window.head, MAX_BATCH)

    def _sends(self, now_s: float) -> list[Send]:
        """Retries first, then new ports, as far as the rate and the memory allow."""
        sends: list[Send] = []
        for queue, ports in zip(
            (self._paced, self._retries), self._path.limited.ready(now_s), strict=True
        ):
            if ports:
                queue.append(np.array(ports, np.int64))
                self.window.flying[self.window.at(queue[-1])] = 1
        budget = MAX_BATCH
        for queue in (self._paced, self._retries):
            while queue and budget:
                ordinals = queue.popleft()
                ordinals = ordinals[self.window.status[self.window.at(ordinals)] == ASKED]
                may = self._pacer.take(min(len(ordinals), budget), now_s)
                if may < len(ordinals):
                    queue.appendleft(ordinals[may:])
                sends += self._send(ordinals[:may], now_s, paced=queue is self._paced)
                if may < len(ordinals):
                    return sends
                budget -= may
        sends += self._send(self._admit(budget, now_s), now_s)
        return sends

    def _admit(self, most: int, now_s: float) -> Ints:
        """The next ports that are not done, as many as may be asked now."""
        room = min(self._room(), most)
        ahead = np.arange(self.window.head, self.window.head + room, dtype=np.int64)
        known = self._done[: np.searchsorted(self._done, self.window.head + room)]
        new = ahead if not len(known) else np.setdiff1d(ahead, known, assume_unique=True)
        may = self._pacer.take(len(new), now_s)
        # Those that are done are passed over together with the next one that is not.
        end = int(new[may]) if may < len(new) else self.window.head + room
        admitted = self.window.admit(end - self.window.head)
        if not len(admitted):
            return admitted
        at = self.window.at(admitted)
        self.window.probe[at], self.window.host[at] = self._book.identify(admitted)
        skipped = self.window.at(known[known < end])
        self.window.status[skipped], self.window.rank[skipped] = DONE, _UNBEATEN
        self._done = self._done[len(skipped) :]
        self.undecided += may
        for losses, those in self._path.by_protocol(self.window.at(new[:may])):
            losses.asked += int(those.sum())
        return new[:may]

    def _send(self, ordinals: Ints, now_s: float, paced: bool = False) -> list[Send]:
        """Commands for one more try at each, and the timers for what comes after."""
        if not len(ordinals):
            return []
        may = self._hosts.take(self.window.host[self.window.at(ordinals)], now_s)
        self._timers.set(now_s + _HOST_PAUSE_S, ASKED, ordinals[~may])
        ordinals = ordinals[may]
        tries = self.window.tries[self.window.at(ordinals)]
        sends = []
        for number in np.unique(tries).tolist():
            those = ordinals[tries == number]
            at = self.window.at(those)
            self.window.tries[at] = number + 1
            self.window.paced[at] += paced
            self.window.sent(those, number, np.full(len(those), now_s))
            self._control.sent(len(those), now_s)
            last = ~self._path.asks_on(at) & (not paced)
            self._timers.set_each(self._path.due_s(at[~last]), ASKED, those[~last])
            self._timers.set(now_s + OWN.after_last_s, ASKED, those[last])
            sends.append(Send(those, number))
        return sends

    def _go_on(self, ordinals: Ints, now_s: float) -> list[Decided]:
        """These are still silent: ask again, wait on, or decide."""
        at = self.window.at(ordinals)
        due_s = self._path.due_s(at)
        early = due_s > now_s + TICK_S
        if early.any():  # sending took so long that they left a good deal later than they were told
            self._timers.set_each(due_s[early], ASKED, ordinals[early])
            ordinals, at = ordinals[~early], at[~early]
        self._land(at, now_s)
        more = self._path.asks_on(at)
        again = more & ~self._path.is_limited(at)
        if again.any():
            self._retries.append(ordinals[again])
        later = more & ~again
        self._path.limited.wait(ordinals[later], self.window.host[at[later]], now_s)
        ordinals = ordinals[~more]
        enough_s = self._path.enough_s(self.window.at(ordinals))
        ready = enough_s <= now_s
        self._timers.set_each(enough_s[~ready], ASKED, ordinals[~ready])
        return self._decide(ordinals[ready], now_s)

    def _land(self, at: Ints, now_s: float) -> None:
        """What was asked of limited hosts here is answered, or given up."""
        at = at[self.window.flying[at] > 0]
        if len(at):
            self.window.flying[at] = 0
            self._path.limited.landed(self.window.host[at].tolist(), now_s)

    # -- receiving -------------------------------------------------------------------------------

    def _take(self, arrivals: Arrivals, chosen: Ints, now_s: float) -> list[Decided]:
        """Take in replies about different ports; `chosen` are their indexes in `arrivals`."""
        window, ordinals = self.window, arrivals.ordinals[chosen]
        at = window.at(ordinals)
        rule = reply_rows(window.probe[at], arrivals, chosen)
        rank, status = STRENGTH[rule], window.status[at]
        rtt_s = window.round_trips_s(ordinals, arrivals.try_number[chosen], arrivals.time_s[chosen])
        first = (status == ASKED) & (rank >= 0)
        better = (status >= ANSWERED) & (rank > window.rank[at])
        same = (rule == window.rule[at]) & (arrivals.responder[chosen] == window.responder[at])
        self._extras.note(arrivals, chosen, rtt_s, plain=(first | same) & ~better)
        counts, before = first | better, window.rule[at]
        window.rule[at[counts]], window.rank[at[counts]] = rule[counts], rank[counts]
        window.rtt_s[at[counts]] = rtt_s[counts]
        for name in ANSWER:
            getattr(window, name)[at[counts]] = getattr(arrivals, name)[chosen[counts]]
        if first.any():
            self._first_answers(ordinals[first], rtt_s[first], now_s)
        late = better & (status == DONE)
        revised = before[late] - np.uint8(1)
        return [replace(batch, revised=revised) for batch in self._report(ordinals[late], now_s)]

    def _first_answers(self, ordinals: Ints, rtt_s: Floats, now_s: float) -> None:
        """Learn from the first answers, and wait a moment for stronger ones."""
        window, at = self.window, self.window.at(ordinals)
        window.status[at] = ANSWERED
        # A host that limits its answers says nothing of the path by being late.
        limited = self._path.is_limited(at)
        closed = LIMITED[window.rule[at]]
        self._path.limited.answered(window.host[at[closed]], now_s)
        self._path.limited.denied(window.host[at[closed & (window.paced[at] > 1)]].tolist())
        self._land(at, now_s)
        # Only the target's own answers tell of the path; routers take seconds to give up.
        own = window.from_target[at] & (window.try_number[at] >= 0)
        self.rtt.add_some(rtt_s[own & ~np.isnan(rtt_s)])
        own &= ~limited | (window.try_number[at] == 0)
        for losses, those in self._path.by_protocol(at):
            losses.replied += int(those.sum())
            telling = at[those & own]
            losses.add(window.host[telling], window.try_number[telling])
        self._learn_rate(ordinals[own])
        self._timers.set(now_s + self.rtt.linger_s, ANSWERED, ordinals)

    def _learn_rate(self, ordinals: Ints) -> None:
        """Every try before the answered one was lost, and it was not."""
        answered = self.window.try_number[self.window.at(ordinals)]
        for number in range(int(answered.max(initial=-1)) + 1):
            those = answered >= number
            times_s = self.window.sent_s(ordinals[those], number)
            self._control.learn(times_s, answered[those] > number)

    # -- deciding --------------------------------------------------------------------------------

    def _decide(
        self, ordinals: Ints, now_s: float, silence: ReplyKind | None = None
    ) -> list[Decided]:
        """Nothing more is awaited. `silence` is what the silent ones' is called, if it is known."""
        if not len(ordinals):
            return []
        at = self.window.at(ordinals)
        silent = at[self.window.status[at] == ASKED]
        kinds = self._silences(silent, now_s) if silence is None else int(silence)
        self.window.rule[silent] = silence_rows(self.window.probe[silent], kinds)
        self.window.rank[silent] = STRENGTH[self.window.rule[silent]]
        self.window.status[at] = DONE
        self.undecided -= len(ordinals)
        return self._report(ordinals, now_s)

    def _silences(self, at: Ints, now_s: float) -> NDArray[np.uint8]:
        """What kind of silence each is."""
        first_s, last_s = self.window.first_s[at], self.window.last_s[at]
        return judge_silences(first_s, last_s, now_s, self.drops_s, OWN)

    def _report(self, ordinals: Ints, now_s: float) -> list[Decided]:
        if not len(ordinals):
            return []
        window, at = self.window, self.window.at(ordinals)
        return [
            Decided(
                ordinals=ordinals,
                rule=window.rule[at] - np.uint8(1),
                tries=window.tries[at],
                confidence=self._path.confidence(at),
                ttl=window.ttl[at],
                rtt_s=window.rtt_s[at],
                responder=window.responder[at],
                time_s=now_s,
                extras=self._extras.of(ordinals),
            )
        ]
