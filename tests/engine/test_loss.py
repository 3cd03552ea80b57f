"""The loss estimate finds the truth, and the number of tries follows from it."""

from random import Random

import numpy as np
import pytest

from rawscan.engine.loss import MIN_LOSS, LossModel, confidence, tries_needed

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
    assert confidence(loss, tries) >= wanted - 1e-9


def test_certainty_cannot_be_had() -> None:
    with pytest.raises(ValueError, match="confidence"):
        tries_needed(0.1, 1.0)
