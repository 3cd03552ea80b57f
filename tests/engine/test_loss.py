"""The loss estimate finds the truth, and the number of tries follows from it."""

from random import Random

import numpy as np
import pytest

from rawscan.engine.loss import MIN_LOSS, LossModel, tries_needed

HOST, OTHER = 1, 2


def add(model: LossModel, host: int, *lost_before: int) -> None:
    hosts = np.full(len(lost_before), host, np.uint64)
    model.add(hosts, np.array(lost_before, np.int8))


def loss_of(model: LossModel, host: int) -> float:
    (loss,) = model.loss(np.array([host], np.uint64)).tolist()
    return float(loss)


def test_estimate_converges_to_the_true_loss() -> None:
    random, model, loss = Random(561), LossModel(), 0.4
    for _ in range(5000):
        lost = 0
        while random.random() < loss:
            lost += 1
        add(model, HOST, lost)
    assert abs(loss_of(model, OTHER) - loss) < 0.02
    assert abs(model.lost / (model.lost + model.answered) - loss) < 0.02


def test_clean_paths_do_not_make_the_silent_one_clean() -> None:
    model = LossModel()
    add(model, HOST, *[0] * 1000)
    assert loss_of(model, OTHER) == MIN_LOSS


def test_a_host_with_a_bad_record_is_judged_by_it() -> None:
    model = LossModel()
    add(model, HOST, *[0] * 1000)
    add(model, OTHER, 4)
    assert loss_of(model, OTHER) == pytest.approx(5 / 7)
    assert loss_of(model, HOST) == MIN_LOSS
    add(model, OTHER, 0)
    assert loss_of(model, OTHER) == pytest.approx(5 / 8)


def test_an_empty_batch_teaches_nothing() -> None:
    model = LossModel()
    add(model, HOST)
    assert (model.lost, model.answered) == (0, 0)
    assert len(model.loss(np.array([], np.uint64))) == 0


@pytest.mark.parametrize(
    ("loss", "wanted", "tries"),
    [(0.2, 0.9999, 6), (0.1, 0.9999, 4), (0.36, 0.9999, 10), (0.5, 0.5, 1), (0.01, 0.5, 1)],
)
def test_tries_needed(loss: float, wanted: float, tries: int) -> None:
    # By hand: the smallest n with loss ** n <= 1 - wanted.
    assert tries_needed(loss, wanted) == tries
    assert 1 - loss**tries >= wanted - 1e-9


def sureness(model: LossModel, tries: int) -> float:
    (sure,) = model.confidence(np.array([HOST], np.uint64), np.array([tries])).tolist()
    return float(sure)


def wanted_tries(model: LossModel, wanted: float = 0.9999) -> int:
    (tries,) = model.tries_wanted(np.array([HOST], np.uint64), wanted).tolist()
    return int(tries)


def test_among_many_that_answer_a_silent_one_is_rather_unlucky() -> None:
    """4,095 of 4,096 ports answered over a path that loses 0.19, and one has not.

    By hand: the odds are 4095 to 2; 0.19 ** n * 2047.5 <= 1e-4 for n >= 10.14, so 11 tries, where
    6 would do for a port of which nothing is known (0.19 ** 6 = 4.7e-5).
    """
    random, model = Random(561), LossModel()
    lost = [0] * 4095
    for index in range(len(lost)):
        while random.random() < 0.19:
            lost[index] += 1
    model.asked, model.replied = 4096, 4095
    add(model, OTHER, *lost)
    assert model.measured == pytest.approx(0.19, abs=0.01)
    assert model.odds == pytest.approx(4095 / 2)
    assert wanted_tries(model) == 11
    assert sureness(model, 6) < 0.95
    assert sureness(model, 11) >= 0.9999


def test_among_many_that_are_silent_the_odds_ask_for_nothing_more() -> None:
    model = LossModel()
    model.asked = 4096
    assert model.odds == 1.0
    assert wanted_tries(model) == 6
    assert sureness(model, 6) == pytest.approx(1 - 0.2**6)


def test_a_clean_path_does_not_make_one_silent_port_among_thousands_expensive() -> None:
    """The odds go with the loss that was measured, which is next to nothing here."""
    model = LossModel()
    model.asked, model.replied = 65_536, 65_535
    add(model, OTHER, *[0] * 65_535)
    assert wanted_tries(model) == 6


def test_no_tries_are_no_confidence() -> None:
    assert sureness(LossModel(), 0) == 0.0


def test_certainty_cannot_be_had() -> None:
    with pytest.raises(ValueError, match="confidence"):
        tries_needed(0.1, 1.0)
