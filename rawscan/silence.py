"""When silence may be called a verdict. Touches nothing.

The live scan and the offline analysis ask the same question here, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawscan.model import ReplyKind


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for an answer before its absence means something.

    `in_all_s`: from the first probe. `after_last_s`: from the last one.
    """

    in_all_s: float
    after_last_s: float

    def enough_at(self, first_s: Any, last_s: Any) -> Any:
        """The moment from which silence is honest, given when the probes were sent.

        Numbers or arrays of them, in seconds.
        """
        return np.maximum(first_s + self.in_all_s, last_s + self.after_last_s)


OWN = Patience(in_all_s=3.5, after_last_s=1.0)
"""For our own probes. In all it outlasts the 3 s after which Linux gives up on a neighbour that
does not answer ARP (3 tries, 1 s apart: arp(7), `mcast_solicit` and `retrans_time_ms`)."""

FOREIGN = Patience(in_all_s=20.0, after_last_s=20.0)
"""For probes of somebody else's in a capture: a SYN+ACK has been seen 17 s after its SYN."""


def judge_silences(
    first_s: Any, last_s: Any, until_s: float, drops_s: Sequence[float], patience: Patience
) -> NDArray[np.uint8]:
    """What kind of silence each is, as `ReplyKind` numbers, for probes from `first_s` to `last_s`.

    `until_s` is how long replies were watched for; `drops_s` are the times, ascending, at which
    replies were found to have been thrown away unseen. They void every try made before them; what
    was noticed after the wait was over changes nothing any more.
    """
    enough_s = np.asarray(patience.enough_at(first_s, last_s))
    kinds = np.full(np.shape(enough_s), ReplyKind.SILENCE, np.uint8)
    if len(drops_s):
        times_s = np.array([-np.inf, *drops_s])
        latest_s = times_s[np.searchsorted(times_s, enough_s, side="right") - 1]
        kinds[latest_s >= last_s] = ReplyKind.SILENCE_DROPS
    kinds[enough_s > until_s] = ReplyKind.SILENCE_CUT_SHORT
    return kinds


def judge_silence(
    first_s: float, last_s: float, until_s: float, drops_s: Sequence[float], patience: Patience
) -> ReplyKind:
    """The same for one port."""
    return ReplyKind(int(judge_silences(first_s, last_s, until_s, drops_s, patience)))
