"""Each host has its own limit, and many hosts none."""

from __future__ import annotations

from math import inf

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rawscan.engine.hostcap import MOST_HOSTS, HostCap


def numbers(*hosts: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array(hosts, np.uint64)


def test_each_host_by_itself() -> None:
    cap = HostCap(1.0, 3)
    assert cap.take(numbers(5, 7, 5, 9, 7), 0.0).tolist() == [True, True, False, True, False]
    assert cap.take(numbers(5, 5), 0.5).tolist() == [False, False]
    assert cap.take(numbers(5, 5), 1.0).tolist() == [True, False]
    assert cap.total_pps == 3.0


def test_no_cap_and_many_hosts_let_everything_through() -> None:
    for cap in (HostCap(inf, 1), HostCap(1.0, MOST_HOSTS + 1)):
        assert cap.take(numbers(*[3] * 1000), 0.0).all()
        assert cap.total_pps == inf


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 30)), min_size=1, max_size=60))
def test_no_host_gets_more_than_its_rate(batches: list[tuple[int, int]]) -> None:
    cap, got = HostCap(20.0, 5), dict.fromkeys(range(5), 0)
    for step, (host, count) in enumerate(batches):
        now_s = step / 10
        got[host] += int(cap.take(numbers(*[host] * count), now_s).sum())
        assert got[host] <= 20.0 * now_s + 1
