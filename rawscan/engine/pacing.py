"""How fast probes may leave: a token bucket. Pure."""

from __future__ import annotations

from math import inf

BURST_S = 0.01
"""A bucket holds what may be sent in this time, but at least one packet."""


class Pacer:
    """Never lets more than `rate_pps` packets a second through, bursts of 10 ms aside.

    A rate of infinity lets everything through.
    """

    def __init__(self, rate_pps: float) -> None:
        if not rate_pps > 0:
            raise ValueError("the rate must be above 0")
        self.rate_pps = rate_pps
        """May be changed at any time."""
        self._tokens = 0.0 if rate_pps == inf else self._burst
        self._filled_s: float | None = None

    @property
    def _burst(self) -> float:
        return max(1.0, self.rate_pps * BURST_S)

    def take(self, wanted: int, now_s: float) -> int:
        """How many of `wanted` packets may leave now; they count as sent."""
        if self.rate_pps == inf:
            self._tokens, self._filled_s = 0.0, now_s  # where a limit begins again
            return wanted
        if self._filled_s is not None:
            earned = max(now_s - self._filled_s, 0.0) * self.rate_pps
            self._tokens = min(self._burst, self._tokens + earned)
        self._filled_s = now_s
        # Rounding must not make a packet wait that came exactly on time.
        taken = min(wanted, int(self._tokens + 1e-6))
        self._tokens -= taken
        return taken

    def next_s(self, now_s: float) -> float:
        """The earliest time at which `take` can give anything again."""
        if self.rate_pps == inf:
            return now_s
        missing = max(1.0 - self._tokens, 0.0)
        return max(now_s, (self._filled_s or now_s) + missing / self.rate_pps)
