"""The table of unresolved neighbours: whom it asks when, and what it believes, as ladders."""

from __future__ import annotations

import random
from ipaddress import IPv6Address, ip_address
from typing import Any

import numpy as np
import pytest

from rawscan.model import IPAddress
from rawscan.net.neighbours import (
    NeighbourTable,
    Rows,
    keys_of,
    rows_of,
)


def some(version: int, count: int, seed: int = 561) -> list[IPAddress]:
    rng = random.Random(seed)
    bits, kind = (32, ip_address) if version == 4 else (128, IPv6Address)
    return [kind(rng.getrandbits(bits)) for _ in range(count)]


def texts(rows: Rows) -> list[str]:
    return [str(ip_address(row.tobytes())) for row in rows]


def macs_for(count: int) -> Rows:
    return np.arange(count * 6, dtype=np.uint8).reshape(count, 6)


def table_with(version: int, addresses: list[IPAddress], **options: Any) -> NeighbourTable:
    table = NeighbourTable(version, **options)
    table.add(rows_of(addresses))
    return table


A, B, C = (ip_address(f"10.0.0.{n}") for n in (1, 2, 3))
A6, B6, C6 = (ip_address(f"fd00::{n}:0") for n in (1, 2, 3))  # the last bytes are zeros


@pytest.mark.parametrize("three", [(A, B, C), (A6, B6, C6)])
def test_ladder_of_one_who_answers_one_late_and_one_silent(three: tuple[IPAddress, ...]) -> None:
    first, late, silent = three
    table = table_with(first.version, list(three))
    assert table.next_s() == -np.inf  # at once
    assert texts(table.requests(100.0, 9)) == [str(each) for each in three]
    assert texts(table.requests(100.5, 9)) == []
    heard, macs = table.heard(rows_of([first]), macs_for(1))
    assert (texts(heard), macs.tolist()) == ([str(first)], [[0, 1, 2, 3, 4, 5]])
    assert table.next_s() == 101.0
    assert texts(table.requests(100.999, 9)) == []
    assert texts(table.requests(101.0, 9)) == [str(late), str(silent)]
    assert texts(table.requests(102.0, 9)) == [str(late), str(silent)]
    assert texts(table.heard(rows_of([late]), macs_for(1))[0]) == [str(late)]
    assert texts(table.requests(103.0, 9)) == []  # three requests are all
    assert texts(table.failed(102.999)) == []
    assert texts(table.failed(103.0)) == [str(silent)]
    assert (len(table), table.next_s()) == (0, None)
    assert texts(table.failed(999.0)) == []


@pytest.mark.parametrize("three", [(A, B, C), (A6, B6, C6)])
def test_only_what_was_asked_is_believed(three: tuple[IPAddress, ...]) -> None:
    first, second, stranger = three
    table = table_with(first.version, [first, second])
    assert texts(table.heard(rows_of([first]), macs_for(1))[0]) == []  # not asked yet
    assert texts(table.requests(0.0, 1)) == [str(first)]
    heard, macs = table.heard(rows_of([stranger, second, first, first]), macs_for(4))
    assert texts(heard) == [str(first)]
    assert macs.tolist() == [list(range(12, 18))]  # the first that it said
    assert texts(table.heard(rows_of([first]), macs_for(1))[0]) == []  # no longer asked
    assert len(table) == 1


def test_retries_go_before_new_ones_and_the_limit_holds() -> None:
    table = table_with(4, [A, B])
    assert texts(table.requests(0.0, 2)) == [str(A), str(B)]
    table.add(rows_of([ip_address("10.0.0.0"), A, C]))  # A is here already
    assert (len(table), table.unasked) == (4, 2)
    assert texts(table.requests(1.0, 3)) == [str(A), str(B), "10.0.0.0"]
    assert texts(table.requests(1.0, 0)) == []
    assert texts(table.requests(1.0, 3)) == [str(C)]


def test_tries_and_patience_can_be_chosen() -> None:
    table = table_with(4, [A], tries=1, wait_s=0.25)
    assert texts(table.requests(5.0, 9)) == [str(A)]
    assert texts(table.requests(5.25, 9)) == []
    assert texts(table.failed(5.25)) == [str(A)]


def test_the_table_is_bounded() -> None:
    table = table_with(4, some(4, 100), capacity=120)
    assert table.room == 20
    with pytest.raises(ValueError, match="room for 20"):
        table.add(rows_of(some(4, 21, seed=2)))
    table.add(rows_of(some(4, 20, seed=2)))
    assert table.room == 0


@pytest.mark.parametrize("version", [4, 6])
def test_many_random_replies_against_a_dictionary(version: int) -> None:
    rng = random.Random(561)
    pool = some(version, 400)
    table, asked, waiting = table_with(version, pool[:200]), set[IPAddress](), set(pool[:200])
    for step in range(200):
        now_s = step * 0.01
        requests = {ip_address(row.tobytes()) for row in table.requests(now_s, 7)}
        assert requests <= waiting
        asked |= requests
        replies = rng.sample(pool, 5)
        heard = {ip_address(r.tobytes()) for r in table.heard(rows_of(replies), macs_for(5))[0]}
        assert heard == set(replies) & asked & waiting
        waiting -= heard
    assert len(table) == len(waiting) > 0


def test_keys_are_in_the_order_of_the_addresses() -> None:
    for version in (4, 6):
        addresses = [*some(version, 1000), *(A6, B6, IPv6Address(0))[: (version - 4) * 2]]
        order = np.argsort(keys_of(rows_of(addresses)), kind="stable")
        assert [addresses[n] for n in order] == sorted(addresses)
