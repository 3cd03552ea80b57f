"""Rows of the rule table for whole arrays of replies, by number: index + 1, 0 for no row. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawscan.engine.events import Arrivals
from rawscan.engine.window import Ints
from rawscan.model import ProbeKind, State
from rawscan.rules import LOOKUP, PROBES, RULES, cells, strength

UDP = PROBES.index(ProbeKind.UDP)

STRENGTH = np.array([-1, *(strength(rule) for rule in RULES)], np.int8)
"""By row number: what outranks what."""

LIMITED = np.array(
    [False, *(r.probe is ProbeKind.UDP and r.state is State.CLOSED for r in RULES)], np.bool_
)
"""By row number: is it an answer of which hosts send only so many a second?"""

_TABLE = np.frombuffer(LOOKUP, np.uint8)


def reply_rows(probes: NDArray[np.uint8], arrivals: Arrivals, chosen: Ints) -> NDArray[np.uint8]:
    """The row for each of the `chosen` replies, which answer probes of these kinds."""
    parts: tuple[NDArray[Any], ...] = (
        probes,
        arrivals.kind[chosen],
        arrivals.type[chosen],
        arrivals.code[chosen],
        arrivals.from_target[chosen],
    )
    rows: NDArray[np.uint8] = _TABLE[cells(*(part.astype(np.int64) for part in parts))]
    return rows


def silence_rows(probes: NDArray[np.uint8], kinds: NDArray[np.uint8] | int) -> NDArray[np.uint8]:
    """The row for each silence; `kinds` are `ReplyKind` numbers, or one for all."""
    zero = np.zeros(len(probes), np.int64)
    rows: NDArray[np.uint8] = _TABLE[cells(zero + probes, zero + kinds, zero, zero, zero)]
    return rows
