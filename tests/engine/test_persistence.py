"""How often, how long, how sure: from the columns of a window and what was learnt of the path."""

from __future__ import annotations

import numpy as np
import pytest

from rawscan.engine import Settings
from rawscan.engine.persistence import MAX_TRIES, Persistence
from rawscan.engine.rows import UDP
from rawscan.engine.window import Ints, Window

HOST = 7


def asked(
    tries: int, *, voided: int = 0, udp: bool = False, **settings: int
) -> tuple[Persistence, Window, Ints]:
    window = Window(0.0)
    at = window.at(window.admit(1))
    window.tries[at], window.voided[at], window.host[at] = tries, voided, HOST
    window.probe[at] = UDP if udp else 0
    window.first_s[at], window.last_s[at] = 10.0, 12.0
    return Persistence(window, Settings(**settings)), window, at


@pytest.mark.parametrize(
    ("tries", "voided", "retries", "more"),
    [
        (5, 0, 10, True),
        (6, 0, 10, False),  # 0.2 ** 6 < 1e-4
        (6, 1, 10, True),
        (3, 0, 2, False),  # the user's cap
        (3, 3, 2, True),  # which void tries do not count for
        (MAX_TRIES, MAX_TRIES, 10, False),
    ],
)
def test_when_it_is_enough(tries: int, voided: int, retries: int, more: bool) -> None:
    path, _, at = asked(tries, voided=voided, max_retries=retries)
    assert path.asks_on(at).tolist() == [more]


def test_void_tries_give_no_confidence() -> None:
    path, _, at = asked(8, voided=2)
    assert path.confidence(at).tolist() == pytest.approx([1 - 0.2**6])
    path, _, at = asked(4, voided=4)
    assert path.confidence(at).tolist() == [0.0]


def test_of_a_limited_host_only_paced_tries_count() -> None:
    path, window, at = asked(6, udp=True)
    assert path.asks_on(at).tolist() == [False]
    path.limited.answered(np.full(6, HOST, np.uint64), 0.0)
    assert path.asks_on(at).tolist() == [True]
    assert path.confidence(at).tolist() == [0.0]
    window.paced[at] = 6
    assert path.asks_on(at).tolist() == [False]
    assert path.confidence(at).tolist() == pytest.approx([1 - 0.2**6])


def test_retries_back_off_a_little_and_start_from_the_last_try() -> None:
    for tries, delay_s in ((1, 0.5), (2, 0.6), (3, 0.6), (9, 0.6)):
        path, _, at = asked(tries)
        assert path.due_s(at).tolist() == [12.0 + delay_s]


def test_a_slow_path_is_waited_for_longer() -> None:
    path, window, at = asked(6)
    assert path.enough_s(at).tolist() == [13.5]  # 3.5 s in all
    window.last_s[at] = 30.0
    assert path.enough_s(at).tolist() == [31.0]
    path.rtt.add(1.5)  # a timeout of 1.5 s and 4 times as much: RFC 6298, section 2.2, nmap's start
    assert path.enough_s(at).tolist() == [37.5]
