"""When silence is honest, at the boundaries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        ((99.0,), HONEST),  # both tries came after it
        ((103.0,), HONEST),  # the second one did
        ((105.999,), HONEST),
        ((106.0,), DROPS),  # no try was made after it
        ((109.999,), DROPS),
        ((110.0,), DROPS),
        ((110.001,), HONEST),  # the answer would have been there by then
        ((1e6,), HONEST),
        ((99.0, 103.0, 110.001, 1e6), HONEST),
        ((99.0, 103.0, 107.0, 110.001, 1e6), DROPS),
        ((107.0, 107.0), DROPS),
    ],
)
def test_drops_count_if_no_try_was_made_after_them(
    drops_s: tuple[float, ...], kind: ReplyKind
) -> None:
    assert judge_silence(100.0, 106.0, 500.0, drops_s, PATIENCE) is kind


def test_too_short_is_said_before_drops() -> None:
    assert judge_silence(100.0, 100.0, 105.0, [101.0], PATIENCE) is SHORT


TIMES = st.floats(0, 100)


@given(st.lists(st.tuples(TIMES, TIMES), min_size=1), st.lists(TIMES), TIMES)
def test_many_at_once_are_judged_as_each_alone(
    tries_s: list[tuple[float, float]], drops_s: list[float], until_s: float
) -> None:
    first_s, last_s = np.sort(np.array(tries_s), axis=1).T
    drops_s.sort()
    found = judge_silences(first_s, last_s, until_s, drops_s, PATIENCE)
    for kind, first, last in zip(found.tolist(), first_s.tolist(), last_s.tolist(), strict=True):
        # As the rule is said: were any dropped while the last try's answer could have come?
        enough_s = max(first + 10.0, last + 4.0)
        spoilt = any(last <= dropped_s <= enough_s for dropped_s in drops_s)
        assert kind == (SHORT if enough_s > until_s else DROPS if spoilt else HONEST)


def test_patience_outlasts_what_has_been_seen() -> None:
    # Linux gives up on a neighbour after 3 s; a SYN+ACK came 17 s after its SYN.
    assert OWN.enough_at(0.0, 0.0) > 3.0
    assert OWN.enough_at(0.0, 60.0) == 61.0
    assert FOREIGN.enough_at(0.0, 0.0) > 17.0
    assert FOREIGN.enough_at(0.0, 60.0) > 60.0 + 17.0
