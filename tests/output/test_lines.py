"""Lines of whole batches against the records' own, character for character."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawscan.model import IPAddress, Port, ProbeKind, State, Verdict
from rawscan.output.lines import port_lines
from rawscan.output.records import port_record, to_line
from rawscan.rules import RULES
from rawscan.verdicts import ITSELF, Verdicts, sureness
from rawscan.wire.addresses import Addresses

ROUTERS: tuple[IPAddress, ...] = (
    IPv4Address("10.0.0.254"), IPv4Address("1.1.1.1"), IPv6Address("fd00::fe"),
    IPv6Address("::ffff:10.0.0.1"),
)  # fmt: skip
ROWS = [number for number, rule in enumerate(RULES) if rule.state is not None]
V4 = st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 0x0A000001, 0xFFFFFFFF, 0x64636261])
V6 = st.integers(0, 2**128 - 1) | st.sampled_from([0, 1, 0xFD00 << 112 | 5, 0xFFFF_0A00_0001])
# Times as the engine has them, and all that a microsecond more or less does to their text.
TIMES = st.one_of(
    st.just(float("nan")),
    st.integers(0, 2_000_000_000).map(lambda us: us / 1e6),
    st.floats(0, 2000, width=32),
    st.sampled_from([0.0, 1e-6, 0.0005, 0.001, 0.01, 0.1, 0.25, 1.0, 10.0, 999.999, 1000.0]),
)
SURE = st.sampled_from([1.0, 0.0, 0.2, 1 / 3, 0.9999999999]) | st.floats(0, 1)
COLUMNS = st.tuples(
    st.integers(0, 0xFFFF), st.sampled_from(ROWS), st.integers(0, 255), SURE, st.booleans(),
    st.integers(0, 255), TIMES, st.integers(ITSELF, len(ROUTERS) - 1),
)  # fmt: skip


@st.composite
def batches(draw: st.DrawFn) -> Verdicts:
    v4 = draw(st.booleans())
    columns: list[Any] = draw(st.lists(COLUMNS, max_size=12))
    make, numbers = (IPv4Address, V4) if v4 else (IPv6Address, V6)
    targets = [make(draw(numbers)) for _ in columns]
    empty = np.empty(0, np.uint64)
    ports, rule, tries, sure, answered, ttl, rtt_s, responder = (
        zip(*columns, strict=True) if columns else ((),) * 8
    )
    rules = np.array(rule, np.uint8)
    return Verdicts(
        kind=draw(st.sampled_from(ProbeKind)),
        targets=Addresses.of(targets) if targets else Addresses(4, None, empty),
        ports=np.array(ports, np.uint16),
        rule=rules,
        tries=np.array(tries, np.uint8),
        confidence=sureness(rules, np.array(sure)),
        answered=np.array(answered, np.bool_),
        ttl=np.array(ttl, np.uint8),
        rtt_s=np.array(rtt_s, np.float32),
        responder=np.array(responder, np.int32),
        others=ROUTERS,
        time_s=draw(st.sampled_from([0.0, 1_700_000_000.0, 1_700_000_000.123456])),
        odd=draw(st.sampled_from([(), (ODD,)])),
    )


ODD = Verdict(
    Port(IPv4Address("10.0.0.7"), 80, ProbeKind.SYN), State.OPEN, "syn-ack", "syn-syn-ack", 1, 1.0,
    1_700_000_000.5, IPv4Address("10.0.0.7"), 63, 0.0125, ("ttl-differs: 63, elsewhere 64",),
    revises=State.CLOSED,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(batches())
def test_every_character_is_what_the_records_give(batch: Verdicts) -> None:
    wanted = [to_line(port_record(verdict)) for verdict in batch]
    pieces = list(port_lines(batch))
    assert "".join(pieces) == "".join(line + "\n" for line in wanted)
    assert all(piece.endswith("\n") for piece in pieces)


@pytest.mark.parametrize("count", [256, 257, 4097, 10_000])
def test_more_lines_than_one_block(count: int) -> None:
    rule = np.full(count, ROWS[0], np.uint8)
    batch = Verdicts(
        ProbeKind.SYN,
        Addresses(4, None, np.arange(count, dtype=np.uint64)),
        np.full(count, 561, np.uint16),
        rule,
        np.ones(count, np.uint8),
        np.ones(count),
        np.ones(count, np.bool_),
        np.full(count, 64, np.uint8),
        np.full(count, 0.001, np.float32),
        np.full(count, ITSELF, np.int32),
        (),
        1_700_000_000.0,
    )
    assert "".join(port_lines(batch)).splitlines() == [to_line(port_record(each)) for each in batch]


def test_a_thousandth_is_rounded_as_a_record_rounds_it() -> None:
    for us in range(0, 20_000, 7):
        rtt_s = float(np.float32(us / 1e6))
        verdict = Verdict(ODD.port, State.OPEN, "r", "r", 1, 1.0, 1.0, rtt_s=rtt_s)
        assert port_record(verdict)["rtt_ms"] == us / 1000
