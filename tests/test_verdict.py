"""One verdict from all the evidence: the strongest wins in any order, contradictions are hints."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawscan.model import Evidence, IPAddress, Port, ProbeKind, ReplyKind, Signal, State, Verdict
from rawscan.verdict import MAX_TTLS, TtlBook, TtlColumn, judge, ttl_hint

TARGET, ROUTER, OTHER = map(ip_address, ("10.56.1.3", "10.56.0.1", "10.56.0.2"))
SYN, UDP, ACK = (Port(TARGET, 561, kind) for kind in (ProbeKind.SYN, ProbeKind.UDP, ProbeKind.ACK))
SYN_ACK, RST, SILENCE = map(Signal, (ReplyKind.SYN_ACK, ReplyKind.RST, ReplyKind.SILENCE))
ADMIN = Signal(ReplyKind.ICMP, 3, 13)
FRAG = Signal(ReplyKind.ICMP, 3, 4)
UNKNOWN = Signal(ReplyKind.ICMP, 200, 9)


def seen(signal: Signal, responder: IPAddress | None = TARGET, **more: object) -> Evidence:
    return Evidence(signal, responder, responder == TARGET, 1.0, **more)  # type: ignore[arg-type]


def verdict(port: Port, *evidence: Evidence) -> Verdict:
    return judge(port, evidence, tries=2, confidence=0.99, time_s=5.0)


CHOICES: dict[Port, list[tuple[Evidence, State | None]]] = {
    SYN: [
        (seen(SYN_ACK), State.OPEN),
        (seen(RST), State.CLOSED),
        (seen(ADMIN, ROUTER), State.FILTERED),
        (seen(SILENCE, None), State.FILTERED),
        (seen(Signal(ReplyKind.SILENCE_DROPS), None), State.UNKNOWN),
        (seen(FRAG, ROUTER), None),
        (seen(UNKNOWN, ROUTER), None),
    ],
    UDP: [
        (seen(Signal(ReplyKind.UDP)), State.OPEN),
        (seen(Signal(ReplyKind.ICMP, 3, 3)), State.CLOSED),
        (seen(Signal(ReplyKind.ICMP, 3, 3), ROUTER), State.FILTERED),
        (seen(SILENCE, None), State.OPEN_FILTERED),
        (seen(Signal(ReplyKind.NO_NEIGHBOUR), None), State.UNKNOWN),
        (seen(FRAG, ROUTER), None),
    ],
    ACK: [
        (seen(RST), State.UNFILTERED),
        (seen(ADMIN, ROUTER), State.FILTERED),
        (seen(Signal(ReplyKind.SEND_FAILED), None), State.UNKNOWN),
        (seen(FRAG, ROUTER), None),
    ],
}
# Weakest first.
ORDER = [None, State.UNKNOWN, State.OPEN_FILTERED, State.FILTERED, State.UNFILTERED, State.CLOSED,
         State.OPEN]  # fmt: skip


@given(st.data())
def test_the_strongest_wins_in_any_order(data: st.DataObject) -> None:
    port = data.draw(st.sampled_from([*CHOICES]))
    chosen = data.draw(st.lists(st.sampled_from(CHOICES[port]), min_size=1, max_size=8))
    best = max((state for _, state in chosen), key=ORDER.index)
    evidence = [e for e, _ in chosen]
    if best is None:
        with pytest.raises(ValueError, match="no evidence"):
            verdict(port, *evidence)
        return
    found = verdict(port, *evidence)
    assert found.state is best
    assert found.evidence == tuple(evidence)
    again = verdict(port, *data.draw(st.permutations(evidence)))
    assert again.state is best
    assert found.confidence == (0.0 if best is State.UNKNOWN else 0.99)


@given(st.permutations([(ROUTER, 61), (OTHER, 62), (ip_address("10.56.0.9"), 63)]))
def test_of_equals_the_first_counts(order: list[tuple[IPAddress, int]]) -> None:
    found = verdict(SYN, *(seen(ADMIN, who, ttl=ttl, rtt_s=ttl / 1e3) for who, ttl in order))
    assert (found.reason_ip, found.reason_ttl) == order[0]
    assert found.rtt_s == order[0][1] / 1e3


def test_every_field_comes_from_where_it_should() -> None:
    reply = seen(RST, ttl=64, rtt_s=0.25, window=0, frame_number=7)
    assert verdict(SYN, reply) == Verdict(
        port=SYN,
        state=State.CLOSED,
        reason="reset",
        rule="syn-rst",
        tries=2,
        confidence=0.99,
        time_s=5.0,
        reason_ip=TARGET,
        reason_ttl=64,
        rtt_s=0.25,
        hints=(),
        evidence=(reply,),
    )
    assert verdict(SYN, reply).claim == (State.CLOSED, "reset", TARGET)


def test_no_evidence_is_no_verdict() -> None:
    for nothing in ([], [seen(FRAG, ROUTER)], [seen(UNKNOWN)], [seen(SYN_ACK, ROUTER)]):
        with pytest.raises(ValueError, match="no evidence"):
            verdict(SYN, *nothing)


def test_a_forged_icmp_error_does_not_hide_an_open_port() -> None:
    found = verdict(SYN, seen(ADMIN, ROUTER), seen(SYN_ACK, window=64240, options_bytes=20))
    assert found.claim == (State.OPEN, "syn-ack", TARGET)
    assert found.hints == ("admin-prohibited from 10.56.0.1",)


@pytest.mark.parametrize("order", [(SYN_ACK, RST), (RST, SYN_ACK)])
def test_rst_and_syn_ack(order: tuple[Signal, Signal]) -> None:
    found = verdict(SYN, *(seen(signal, window=1, options_bytes=4) for signal in order))
    assert found.state is State.OPEN
    assert found.hints == ("rst-and-syn-ack", "reset from 10.56.1.3")
    assert verdict(SYN, seen(RST)).hints == ()


@pytest.mark.parametrize(
    ("signal", "window", "options_bytes", "proxy"),
    [
        (SYN_ACK, 0, 0, True),
        (SYN_ACK, 0, 4, False),
        (SYN_ACK, 1, 0, False),
        (SYN_ACK, None, None, False),  # cut off: nothing is known
        (RST, 0, 0, False),  # every RST is like that
    ],
)
def test_syn_proxy(
    signal: Signal, window: int | None, options_bytes: int | None, proxy: bool
) -> None:
    found = verdict(SYN, seen(signal, window=window, options_bytes=options_bytes))
    assert ("syn-proxy" in found.hints) is proxy


def test_overruled_replies_are_named_once_each() -> None:
    found = verdict(
        SYN,
        seen(ADMIN, ROUTER),
        seen(RST),
        seen(ADMIN, ROUTER),
        seen(ADMIN, OTHER),
        seen(FRAG, ROUTER),
        seen(UNKNOWN, ROUTER),
        seen(SILENCE, None),  # nobody said that
        seen(RST),
    )
    assert found.state is State.CLOSED
    assert found.hints == (
        "admin-prohibited from 10.56.0.1",
        "admin-prohibited from 10.56.0.2",
        "frag-needed from 10.56.0.1",
        "icmp:200/9 from 10.56.0.1",
    )


def test_ttl_book() -> None:
    book, first = TtlBook(), verdict(SYN, seen(RST, ttl=64))
    assert book.hint(first) is None
    assert book.hint(first) is None
    other = replace(first, reason_ttl=63)
    assert book.hint(other) == "ttl-differs: 63, elsewhere 64"
    assert book.hint(first) is None  # the first stays the measure
    assert book.hint(replace(other, reason_ip=ROUTER)) is None  # not in the target's name
    assert book.hint(replace(other, reason_ttl=None)) is None
    elsewhere = Port(OTHER, 561, ProbeKind.SYN)
    assert book.hint(replace(other, port=elsewhere, reason_ip=OTHER)) is None  # its own first


def test_ttl_book_does_not_learn_from_others() -> None:
    book, reply = TtlBook(), verdict(SYN, seen(RST, ttl=64))
    book.hint(replace(reply, reason_ip=ROUTER, reason_ttl=9))
    book.hint(replace(reply, reason_ttl=None))
    assert book.hint(reply) is None


def firsts(column: TtlColumn, hosts: list[int], ttls: list[int]) -> list[int]:
    found = column.firsts(np.array(hosts, np.uint64), np.array(ttls, np.uint8))
    return [int(ttl) for ttl in found]


def test_ttl_column_remembers_the_first_of_each_target() -> None:
    column = TtlColumn(4)
    # Target 2 answers twice in one batch: the earlier one is the measure.
    assert firsts(column, [2, 0, 2, 3], [63, 64, 60, 255]) == [63, 64, 63, 255]
    assert firsts(column, [3, 2, 1, 0], [1, 2, 3, 4]) == [255, 63, 3, 64]
    assert firsts(column, [], []) == []


def test_ttl_column_is_the_ttl_book_in_bounded_memory() -> None:
    book, column = TtlBook(), TtlColumn(2**40)
    replies = [(OTHER, 5, 64), (OTHER, 5, 63), (ROUTER, 6, 1), (OTHER, 5, 64), (ROUTER, 6, 2)]
    for target, host, ttl in replies:
        (first,) = firsts(column, [host], [ttl])
        port = Port(target, 561, ProbeKind.SYN)
        said = replace(verdict(SYN, seen(RST, ttl=ttl)), port=port, reason_ip=target)
        assert book.hint(said) == (None if first == ttl else ttl_hint(ttl, first))
    assert firsts(column, [MAX_TTLS, 2**40], [64, 64]) == [0, 0]  # no room for those
