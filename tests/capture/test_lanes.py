"""Lanes: every record that a walk step by step finds, and no other, whatever the guesses."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawscan.capture import lanes
from rawscan.capture.lanes import Walk, Words, next_head, walk
from rawscan.capture.pcap import _Records
from rawscan.capture.source import SLACK_BYTES
from tests.capture import forge

S = 1795415451
CHAIN = _Records(10**6, S)


def laid(sizes: list[int], filler: random.Random, body: bytes | None = None) -> bytes:
    """Records of these sizes; `body` is what fills them, or else noise."""
    parts = []
    for number, size in enumerate(sizes):
        data = filler.randbytes(size) if body is None else (body * (size // len(body) + 1))[:size]
        parts.append(forge.record("<", S + number // 50, number % 50, data))
    return b"".join(parts)


def step_by_step(data: bytes, stop: int) -> tuple[list[int], int]:
    """As RFC-like plainly as it can be said."""
    found, at = [], 0
    while at < stop and at + 16 <= len(data):
        size = 16 + int.from_bytes(data[at + 8 : at + 12], "little")
        if size > 256 << 20 or at + size > len(data):
            break
        found.append(at)
        at += size
    return found, at


def walked(data: bytes, stop: int | None = None) -> Walk:
    words = Words(bytearray(data + b"\x5a" * SLACK_BYTES), "<")
    return walk(words, CHAIN, 0, len(data) if stop is None else stop, len(data))


HOSTILE = forge.record("<", S, 0, b"x" * 30) + forge.record("<", S, 0, b"y" * 70)


@pytest.fixture(autouse=True)
def small_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "LANE_BYTES", 1500)


@pytest.mark.parametrize("body", [None, b"\0", HOSTILE, HOSTILE[:46]], ids=["noise", "zeros",
                         "records", "half a record"])  # fmt: skip
@pytest.mark.parametrize("largest", [40, 700, 9000])
def test_every_record(body: bytes | None, largest: int) -> None:
    rng = random.Random(largest)
    sizes = [rng.randrange(largest) for _ in range(4000)]
    data = laid(sizes, rng, body)
    for stop in (len(data), len(data) // 2, 20):
        found = walked(data, stop)
        assert (found.at.tolist(), found.end) == step_by_step(data, stop)
        assert found.heads[:, 2].tolist() == sizes[: len(found.at)]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=300),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=5),
    st.integers(0, 1 << 20),
)
def test_damaged_chains_are_followed_as_far_as_they_go(
    sizes: list[int], flips: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(laid(sizes, random.Random(1)))
    for place, value in flips:
        data[place % len(data)] = value
    data = data[: len(data) - cut % 100]
    found = walked(bytes(data))
    assert (found.at.tolist(), found.end) == step_by_step(bytes(data), len(data))


def test_lanes_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the tests above would be of a loop."""
    stepped: list[int] = []
    one_by_one = lanes._one_by_one

    def noted(*arguments: object) -> lanes.Offsets:
        at = one_by_one(*arguments)  # type: ignore[arg-type]
        stepped.append(len(at))
        return at

    monkeypatch.setattr(lanes, "_one_by_one", noted)
    data = laid([random.Random(n).randrange(600) for n in range(3000)], random.Random(3))
    assert len(walked(data).at) == 3000
    assert sum(stepped) < 300


def test_the_next_head_is_that_of_a_record_with_others_behind_it() -> None:
    noise = random.Random(5).randbytes(30_000)
    data = noise + laid([50] * 9, random.Random(6))
    words = Words(bytearray(data + bytes(SLACK_BYTES)), "<")
    any_time = _Records(10**6, None)
    assert next_head(words, any_time, 0, len(data)) == len(noise)
    assert next_head(words, any_time, len(noise) + 1, len(data)) == len(noise) + 66
    # Three are too few, unless the file ends behind the last.
    start = len(data) - 3 * 66
    assert next_head(words, any_time, start, len(data)) is None
    assert next_head(words, any_time, start, len(data), final=True) == start
    assert next_head(words, any_time, len(data) - 66, len(data), final=True) is None


def test_words_of_both_orders() -> None:
    data = bytearray(range(1, 21))
    assert Words(data, ">").u32[1] == 0x02030405
    rows = Words(data, "<").rows(np.array([0, 3]), 8)
    assert rows.tolist() == [[0x04030201, 0x08070605], [0x07060504, 0x0B0A0908]]
