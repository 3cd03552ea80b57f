"""The columns of the ports in flight: growing, leaving, and times that wrap round."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawscan.engine.window import ASKED, DONE, Window


def test_admitted_ports_are_silent_and_unsent() -> None:
    window = Window(0.0)
    assert window.admit(3).tolist() == [0, 1, 2]
    assert window.admit(2).tolist() == [3, 4]
    at = window.at(np.arange(5))
    assert window.status[at].tolist() == [ASKED] * 5
    assert window.tries[at].tolist() == [0] * 5
    assert len(window) == 5


@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 3000)), max_size=12))
def test_columns_survive_growth_and_retirement(steps: list[tuple[int, int]]) -> None:
    """A model in a dict beside it: every port in the window keeps what was written about it."""
    window, model = Window(0.0), dict[int, int]()
    for admitted, done in steps:
        for ordinal in window.admit(admitted).tolist():
            model[ordinal] = ordinal % 251
        ordinals = np.array(sorted(model), np.int64)
        window.ttl[window.at(ordinals)] = ordinals % 251
        finished = np.arange(window.base, min(window.base + done, window.head))
        window.status[window.at(finished)] = DONE
        window.retire(keep=0)
        model = {ordinal: ttl for ordinal, ttl in model.items() if ordinal >= window.base}
        assert window.base == (finished[-1] + 1 if len(finished) else window.base)
        kept = np.array(sorted(model), np.int64)
        assert window.contains(kept).all()
        assert window.ttl[window.at(kept)].tolist() == [model[o] for o in kept.tolist()]


def test_retire_stops_at_the_first_that_is_not_done_and_keeps_some() -> None:
    window = Window(0.0)
    everything = window.admit(100)
    window.status[window.at(everything)] = DONE
    window.status[window.at(np.array([60]))] = ASKED
    window.retire(keep=50)
    assert window.base == 50
    window.retire(keep=0)
    assert window.base == 60


def test_round_trips_are_those_of_the_try_that_was_answered() -> None:
    window = Window(1000.0)
    ports = window.admit(3)
    for number, time_s in enumerate((1000.0, 1001.0)):
        window.tries[window.at(ports)] = number + 1
        window.sent(ports, number, np.full(3, time_s))
    took = window.round_trips_s(ports, np.array([0, 1, 2], np.int8), np.full(3, 1001.25))
    assert took[:2].tolist() == pytest.approx([1.25, 0.25])
    assert np.isnan(took[2])  # no third try was made


def test_times_wrap_after_an_hour_and_a_bit() -> None:
    window = Window(0.0)
    ports = window.admit(1)
    window.tries[window.at(ports)] = 1
    window.sent(ports, 0, np.array([2**32 / 1e6 - 0.5]))
    took = window.round_trips_s(ports, np.zeros(1, np.int8), np.array([2**32 / 1e6 + 0.25]))
    assert took.tolist() == pytest.approx([0.75])


def test_an_answer_before_its_probe_took_no_time() -> None:
    """Two clocks, the kernel's and ours, may differ by microseconds."""
    window = Window(0.0)
    ports = window.admit(1)
    window.tries[window.at(ports)] = 1
    window.sent(ports, 0, np.array([5.0]))
    took = window.round_trips_s(ports, np.zeros(1, np.int8), np.array([4.999]))
    assert took.tolist() == [0.0]
