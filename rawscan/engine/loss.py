"""How many packets the path loses, learnt from the ports that did answer. Pure.

Each answer says which try it answers, and so how many tries before it were lost: the numbers follow
a geometric distribution whose parameter is the chance that a probe or its answer is lost. A host
that has shown losses is judged by its own record where that is worse than everybody's.

How many tries silence takes: if a port answers with odds of `odds` to 1 and each try fails with
chance `loss`, then after n silent tries it is a port with bad luck with odds of `odds * loss ** n`
(Bayes). Where nearly all ports answer, a silent one is rather unlucky, and is asked more often.
"""

from __future__ import annotations

from math import ceil, log

import numpy as np
from numpy.typing import NDArray

PRIOR_LOST, PRIOR_ANSWERED = 2.0, 8.0
"""Before anything is known, one exchange in five is held for lost, with the weight of ten."""

MIN_LOSS = 0.2
"""However clean the other hosts' paths are, the silent one's may be this bad: 10 % lost each way.
With 0.05 here a silent port gets 4 tries, and of the ports behind such a path one in 800 would be
called filtered (0.19 ** 4), however sure the other hosts make us."""

MAX_HOSTS = 100_000
"""Hosts whose own losses are remembered; beyond that, everybody's estimate must do."""


class LossModel:
    """Estimate of the chance that one exchange (probe and answer) fails for lack of luck.

    `asked` ports were asked so far, of `replied` something was heard that means something;
    `answered` answered themselves, after `lost` tries that nothing came of.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.replied = 0
        self.lost = 0
        self.answered = 0
        self._hosts: dict[int, tuple[int, int]] = {}

    def add(self, hosts: NDArray[np.uint64], lost_before: NDArray[np.int8]) -> None:
        """Ports of these hosts answered, each after so many tries that nothing came of."""
        self.lost += int(lost_before.sum(dtype=np.int64))
        self.answered += len(hosts)
        for host, lost in self._worth_noting(hosts, lost_before):
            before, answered = self._hosts.get(host, (0, 0))
            self._hosts[host] = (before + lost, answered + 1)

    def _worth_noting(
        self, hosts: NDArray[np.uint64], lost_before: NDArray[np.int8]
    ) -> list[tuple[int, int]]:
        """Hosts that have lost something, now or before: only these are remembered."""
        noted = lost_before > 0
        if self._hosts:
            noted |= np.isin(hosts, np.fromiter(self._hosts, np.uint64, len(self._hosts)))
        pairs = zip(hosts[noted].tolist(), lost_before[noted].tolist(), strict=True)
        return [pair for pair in pairs if pair[0] in self._hosts or len(self._hosts) < MAX_HOSTS]

    @property
    def measured(self) -> float:
        """What the answers say by themselves."""
        lost, answered = self.lost + PRIOR_LOST, self.answered + PRIOR_ANSWERED
        return lost / (lost + answered)

    @property
    def odds(self) -> float:
        """Ports that answer to those that are silent so far; never less than 1 to 1."""
        return max(1.0, self.answered / (self.asked - self.replied + 1))

    def loss(self, hosts: NDArray[np.uint64]) -> NDArray[np.float64]:
        """Chance, 0 to 1, that the next exchange with each host fails although it answers."""
        losses = np.full(len(hosts), max(self.measured, MIN_LOSS))
        if self._hosts:
            known = np.isin(hosts, np.fromiter(self._hosts, np.uint64, len(self._hosts)))
            for index in np.flatnonzero(known).tolist():
                lost, answered = self._hosts[int(hosts[index])]
                losses[index] = max(losses[index], (lost + 1) / (lost + answered + 2))
        return losses

    def tries_wanted(self, hosts: NDArray[np.uint64], wanted: float) -> NDArray[np.int64]:
        """After how many tries silence of a port on each host is believed with `wanted` confidence.

        The odds count with the loss that was measured: they say how likely a port is of the kind
        that answers, and its path like the others'; for a path that is worse there is `MIN_LOSS`.
        """
        least = tries_needed(self.measured, wanted, self.odds)
        losses, places = np.unique(self.loss(hosts), return_inverse=True)
        needed = np.array([tries_needed(loss, wanted) for loss in losses.tolist()], np.int64)
        return np.maximum(needed[places], least)

    def confidence(
        self, hosts: NDArray[np.uint64], tries: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Chance that so many silent tries of a port on each host are not all bad luck."""
        numbers = tries.astype(np.float64)
        unlucky = np.maximum(self.loss(hosts) ** numbers, self.odds * self.measured**numbers)
        return 1.0 - np.minimum(unlucky, 1.0)


def tries_needed(loss: float, wanted: float, odds: float = 1.0) -> int:
    """Fewest tries after which silence is believed with `wanted` confidence (at least 1)."""
    if not 0 < wanted < 1:
        raise ValueError("confidence must lie between 0 and 1")
    # Rounding must not ask for one try more where the power fits exactly.
    return max(1, ceil(log((1.0 - wanted) / odds) / log(loss) - 1e-9))
