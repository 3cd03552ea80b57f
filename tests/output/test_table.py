"""The table for people: order, columns by width, hints, and numbers that do not overstate."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from rawscan.model import Port, ProbeKind, State, Verdict
from rawscan.output.records import port_record
from rawscan.output.table import (
    MAX_ROWS,
    STATE_STYLES,
    Rows,
    plain_table,
    port_table,
)
from rawscan.rules import RULES
from rawscan.verdicts import ITSELF, Verdicts
from rawscan.wire.addresses import Addresses


def row(target: str = "10.0.0.5", **changes: Any) -> dict[str, Any]:
    return {
        "type": "port", "target": target, "port": 561, "protocol": "tcp", "probe": "syn",
        "state": "closed", "reason": "reset", "reason_ip": target, "reason_ttl": 64,
        "rtt_ms": 0.4, "tries": 1, "confidence": 1.0, "hints": [],
    } | changes  # fmt: skip


def shown(records: list[dict[str, Any]], width: int | None = None) -> list[str]:
    stream = io.StringIO()
    if width is None:
        plain_table(Rows(records), stream)
    else:
        console = Console(file=stream, width=width, color_system=None, emoji=False)
        port_table(Rows(records), console)
    return stream.getvalue().splitlines()


def test_a_plain_table_looks_like_that_of_a_wide_terminal() -> None:
    records = [
        row("10.0.0.254", reason="cut", reason_ip="1.1.1.1", state="filtered", source="10.0.0.1"),
        row("10.0.0.9", hints=["syn-proxy"], rtt_ms=1234.5, source="10.0.0.1"),
        row("fd56:1234:5678:9abc:def0:1234:5678:9abc", source="::2", confidence=0.5, rtt_ms=None),
        row("::1", source="::3", state="unknown", tries=10, reason_ttl=None, reason_ip=None),
        *(row(f"10.1.{n // 250}.{n % 250}", state="unfiltered") for n in range(MAX_ROWS + 1)),
    ]
    for some in (records[:4], records[:1], records[1:3], records[3:], []):
        assert shown(some) == [line.rstrip() for line in shown(some, 200)]


def test_rows_are_in_the_order_of_addresses() -> None:
    mixed = ["fd00::5", "10.0.0.10", "10.0.0.9", "fd00::a"]
    records = [row(t) for t in mixed] + [row("10.0.0.9", port=80), row("10.0.0.9", probe="ack")]
    order = [(r["target"], r["port"], r["probe"]) for r in Rows(records).shown]
    assert order == [
        ("10.0.0.9", 80, "syn"), ("10.0.0.9", 561, "ack"), ("10.0.0.9", 561, "syn"),
        ("10.0.0.10", 561, "syn"), ("fd00::5", 561, "syn"), ("fd00::a", 561, "syn"),
    ]  # fmt: skip


def test_a_revised_verdict_replaces_the_earlier_one() -> None:
    late = row(state="open", reason="syn-ack", hints=["revised"], revises="closed")
    assert Rows([row(), late]).shown == [late]
    assert str(Rows([row(), late, row("10.0.0.6")])) == "1 open, 1 closed"


def test_askers_and_captures_are_kept_apart() -> None:
    asked = [row(source="10.0.0.1", capture="a"), row(source="10.0.0.2", capture="a"),
             row(source="10.0.0.1", capture="b")]  # fmt: skip
    assert len(Rows(asked).shown) == 3
    text = "\n".join(shown(asked))
    assert "ASKED BY" in text
    assert "10.0.0.2" in text
    # One asker for each IP version is no news.
    assert "ASKED BY" not in "\n".join(shown([row(source="10.0.0.1"), row("::1", source="::2")]))


def test_every_state_can_be_shown() -> None:
    for state in STATE_STYLES:
        assert state in shown([row(state=state)])[1].split()
    everything = [row(f"10.0.0.{n}", state=s) for n, s in enumerate(STATE_STYLES)]
    assert str(Rows(everything)) == ", ".join(f"1 {state}" for state in STATE_STYLES)


def test_cells() -> None:
    router = row(reason="admin-prohibited", reason_ip="10.0.0.254", state="filtered")
    silent = row("10.0.0.6", reason="no-response", reason_ip=None, reason_ttl=None, rtt_ms=None,
                 confidence=0.99999999, tries=7, state="filtered")  # fmt: skip
    ack = row("10.0.0.7", probe="ack", state="unfiltered")
    head, first, second, third = (line.split() for line in shown([router, silent, ack]))
    assert head == ["TARGET", "PORT", "STATE", "REASON", "FROM", "TTL", "RTT", "TRIES", "SURE"]
    assert first == [
        "10.0.0.5",
        "561/tcp",
        "filtered",
        "admin-prohibited",
        "10.0.0.254",
        "64",
        "0.400",
        "ms",
        "1",
    ]
    # Rounded down: what is not certain must not look so.
    assert second == ["10.0.0.6", "561/tcp", "filtered", "no-response", "-", "7", "99.9999", "%"]
    assert third == [
        "10.0.0.7",
        "561/tcp",
        "ack",
        "unfiltered",
        "reset",
        "target",
        "64",
        "0.400",
        "ms",
        "1",
    ]


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (120, ["TARGET", "PORT", "STATE", "REASON", "FROM", "TTL", "RTT", "TRIES", "SURE"]),
        (80, ["TARGET", "PORT", "STATE", "REASON", "FROM"]),
        (50, ["TARGET", "PORT", "STATE", "REASON"]),
        (40, ["TARGET", "PORT", "STATE", "REASON"]),
    ],
)
def test_a_narrow_terminal_gets_fewer_columns(width: int, headings: list[str]) -> None:
    lines = shown([row("fd56:1234:5678:9abc:def0:1234:5678:9abc")], width)
    assert lines[0].split() == headings
    assert max(map(len, lines)) <= width
    # The address is folded, never cut.
    folded = "".join(line.split()[0] for line in lines[1:])
    assert folded == "fd56:1234:5678:9abc:def0:1234:5678:9abc"


def test_addresses_are_not_taken_for_emoji() -> None:
    """To Rich, `:1234:`, `:a:` and `:100:` in a text are pictures."""
    for address in ("fd56:1234:5678::1", "2001:db8:a:b:ab:100:0:5"):
        router = address.replace("d", "e")
        line = shown([row(address, reason_ip=router, source=router), row("::1", source="::2")])[2]
        assert line.split()[0] == address
        assert line.split().count(router) == 2


@pytest.mark.parametrize("width", [1, 5, 20])
def test_hardly_any_terminal_does_not_break_it(width: int) -> None:
    assert shown([row(hints=["revised"])], width)


def test_hints_stand_below() -> None:
    lines = shown([row(hints=["syn-proxy", "ttl-differs: 63, elsewhere 64"])])
    assert lines[-1] == "  hint: 10.0.0.5 561/tcp: syn-proxy, ttl-differs: 63, elsewhere 64"


def test_of_a_crowded_state_only_the_number_is_shown() -> None:
    closed = [row(f"10.0.{n // 250}.{n % 250}", hints=["h"]) for n in range(MAX_ROWS + 5)]
    few = row("10.9.9.9", state="open", reason="syn-ack")
    lines = shown([*closed, few])
    assert [line.split()[0] for line in lines[:2]] == ["TARGET", "10.9.9.9"]
    assert lines[2:] == [f"Not shown: {MAX_ROWS + 5} closed; -o FILE.jsonl holds them all"]
    assert len(shown(closed[:MAX_ROWS])) == 1 + 2 * MAX_ROWS


def test_rows_of_a_crowded_state_are_not_kept_in_memory() -> None:
    rows = Rows()
    for n in range(10 * MAX_ROWS):
        rows.add(row(f"10.0.{n // 250}.{n % 250}"))
    assert rows.shown == []
    rows.add(row("10.0.0.1", state="open", revises="closed"))
    assert str(rows) == f"1 open, {10 * MAX_ROWS - 1} closed"


def closed(count: int, first: int = 0) -> Verdicts:
    rst = [rule.id for rule in RULES].index("syn-rst")
    return Verdicts(
        kind=ProbeKind.SYN,
        targets=Addresses(4, None, np.arange(first, first + count, dtype=np.uint64)),
        ports=np.full(count, 561, np.uint16),
        rule=np.full(count, rst, np.uint8),
        tries=np.ones(count, np.uint8),
        confidence=np.ones(count),
        answered=np.ones(count, np.bool_),
        ttl=np.full(count, 64, np.uint8),
        rtt_s=np.full(count, 0.001, np.float32),
        responder=np.full(count, ITSELF, np.int32),
        others=(),
        time_s=5.0,
    )


@pytest.mark.parametrize("sizes", [[3], [MAX_ROWS, 1], [200, 100, 50], [MAX_ROWS + 1], [200, 102]])
def test_batches_count_as_their_records_do(sizes: list[int]) -> None:
    together, one_by_one, first = Rows(), Rows(), 0
    for size in sizes:
        batch = closed(size, first)
        opened = Port(batch.targets.at(0), 561, ProbeKind.SYN)
        late = Verdict(opened, State.OPEN, "syn-ack", "syn-syn-ack", 1, 1.0, 5.0,
                       revises=State.CLOSED)  # fmt: skip
        for some in (batch, replace(batch.take(np.array([], np.int64)), odd=(late,))):
            together.add_ports(some)
            for verdict in some:
                one_by_one.add(port_record(verdict))
        first += size
    assert together.counts == one_by_one.counts
    assert together.shown == one_by_one.shown
    assert together.counts["closed"] == sum(sizes) - len(sizes)
