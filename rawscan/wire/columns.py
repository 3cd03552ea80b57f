"""Fields of many packets at once: a packet is a row of bytes, a field is some columns.

Touches nothing. Views may be unaligned, as fields of packets are.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray


def u16_view(rows: NDArray[np.uint8], offset: int) -> NDArray[np.uint16]:
    """The 16-bit field at `offset` of every row, to be read or written in place."""
    return cast(NDArray[np.uint16], rows[:, offset : offset + 2].view(">u2")[:, 0])


def u32_view(rows: NDArray[np.uint8], offset: int) -> NDArray[np.uint32]:
    """The same for 32 bits."""
    return cast(NDArray[np.uint32], rows[:, offset : offset + 4].view(">u4")[:, 0])


def ipv4_words(rows: NDArray[np.uint8], offset: int) -> NDArray[np.uint64]:
    """The IPv4 address at `offset` of every row, as two words of which the first is 0."""
    words = np.zeros((len(rows), 2), np.uint64)
    words[:, 1] = u32_view(rows, offset)
    return words


def ipv6_words(rows: NDArray[np.uint8], offset: int) -> NDArray[np.uint64]:
    """The IPv6 address at `offset` of every row, as two words."""
    return rows[:, offset : offset + 16].view(">u8").astype(np.uint64)
