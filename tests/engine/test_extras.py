"""What is kept in full: contradictions and oddities, each once, as long as their port is there."""

from __future__ import annotations

import numpy as np

from rawscan.engine.extras import Extras
from rawscan.engine.window import DONE, Window
from rawscan.model import ReplyKind
from tests.engine.arrivals import reply


def note(extras: Extras, kind: ReplyKind, *, plain: bool, window: int = 1024) -> None:
    arrivals = reply(kind, 1.0, 0, window=window)
    extras.note(arrivals, np.array([0]), np.array([0.5]), plain=np.array([plain]))


def test_a_plain_reply_is_not_kept() -> None:
    window = Window(0.0)
    extras = Extras(window)
    window.admit(1)
    note(extras, ReplyKind.RST, plain=True)
    assert extras.of(np.array([0])) == {}


def test_what_contradicts_is_kept_and_what_repeats_it_is_not() -> None:
    window = Window(0.0)
    window.admit(1)
    extras = Extras(window)
    for _ in range(3):
        note(extras, ReplyKind.SYN_ACK, plain=False)
    note(extras, ReplyKind.RST, plain=True)  # from now on all of this port's are
    (answers,) = extras.of(np.array([0, 1])).values()
    assert [answer.kind for answer in answers] == [ReplyKind.SYN_ACK, ReplyKind.RST]
    assert answers[0].rtt_s == 0.5


def test_a_syn_proxy_is_odd_by_itself() -> None:
    window = Window(0.0)
    window.admit(1)
    extras = Extras(window)
    note(extras, ReplyKind.SYN_ACK, plain=True, window=0)
    assert len(extras.of(np.array([0]))[0]) == 1


def test_ports_that_have_left_are_forgotten() -> None:
    window = Window(0.0)
    window.admit(2)
    extras = Extras(window)
    note(extras, ReplyKind.SYN_ACK, plain=False)
    window.status[:2] = DONE
    extras.retire()
    assert extras.of(np.array([0]))
    window.retire(keep=0)
    extras.retire()
    assert extras.of(np.array([0])) == {}
