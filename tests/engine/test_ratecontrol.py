"""The rate gives way to a bottleneck, comes back, and is not put off by loss of another kind."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random

import numpy as np
import pytest

from rawscan.engine.ratecontrol import EPOCH_S, FLOOR_PPS, RateControl

TIMEOUT_S = 0.1
Path = Callable[[float, float], float]
"""Rate in pps and time in seconds to the share that is lost."""


def run(control: RateControl, path: Path, seconds: float, start_s: float = 0.0) -> list[float]:
    """Send as fast as the control allows (at most 1 Mpps); every outcome is known at once.

    Gives the rate in each hundredth of a second.
    """
    random, rates, now_s = Random(561), [], start_s
    while now_s < start_s + seconds:
        control.update(now_s, TIMEOUT_S)
        rate_pps = min(control.rate_pps, 1e6)
        rates.append(rate_pps)
        count = int(rate_pps / 100)
        control.sent(count, now_s)
        shown = min(count, 200)  # as many as it takes to see the share
        lost = np.array([random.random() < path(rate_pps, now_s) for _ in range(shown)], np.bool_)
        control.learn(np.full(shown, now_s), lost)
        now_s += 0.01
    return rates


def bottleneck(capacity_pps: float) -> Path:
    return lambda rate_pps, _: max(0.0, 1.0 - capacity_pps / rate_pps)


def test_a_clean_path_is_used_in_full() -> None:
    assert set(run(RateControl(5000.0, 0.0), lambda *_: 0.0, 10)) == {5000.0}


@pytest.mark.parametrize("ceiling_pps", [100_000.0, inf])
def test_a_bottleneck_is_found_and_not_overrun(ceiling_pps: float) -> None:
    rates = run(RateControl(ceiling_pps, 0.0), bottleneck(10_000), 20)
    settled = rates[len(rates) // 2 :]
    assert 7_000 <= np.median(settled) <= 10_500
    assert max(settled) <= 15_000


def test_loss_that_does_not_depend_on_the_rate_is_no_reason_to_go_slower() -> None:
    control = RateControl(10_000.0, 0.0)
    rates = run(control, lambda *_: 0.2, 20)
    assert rates[-500:] == [10_000.0] * 500
    assert control.tolerated == pytest.approx(0.2, abs=0.05)
    slow = [rate for rate in rates if rate < 10_000]
    assert len(slow) / 100 <= 2 * (EPOCH_S + 2 * TIMEOUT_S)


def test_the_rate_comes_back_when_the_bottleneck_has_gone() -> None:
    def rush_hour(rate_pps: float, now_s: float) -> float:
        return bottleneck(2_000)(rate_pps, now_s) if now_s < 5 else 0.0

    control = RateControl(20_000.0, 0.0)
    before = run(control, rush_hour, 5)
    assert before[-1] <= 3_000
    assert run(control, rush_hour, 15, 5.0)[-1] == 20_000.0


def test_a_bottleneck_is_found_on_a_lossy_path_too() -> None:
    def both(rate_pps: float, now_s: float) -> float:
        return 1 - 0.8 * (1 - bottleneck(10_000)(rate_pps, now_s))

    rates = run(RateControl(100_000.0, 0.0), both, 30)
    assert np.median(rates[len(rates) // 2 :]) <= 15_000


def test_drops_of_our_own_halve_it_at_once() -> None:
    control = RateControl(1000.0, 0.0)
    control.sent(100, 0.1)
    control.dropped(0.1)
    assert control.rate_pps == 500.0
    for _ in range(20):
        control.dropped(0.2)
    assert control.rate_pps == FLOOR_PPS


def test_drops_without_a_limit_halve_what_was_sent() -> None:
    control = RateControl(inf, 0.0)
    control.sent(20_000, 0.1)
    control.dropped(0.2)
    assert control.rate_pps == pytest.approx(50_000)


def test_a_rate_below_the_floor_is_kept() -> None:
    control = RateControl(1.0, 0.0)
    control.dropped(1.0)
    assert control.rate_pps == 1.0


def test_a_few_outcomes_say_nothing() -> None:
    control = RateControl(1000.0, 0.0)
    control.sent(10, 0.0)
    control.learn(np.zeros(10), np.ones(10, np.bool_))
    control.update(10.0, TIMEOUT_S)
    assert control.rate_pps == 1000.0


def test_what_was_lost_before_the_cut_is_no_reason_for_another() -> None:
    control = RateControl(1000.0, 0.0)
    control.sent(250, 0.1)
    control.learn(np.full(100, 0.1), np.ones(100, np.bool_))
    control.update(1.0, TIMEOUT_S)
    cut_pps = control.rate_pps
    assert cut_pps < 1000.0
    control.sent(50, 1.1)
    control.learn(np.full(1000, 0.9), np.ones(1000, np.bool_))
    control.learn(np.full(100, 1.1), np.zeros(100, np.bool_))
    control.update(2.0, TIMEOUT_S)
    assert control.rate_pps > cut_pps


def test_losses_that_become_known_late_count() -> None:
    """A lost try is known when a later one is answered, here one epoch after it was made."""
    control = RateControl(1000.0, 0.0)
    control.learn(np.full(100, 0.1), np.zeros(100, np.bool_))
    control.update(1.0, TIMEOUT_S)
    assert control.rate_pps == 1000.0
    control.sent(250, 1.1)
    control.learn(np.full(100, 0.1), np.ones(100, np.bool_))
    control.update(2.0, TIMEOUT_S)
    assert control.rate_pps < 1000.0
