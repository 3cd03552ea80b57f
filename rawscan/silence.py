"""When silence may be called a verdict. Touches nothing.

The live scan and the offline analysis ask the same question here, so that they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

from rawscan.model import ReplyKind


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for an answer before its absence means something.

    `in_all_s`: from the first probe. `after_last_s`: from the last one.
    """

    in_all_s: float
    after_last_s: float

    def enough_at(self, first_s: float, last_s: float) -> float:
        """The moment from which silence is honest, given when the probes were sent."""
        return max(first_s + self.in_all_s, last_s + self.after_last_s)


OWN = Patience(in_all_s=3.5, after_last_s=1.0)
"""For our own probes. In all it outlasts the 3 s after which Linux gives up on a neighbour that
does not answer ARP (3 tries, 1 s apart: arp(7), `mcast_solicit` and `retrans_time_ms`)."""

FOREIGN = Patience(in_all_s=20.0, after_last_s=20.0)
"""For probes of somebody else's in a capture: a SYN+ACK has been seen 17 s after its SYN."""


def judge_silence(
    first_s: float, last_s: float, until_s: float, dropped_s: float | None, patience: Patience
) -> ReplyKind:
    """What kind of silence this is, for probes sent from `first_s` to `last_s`.

    `until_s` is how long replies were watched for; `dropped_s` is when replies are first known to
    have been thrown away unseen, None if never.
    """
    enough_s = patience.enough_at(first_s, last_s)
    if until_s < enough_s:
        return ReplyKind.SILENCE_CUT_SHORT
    if dropped_s is not None and dropped_s <= enough_s:
        return ReplyKind.SILENCE_DROPS
    return ReplyKind.SILENCE
