"""Frames over time, by kind, in steps that widen as the time does. Touches nothing."""

from __future__ import annotations

from rawscan.findings import Activity

STEPS = 256
_FIRST_STEP_S = 1e-3


class Timeline:
    """Counts frames by kind and time. Memory does not grow: `STEPS` numbers for each kind."""

    def __init__(self) -> None:
        self._start_s: float | None = None
        self._step_s = _FIRST_STEP_S
        self._counts: dict[str, list[int]] = {}
        self._last = 0

    def add(self, kind: str, time_s: float) -> None:
        """Count a frame. One without a time (0) is left out: nobody knows where it belongs."""
        if not time_s:
            return
        if self._start_s is None:
            self._start_s = time_s
        if time_s < self._start_s:
            self._begin_earlier(time_s)
        index = int((time_s - self._start_s) / self._step_s)
        while index >= STEPS:
            self._widen()
            index = int((time_s - self._start_s) / self._step_s)
        counts = self._counts.get(kind)
        if counts is None:
            counts = self._counts[kind] = [0] * STEPS
        counts[index] += 1
        self._last = max(self._last, index)

    def finish(self) -> Activity | None:
        """What was counted, up to the last step that is not empty; None if nothing bore a time."""
        if self._start_s is None:
            return None
        counts = {kind: tuple(c[: self._last + 1]) for kind, c in self._counts.items()}
        return Activity(self._start_s, self._step_s, counts)

    def _widen(self) -> None:
        self._step_s *= 2
        for kind, counts in self._counts.items():
            pairs = [a + b for a, b in zip(counts[::2], counts[1::2], strict=True)]
            self._counts[kind] = pairs + [0] * (STEPS // 2)
        self._last //= 2

    def _begin_earlier(self, time_s: float) -> None:
        """Shift all counts by whole steps: clocks go back, and files are merged out of order."""
        assert self._start_s is not None
        while True:
            steps = -int((time_s - self._start_s) // self._step_s)
            if self._last + steps < STEPS:
                break
            self._widen()
        for counts in self._counts.values():
            counts[:] = [0] * steps + counts[: STEPS - steps]
        self._start_s -= steps * self._step_s
        self._last += steps
