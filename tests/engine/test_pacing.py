"""The token bucket never lets more through than the rate allows, and no less."""

import pytest

from rawscan.engine.pacing import BURST_S, Pacer


@pytest.mark.parametrize("rate", [1.0, 50.0, 1000.0, 100_000.0])
def test_rate_is_kept_over_ten_seconds(rate: float) -> None:
    pacer, now_s, sent, steps = Pacer(rate), 0.0, 0, 0
    while now_s < 10.0 and steps < 2_000_000 and sent < 20_000:
        while pacer.take(now_s):
            sent += 1
        now_s = pacer.next_s(now_s)
        steps += 1
    burst = max(1.0, rate * BURST_S)
    assert sent <= rate * now_s + burst + 1
    assert sent >= rate * min(now_s, 10.0) - 1


def test_burst_is_bounded_after_a_long_pause() -> None:
    pacer = Pacer(1000.0)
    assert pacer.take(0.0)
    burst = 0
    while pacer.take(3600.0):
        burst += 1
    assert burst == 10


def test_time_that_goes_backwards_earns_nothing() -> None:
    pacer = Pacer(1.0)
    assert pacer.take(100.0)
    assert not pacer.take(50.0)


def test_no_rate_is_an_error() -> None:
    with pytest.raises(ValueError, match="rate"):
        Pacer(0.0)
