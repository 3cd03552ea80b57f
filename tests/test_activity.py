"""Frames over time: nothing is lost when the steps widen or the start moves."""

from __future__ import annotations

from random import Random

import pytest

from rawscan.activity import STEPS, Timeline

T = 1.7e9


def test_steps() -> None:
    timeline = Timeline()
    for at_s in (0.0, 0.0004, 0.0015, 0.0103):
        timeline.add("syn", T + at_s)
    timeline.add("rst", T + 0.0106)
    found = timeline.finish()
    assert found is not None
    assert (found.start_s, found.step_s) == (T, 0.001)
    assert found.counts["syn"] == (2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1)
    assert found.counts["rst"] == (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)


def test_an_earlier_frame_moves_the_start() -> None:
    timeline = Timeline()
    timeline.add("syn", T + 0.1003)
    timeline.add("rst", T)
    found = timeline.finish()
    assert found is not None
    assert abs(found.start_s - T) < 2 * found.step_s
    assert [sum(counts) for counts in found.counts.values()] == [1, 1]
    assert found.counts["syn"][-1] == found.counts["rst"][0] == 1


@pytest.mark.parametrize("span_s", [0.2, 10.0, 86400.0, 3e8])
@pytest.mark.parametrize("shuffled", [False, True])
def test_any_span_fits(span_s: float, shuffled: bool) -> None:
    times = [T + span_s * n / 9999 for n in range(10_000)]
    if shuffled:
        Random(1).shuffle(times)
    timeline = Timeline()
    for at_s in times:
        timeline.add("udp", at_s)
    found = timeline.finish()
    assert found is not None
    counts = found.counts["udp"]
    assert sum(counts) == 10_000
    assert STEPS // 2 <= len(counts) <= STEPS
    # An even stream stays even, wherever the edges are: each whole step has its share.
    share = 10_000 * found.step_s / span_s
    assert all(abs(count - share) <= 2 for count in counts[1:-1])
    assert found.start_s <= T
    assert found.start_s + found.step_s * len(counts) >= T + span_s - found.step_s


def test_without_times_there_is_nothing_to_show() -> None:
    timeline = Timeline()
    timeline.add("syn", 0.0)
    assert timeline.finish() is None
