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
from heapq import heappop, heappush
from itertools import count

import numpy as np
from numpy.typing import NDArray

from rawscan.engine.events import Answer, Arrivals, Book, Decided, Send, Settings
from rawscan.engine.loss import LossModel, tries_needed
from rawscan.engine.pacing import Pacer
from rawscan.engine.rtt import RttEstimator
from rawscan.engine.window import ANSWER, ANSWERED, ASKED, DONE, NOBODY, Floats, Ints, Window
from rawscan.model import ProbeKind, ReplyKind
from rawscan.rules import LOOKUP, PROBES, RULES, cells, strength
from rawscan.silence import OWN, judge_silences

MAX_RETRY_DELAY_S = 1.0
"""Retries back off by doubling, but not beyond this: patience is spent on more tries instead."""

MAX_BATCH = 4096
"""Ports in one command, so that replies are looked at in between."""

_TABLE = np.frombuffer(LOOKUP, np.uint8)
_STRENGTH = np.array([-1, *(strength(rule) for rule in RULES)], np.int8)
_UDP = PROBES.index(ProbeKind.UDP)


class Engine:
    """Asks each port of `book` once, in the order of their ordinals, and goes on with the silent.

    Memory: some 60 bytes for each port in flight, of which there are at most
    `settings.max_window`. Those decided stay until the window needs their place, so that a late
    reply that is stronger than the decision can revise it.
    """

    def __init__(self, book: Book, settings: Settings, start_s: float = 0.0) -> None:
        self.settings = settings
        self.rtt = RttEstimator()
        self.losses = (LossModel(), LossModel())  # of TCP and of UDP
        self.window = Window(start_s)
        self.undecided = 0
        self._book = book
        self._pacer = Pacer(settings.rate_pps)
        self._retries: deque[Ints] = deque()
        self._timers: list[tuple[float, int, int, Ints]] = []
        self._serial = count()
        self._extras: dict[int, list[Answer]] = {}
        self.drops_s: list[float] = []

    @property
    def finished(self) -> bool:
        """Every port was asked and is decided."""
        return self.window.head == self._book.count and not self.undecided

    def poll(self, now_s: float) -> list[Send | Decided]:
        """What to do at `now_s`: probes to send, in order, and ports that are decided."""
        commands: list[Send | Decided] = []
        while self._timers and self._timers[0][0] <= now_s:
            _, _, status, ordinals = heappop(self._timers)
            ordinals = ordinals[self.window.status[self.window.at(ordinals)] == status]
            if status == ANSWERED:
                commands += self._decide(ordinals, now_s)
            else:
                commands += self._go_on(ordinals, now_s)
        commands += self._sends(now_s)
        return commands

    def receive(self, arrivals: Arrivals, now_s: float) -> list[Decided]:
        """Replies came. Usually no command follows at once; a late one may revise a decision."""
        revised: list[Decided] = []
        remaining: Ints = np.flatnonzero(self.window.contains(arrivals.ordinals))
        # A port's replies are taken one after the other: each round takes the first of each port.
        while len(remaining):
            _, firsts = np.unique(arrivals.ordinals[remaining], return_index=True)
            revised += self._take(arrivals, remaining[firsts], now_s)
            remaining = np.delete(remaining, firsts)
        return revised

    def sent(self, ordinals: Ints, number: int, times_s: Floats) -> None:
        """These probes left at `times_s`, which is a little later than `poll` told them to."""
        self.window.sent(ordinals, number, times_s)

    def send_failed(self, ordinals: Ints, why: ReplyKind, now_s: float) -> None:
        """These could not be sent. Where nothing ever went out, that is the verdict.

        Elsewhere the try counts as not made, and is made again when the next one is due.
        """
        ordinals = ordinals[self.window.status[self.window.at(ordinals)] == ASKED]
        self.window.unsend(ordinals)
        ordinals = ordinals[self.window.tries[self.window.at(ordinals)] == 0]
        at, zero = self.window.at(ordinals), np.zeros(len(ordinals), np.int64)
        kinds = self._book.kinds(ordinals).astype(np.int64)
        self.window.rule[at] = _TABLE[cells(kinds, zero + int(why), zero, zero, zero)]
        self.window.rank[at] = _STRENGTH[self.window.rule[at]]
        self.window.responder[at] = NOBODY
        self.window.status[at] = ANSWERED
        self._wake(now_s, ANSWERED, ordinals)

    def dropped(self, now_s: float) -> None:
        """The kernel has thrown replies away: silence up to now is no verdict."""
        self.drops_s.append(now_s)

    def wake_s(self, now_s: float) -> float | None:
        """When `poll` has something to do next; None: never, the scan is finished."""
        times = [self._timers[0][0]] if self._timers else []
        if self._retries or self._room():
            times.append(self._pacer.next_s(now_s))
        return min(times, default=None)

    def stop(self, now_s: float) -> list[Decided]:
        """End here: decide every port in flight with what is known of it."""
        everything = np.arange(self.window.base, self.window.head, dtype=np.int64)
        status = self.window.status[self.window.at(everything)]
        return self._decide(everything[(status == ASKED) | (status == ANSWERED)], now_s)

    # -- sending ---------------------------------------------------------------------------------

    def _room(self) -> int:
        """How many new ports may be asked now."""
        self.window.retire(keep=self.settings.max_window // 2)
        room = self.settings.max_window - len(self.window)
        return min(room, self._book.count - self.window.head, MAX_BATCH)

    def _sends(self, now_s: float) -> list[Send]:
        """Retries first, then new ports, as far as the rate and the memory allow."""
        sends: list[Send] = []
        budget = MAX_BATCH
        while self._retries and budget:
            ordinals = self._retries.popleft()
            ordinals = ordinals[self.window.status[self.window.at(ordinals)] == ASKED]
            may = self._pacer.take(min(len(ordinals), budget), now_s)
            if may < len(ordinals):
                self._retries.appendleft(ordinals[may:])
            if may:
                sends += self._send(ordinals[:may], now_s)
            if may < len(ordinals):
                return sends
            budget -= may
        fresh = self._pacer.take(min(self._room(), budget), now_s) if budget else 0
        if fresh:
            self.undecided += fresh
            sends += self._send(self.window.admit(fresh), now_s)
        return sends

    def _send(self, ordinals: Ints, now_s: float) -> list[Send]:
        """Commands for one more try at each, and the timers for what comes after."""
        tries = self.window.tries[self.window.at(ordinals)]
        sends = []
        for number in np.unique(tries).tolist():
            those = ordinals[tries == number]
            at = self.window.at(those)
            self.window.tries[at] = number + 1
            self.window.sent(those, number, np.full(len(those), now_s))
            last = number + 1 >= self._tries_wanted(those)
            if not last.all():
                delay_s = min(self.rtt.timeout_s * 2**number, self._longest_delay_s)
                self._wake(now_s + delay_s, ASKED, those[~last])
            if last.any():
                self._wake(now_s + OWN.after_last_s, ASKED, those[last])
            sends.append(Send(those, number))
        return sends

    @property
    def _longest_delay_s(self) -> float:
        return max(MAX_RETRY_DELAY_S, self.rtt.timeout_s)

    def _go_on(self, ordinals: Ints, now_s: float) -> list[Decided]:
        """These are still silent: ask again, wait on, or decide."""
        at = self.window.at(ordinals)
        made = self.window.tries[at] + self.window.refused[at]
        more = made < self._tries_wanted(ordinals)
        if more.any():
            self._retries.append(ordinals[more])
        ordinals = ordinals[~more]
        enough_s = self._enough_s(ordinals)
        ready = enough_s <= now_s
        for moment_s in np.unique(enough_s[~ready]).tolist():
            self._wake(moment_s, ASKED, ordinals[enough_s == moment_s])
        return self._decide(ordinals[ready], now_s)

    def _enough_s(self, ordinals: Ints) -> Floats:
        """From when on silence is honest, for each."""
        at = self.window.at(ordinals)
        first_s, last_s = self.window.first_s[at], self.window.last_s[at]
        # A slow path is waited for longer than silence needs to be honest.
        enough: Floats = np.maximum(OWN.enough_at(first_s, last_s), last_s + self.rtt.timeout_s)
        return enough

    def _tries_wanted(self, ordinals: Ints) -> NDArray[np.int64]:
        """How many tries silence takes for each, as things look now."""
        udp, hosts = self._book.kinds(ordinals) == _UDP, self._book.hosts(ordinals)
        wanted = np.empty(len(ordinals), np.int64)
        for those, losses in ((~udp, self.losses[0]), (udp, self.losses[1])):
            for loss in np.unique(estimates := losses.loss(hosts[those])).tolist():
                needed = tries_needed(loss, self.settings.confidence)
                wanted[np.flatnonzero(those)[estimates == loss]] = needed
        return np.minimum(wanted, self.settings.max_retries + 1)

    def _wake(self, due_s: float, status: int, ordinals: Ints) -> None:
        if len(ordinals):
            heappush(self._timers, (due_s, next(self._serial), status, ordinals))

    # -- receiving -------------------------------------------------------------------------------

    def _take(self, arrivals: Arrivals, chosen: Ints, now_s: float) -> list[Decided]:
        """Take in replies about different ports; `chosen` are their indexes in `arrivals`."""
        window, ordinals = self.window, arrivals.ordinals[chosen]
        at = window.at(ordinals)
        rule = self._rules_of(arrivals, chosen, ordinals)
        rank, status = _STRENGTH[rule], window.status[at]
        rtt_s = window.round_trips_s(ordinals, arrivals.try_number[chosen], arrivals.time_s[chosen])
        first = (status == ASKED) & (rank >= 0)
        better = (status >= ANSWERED) & (rank > window.rank[at])
        same = (rule == window.rule[at]) & (arrivals.responder[chosen] == window.responder[at])
        self._note_extras(arrivals, chosen, rtt_s, plain=(first | same) & ~better)
        counts, before = first | better, window.rule[at]
        window.rule[at[counts]], window.rank[at[counts]] = rule[counts], rank[counts]
        window.rtt_s[at[counts]] = rtt_s[counts]
        for name in ANSWER:
            getattr(window, name)[at[counts]] = getattr(arrivals, name)[chosen[counts]]
        self._first_answers(arrivals, chosen[first], rtt_s[first], now_s)
        late = better & (status == DONE)
        revised = before[late] - np.uint8(1)
        return [replace(batch, revised=revised) for batch in self._report(ordinals[late], now_s)]

    def _rules_of(self, arrivals: Arrivals, chosen: Ints, ordinals: Ints) -> NDArray[np.uint8]:
        rules: NDArray[np.uint8] = _TABLE[
            cells(
                self._book.kinds(ordinals).astype(np.int64),
                arrivals.kind[chosen].astype(np.int64),
                arrivals.type[chosen].astype(np.int64),
                arrivals.code[chosen].astype(np.int64),
                arrivals.from_target[chosen].astype(np.int64),
            )
        ]
        return rules

    def _note_extras(
        self, arrivals: Arrivals, chosen: Ints, rtt_s: Floats, plain: NDArray[np.bool_]
    ) -> None:
        """Keep, about ports of which more than one thing is known, every reply in full."""
        proxy = (arrivals.kind == ReplyKind.SYN_ACK) & (arrivals.window == 0)
        odd = ~plain | (proxy & (arrivals.options_bytes == 0))[chosen]
        if self._extras:
            known = [ordinal in self._extras for ordinal in arrivals.ordinals[chosen].tolist()]
            odd |= np.array(known, bool)
        for index, took_s in zip(chosen[odd].tolist(), rtt_s[odd].tolist(), strict=True):
            ordinal = int(arrivals.ordinals[index])
            if ordinal not in self._extras:
                self._extras[ordinal] = self._first_of(ordinal)
            answer = arrivals.answer(index, took_s)
            if not any(_alike(answer, other) for other in self._extras[ordinal]):
                self._extras[ordinal].append(answer)

    def _first_of(self, ordinal: int) -> list[Answer]:
        """The reply that the window holds about a port, in full; none if it is silent so far."""
        (at,) = self.window.at(np.array([ordinal], np.int64)).tolist()
        if self.window.status[at] == ASKED or self.window.responder[at] == NOBODY:
            return []
        columns = {name: getattr(self.window, name)[at].item() for name in ANSWER}
        rtt_s = float(self.window.rtt_s[at])
        return [Answer(**columns, rtt_s=rtt_s, window=-1, options_bytes=-1)]

    def _first_answers(self, arrivals: Arrivals, chosen: Ints, rtt_s: Floats, now_s: float) -> None:
        """Learn from the first answers, and wait a moment for stronger ones."""
        if not len(chosen):
            return
        ordinals = arrivals.ordinals[chosen]
        self.window.status[self.window.at(ordinals)] = ANSWERED
        # Only the target's own answers tell of the path; routers take seconds to give up.
        own = arrivals.from_target[chosen] & (arrivals.try_number[chosen] >= 0)
        for sample_s in rtt_s[own & ~np.isnan(rtt_s)].tolist():
            self.rtt.add(sample_s)
        udp = self._book.kinds(ordinals) == _UDP
        for those, losses in ((own & ~udp, self.losses[0]), (own & udp, self.losses[1])):
            losses.add(self._book.hosts(ordinals[those]), arrivals.try_number[chosen][those])
        self._wake(now_s + self.rtt.timeout_s, ANSWERED, ordinals)

    # -- deciding --------------------------------------------------------------------------------

    def _decide(self, ordinals: Ints, now_s: float) -> list[Decided]:
        if not len(ordinals):
            return []
        at = self.window.at(ordinals)
        silent = self.window.status[at] == ASKED
        self.window.rule[at[silent]] = self._silence_rules(ordinals[silent], now_s)
        self.window.rank[at[silent]] = _STRENGTH[self.window.rule[at[silent]]]
        self.window.status[at] = DONE
        self.undecided -= len(ordinals)
        return self._report(ordinals, now_s)

    def _silence_rules(self, ordinals: Ints, now_s: float) -> NDArray[np.uint8]:
        """The row for each silent port: was it an honest silence?"""
        at = self.window.at(ordinals)
        first_s, last_s = self.window.first_s[at], self.window.last_s[at]
        kind = judge_silences(first_s, last_s, now_s, self.drops_s, OWN).astype(np.int64)
        zero = np.zeros(len(ordinals), np.int64)
        kinds = self._book.kinds(ordinals).astype(np.int64)
        rules: NDArray[np.uint8] = _TABLE[cells(kinds, kind, zero, zero, zero)]
        return rules

    def _report(self, ordinals: Ints, now_s: float) -> list[Decided]:
        if not len(ordinals):
            return []
        window, at = self.window, self.window.at(ordinals)
        known = self._extras.keys() & set(ordinals.tolist()) if self._extras else ()
        return [
            Decided(
                ordinals=ordinals,
                rule=window.rule[at] - np.uint8(1),
                tries=window.tries[at],
                confidence=self._confidence(ordinals),
                ttl=window.ttl[at],
                rtt_s=window.rtt_s[at],
                responder=window.responder[at],
                time_s=now_s,
                extras={ordinal: tuple(self._extras[ordinal]) for ordinal in known},
            )
        ]

    def _confidence(self, ordinals: Ints) -> Floats:
        """1 for a reply; for silence, the chance that it is not bad luck."""
        at = self.window.at(ordinals)
        sure = np.ones(len(ordinals))
        silent = self.window.responder[at] == NOBODY
        udp, hosts = self._book.kinds(ordinals) == _UDP, self._book.hosts(ordinals)
        for those, losses in ((silent & ~udp, self.losses[0]), (silent & udp, self.losses[1])):
            tries = self.window.tries[at[those]]
            sure[those] = 1.0 - losses.loss(hosts[those]) ** tries
        return sure


def _alike(one: Answer, other: Answer) -> bool:
    """The same thing said again by the same responder, perhaps about another try."""
    return (one.kind, one.type, one.code, one.responder) == (
        other.kind, other.type, other.code, other.responder
    )  # fmt: skip
