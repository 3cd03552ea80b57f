"""Frames over time, by kind, in steps that widen as the time does. Touches nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rawscan.findings import Activity

STEPS = 256
_FIRST_STEP_S = 1e-3
_AT_ONCE = 1 << 12


class Timeline:
    """Counts frames by kind and time. Memory does not grow: `STEPS` numbers for each kind."""

    def __init__(self) -> None:
        self._start_s: float | None = None
        self._step_s = _FIRST_STEP_S
        self._counts: dict[str, NDArray[np.int64]] = {}
        self._waiting: dict[str, list[float]] = {}
        self._last = 0

    def add(self, kind: str, time_s: float) -> None:
        """Count a frame. One without a time (0) is left out: nobody knows where it belongs."""
        if not time_s:
            return
        waiting = self._waiting.get(kind)
        if waiting is None:
            waiting = self._waiting[kind] = []
        waiting.append(time_s)
        if len(waiting) >= _AT_ONCE:
            self._count(kind, waiting)

    def finish(self) -> Activity | None:
        """What was counted, up to the last step that is not empty; None if nothing bore a time."""
        for kind, waiting in self._waiting.items():
            self._count(kind, waiting)
        if self._start_s is None:
            return None
        counts = {kind: tuple(c[: self._last + 1].tolist()) for kind, c in self._counts.items()}
        return Activity(self._start_s, self._step_s, counts)

    def _count(self, kind: str, waiting: list[float]) -> None:
        if not waiting:
            return
        times_s = np.array(waiting)
        waiting.clear()
        self._reach(float(times_s.min()), float(times_s.max()))
        places = ((times_s - self._start_s) / self._step_s).astype(np.int64)
        before = self._counts.get(kind, np.zeros(STEPS, np.int64))
        self._counts[kind] = before + np.bincount(places, minlength=STEPS)
        self._last = max(self._last, int(places.max()))

    def _reach(self, first_s: float, last_s: float) -> None:
        """Let the steps go from `first_s`, or from earlier, to `last_s` or later.

        Clocks go back and files are merged out of order, so the start may have to move.
        """
        if self._start_s is None:
            self._start_s = first_s
        while True:
            earlier = max(-int((first_s - self._start_s) // self._step_s), 0)
            latest = max(int((last_s - self._start_s) / self._step_s), self._last)
            if latest + earlier < STEPS:
                break
            self._widen()
        for kind, counts in self._counts.items():
            self._counts[kind] = np.concatenate([np.zeros(earlier, np.int64), counts])[:STEPS]
        self._start_s -= earlier * self._step_s
        self._last += earlier

    def _widen(self) -> None:
        self._step_s *= 2
        for kind, counts in self._counts.items():
            half = counts.reshape(-1, 2).sum(axis=1)
            self._counts[kind] = np.concatenate([half, np.zeros(STEPS // 2, np.int64)])
        self._last //= 2
