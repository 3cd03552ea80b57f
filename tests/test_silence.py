"""When silence is honest, at the boundaries."""

from __future__ import annotations

import numpy as np
import pytest

from rawscan.model import ReplyKind
from rawscan.silence import FOREIGN, OWN, Patience, judge_silence, judge_silences

PATIENCE = Patience(in_all_s=10.0, after_last_s=4.0)
HONEST, SHORT, DROPS = (
    ReplyKind.SILENCE,
    ReplyKind.SILENCE_CUT_SHORT,
    ReplyKind.SILENCE_DROPS,
)


@pytest.mark.parametrize(
    ("first_s", "last_s", "enough_s"),
    [
        (100.0, 100.0, 110.0),
        (100.0, 106.0, 110.0),  # both ways agree
        (100.0, 106.5, 110.5),  # the last probe needs its time too
        (100.0, 200.0, 204.0),
    ],
)
def test_when_it_is_enough(first_s: float, last_s: float, enough_s: float) -> None:
    assert PATIENCE.enough_at(first_s, last_s) == enough_s
    assert judge_silence(first_s, last_s, enough_s, (), PATIENCE) is HONEST
    assert judge_silence(first_s, last_s, enough_s - 0.001, (), PATIENCE) is SHORT
    assert judge_silence(first_s, last_s, enough_s + 1e6, (), PATIENCE) is HONEST


@pytest.mark.parametrize(
    ("drops_s", "kind"),
    [
        ((), HONEST),
        ((99.0,), HONEST),  # all tries came after it
        ((103.999,), HONEST),  # and so did the last one
        ((104.0,), DROPS),
        ((109.999,), DROPS),
        ((110.0,), DROPS),
        ((110.001,), HONEST),  # the answer would have been there by then
        ((1e6,), HONEST),
        ((99.0, 103.0, 1e6), HONEST),
        ((99.0, 105.0, 1e6), DROPS),  # one is enough
    ],
)
def test_drops_void_the_tries_before_them(drops_s: tuple[float, ...], kind: ReplyKind) -> None:
    """Tries from 100 s to 104 s; answers are waited for until 110 s."""
    assert judge_silence(100.0, 104.0, 500.0, drops_s, PATIENCE) is kind


def test_each_port_has_its_own_drops() -> None:
    first_s = np.array([100.0, 100.0, 300.0])
    last_s = np.array([100.0, 120.0, 300.0])
    kinds = judge_silences(first_s, last_s, 500.0, (105.0, 305.0), PATIENCE)
    assert kinds.tolist() == [DROPS, HONEST, DROPS]


def test_too_short_is_said_before_drops() -> None:
    assert judge_silence(100.0, 100.0, 105.0, (101.0,), PATIENCE) is SHORT


def test_patience_outlasts_what_has_been_seen() -> None:
    # Linux gives up on a neighbour after 3 s; a SYN+ACK came 17 s after its SYN.
    assert OWN.enough_at(0.0, 0.0) > 3.0
    assert OWN.enough_at(0.0, 60.0) == 61.0
    assert FOREIGN.enough_at(0.0, 0.0) > 17.0
    assert FOREIGN.enough_at(0.0, 60.0) > 60.0 + 17.0
