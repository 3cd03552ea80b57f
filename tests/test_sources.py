"""Sources: shapes, the random walk by hand, plain counts, and bounded memory."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from rawscan.findings import Contact
from rawscan.model import Flags, Packet, Tcp
from rawscan.sources import PlainCounts, SourceTable, Walk, pattern_of


@pytest.mark.parametrize(
    ("targets", "ports", "pattern"),
    [(1, 1, "single"), (2, 1, "horizontal"), (1, 2, "vertical"), (2, 2, "block")],
)
def test_patterns(targets: int, ports: int, pattern: str) -> None:
    assert pattern_of(targets, ports) == pattern


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        # Each failure multiplies the odds by 0.8 / 0.2 = 4, each success divides them by 4; 99 to
        # 1 is enough, and 4^3 = 64 is not (Jung et al. 2004, sections V and V-A).
        ("", None),
        ("fff", "pending"),
        ("ffff", "scanner"),
        ("sss", "pending"),
        ("ssss", "benign"),
        ("fsfsfsfs", "pending"),
        ("sffff", "pending"),
        ("sfffff", "scanner"),
        ("ssssffffffffff", "benign"),  # once decided, it is decided
    ],
)
def test_the_walk(outcomes: str, verdict: str | None) -> None:
    walk = Walk()
    for letter in outcomes:
        walk.add(letter == "s")
    assert walk.verdict == verdict


def contact(second: float, host: int, port: int = 561, answered: bool | None = False) -> Contact:
    return Contact(1.7e9 + second, ip_address(0x0A000000 + host), port, answered)


def is_busy(contacts: list[Contact]) -> bool:
    counts = PlainCounts()
    for each in contacts:
        counts.add(each)
    return counts.busy


def test_plain_counts() -> None:
    """Zeek's: 25 hosts on a port, or 15 ports of a host, in five minutes."""
    assert is_busy([contact(n, n) for n in range(25)])
    assert not is_busy([contact(n, n) for n in range(24)])
    assert is_busy([contact(12.4 * n, n) for n in range(25)])  # 297.6 s
    assert not is_busy([contact(12.6 * n, n) for n in range(25)])  # 302.4 s
    assert not is_busy([contact(n, n, answered=True) for n in range(99)])
    assert not is_busy([contact(n, n, answered=None) for n in range(99)])
    assert is_busy([contact(n, 1, port=n) for n in range(15)])
    assert not is_busy([contact(n, 1, port=n) for n in range(14)])
    assert not is_busy([contact(n, 1, port=561) for n in range(99)])


def syn(source: int, target: int, port: int = 561) -> Packet:
    tcp = Tcp(40000, port, target * 7919, 0, Flags.SYN, 64240)
    return Packet(ip_address(0x0A000000 + source), ip_address(0x0B000000 + target), 64, tcp)


def test_a_source() -> None:
    table = SourceTable()
    for number in range(11):
        table.add(syn(1, number % 5), 561, 1.7e9 + number * 0.5)
    contacts = [contact(n, n, answered=n == 0) for n in range(5)]
    (source,) = table.finish({ip_address("10.0.0.1"): contacts})
    assert (source.probes, source.targets, source.ports, source.pattern) == (11, 5, 1, "horizontal")
    assert (source.first_s, source.last_s) == (1.7e9, 1.7e9 + 5)
    assert source.rate_pps == 2.0  # ten gaps in five seconds
    assert (source.answered, source.failed, source.walk) == (1, 4, "pending")


def test_one_host_is_one_first_contact() -> None:
    table = SourceTable()
    table.add(syn(1, 1), 561, 1.7e9)
    contacts = [contact(n, 1, port=n) for n in range(9)]
    (source,) = table.finish({ip_address("10.0.0.1"): contacts})
    assert (source.walk, source.failed, source.rate_pps) == ("pending", 9, None)


def test_a_capture_that_knows_no_outcome_has_no_walk() -> None:
    table = SourceTable()
    table.add(syn(1, 1), 561, 0.0)
    (source,) = table.finish({ip_address("10.0.0.1"): [contact(0, n, answered=None) for n in [1]]})
    assert (source.walk, source.busy, source.first_s) == (None, False, 0.0)


def test_a_flood_from_everywhere_does_not_hide_the_scanner() -> None:
    table = SourceTable(most=16)
    for number in range(200):
        table.add(syn(1000 + number, 1), 561, 1.7e9 + number)
        table.add(syn(1, number), 561, 1.7e9 + number)
    found = table.finish({})
    assert (str(found[0].address), found[0].probes) == ("10.0.0.1", 200)
    assert len(found) <= 16
    assert len(found) + table.left_out == 201
