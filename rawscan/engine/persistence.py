"""How often silent ports are asked, how long they are waited for, and what that is worth. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rawscan.engine.events import Settings
from rawscan.engine.limited import LimitedHosts
from rawscan.engine.loss import LossModel
from rawscan.engine.rows import UDP
from rawscan.engine.rtt import RttEstimator
from rawscan.engine.window import NOBODY, Floats, Ints, Window
from rawscan.silence import OWN

MAX_RETRY_DELAY_S = 0.6
"""Retries back off by doubling, but not beyond this: patience is spent on more tries instead. Six
tries are spread over 2.9 s so, or over more where answers take longer."""

MAX_TRIES = 16
"""More cannot be told apart (`rawscan.wire.token`)."""

Bools = NDArray[np.bool_]


class Persistence:
    """Knows the path by what was learnt so far: round trips, losses, hosts that limit answers.

    `at` are places in the window's columns everywhere.
    """

    def __init__(self, window: Window, settings: Settings) -> None:
        self.rtt = RttEstimator()
        self.losses = (LossModel(), LossModel())  # of TCP and of UDP
        self.limited = LimitedHosts()
        self._window = window
        self._settings = settings

    def asks_on(self, at: Ints) -> Bools:
        """Which of these, if they stay silent, are to be asked once more.

        Those that were not asked at all, since no try could leave, are in any case. Tries that did
        not leave prove nothing, but are not made for ever.
        """
        window = self._window
        tries = window.tries[at].astype(np.int64)
        made = tries + window.refused[at]
        counting = np.where(self.is_limited(at), window.paced[at], tries - window.voided[at])
        wanted = np.empty(len(at), np.int64)
        for losses, those in self.by_protocol(at):
            hosts = window.host[at[those]]
            wanted[those] = losses.tries_wanted(hosts, self._settings.confidence)
        most = np.minimum(self._settings.max_retries + 1 + window.voided[at], MAX_TRIES)
        asks: Bools = ((counting < wanted) & (made < most)) | (tries == 0)
        return asks

    def due_s(self, at: Ints) -> Floats:
        """When the next try at each is due, after the last one."""
        timeout_s = self.rtt.timeout_s
        backed_off_s = timeout_s * 2.0 ** (self._window.tries[at] - 1.0)
        due_s: Floats = self._window.last_s[at] + np.minimum(
            backed_off_s, max(MAX_RETRY_DELAY_S, timeout_s)
        )
        return due_s

    def enough_s(self, at: Ints) -> Floats:
        """From when on silence is honest, for each."""
        first_s, last_s = self._window.first_s[at], self._window.last_s[at]
        # A slow path is waited for longer than silence needs to be honest.
        enough: Floats = np.maximum(OWN.enough_at(first_s, last_s), last_s + self.rtt.timeout_s)
        return enough

    def confidence(self, at: Ints) -> Floats:
        """1 for a reply; for silence, the chance that it is not bad luck."""
        window, sure = self._window, np.ones(len(at))
        made = np.maximum(window.tries[at].astype(np.int64) - window.voided[at], 0)
        counting = np.where(self.is_limited(at), window.paced[at], made)
        silent = window.responder[at] == NOBODY
        for losses, those in self.by_protocol(at):
            chosen = np.flatnonzero(those & silent)
            sure[chosen] = losses.confidence(window.host[at[chosen]], counting[chosen])
        return sure

    def is_limited(self, at: Ints) -> Bools:
        """Which of these are UDP ports of hosts that answer only so often."""
        limited: Bools = self._window.probe[at] == UDP
        if limited.any():
            limited[limited] = self.limited.limited(self._window.host[at[limited]])
        return limited

    def by_protocol(self, at: Ints) -> Iterator[tuple[LossModel, Bools]]:
        """Each protocol's loss model, and which of these belong to it, if any do."""
        udp = self._window.probe[at] == UDP
        for losses, those in zip(self.losses, (~udp, udp), strict=True):
            if those.any():
                yield losses, those
