"""Checksums against the RFCs' examples and against adding up word by word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rawscan.wire.checksum import (
    all_for_udp,
    checksum,
    checksums,
    fold,
    fold_all,
    for_udp,
    ones_sum,
    update,
    updates,
    without,
)

WORD = st.integers(0, 0xFFFF) | st.sampled_from([0, 1, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF])


def added(words: list[int]) -> int:
    """One's complement addition by its definition: every carry goes around at once."""
    total = 0
    for word in words:
        total += word
        if total > 0xFFFF:
            total -= 0xFFFF
    return total


def packed(words: list[int]) -> bytes:
    return b"".join(word.to_bytes(2, "big") for word in words)


def test_the_example_of_rfc_1071() -> None:
    # Section 3: 0001 + f203 + f4f5 + f6f7 = 2ddf0, folded to ddf2.
    data = bytes.fromhex("0001f203f4f5f6f7")
    assert ones_sum(data) == 0xDDF2
    assert checksum(data) == 0x220D
    # Section 2 (B): the sum of the swapped bytes is the swapped sum.
    assert ones_sum(bytes.fromhex("010003f2f5f4f7f6")) == 0xF2DD


def test_the_example_of_rfc_1624() -> None:
    # Section 4: the rest of the header sums to cd7a, and one word changes from 5555 to 3285.
    # RFC 1141's way of updating would give ffff.
    assert checksum(bytes.fromhex("cd7a5555")) == 0xDD2F
    assert checksum(bytes.fromhex("cd7a3285")) == 0x0000
    assert update(0xDD2F, [0x5555], [0x3285]) == 0x0000
    found = updates(*(np.array(a, np.uint16) for a in ([0xDD2F], [[0x5555]], [[0x3285]])))
    assert found.tolist() == [0x0000]


def test_an_odd_byte_is_the_upper_half() -> None:
    assert ones_sum(b"\x12\x34\x56") == 0x1234 + 0x5600
    assert ones_sum(b"") == 0


def test_zero_stays_and_everything_else_never_becomes_it() -> None:
    assert [fold(total) for total in (0, 0xFFFF, 0x1FFFE, 0xFFFF << 48)] == [0] + [0xFFFF] * 3
    totals = np.array([0, 0xFFFF, 0x1FFFE, 0xFFFF << 48], np.uint64)
    assert fold_all(totals).tolist() == [0] + [0xFFFF] * 3


@given(st.lists(WORD, max_size=40))
def test_sums_of_words(words: list[int]) -> None:
    assert ones_sum(packed(words)) == added(words)
    assert checksum(packed(words)) == 0xFFFF - added(words)


TOTALS = st.integers(0, 2**64 - 1) | st.integers(0, 2**34)


@settings(deadline=None)
@given(st.lists(TOTALS, min_size=1, max_size=20))
# The third has to be folded four times.
@example(
    [2**64 - 1, 2**64 - 2, 0xFFFF_FFFF_0001_0000, 0xFFFF_0001, 0xFFFF_FFFF_0000_0001, 0x2_FFFD]
)
def test_totals_of_64_bits(totals: list[int]) -> None:
    words = [[total >> shift & 0xFFFF for shift in (48, 32, 16, 0)] for total in totals]
    assert [fold(total) for total in totals] == [added(w) for w in words]
    assert fold_all(np.array(totals, np.uint64)).tolist() == [added(w) for w in words]
    found = checksums(np.array(totals, np.uint64))
    assert found.dtype == np.uint16
    assert found.tolist() == [0xFFFF - added(w) for w in words]


CHANGES = st.tuples(
    st.lists(WORD, max_size=6), st.lists(st.tuples(WORD, WORD), min_size=1, max_size=6)
)


@given(CHANGES)
def test_an_update_is_a_computation_anew(change: tuple[list[int], list[tuple[int, int]]]) -> None:
    others, pairs = change
    others = [0x4500, *others]  # as in any header: not all of it is 0
    old, new = [a for a, _ in pairs], [b for _, b in pairs]
    before, after = checksum(packed(others + old)), checksum(packed(others + new))
    assert update(before, old, new) == after
    assert without(before, old) % 0xFFFF == added(others) % 0xFFFF
    found = updates(
        np.array([before, before], np.uint16),
        np.array([old, old], np.uint16),
        np.array([new, old], np.uint16),
    )
    assert found.tolist() == [after, before]


def test_every_word_changed_to_every_corner() -> None:
    # All 65,536 old words at once, to those where the two zeros of one's complement meet.
    old = np.arange(1 << 16, dtype=np.uint16)
    for new in (0, 1, 0xFFFE, 0xFFFF, 0xBAFF):
        before = np.array([checksum(packed([0x4500, int(w)])) for w in old], np.uint16)
        found = updates(before, old[:, None], np.full((1 << 16, 1), new, np.uint16))
        assert set(found.tolist()) == {checksum(packed([0x4500, new]))}


@pytest.mark.parametrize(("computed", "sent"), [(0, 0xFFFF), (1, 1), (0xFFFF, 0xFFFF)])
def test_udp_never_sends_zero(computed: int, sent: int) -> None:
    # RFC 768: "If the computed checksum is zero, it is transmitted as all ones".
    assert for_udp(computed) == sent
    assert all_for_udp(np.array([computed, 7], np.uint16)).tolist() == [sent, 7]
