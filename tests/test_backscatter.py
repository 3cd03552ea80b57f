"""Backscatter: who is the victim, from how many on, and when it is an attack."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from rawscan.backscatter import BackscatterTable
from rawscan.findings import Backscatter

V = ip_address("192.0.2.1")
T = 1.7e9


def scattered(packets: int, destinations: int, seconds: float) -> tuple[Backscatter, ...]:
    table = BackscatterTable()
    for number in range(packets):
        to = ip_address(0x0A000000 + number % destinations)
        table.add(V, 561, "syn-ack", to, T + seconds * number / max(packets - 1, 1))
    return table.finish()


def test_a_victim() -> None:
    (found,) = scattered(30, 10, 60)
    assert (found.victim, found.form, found.kind, found.port) == (V, "backscatter", "syn-ack", 561)
    assert (found.packets, found.destinations, found.senders) == (30, 10, 1)
    assert (found.first_s, found.last_s) == (T, T + 60)


@pytest.mark.parametrize("destinations", [1, 2])
def test_few_destinations_may_be_ends_of_conversations(destinations: int) -> None:
    assert scattered(9, destinations, 60) == ()


@pytest.mark.parametrize(
    ("packets", "seconds", "attack"),
    [
        # corsaro: 25 packets, 60 s, 30 a minute.
        (30, 60, True),
        (24, 60, False),
        (30, 59, False),
        (60, 120, True),
        (59, 120, False),
    ],
)
def test_attacks(packets: int, seconds: float, attack: bool) -> None:
    (found,) = scattered(packets, 10, seconds)
    assert found.attack is attack


@pytest.mark.parametrize(("senders", "told"), [(24, 0), (25, 1)])
def test_a_reflection_has_many_senders(senders: int, told: int) -> None:
    table = BackscatterTable()
    for number in range(senders):
        table.add(ip_address(0x0A000000 + number), 80, "rst", V, T)
    found = table.finish()
    assert len(found) == told
    for each in found:
        assert (each.victim, each.form, each.senders, each.destinations) == (V, "reflection", 25, 1)


def test_memory_is_bounded_at_the_cost_of_the_least() -> None:
    table = BackscatterTable(most=8)
    for number in range(100):
        table.add(V, 561, "rst", ip_address(0x0A000000 + number), T)
        table.add(ip_address(0x0B000000 + number), 561, "rst", V, T)
    found = {(f.form, f.packets, f.destinations) for f in table.finish()}
    assert found == {("backscatter", 100, 100), ("reflection", 100, 1)}
