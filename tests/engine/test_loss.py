"""The loss estimate finds the truth, and the number of tries follows from it."""

from ipaddress import ip_address
from random import Random

import pytest

from rawscan.engine.loss import MIN_LOSS, LossModel, confidence, tries_needed

HOST, OTHER = ip_address("10.0.0.1"), ip_address("10.0.0.2")


def test_estimate_converges_to_the_true_loss() -> None:
    random, model, loss = Random(561), LossModel(), 0.4
    for _ in range(5000):
        lost = 0
        while random.random() < loss:
            lost += 1
        model.add(HOST, lost)
    assert abs(model.loss(OTHER) - loss) < 0.02
    assert model.observed is not None
    assert abs(model.observed - loss) < 0.02


def test_clean_paths_do_not_make_the_silent_one_clean() -> None:
    model = LossModel()
    for _ in range(1000):
        model.add(HOST, 0)
    assert model.loss(OTHER) == MIN_LOSS


def test_a_host_with_a_bad_record_is_judged_by_it() -> None:
    model = LossModel()
    for _ in range(1000):
        model.add(HOST, 0)
    model.add(OTHER, 4)
    assert model.loss(OTHER) == pytest.approx(5 / 7)
    assert model.loss(HOST) == MIN_LOSS


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
