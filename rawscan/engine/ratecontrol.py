"""How fast the path can take it: slower when loss grows with the rate, faster when not. Pure.

Loss by itself is no reason to go slower: a radio link loses one packet in ten at any rate. So a
cut is a trial. If fewer are lost afterwards, it stays; if not, the loss does not depend on the
rate, is tolerated from then on, and the rate goes back to what it was. That is how PCC looks at it
(Dong et al., "PCC: Re-architecting Congestion Control for Consistent High Performance", NSDI 2015),
while TCP takes every loss for congestion (RFC 5681, section 3.1).

That a try was lost is known when a later one is answered, which may take seconds; so what is known
is kept from one epoch to the next and fades slowly, until the rate is cut or restored.
"""

from __future__ import annotations

from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray

EPOCH_S = 0.25
"""The rate that was really sent is measured over this time, and judged once answers had time."""

MIN_OUTCOMES = 16
"""When less is known, it says nothing."""

FLOOR_PPS = 50.0
"""No path is so bad that it has to be gone slower than this."""

_MARGIN = 0.05  # a difference in loss that is worth acting upon
_FADE = 0.7  # of what is known, an epoch
_GROWTH, _GENTLE = 1.25, 1.02  # of the rate, an epoch, when all is well; gentle near the limit
_NEAR = 0.85  # of the rate that was too much
_UNFELT = 8.0  # so many times what was really sent, a limit limits nothing


class RateControl:
    """Learns from answered probes, whose earlier tries were lost or not, how fast to send.

    `rate_pps` is what it allows, never above `ceiling_pps`, which may be infinite.
    """

    def __init__(self, ceiling_pps: float, start_s: float) -> None:
        self.rate_pps = ceiling_pps
        self.tolerated = 0.0
        """Share of packets lost whatever the rate, as far as is known."""
        self._ceiling_pps = ceiling_pps
        self._floor_pps = min(FLOOR_PPS, ceiling_pps)
        self._trial: tuple[float, float] | None = None  # rate and loss before the cut
        self._limit_pps = inf  # what got through when too much was sent
        self._set(ceiling_pps, start_s)

    def sent(self, count: int, now_s: float) -> None:
        """So many probes left now."""
        if now_s < self._end_s:
            self._sent += count

    def learn(self, times_s: NDArray[np.float64], lost: NDArray[np.bool_]) -> None:
        """What became of tries that were sent at these times, as later answers tell."""
        judged = times_s >= self._since_s
        self._outcomes += float(judged.sum())
        self._lost += float((judged & lost).sum())

    def dropped(self, now_s: float) -> None:
        """Our own kernel had no room for the answers: half as fast from now on."""
        self._trial = None
        measured_pps = self._sent / max(min(now_s, self._end_s) - self._begin_s, 0.01)
        self._set(min(self.rate_pps, measured_pps) / 2, now_s)

    def update(self, now_s: float, timeout_s: float) -> None:
        """Judge the epoch, if its answers had the time to come."""
        if now_s < self._end_s + timeout_s:
            return
        loss = self._lost / max(self._outcomes, 1.0)
        before_pps, before = self._trial or (0.0, 0.0)
        if self._outcomes < MIN_OUTCOMES:
            if not self._lost:
                self._grow()
            self._begin(now_s)
        elif self._trial and loss > before - max(_MARGIN, before / 4):
            self.tolerated, self._trial, self._limit_pps = max(self.tolerated, loss), None, inf
            self._set(before_pps, now_s)
        elif self._at_least > self.tolerated + _MARGIN:
            sent_pps = min(self.rate_pps, self._sent / EPOCH_S)
            self._trial = (self.rate_pps, loss)
            self._limit_pps = sent_pps * (1.0 - loss)
            self._set(min(self._limit_pps, sent_pps / 2), now_s)
        else:
            self._trial = None
            self._grow()
            self._begin(now_s)

    @property
    def _at_least(self) -> float:
        """The share that is lost even if chance was against us, by two standard deviations."""
        return (self._lost - 2 * sqrt(self._lost)) / self._outcomes

    def _grow(self) -> None:
        if self.rate_pps > self._limit_pps / _NEAR:
            self._limit_pps = inf  # it is not there any more
        near = self.rate_pps * _GROWTH > self._limit_pps * _NEAR
        grown_pps = self.rate_pps * (_GENTLE if near else _GROWTH)
        unfelt = grown_pps > _UNFELT * max(self._sent / EPOCH_S, FLOOR_PPS)
        unfelt &= self._limit_pps == inf
        self.rate_pps = self._ceiling_pps if unfelt else min(grown_pps, self._ceiling_pps)

    def _set(self, rate_pps: float, now_s: float) -> None:
        """Another rate, about which nothing is known yet."""
        self.rate_pps = min(max(rate_pps, self._floor_pps), self._ceiling_pps)
        self._since_s, self._outcomes, self._lost = now_s, 0.0, 0.0
        self._begin(now_s)

    def _begin(self, now_s: float) -> None:
        self._begin_s, self._end_s, self._sent = now_s, now_s + EPOCH_S, 0
        self._outcomes *= _FADE
        self._lost *= _FADE
