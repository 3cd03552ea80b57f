"""SipHash-2-4, the keyed hash below the token: for Python integers and for NumPy arrays.

J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF" (2012), section 2. Touches
nothing, and imports NumPy only where arrays are hashed.

A message is hashed as 64-bit little-endian blocks; the last one holds the 0 to 7 bytes that are
left over, and the message's length in its top byte (section 2.2). Who hashes records of a fixed
length can therefore give the blocks as numbers, and no bytes need be laid out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import uint64
    from numpy.typing import NDArray

    Blocks = NDArray[uint64]

KEY_BYTES = 16
_MASK = (1 << 64) - 1
_COMPRESSION_ROUNDS, _FINAL_ROUNDS = 2, 4
# "somepseudorandomlygeneratedbytes", section 2.1.
_START = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)

State = tuple[int, int, int, int]
"""The internal state, v0 to v3: of a key, and perhaps of the first blocks of a message."""


def start(key: bytes) -> State:
    """The state before the first block, for a key of 16 bytes (section 2.1)."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"a SipHash key has {KEY_BYTES} bytes, not {len(key)}")
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    return _START[0] ^ k0, _START[1] ^ k1, _START[2] ^ k0, _START[3] ^ k1


def last_block(rest: int, message_bytes: int) -> int:
    """The last block: up to 7 bytes as a little-endian number, and the message's whole length."""
    if rest >> 8 * (message_bytes % 8):
        raise ValueError(f"{rest:#x} does not fit what {message_bytes} bytes leave over")
    return (message_bytes & 0xFF) << 56 | rest


def blocks_of(message: bytes) -> list[int]:
    """All blocks of a message of any length."""
    whole = len(message) & ~7
    blocks = [int.from_bytes(message[i : i + 8], "little") for i in range(0, whole, 8)]
    return [*blocks, last_block(int.from_bytes(message[whole:], "little"), len(message))]


def siphash(key: bytes, message: bytes) -> int:
    """The 64-bit hash of `message`, as the paper defines it for byte strings."""
    return finish(absorb(start(key), blocks_of(message)))


def absorb(state: State, blocks: Iterable[int]) -> State:
    """The state after further blocks (section 2.2)."""
    v0, v1, v2, v3 = state
    for block in blocks:
        v0, v1, v2, v3 = _rounds(v0, v1, v2, v3 ^ block, _COMPRESSION_ROUNDS)
        v0 ^= block
    return v0, v1, v2, v3


def finish(state: State) -> int:
    """The hash of a message whose last block has been absorbed (section 2.3)."""
    v0, v1, v2, v3 = state
    v0, v1, v2, v3 = _rounds(v0, v1, v2 ^ 0xFF, v3, _FINAL_ROUNDS)
    return v0 ^ v1 ^ v2 ^ v3


def _rounds(v0: int, v1: int, v2: int, v3: int, count: int) -> State:
    """SipRound (section 2.4), `count` times. What a shift pushes out on the left is cut off."""
    for _ in range(count):
        v0 = (v0 + v1) & _MASK
        v1 = (v1 << 13 & _MASK | v1 >> 51) ^ v0
        v0 = v0 << 32 & _MASK | v0 >> 32
        v2 = (v2 + v3) & _MASK
        v3 = (v3 << 16 & _MASK | v3 >> 48) ^ v2
        v0 = (v0 + v3) & _MASK
        v3 = (v3 << 21 & _MASK | v3 >> 43) ^ v0
        v2 = (v2 + v1) & _MASK
        v1 = (v1 << 17 & _MASK | v1 >> 47) ^ v2
        v2 = v2 << 32 & _MASK | v2 >> 32
    return v0, v1, v2, v3


def hash_arrays(state: State, blocks: Sequence[Blocks]) -> Blocks:
    """Hash many messages at once: `blocks[i]` is the i-th block of all of them, from `state` on.

    Gives for each message what `finish(absorb(state, ...))` gives for it alone. Fastest in pieces
    that the processor's cache holds: 1,024 to 4,096 messages at a time.
    """
    import numpy as np

    count = len(blocks[0])
    v0, v1, v2, v3 = (np.full(count, value, np.uint64) for value in state)
    spare = np.empty(count, np.uint64)
    for block in blocks:
        v3 ^= block
        _rounds_of_arrays(v0, v1, v2, v3, spare, _COMPRESSION_ROUNDS)
        v0 ^= block
    v2 ^= np.uint64(0xFF)
    _rounds_of_arrays(v0, v1, v2, v3, spare, _FINAL_ROUNDS)
    return v0 ^ v1 ^ v2 ^ v3


def _rounds_of_arrays(
    v0: Blocks, v1: Blocks, v2: Blocks, v3: Blocks, spare: Blocks, count: int
) -> None:
    """SipRound in place; `spare` is overwritten. uint64 arithmetic wraps as the paper's does."""
    import numpy as np

    left = {bits: np.uint64(bits) for bits in (13, 16, 17, 21, 32)}
    right = {bits: np.uint64(64 - bits) for bits in left}

    def rotate(value: Blocks, bits: int) -> None:
        np.left_shift(value, left[bits], out=spare)
        np.right_shift(value, right[bits], out=value)
        np.bitwise_or(value, spare, out=value)

    for _ in range(count):
        v0 += v1
        rotate(v1, 13)
        v1 ^= v0
        rotate(v0, 32)
        v2 += v3
        rotate(v3, 16)
        v3 ^= v2
        v0 += v3
        rotate(v3, 21)
        v3 ^= v0
        v2 += v1
        rotate(v1, 17)
        v1 ^= v2
        rotate(v2, 32)
