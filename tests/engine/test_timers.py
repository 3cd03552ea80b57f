"""Deadlines come in order, in batches, never early, and hardly late."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawscan.engine.timers import TICK_S, Timers

EPOCH_S = 1_700_000_000.0


def ints(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(numbers, np.int64)


def test_one_tick_is_one_batch() -> None:
    timers = Timers()
    timers.set(1.0, 1, ints(3))
    timers.set(1.0 - TICK_S / 2, 1, ints(4, 5))
    timers.set(1.0, 2, ints(6))
    timers.set(0.5, 1, ints())
    assert timers.next_s() == pytest.approx(1.0)
    assert list(timers.due(0.99)) == []
    found = [(status, ordinals.tolist()) for status, ordinals in timers.due(1.0)]
    assert found == [(1, [3, 4, 5]), (2, [6])]
    assert timers.next_s() is None


@given(st.lists(st.floats(0, 20), min_size=1, max_size=50), st.floats(0.001, 0.3))
def test_none_is_early_lost_or_much_too_late(due_s: list[float], step_s: float) -> None:
    timers, now_s, seen = Timers(), EPOCH_S, dict[int, float]()
    times_s = EPOCH_S + np.array(due_s)
    half = len(due_s) // 2
    timers.set_each(times_s[:half], 1, np.arange(half))
    for index in range(half, len(due_s)):
        timers.set(float(times_s[index]), 1, ints(index))
    for _ in range(30_000):
        for _, ordinals in timers.due(now_s):
            seen |= dict.fromkeys(ordinals.tolist(), now_s)
        if timers.next_s() is None:
            break
        now_s += step_s
    assert sorted(seen) == list(range(len(due_s)))
    for index, at_s in seen.items():
        assert 0 <= at_s - times_s[index] <= TICK_S + step_s + 1e-6
