"""How fast the path can take it: slower when loss grows with the rate, faster when not. Pure.

Loss by itself is no reason to go slower: a radio link loses one packet in ten at any rate. So a
cut is a trial. If fewer are lost afterwards, it stays; if not, the loss does not depend on the
rate, is tolerated from then on, and the rate goes back to what it was. That is how PCC looks at it
(Dong et al., "PCC: Re-architecting Congestion Control for Consistent High Performance", NSDI 2015),
while TCP takes every loss for congestion (RFC 5681, section 3.1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EPOCH_S = 0.25
"""Probes sent within this time are judged together, once their answers had time to come."""

MIN_OUTCOMES = 64
"""An epoch of which less is known says nothing."""

FLOOR_PPS = 50.0
"""No path is so bad that it has to be gone slower than this."""

_MARGIN = 0.05  # a difference in loss that is worth acting upon
_GROWTH = 1.25  # of the rate, an epoch, when all is well
_BELOW = 0.9  # of what came through, when too much was sent
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
        self._trial: tuple[float, float] | None = None  # rate and loss before the cut
        self._begin(start_s)

    def sent(self, count: int, now_s: float) -> None:
        """So many probes left now."""
        if now_s < self._end_s:
            self._sent += count

    def learn(self, times_s: NDArray[np.float64], lost: NDArray[np.bool_]) -> None:
        """What became of tries that were sent at these times, as later answers tell."""
        judged = (times_s >= self._begin_s) & (times_s < self._end_s)
        self._outcomes += int(judged.sum())
        self._lost += int((judged & lost).sum())

    def dropped(self, now_s: float) -> None:
        """Our own kernel had no room for the answers: half as fast from now on."""
        self.rate_pps = max(min(self.rate_pps, self._sent_pps(now_s)) / 2, FLOOR_PPS)
        self.rate_pps = min(self.rate_pps, self._ceiling_pps)
        self._trial = None
        self._begin(now_s)

    def update(self, now_s: float, timeout_s: float) -> None:
        """Judge the epoch if its answers, and those of a retry, had the time to come."""
        if now_s < self._end_s + 2 * timeout_s:
            return
        if self._outcomes >= MIN_OUTCOMES:
            self._judge(self._lost / self._outcomes)
        elif not self._lost:
            self._grow()
        self._begin(now_s)

    def _judge(self, loss: float) -> None:
        before_pps, before = self._trial or (0.0, 0.0)
        if self._trial and loss > before - max(_MARGIN, before / 4):
            self.tolerated = max(self.tolerated, loss)
            self.rate_pps = before_pps
            self._trial = None
        elif loss > self.tolerated + _MARGIN:
            sent_pps = self._sent / EPOCH_S
            through_pps = min(self.rate_pps, sent_pps) * (1.0 - loss) * _BELOW
            self._trial = (self.rate_pps, loss)
            self.rate_pps = min(max(through_pps, FLOOR_PPS), self._ceiling_pps)
        else:
            self._trial = None
            self._grow()

    def _grow(self) -> None:
        grown_pps = self.rate_pps * _GROWTH
        unfelt = grown_pps > _UNFELT * max(self._sent / EPOCH_S, FLOOR_PPS)
        self.rate_pps = self._ceiling_pps if unfelt else min(grown_pps, self._ceiling_pps)

    def _sent_pps(self, now_s: float) -> float:
        return self._sent / max(min(now_s, self._end_s) - self._begin_s, 0.01)

    def _begin(self, now_s: float) -> None:
        self._begin_s, self._end_s = now_s, now_s + EPOCH_S
        self._sent = self._outcomes = self._lost = 0
