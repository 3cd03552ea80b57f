"""Counting distinct numbers: exactly below the bound, closely above it."""

from __future__ import annotations

from itertools import chain

import pytest

from rawscan.distinct import Distinct


def test_exact_while_they_are_few() -> None:
    counted = Distinct(exact=100)
    for number in chain(range(100), range(100)):
        counted.add(number << 64)
    assert len(counted) == 100


@pytest.mark.parametrize("step", [1, 256, 1 << 20])
@pytest.mark.parametrize("base", [0x0A000000, 0xFD560001 << 96])
def test_close_beyond(step: int, base: int) -> None:
    """Neighbours, and numbers that differ in high bits only; each three times."""
    counted = Distinct(exact=1000)
    for number in range(60_000):
        counted.add(base + (number // 3) * step)
    assert 0.99 < len(counted) / 20_000 < 1.01


def test_nothing() -> None:
    assert len(Distinct()) == 0
