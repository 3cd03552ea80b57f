"""The token bucket never lets more through than the rate allows, and no less."""

from math import inf

import pytest

from rawscan.engine.pacing import BURST_S, Pacer


@pytest.mark.parametrize("rate", [1.0, 50.0, 1000.0, 100_000.0, 1e6])
@pytest.mark.parametrize("wanted", [1, 7, 4096])
def test_rate_is_kept(rate: float, wanted: int) -> None:
    pacer, now_s, sent = Pacer(rate), 0.0, 0
    for _ in range(2000):
        sent += pacer.take(wanted, now_s)
        assert sent <= rate * now_s + max(1.0, rate * BURST_S) + 1
        now_s = pacer.next_s(now_s)
    assert sent >= min(rate * now_s - 1, 2000)


def test_what_is_taken_is_at_most_what_is_wanted() -> None:
    pacer = Pacer(1000.0)
    assert [pacer.take(3, 0.0) for _ in range(5)] == [3, 3, 3, 1, 0]


def test_burst_is_bounded_after_a_long_pause() -> None:
    pacer = Pacer(1000.0)
    assert pacer.take(1, 0.0) == 1
    assert pacer.take(100_000, 3600.0) == 10


def test_time_that_goes_backwards_earns_nothing() -> None:
    pacer = Pacer(1.0)
    assert pacer.take(1, 100.0) == 1
    assert pacer.take(1, 50.0) == 0


def test_no_limit() -> None:
    pacer = Pacer(inf)
    assert [pacer.take(4096, 0.0) for _ in range(3)] == [4096] * 3
    assert pacer.next_s(5.0) == 5.0


def test_no_rate_is_an_error() -> None:
    with pytest.raises(ValueError, match="rate"):
        Pacer(0.0)
