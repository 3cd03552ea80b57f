"""How many packets the path loses, learnt from the ports that did answer. Pure.

Each answer says which try it answers, and so how many tries before it were lost: the numbers follow
a geometric distribution whose parameter is the chance that a probe or its answer is lost. A host
that has shown losses is judged by its own record where that is worse than everybody's.
"""

from __future__ import annotations

from math import ceil, log

from rawscan.model import IPAddress

PRIOR_LOST, PRIOR_ANSWERED = 2.0, 8.0
"""Before anything is known, one exchange in five is held for lost, with the weight of ten."""

MIN_LOSS = 0.2
"""However clean the other hosts' paths are, the silent one's may be this bad: 10 % lost each way.
With 0.05 here a silent port gets 4 tries, and of the ports behind such a path one in 800 would be
called filtered (0.19 ** 4), however sure the other hosts make us."""


class LossModel:
    """Estimate of the chance that one exchange (probe and answer) fails for lack of luck."""

    def __init__(self) -> None:
        self.lost = 0
        self.answered = 0
        self._hosts: dict[IPAddress, tuple[int, int]] = {}

    def add(self, host: IPAddress, lost_before: int) -> None:
        """A port of `host` answered, after `lost_before` tries that nothing came of."""
        self.lost += lost_before
        self.answered += 1
        if lost_before or host in self._hosts:
            lost, answered = self._hosts.get(host, (0, 0))
            self._hosts[host] = (lost + lost_before, answered + 1)

    @property
    def observed(self) -> float | None:
        """Share of exchanges that failed among the ports that answered; None: none has yet."""
        return self.lost / (self.lost + self.answered) if self.answered else None

    def loss(self, host: IPAddress) -> float:
        """Chance, 0 to 1, that the next exchange with `host` fails although the host answers."""
        lost, answered = self.lost + PRIOR_LOST, self.answered + PRIOR_ANSWERED
        everybody = max(lost / (lost + answered), MIN_LOSS)
        if host not in self._hosts:
            return everybody
        own_lost, own_answered = self._hosts[host]
        return max(everybody, (own_lost + 1) / (own_lost + own_answered + 2))


def confidence(loss: float, tries: int) -> float:
    """Chance that `tries` silent tries are not all bad luck, when each fails with `loss`."""
    return 1.0 - loss**tries


def tries_needed(loss: float, wanted: float) -> int:
    """Fewest tries after which silence is believed with `wanted` confidence (at least 1)."""
    if not 0 < wanted < 1:
        raise ValueError("confidence must lie between 0 and 1")
    # Rounding must not ask for one try more where the power fits exactly.
    return max(1, ceil(log(1.0 - wanted) / log(loss) - 1e-9))
