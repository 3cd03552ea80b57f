"""Replies made to order, for the tests of the engine's parts."""

from __future__ import annotations

import numpy as np

from rawscan.engine import TARGET, Arrivals
from rawscan.model import ReplyKind


def reply(
    kind: ReplyKind,
    time_s: float,
    *ordinals: int,
    number: int = 0,
    signal: tuple[int, int] = (0, 0),
    responder: int = TARGET,
    window: int = 1024,
) -> Arrivals:
    """The same reply about each of these ports."""
    n = len(ordinals)
    return Arrivals(
        ordinals=np.array(ordinals, np.int64),
        kind=np.full(n, kind, np.uint8),
        type=np.full(n, signal[0], np.uint8),
        code=np.full(n, signal[1], np.uint8),
        from_target=np.full(n, responder == TARGET),
        try_number=np.full(n, number, np.int8),
        ttl=np.full(n, 64, np.uint8),
        responder=np.full(n, responder, np.int32),
        time_s=np.full(n, time_s),
        window=np.full(n, window, np.int32),
        options_bytes=np.full(n, 0 if window == 0 else 4, np.int16),
    )
