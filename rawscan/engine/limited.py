"""Hosts that answer closed UDP ports only so often, and what they can afford next. Pure.

A Linux host sends a burst of 6 ICMP errors to each peer and then one a second: a token bucket
(`rawscan.icmplimit`). A probe that comes when the bucket is empty is lost, and its silence means
nothing. So the ports of such a host stand in a queue, and one is asked whenever the host has a
token to spare; only tries that were made so count. Denied probes cost the host nothing: it does no
harm to ask all at once first.

A host is taken for one of these once it has sent a whole burst of errors. Now and then it is asked
one port more than it should be able to answer: if it does so again and again, it is faster than
that (IPv6 hosts are, by the length of our prefix), and is asked faster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from rawscan.icmplimit import PEER_BURST, PEER_INTERVAL_S

_ERRORS_PER_S = (
    0.97 / PEER_INTERVAL_S
)  # a little less than its rate: a probe that comes a millisecond early is one for nothing
_BOLD_EVERY = 4  # tokens, until one port more is asked than there are
_BOLD_STREAK, _FASTER = 3, 1.5
_SLOTS = 1 << 16
_MOST = 1 << 15


class _Host:
    """One bucket, and the ports that wait for its tokens."""

    __slots__ = ("at_s", "bold", "flying", "per_s", "ports", "streak", "tokens", "until_bold")

    def __init__(self, now_s: float) -> None:
        self.per_s = _ERRORS_PER_S
        self.tokens = 0.0
        self.at_s = now_s
        self.flying = 0  # asked, and neither answered nor given up yet
        self.bold = False  # one of these is one too many
        self.streak = 0
        self.until_bold = _BOLD_EVERY
        self.ports: deque[int] = deque()

    def fill(self, now_s: float) -> None:
        self.tokens += max(now_s - self.at_s, 0.0) * self.per_s
        self.tokens = min(self.tokens, float(PEER_BURST))
        self.at_s = now_s

    def due_s(self) -> float:
        """When it can answer one more, beside those that are on their way."""
        missing = self.flying + 1 - self.tokens
        return self.at_s + max(missing, 0.0) / self.per_s

    def answered(self) -> None:
        over = self.tokens < 0.5  # it had none, as we thought
        self.tokens = max(self.tokens - 1, 0.0)
        if over and self.bold:
            self.bold, self.streak = False, self.streak + 1
            if self.streak == _BOLD_STREAK:
                self.streak, self.per_s = 0, self.per_s * _FASTER

    def landed(self) -> None:
        self.flying = max(self.flying - 1, 0)
        if self.bold and not self.flying:
            self.streak, self.bold = 0, False


class LimitedHosts:
    """All such hosts of a scan; an object only for those that have ports waiting.

    Hosts are known by number. Answers are counted in a table of fixed size, in which two hosts may
    share a place: then one may be asked more gently than it needs to be.
    """

    def __init__(self) -> None:
        self._answers: NDArray[np.uint16] = np.zeros(_SLOTS, np.uint16)
        self._hosts: dict[int, _Host] = {}
        self._due: list[tuple[float, int]] = []

    def answered(self, hosts: NDArray[np.uint64], now_s: float) -> None:
        """Ports of these hosts were said to be closed: each took a token."""
        slots = _slots(hosts)
        np.add.at(self._answers, slots, 1)
        self._answers[slots] = np.minimum(self._answers[slots], _MOST)
        for number in hosts.tolist() if self._hosts else ():
            host = self._hosts.get(number)
            if host is not None:
                host.fill(now_s)
                host.answered()
                self._plan(number, host)

    def denied(self, hosts: Iterable[int]) -> None:
        """Closed ports of these were silent when asked before: that was too fast after all."""
        for number in hosts:
            host = self._hosts.get(number)
            if host is not None:
                host.streak, host.per_s = 0, max(host.per_s / _FASTER, _ERRORS_PER_S)

    def landed(self, hosts: Iterable[int], now_s: float) -> None:
        """Ports of these hosts that `ready` gave have been answered, or given up."""
        for number in hosts:
            host = self._hosts.get(number)
            if host is not None:
                host.fill(now_s)
                host.landed()
                self._plan(number, host)

    def limited(self, hosts: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of these have spent a whole burst."""
        found: NDArray[np.bool_] = self._answers[_slots(hosts)] >= PEER_BURST
        return found

    def wait(self, ordinals: NDArray[np.int64], hosts: NDArray[np.uint64], now_s: float) -> None:
        """These ports are to be asked when their hosts can afford to answer."""
        for ordinal, number in zip(ordinals.tolist(), hosts.tolist(), strict=True):
            host = self._hosts.get(number)
            if host is None:
                host = self._hosts[number] = _Host(now_s)
            host.ports.append(ordinal)
            if len(host.ports) == 1:
                self._plan(number, host)

    def ready(self, now_s: float) -> tuple[list[int], list[int]]:
        """Ports to ask now: those that their hosts can afford to answer, and those that test it."""
        sure: list[int] = []
        bold: list[int] = []
        while self._due and self._due[0][0] <= now_s:
            _, number = heappop(self._due)
            host = self._hosts[number]
            host.fill(now_s)
            while host.ports and host.due_s() <= now_s:
                sure.append(host.ports.popleft())
                host.flying += 1
                host.until_bold -= 1
            if host.ports and host.until_bold <= 0 and not host.bold:
                bold.append(host.ports.popleft())
                host.flying += 1
                host.bold, host.until_bold = True, _BOLD_EVERY
            self._plan(number, host)
        return sure, bold

    def next_s(self) -> float | None:
        """When `ready` has something next, at the earliest; None: nobody waits."""
        return self._due[0][0] if self._due else None

    def _plan(self, number: int, host: _Host) -> None:
        """Look at this host again when it can answer. An entry too many does no harm."""
        if host.ports:
            heappush(self._due, (host.due_s(), number))


def _slots(hosts: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Places in the table: the upper bits of a multiplication mix best (Knuth, TAOCP 3, 6.4)."""
    mixed = hosts * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(48)).astype(np.int64)
