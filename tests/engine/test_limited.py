"""The model of a host's bucket: what it can afford, and when."""

from __future__ import annotations

import numpy as np
import pytest

from rawscan.engine.limited import LimitedHosts
from rawscan.icmplimit import PEER_BURST as BURST

HOST, OTHER = np.array([7], np.uint64), np.array([8], np.uint64)


def burst_of(hosts: LimitedHosts, answers: int = BURST) -> None:
    hosts.answered(np.repeat(HOST, answers), 0.0)


def wait(hosts: LimitedHosts, *ports: int) -> None:
    hosts.wait(np.array(ports, np.int64), np.repeat(HOST, len(ports)), 0.0)


@pytest.mark.parametrize(("answers", "limited"), [(0, False), (BURST - 1, False), (BURST, True)])
def test_a_whole_burst_makes_a_host_limited(answers: int, limited: bool) -> None:
    hosts = LimitedHosts()
    burst_of(hosts, answers)
    assert hosts.limited(np.concatenate([HOST, OTHER])).tolist() == [limited, False]


def test_counting_answers_does_not_wrap() -> None:
    hosts = LimitedHosts()
    for _ in range(3):
        burst_of(hosts, 40_000)
    assert hosts.limited(HOST).tolist() == [True]


def test_nobody_waits_at_first() -> None:
    hosts = LimitedHosts()
    assert hosts.next_s() is None
    assert hosts.ready(1e9) == ([], [])


def test_one_port_a_second_and_in_order() -> None:
    hosts = LimitedHosts()
    burst_of(hosts)
    wait(hosts, 1, 2, 3)
    times = []
    for port in (1, 2, 3):
        due_s = hosts.next_s()
        assert due_s is not None
        assert hosts.ready(due_s - 0.01) == ([], [])
        assert hosts.ready(due_s) == ([port], [])
        hosts.answered(HOST, due_s)
        hosts.landed([7], due_s)
        times.append(due_s)
    # A little more than a second each: a probe that comes too early is one for nothing.
    assert np.diff([0.0, *times]).tolist() == pytest.approx([1 / 0.97] * 3)
    assert hosts.next_s() is None or hosts.ready(1e9) == ([], [])


def test_what_is_not_answered_costs_nothing() -> None:
    hosts = LimitedHosts()
    burst_of(hosts)
    wait(hosts, 1, 2)
    assert hosts.ready(1.1) == ([1], [])
    assert hosts.ready(1.2) == ([], [])  # the token may be spent on the first
    hosts.landed([7], 1.3)
    assert hosts.ready(1.3) == ([2], [])


def test_a_rested_host_can_afford_a_burst_and_no_more() -> None:
    hosts = LimitedHosts()
    burst_of(hosts)
    wait(hosts, *range(20))
    sure, bold = hosts.ready(1000.0)
    assert sure == list(range(BURST))
    assert bold == [BURST]  # one more, to see whether it could


def test_a_host_that_answers_more_than_it_should_is_asked_faster_and_slower_again() -> None:
    hosts = LimitedHosts()
    burst_of(hosts)
    wait(hosts, *range(200))

    def asked_in_20_s(start_s: float) -> int:
        count = 0
        for step in range(200):
            now_s = start_s + step / 10
            sure, bold = hosts.ready(now_s)
            for _ in (*sure, *bold):
                hosts.answered(HOST, now_s)
                hosts.landed([7], now_s)
            count += len(sure) + len(bold)
        return count

    slow, fast = asked_in_20_s(0.0), asked_in_20_s(20.0)
    assert fast >= 1.3 * slow
    for _ in range(10):
        hosts.denied([7])
    assert asked_in_20_s(40.0) <= slow + 1
