"""SipHash-2-4 against the vectors of its authors; arrays against numbers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawscan.wire.siphash import (
    absorb,
    blocks_of,
    finish,
    hash_arrays,
    last_block,
    siphash,
    start,
)

KEY = bytes(range(16))

# Hashes of 00 01 02 ... by its length, as bytes: the vectors of the reference implementation
# (github.com/veorq/SipHash, vectors.h) for every number of bytes left over, for a second whole
# block, and for the lengths that the token uses.
VECTORS = {
    0: "310e0edd47db6f72",
    1: "fd67dc93c539f874",
    2: "5a4fa9d909806c0d",
    3: "2d7efbd796666785",
    4: "b7877127e09427cf",
    5: "8da699cd64557618",
    6: "cee3fe586e46c9cb",
    7: "37d1018bf50002ab",
    8: "6224939a79f5f593",
    9: "b0e4a90bdf82009e",
    15: "e545be4961ca29a1",
    16: "db9bc2577fcc2a3f",
    39: "5c73336a76d8bf9a",
    63: "724506eb4c328a95",
}

WORDS = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**63, 2**64 - 1])


@pytest.mark.parametrize("size", VECTORS)
def test_the_authors_vectors(size: int) -> None:
    assert siphash(KEY, bytes(range(size))).to_bytes(8, "little").hex() == VECTORS[size]


@pytest.mark.parametrize("size", VECTORS)
def test_the_authors_vectors_from_arrays(size: int) -> None:
    blocks = [np.full(3, block, np.uint64) for block in blocks_of(bytes(range(size)))]
    found = hash_arrays(start(KEY), blocks)
    assert found.dtype == np.uint64
    assert found.astype("<u8").tobytes().hex() == VECTORS[size] * 3


def test_the_example_in_the_paper() -> None:
    # Appendix A: the state that the key makes, the blocks of 15 bytes, and the hash.
    assert start(KEY) == (
        0x7469686173716475,
        0x6B617F6D656E6665,
        0x6B7F62616D677361,
        0x7B6B696E727E6C7B,
    )
    assert blocks_of(bytes(range(15))) == [0x0706050403020100, 0x0F0E0D0C0B0A0908]
    assert siphash(KEY, bytes(range(15))) == 0xA129CA6149BE45E5


@given(st.binary(min_size=16, max_size=16), st.lists(WORDS, max_size=5), st.binary(max_size=7))
def test_words_hash_as_their_bytes(key: bytes, words: list[int], rest: bytes) -> None:
    message = b"".join(word.to_bytes(8, "little") for word in words) + rest
    last = last_block(int.from_bytes(rest, "little"), len(message))
    assert finish(absorb(absorb(start(key), words), [last])) == siphash(key, message)


@settings(deadline=None)
@given(
    st.binary(min_size=16, max_size=16),
    st.integers(1, 5).flatmap(
        lambda width: st.lists(
            st.lists(WORDS, min_size=width, max_size=width), min_size=1, max_size=9
        )
    ),
    st.lists(WORDS, max_size=2),
)
def test_arrays_hash_as_numbers(key: bytes, messages: list[list[int]], begun: list[int]) -> None:
    state = absorb(start(key), begun)
    blocks = [np.array(column, np.uint64) for column in zip(*messages, strict=True)]
    kept = [block.copy() for block in blocks]
    found = hash_arrays(state, blocks)
    assert found.tolist() == [finish(absorb(state, message)) for message in messages]
    assert all(map(np.array_equal, blocks, kept))  # what it was given is left alone


def test_no_message_at_all() -> None:
    assert hash_arrays(start(KEY), [np.empty(0, np.uint64)]).tolist() == []


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_a_key_of_the_wrong_length(size: int) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        start(bytes(size))


def test_what_does_not_fit_into_the_last_block() -> None:
    assert last_block(0xFF_FFFF_FFFF_FFFF >> 8, 15) >> 56 == 15
    for rest, size in ((1, 8), (0x100, 9), (1 << 56, 15)):
        with pytest.raises(ValueError, match="does not fit"):
            last_block(rest, size)


def test_the_length_counts_modulo_256() -> None:
    # Section 2.2: the top byte is the length modulo 256.
    assert blocks_of(bytes(256 + 3))[-1] >> 56 == 3


@pytest.mark.parametrize("module", ["siphash", "token"])
def test_importing_it_leaves_numpy_alone(module: str) -> None:
    code = f"import sys, rawscan.wire.{module}; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
