"""The order of a scan: a bijection, the same in scalars and arrays, as well mixed as chance.

What chance gives is computed by hand beside each statistical test. Keys are fixed, so the numbers
never change; the bounds are five standard deviations, where an order with too few rounds is tens
or hundreds away.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from hashlib import shake_128, shake_256

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rawscan.errors import UsageError
from rawscan.permute import BATCH_SIZE, Permutation, Shard

KEYS = (b"", b"561", bytes(range(64)), b"\xff" * 200)
PREFIX16 = 65536

sizes = (
    st.integers(1, 5000)
    | st.integers(1, 2**64)
    | st.integers(2**62, 2**130)
    | st.builds(
        lambda power, off: max(1, (1 << power) + off), st.integers(0, 130), st.integers(-2, 2)
    )
)
keys = st.binary(max_size=40)


def whole(size: int, key: bytes) -> NDArray[np.uint64]:
    return Permutation(size, key).batch(np.arange(size, dtype=np.uint64))


@pytest.mark.parametrize("key", KEYS, ids=len)
def test_every_small_size_is_a_bijection_whose_inverse_is_its_inverse(key: bytes) -> None:
    for size in range(1, 601):
        permutation = Permutation(size, key)
        order = [permutation.at(position) for position in range(size)]
        assert sorted(order) == list(range(size))
        assert [permutation.position(index) for index in order] == list(range(size))
        assert permutation.batch(np.arange(size, dtype=np.uint64)).tolist() == order
        assert permutation.inverse(np.array(order, np.uint64)).tolist() == list(range(size))


# Either side of where the number of rounds changes, a square, a prime, several blocks.
@pytest.mark.parametrize("size", [4095, 4096, 4097, 65536, 65537, 100_003, 1_000_000])
def test_larger_sizes_are_bijections(size: int) -> None:
    order = whole(size, b"larger")
    assert np.array_equal(np.sort(order), np.arange(size, dtype=np.uint64))
    back = Permutation(size, b"larger").inverse(order)
    assert np.array_equal(back, np.arange(size, dtype=np.uint64))


@given(sizes, keys, st.data())
@settings(deadline=None, max_examples=400)
def test_any_size_stays_in_range_and_comes_back(size: int, key: bytes, data: st.DataObject) -> None:
    permutation = Permutation(size, key)
    number = data.draw(st.integers(0, size - 1) | st.sampled_from([0, size // 2, size - 1]))
    assert 0 <= permutation.at(number) < size
    assert permutation.position(permutation.at(number)) == number
    assert permutation.at(permutation.position(number)) == number


@given(st.integers(1, BATCH_SIZE) | sizes.filter(lambda size: size <= BATCH_SIZE), keys, st.data())
@example(2**63, b"", None)
@example(2**64 - 1, b"", None)
@example(2**64, b"", None)
@settings(deadline=None, max_examples=300)
def test_arrays_say_what_scalars_say(size: int, key: bytes, data: st.DataObject | None) -> None:
    permutation = Permutation(size, key)
    numbers = [0, size // 3, size // 2, size - 1]
    if data:
        numbers += data.draw(st.lists(st.integers(0, size - 1), max_size=40))
    array = np.array(numbers, dtype=np.uint64)
    there, back = permutation.batch(array), permutation.inverse(array)
    assert there.dtype == back.dtype == np.uint64
    assert there.tolist() == [permutation.at(number) for number in numbers]
    assert back.tolist() == [permutation.position(number) for number in numbers]
    assert array.tolist() == numbers, "the argument was written to"


def test_arrays_may_have_any_shape_layout_and_unsigned_type() -> None:
    permutation = Permutation(40_000, b"shape")
    flat = permutation.batch(np.arange(40_000, dtype=np.uint64))
    square = np.arange(40_000, dtype=np.uint64).reshape(200, 200)
    assert np.array_equal(permutation.batch(square), flat.reshape(200, 200))
    assert np.array_equal(permutation.batch(square.T), flat.reshape(200, 200).T)
    assert np.array_equal(
        permutation.inverse(permutation.batch(square[::3, ::7])), square[::3, ::7]
    )
    assert permutation.batch(np.array([], np.uint64)).shape == (0,)
    assert permutation.batch(np.array(5, np.uint64)).shape == ()
    assert permutation.batch(np.array([5, 6], np.uint16)).tolist() == flat[5:7].tolist()


def test_what_is_outside_is_refused() -> None:
    permutation = Permutation(1000, b"")
    for number in (-1, 1000, 2**70):
        with pytest.raises(IndexError, match=r"outside 0 \.\. 999"):
            permutation.at(number)
        with pytest.raises(IndexError, match=r"outside 0 \.\. 999"):
            permutation.position(number)
    # 1,000 and 1,023 are inside the domain that is walked, so only a check can refuse them.
    for outside in (1000, 1023, 2**64 - 1):
        with pytest.raises(IndexError, match=f"{outside} is outside"):
            permutation.batch(np.array([1, outside], np.uint64))
        with pytest.raises(IndexError, match=f"{outside} is outside"):
            permutation.inverse(np.array([1, outside], np.uint64))
    with pytest.raises(TypeError):
        permutation.batch(np.array([-1, 1], np.int64))
    for size in (0, -5):
        with pytest.raises(ValueError, match="permutation of"):
            Permutation(size, b"")
    with pytest.raises(ValueError, match="too many for arrays"):
        Permutation(BATCH_SIZE + 1, b"").batch(np.zeros(1, np.uint64))


def test_it_is_a_value_and_keeps_its_key_to_itself() -> None:
    permutation = Permutation(10, b"hidden")
    assert permutation == Permutation(10, b"hidden")
    assert hash(permutation) == hash(Permutation(10, b"hidden"))
    assert permutation != Permutation(10, b"other")
    assert "hidden" not in repr(permutation)
    with pytest.raises(AttributeError):
        permutation.size = 11  # type: ignore[misc]


# A journal holds a position; after an update it must still mean what it meant.
@pytest.mark.parametrize(
    "size", [1, 2, 7, 600, 4095, 4096, 10**7, 2**33 + 5, 2**63, 2**64, 2**64 + 1, 3**80, 2**130]
)
def test_the_order_stays_the_one_described(size: int) -> None:
    permutation = Permutation(size, b"resume")
    for position in {0, 1 % size, size // 2, size - 1}:
        assert permutation.at(position) == second_opinion(size, b"resume", position)


def second_opinion(size: int, key: bytes, position: int) -> int:
    """The same network in other words: divisions for shifts and masks, one half at a time."""
    rounds = 12 if size < 4096 else 8
    stream = shake_256(f"rawscan order {size} ".encode() + key).digest(8 * rounds)
    width = 2 ** max(1, (size - 1).bit_length() // 2)
    height = (size + width - 1) // width
    row, column = divmod(position, width)
    for number in range(rounds):
        round_key = stream[8 * number : 8 * number + 8]
        half = row if number % 2 else column
        if size <= 2**64:
            word = (half + int.from_bytes(round_key, "little")) * 0x9E3779B97F4A7C15 % 2**64
            word = (word ^ word // 2**32) * 0xBF58476D1CE4E5B9 % 2**64 // 2**32
            words = 2**32
        else:
            length = (height.bit_length() + 71) // 8
            text = round_key + half.to_bytes(length, "little")
            word = int.from_bytes(shake_128(text).digest(length), "little")
            words = 256**length
        if number % 2:
            column ^= word * width // words
        else:
            row = (row + word * height // words) % height
    index = row * width + column
    return index if index < size else second_opinion(size, key, index)


# How well mixed: first, the keys.


def test_every_key_and_every_size_has_its_own_order() -> None:
    assert len({tuple(whole(50, b"%d" % key).tolist()) for key in range(500)}) == 500
    # Two random orders agree in one place on average, with a standard deviation of one.
    one, other = whole(PREFIX16, b"\0"), whole(PREFIX16, b"\1")
    assert np.count_nonzero(one == other) <= 6
    longer = whole(PREFIX16 + 1, b"\0")[:-1]
    assert np.count_nonzero(one == longer) <= 6
    huge = [Permutation(2**100, b"%d" % key).at(0) for key in range(100)]
    assert len(set(huge)) == 100


@pytest.mark.parametrize("size", [2, 3, 4, 5, 7, 12, 16])
def test_over_all_keys_every_first_pair_is_as_likely(size: int) -> None:
    draws = 4000
    pairs = Counter[tuple[int, int]]()
    for key in range(draws):
        permutation = Permutation(size, b"%d" % key)
        pairs[permutation.at(0), permutation.at(1)] += 1
    cells = size * (size - 1)
    expected = draws / cells
    chi2 = sum((count - expected) ** 2 for count in pairs.values()) / expected
    chi2 += (cells - len(pairs)) * expected
    freedom = cells - 1
    assert chi2 < freedom + 5 * (2 * freedom) ** 0.5


# Then the order under one key, over a /16 and over a size that is no power of two.

SPREAD = [(PREFIX16, b"a"), (PREFIX16, b"b"), (60_000, b"c"), (2**20, b"d"), (2**20 - 3, b"e")]
spread = pytest.mark.parametrize(("size", "key"), SPREAD)


@spread
def test_neighbours_in_time_share_a_24_as_seldom_as_by_chance(size: int, key: bytes) -> None:
    order = whole(size, key).astype(np.int64)
    for lag in (1, 2, 3, 256):
        same = np.count_nonzero(order[lag:] >> 8 == order[:-lag] >> 8)
        expected = (size - lag) * 255 / (size - 1)  # of the others, 255 are in the same /24
        assert abs(same - expected) < 5 * expected**0.5


@spread
def test_steps_are_spread_evenly(size: int, key: bytes) -> None:
    order = whole(size, key).astype(np.int64)
    step = np.diff(order) % size
    assert chi2_excess(step * 256 // size, 256) < 5
    assert chi2_excess(step & 63, 64) < 5


@spread
def test_stretches_of_the_order_have_few_steps_in_common(size: int, key: bytes) -> None:
    """The one that shows four rounds: lags at which only the upper half of a position moves."""
    order = whole(size, key).astype(np.int64)
    width = 1 << ((size - 1).bit_length() // 2)
    for lag in (1, width, width + 1, 2 * width):
        steps = [(order[lag:] - order[:-lag]) % size]
        if size & (size - 1) == 0:
            steps.append(order[lag:] ^ order[:-lag])
        for step in steps:
            counts = np.bincount(step)
            alike = int((counts * (counts - 1) // 2).sum())
            # Of all pairs of steps, one in size-1: a step is anything but zero. About Poisson.
            expected = len(step) * (len(step) - 1) / 2 / (size - 1)
            assert abs(alike - expected) < 5 * expected**0.5


@spread
def test_the_beginning_looks_like_the_whole(size: int, key: bytes) -> None:
    """After a tenth of the scan each network and each host number has had its tenth."""
    prefix = whole(size, key)[: size // 10].astype(np.int64)
    for low_bits in (1, 2, 4, 8):
        assert abs(chi2_excess(prefix & ((1 << low_bits) - 1), 1 << low_bits)) < 5
    assert abs(chi2_excess(prefix * 200 // size, 200)) < 5


@spread
def test_no_network_is_asked_in_a_rush(size: int, key: bytes) -> None:
    """Of any 256 probes in a row, as many fall into one 256th of the whole as by chance."""
    order = whole(size, key)[: size // 256 * 256].astype(np.int64)
    part = (order * 256 // size).reshape(-1, 256)
    counts = np.bincount((part + np.arange(len(part))[:, None] * 256).ravel())
    # Nearly Poisson of mean 1: P(more than 9 in one) is 1.1e-7, and more than 12 is 6e-11.
    assert counts.max() <= 12
    assert abs(counts.var() - 255 / 256) < 5 * (2 / counts.size) ** 0.5


def test_bits_of_a_huge_order_are_fair() -> None:
    size, draws = 2**130, 2000
    permutation = Permutation(size, b"huge")
    ones = Counter[int]()
    for position in range(draws):
        flipped = permutation.at(position) ^ permutation.at(position + 1)
        ones.update(bit for bit in range(130) if flipped >> bit & 1)
    for bit in range(130):
        assert abs(ones[bit] - draws / 2) < 5 * (draws / 4) ** 0.5


def chi2_excess(values: NDArray[np.int64], cells: int) -> float:
    """Chi-square against equal shares, in standard deviations above its mean."""
    counts = np.bincount(values, minlength=cells)
    expected = len(values) / cells
    chi2 = float(((counts - expected) ** 2).sum()) / expected
    excess: float = (chi2 - (cells - 1)) / (2 * (cells - 1)) ** 0.5
    return excess


# Shards.


@given(st.integers(1, 400), st.integers(1, 40) | st.integers(1, 500), keys)
@example(1, 3, b"")
@settings(deadline=None, max_examples=80)
def test_shards_ask_every_index_exactly_once(size: int, count: int, key: bytes) -> None:
    permutation = Permutation(size, key)
    shards = [Shard(index, count) for index in range(1, count + 1)]
    asked = [permutation.at(place) for shard in shards for place in shard.positions(size)]
    assert sorted(asked) == list(range(size))
    for shard in shards:
        assert shard.share(size) == len(shard.positions(size))
        if shard.share(size):
            some = np.array(shard.positions(size), np.uint64)
            assert permutation.batch(some).tolist() == [permutation.at(int(each)) for each in some]


@given(sizes, st.integers(1, 2**20) | st.integers(1, 50), keys, st.data())
@settings(deadline=None, max_examples=200)
def test_shards_of_any_size_are_disjoint_and_complete(
    size: int, count: int, key: bytes, data: st.DataObject
) -> None:
    permutation = Permutation(size, key)
    index = data.draw(st.integers(0, size - 1))
    # Exactly one shard asks this index: the one whose turn its position is.
    position = permutation.position(index)
    owner = position % count + 1
    assert position in Shard(owner, count).positions(size)
    stranger = data.draw(st.integers(1, count))
    if stranger != owner:
        assert position not in Shard(stranger, count).positions(size)
    share = Shard(owner, count).share(size)
    last = Shard(owner, count).positions(size)[share - 1]
    assert 0 <= size - 1 - last < count
    assert share == (last - (owner - 1)) // count + 1


@given(sizes, st.integers(1, 300))
@settings(deadline=None)
def test_shares_add_up_and_differ_by_one_at_most(size: int, count: int) -> None:
    shares = [Shard(index, count).share(size) for index in range(1, count + 1)]
    assert sum(shares) == size
    assert max(shares) - min(shares) <= 1


def test_no_shard_is_the_whole() -> None:
    assert Shard().positions(10) == range(10)
    assert Shard.parse("1/1") == Shard()


@pytest.mark.parametrize(
    ("text", "index", "count"), [("1/3", 1, 3), ("3/3", 3, 3), (" 2 / 16 ", 2, 16)]
)
def test_shards_are_written_i_of_n(text: str, index: int, count: int) -> None:
    shard = Shard.parse(text)
    assert shard == Shard(index, count)
    assert Shard.parse(str(shard)) == shard
    assert list(shard.positions(40)) == [each for each in range(40) if each % count == index - 1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is not I/N with I from 1 to N; right would be, for example, 1/3 "),
        ("2", "'2' is not I/N"),
        ("1/", "is not I/N"),
        ("/3", "is not I/N"),
        ("1/2/3", "is not I/N"),
        ("-1/3", "is not I/N"),
        ("1.5/3", "is not I/N"),
        ("١/٣", "is not I/N"),
        ("4/3", "'4/3' is not I/N with I from 1 to N; right would be, for example, 1/3 "),
        ("1/0", "'1/0' is not I/N"),
        ("0/0", "is not I/N"),
        ("0/5", "'0/5' counts from 0, the first shard is 1; right would be, for example, 1/5 "),
        ("9" * 5000 + "/3", r"'9{37}\.\.\.' has a number of more than 18 digits"),
        ("1/" + "9" * 5000, r"'1/9{35}\.\.\.' has a number of more than 18 digits"),
    ],
)
def test_what_is_no_shard_is_refused_with_an_example(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Shard.parse(text)


@pytest.mark.parametrize(("index", "count"), [(0, 1), (2, 1), (-1, 3), (1, 0)])
def test_a_shard_that_is_no_part_cannot_be_made(index: int, count: int) -> None:
    with pytest.raises(ValueError, match=f"no shard {index} of {count}"):
        Shard(index, count)


def test_scalars_need_no_numpy() -> None:
    program = """
import sys
sys.modules["numpy"] = None  # any import of it fails
from rawscan.permute import Permutation, Shard
for size in (1, 1000, 2**40, 2**100):
    permutation = Permutation(size, b"key")
    for position in Shard.parse("1/1").positions(min(size, 5)):
        assert permutation.position(permutation.at(position)) == position
try:
    permutation = Permutation(9, b"key").batch([])
except ImportError:
    print("blocked")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("blocked\n", "")
