"""No host gets more than so many packets a second, however many of its ports are asked. Pure.

A keyed order spreads a scan evenly over its hosts, so a cap matters only where there are few of
them: then each has a token bucket of its own.
"""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray

from rawscan.engine.pacing import Pacer

MOST_HOSTS = 4096
"""With more hosts than this the order alone is trusted: each would need more than a thousand
packets a second of four million."""


class HostCap:
    """Lets through what the hosts' own limits allow.

    `hosts` is how many there are. Without a cap, or with many hosts, everything passes.
    """

    def __init__(self, cap_pps: float, hosts: int) -> None:
        self._cap_pps = cap_pps
        self._pacers: dict[int, Pacer] = {}
        self._idle = cap_pps == inf or hosts > MOST_HOSTS
        self.total_pps = inf if self._idle else cap_pps * max(hosts, 1)
        """What all hosts together may get."""

    def take(self, hosts: NDArray[np.uint64], now_s: float) -> NDArray[np.bool_]:
        """Which of these packets may go to their hosts now; those count as sent."""
        if self._idle:
            return np.ones(len(hosts), np.bool_)
        may = np.zeros(len(hosts), np.bool_)
        order = np.argsort(hosts, kind="stable")
        numbers, starts = np.unique(hosts[order], return_index=True)
        for number, those in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True):
            pacer = self._pacers.get(number)
            if pacer is None:
                pacer = self._pacers[number] = Pacer(self._cap_pps)
            may[those[: pacer.take(len(those), now_s)]] = True
        return may
