"""The few ports about which more than one thing is known: every reply to them, in full. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rawscan.engine.events import Answer, Arrivals
from rawscan.engine.window import ANSWER, ASKED, NOBODY, Floats, Ints, Window
from rawscan.model import ReplyKind


class Extras:
    """Replies by ordinal, for ports that have contradictory, repeated or odd ones."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._answers: dict[int, list[Answer]] = {}

    def note(
        self, arrivals: Arrivals, chosen: Ints, rtt_s: Floats, plain: NDArray[np.bool_]
    ) -> None:
        """Keep those of the `chosen` replies that are not `plain`, with what was known before."""
        proxy = (arrivals.kind == ReplyKind.SYN_ACK) & (arrivals.window == 0)
        odd = ~plain | (proxy & (arrivals.options_bytes == 0))[chosen]
        if self._answers:
            known = [ordinal in self._answers for ordinal in arrivals.ordinals[chosen].tolist()]
            odd |= np.array(known, bool)
        for index, took_s in zip(chosen[odd].tolist(), rtt_s[odd].tolist(), strict=True):
            ordinal = int(arrivals.ordinals[index])
            if ordinal not in self._answers:
                self._answers[ordinal] = self._first_of(ordinal)
            answer = arrivals.answer(index, took_s)
            if not any(_alike(answer, other) for other in self._answers[ordinal]):
                self._answers[ordinal].append(answer)

    def of(self, ordinals: Ints) -> dict[int, tuple[Answer, ...]]:
        """What is kept about these."""
        known = self._answers.keys() & set(ordinals.tolist()) if self._answers else ()
        return {ordinal: tuple(self._answers[ordinal]) for ordinal in known}

    def retire(self) -> None:
        """Let go of what is kept about ports that have left the window."""
        gone = [ordinal for ordinal in self._answers if ordinal < self._window.base]
        for ordinal in gone:
            del self._answers[ordinal]

    def _first_of(self, ordinal: int) -> list[Answer]:
        """The reply that the window holds about a port, in full; none if it is silent so far."""
        (at,) = self._window.at(np.array([ordinal], np.int64)).tolist()
        if self._window.status[at] == ASKED or self._window.responder[at] == NOBODY:
            return []
        columns = {name: getattr(self._window, name)[at].item() for name in ANSWER}
        rtt_s = float(self._window.rtt_s[at])
        return [Answer(**columns, rtt_s=rtt_s, window=-1, options_bytes=-1)]


def _alike(one: Answer, other: Answer) -> bool:
    """The same thing said again by the same responder, perhaps about another try."""
    return (one.kind, one.type, one.code, one.responder) == (
        other.kind, other.type, other.code, other.responder
    )  # fmt: skip
