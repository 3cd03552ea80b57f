"""How long an answer may take: round-trip time estimation. Pure.

The form is that of RFC 6298, section 2; the first variation (the whole sample, not half of it) and
the bounds are those that nmap scans with (`timing.cc`). The first timeout is half of nmap's second:
a retry that was not needed costs a packet, and silence is not believed for it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

INITIAL_TIMEOUT_S = 0.5
MIN_TIMEOUT_S = 0.1
MAX_TIMEOUT_S = 10.0
MAX_SAMPLE_S = 8.0
"""Longer samples say more about an accident than about the path."""

MAX_SAMPLES = 32
"""Samples of one batch that are looked at."""

_ALPHA, _BETA, _K = 1 / 8, 1 / 4, 4
_MIN_VARIATION_S, _MAX_VARIATION_S = 0.005, 2.0


class RttEstimator:
    """Smoothed round-trip time. Each try can be told apart, so Karn's rule is not needed."""

    def __init__(self) -> None:
        self.smoothed_s: float | None = None
        self._variation_s = 0.0

    def add(self, sample_s: float) -> None:
        """Take a measured round trip into account; absurd ones are ignored."""
        if not 0 <= sample_s < MAX_SAMPLE_S:
            return
        if self.smoothed_s is None:
            self.smoothed_s = sample_s
            self._variation_s = min(max(sample_s, _MIN_VARIATION_S), _MAX_VARIATION_S)
            return
        self._variation_s += _BETA * (abs(self.smoothed_s - sample_s) - self._variation_s)
        self.smoothed_s += _ALPHA * (sample_s - self.smoothed_s)

    def add_some(self, samples_s: NDArray[np.float64]) -> None:
        """Take a few of many samples into account: those of one moment say much the same."""
        for sample_s in samples_s[:: len(samples_s) // MAX_SAMPLES + 1].tolist():
            self.add(sample_s)

    @property
    def linger_s(self) -> float:
        """How long after a first answer another one, from elsewhere, is waited for.

        As the timeout, but without the floor that keeps retries from being hasty.
        """
        if self.smoothed_s is None:
            return INITIAL_TIMEOUT_S
        return min(self.smoothed_s + _K * self._variation_s, MAX_TIMEOUT_S)

    @property
    def timeout_s(self) -> float:
        """How long to wait for an answer before trying again."""
        if self.smoothed_s is None:
            return INITIAL_TIMEOUT_S
        timeout_s = self.smoothed_s + _K * self._variation_s
        return min(max(timeout_s, MIN_TIMEOUT_S), MAX_TIMEOUT_S)
