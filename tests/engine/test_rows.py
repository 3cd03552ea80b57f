"""Rows for arrays are those that the rule table gives one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rawscan.engine.rows import LIMITED, STRENGTH, reply_rows, silence_rows
from rawscan.model import ProbeKind, ReplyKind, Signal, State
from rawscan.rules import PROBES, RULES, rule_for, strength
from tests.engine.arrivals import reply

KINDS = [kind for kind in ReplyKind if kind >= ReplyKind.NO_NEIGHBOUR]


@given(
    st.sampled_from(PROBES),
    st.sampled_from(KINDS),
    st.integers(0, 255),
    st.integers(0, 255),
    st.booleans(),
)
def test_a_reply_has_the_row_of_its_cell(
    probe: ProbeKind, kind: ReplyKind, type_: int, code: int, from_target: bool
) -> None:
    signal = Signal(kind, type_, code) if kind >= ReplyKind.ICMP else Signal(kind)
    arrivals = reply(kind, 0.0, 7, signal=(signal.type, signal.code), responder=-1)
    arrivals.from_target[:] = from_target
    probes = np.array([PROBES.index(probe)], np.uint8)
    (row,) = reply_rows(probes, arrivals, np.array([0])).tolist()
    expected = rule_for(probe, signal, from_target)
    assert (RULES[row - 1] if row else None) is expected
    assert STRENGTH[row] == strength(expected)


def test_silence_has_the_row_of_its_kind() -> None:
    for number, probe in enumerate(PROBES):
        kinds = np.array([kind for kind in ReplyKind if kind <= ReplyKind.SEND_FAILED], np.uint8)
        rows = silence_rows(np.full(len(kinds), number, np.uint8), kinds)
        assert [RULES[row - 1].reply for row in rows.tolist()] == kinds.tolist()
        assert {RULES[row - 1].probe for row in rows.tolist()} == {probe}


def test_only_closed_udp_ports_cost_a_limited_host_an_answer() -> None:
    limited = {RULES[row - 1].id for row in np.flatnonzero(LIMITED).tolist()}
    assert limited == {"udp-port-unreach", "udp-port-unreach-v6"}
    assert all(RULES[row - 1].state is State.CLOSED for row in np.flatnonzero(LIMITED).tolist())
