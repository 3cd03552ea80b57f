"""Verdicts as columns: their records, counts by hand, and what is said of the odd ones."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address

import numpy as np

from rawscan.model import Port, ProbeKind, State, Verdict
from rawscan.rules import RULES
from rawscan.verdicts import ITSELF, Verdicts, sureness
from rawscan.wire.addresses import Addresses

SYN = ProbeKind.SYN
ROUTER = ip_address("10.0.0.254")
HOSTS = [ip_address(f"10.0.0.{n}") for n in range(1, 6)]
NUMBER = {rule.id: number for number, rule in enumerate(RULES)}
IDS = ["syn-rst", "syn-syn-ack", "syn-admin-prohibited", "syn-no-response", "syn-kernel-drops"]
ODD = Verdict(Port(HOSTS[0], 80, SYN), State.OPEN, "syn-ack", "syn-syn-ack", 2, 1.0, 5.0,
              hints=("revised",), revises=State.CLOSED)  # fmt: skip


def batch(odd: tuple[Verdict, ...] = ()) -> Verdicts:
    """Closed, open, filtered by a router, silent, and silent while the kernel dropped."""
    rule = np.array([NUMBER[rule_id] for rule_id in IDS], np.uint8)
    return Verdicts(
        kind=SYN,
        targets=Addresses.of(HOSTS),
        ports=np.array([561, 80, 561, 561, 561], np.uint16),
        rule=rule,
        tries=np.array([1, 2, 3, 6, 7], np.uint8),
        confidence=sureness(rule, np.array([1.0, 1.0, 1.0, 0.9999, 0.9999])),
        answered=np.array([True, True, True, False, False]),
        ttl=np.array([64, 63, 255, 9, 9], np.uint8),
        rtt_s=np.array([0.25, np.nan, 0.5, np.nan, np.nan], np.float32),
        responder=np.array([ITSELF, ITSELF, 0, -2, -2], np.int32),
        others=[ROUTER],
        time_s=5.0,
        odd=odd,
    )


def test_records() -> None:
    closed, opened, filtered, silent, dropped, odd = batch((ODD,))
    assert closed == Verdict(
        Port(HOSTS[0], 561, SYN), State.CLOSED, "reset", "syn-rst", 1, 1.0, 5.0, HOSTS[0], 64, 0.25
    )
    assert (opened.state, opened.reason_ip, opened.rtt_s) == (State.OPEN, HOSTS[1], None)
    assert (filtered.state, filtered.reason_ip, filtered.reason_ttl) == (
        State.FILTERED, ROUTER, 255,
    )  # fmt: skip
    assert silent == Verdict(
        Port(HOSTS[3], 561, SYN), State.FILTERED, "no-response", "syn-no-response", 6, 0.9999, 5.0
    )
    assert (dropped.state, dropped.confidence) == (State.UNKNOWN, 0.0)
    assert odd is ODD


def test_states_are_counted_with_the_odd_ones() -> None:
    assert len(batch((ODD,))) == 6
    assert batch((ODD,)).states() == Counter(
        {State.OPEN: 2, State.CLOSED: 1, State.FILTERED: 2, State.UNKNOWN: 1}
    )
    found = {state: rows.tolist() for state, rows in batch().by_state()}
    assert found == {
        State.CLOSED: [0], State.OPEN: [1], State.FILTERED: [2, 3], State.UNKNOWN: [4],
    }  # fmt: skip


def test_some_rows() -> None:
    everything = list(batch((ODD,)))
    assert list(batch((ODD,)).take(np.array([3, 0]))) == [everything[3], everything[0]]


def test_no_rows() -> None:
    empty = batch().take(np.array([], np.int64))
    assert (len(empty), list(empty), empty.states()) == (0, [], Counter())
