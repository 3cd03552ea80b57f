"""Round-trip time estimation, against RFC 6298's formulas worked out by hand."""

from rawscan.engine.rtt import (
    INITIAL_TIMEOUT_S,
    MAX_TIMEOUT_S,
    MIN_TIMEOUT_S,
    RttEstimator,
)


def test_before_any_sample_the_timeout_is_the_initial_one() -> None:
    assert RttEstimator().timeout_s == INITIAL_TIMEOUT_S


def test_first_sample_sets_both_averages() -> None:
    rtt = RttEstimator()
    rtt.add(0.4)
    # nmap's form of RFC 6298 (2.2): srtt = R, rttvar = R, so RTO = R + 4 * R.
    assert rtt.timeout_s == 0.4 + 4 * 0.4


def test_second_sample_moves_them_by_an_eighth_and_a_quarter() -> None:
    rtt = RttEstimator()
    rtt.add(0.4)
    rtt.add(0.8)
    # (2.3): rttvar = 3/4 * 0.4 + 1/4 * |0.4 - 0.8| = 0.4; srtt = 7/8 * 0.4 + 1/8 * 0.8 = 0.45.
    assert abs(rtt.timeout_s - (0.45 + 4 * 0.4)) < 1e-12


def test_timeout_stays_within_its_bounds() -> None:
    fast, slow = RttEstimator(), RttEstimator()
    fast.add(0.00001)
    slow.add(7.9)
    assert fast.timeout_s == MIN_TIMEOUT_S
    assert slow.timeout_s == MAX_TIMEOUT_S


def test_absurd_samples_are_ignored() -> None:
    rtt = RttEstimator()
    rtt.add(8.0)
    rtt.add(-0.1)
    assert rtt.smoothed_s is None
