"""Which targets are on our own link, and who of them is dead, before a probe is sent."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from ipaddress import ip_address
from typing import Any

import pytest

from rawscan.errors import LinkError
from rawscan.net import onlink
from rawscan.net.nexthop import PathFinder
from rawscan.net.onlink import DeadNeighbours, Neighbours, on_link
from rawscan.targets import TargetSet
from rawscan.wire.addresses import Addresses
from tests.net.cable import Peer, call, ip

pytestmark = pytest.mark.netns


def furnish(peer: Peer) -> None:
    """10.8/16 and fd08::/64 are on our link, 10.9/16 and fd09::/64 behind 10.8.0.2."""
    peer.ip(
        "addr add 10.8.0.2/16 dev far",
        "addr add fd08::2/64 dev far nodad",
        "route add local 10.9.0.0/16 dev lo",
    )
    ip(
        "addr add 10.8.0.1/16 dev near",
        "addr add fd08::1/64 dev near nodad",
        "route add 10.9.0.0/16 via 10.8.0.2",
        "-6 route add fd09::/64 via fd08::2",
    )


def parts_of(*specs: str) -> list[Any]:
    targets = TargetSet.parse(specs)
    start_s = time.monotonic()
    with PathFinder() as finder:
        found = [
            [part.version, part.path.interface, list(part.targets.specs())]
            for part in on_link(finder, targets)
        ]
    return [found, time.monotonic() - start_s]


def parts() -> list[Any]:
    with Peer("near") as peer:
        furnish(peer)
        return [
            parts_of("10.8.0.0/29", "10.9.0.0/16", "127.0.0.1", "224.0.0.1"),
            parts_of("10.8.255.252/30", "fd09::/64", "fd08::2"),
            parts_of("0.0.0.0/0"),
            parts_of("*.*.*.1"),
        ]


def test_what_is_on_link_follows_from_the_routes_and_costs_nothing_for_the_rest() -> None:
    few, ends, everything, pattern = call(parts)
    # Our own 10.8.0.1 needs no question, nor do broadcasts: before Linux 5.14 the low end is one.
    ((version, interface, specs),) = few[0]
    assert (version, interface) == (4, "near")
    assert TargetSet.parse(specs) | TargetSet.parse(["10.8.0.0"]) == TargetSet.parse(
        ["10.8.0.0", "10.8.0.2-7"]
    )
    assert ends[0] == [[4, "near", ["10.8.255.252-254"]], [6, "near", ["fd08::2"]]]
    counts = TargetSet.parse(everything[0][0][2]).count, TargetSet.parse(pattern[0][0][2]).count
    assert counts[0] in (65_533, 65_534)
    assert counts[1] == 255  # 10.8.0.1 is ours
    assert max(took_s for _, took_s in (few, ends, everything, pattern)) < 1


def who_is_dead(interface: str | None, few: int) -> list[int]:
    with Peer("near") as peer:
        furnish(peer)
        targets = TargetSet.parse(["10.8.0.1-4", "10.9.0.5", "127.0.0.1"])
        dead = DeadNeighbours(interface, None, few)
        dead.prepare(targets, 1000.0, lambda: False)
        return [row for row, _ in dead.refusals(Addresses.of(list(targets)))]


@pytest.mark.parametrize(
    ("interface", "few", "rows"),
    [
        (None, 0, [2, 3]),
        ("near", 0, [2, 3, 5]),  # bound to it, the kernel looks for 127.0.0.1 there as well
        (None, 3, []),
    ],
)
def test_the_dead_are_known_before_and_a_few_are_left_to_the_kernel(
    interface: str | None, few: int, rows: list[int]
) -> None:
    assert call(who_is_dead, interface, few) == rows


def interrupted() -> list[Any]:
    with Peer("near") as peer:
        furnish(peer)
        targets = TargetSet.parse(["10.8.0.0/16"])
        with PathFinder() as finder:
            (part,) = on_link(finder, targets)
        known, start_s = Neighbours(), time.monotonic()
        known.learn(part, 1000.0, lambda: time.monotonic() > start_s + 0.5)
        took_s = time.monotonic() - start_s
        there = Addresses.of([ip_address("10.8.0.2"), ip_address("10.8.200.1")])
        return [took_s, known.macs(there).any(axis=1).tolist(), known.dead(there)]


def test_an_interrupt_is_heard_while_neighbours_are_asked() -> None:
    took_s, known, dead = call(interrupted)
    assert took_s < 0.7
    assert known == [True, False]
    assert dead == []  # nobody was waited for long enough to be called so


def too_many() -> str:
    with Peer("near") as peer:
        furnish(peer)
        with PathFinder() as finder:
            (part,) = on_link(finder, TargetSet.parse(["fd08::/64"]))
        try:
            Neighbours().learn(part, 1000.0, lambda: False)
        except LinkError as error:
            return str(error)
        return ""


def test_more_than_can_be_asked_are_refused_with_the_remedy() -> None:
    message = call(too_many)
    assert f"no more than {onlink.MOST_NEIGHBOURS}" in message
    assert "smaller parts" in message
    assert "--link rawip" in message


def scanned(arguments: list[str]) -> Any:
    """Link and verdicts of a scan with one host alive and a kernel that reports the dead poorly."""
    with Peer("near") as peer:
        furnish(peer)
        command = [sys.executable, "-m", "rawscan", "scan", "--json", "--no-udp", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        records = [json.loads(line) for line in done.stdout.splitlines()]
        ports = [record for record in records if record["type"] == "port"]
        verdicts = Counter(f"{each['state']} {each['reason']}" for each in ports)
        return [records[0]["link"], verdicts, done.stderr]


FULL_SPEED = ["--rate", "max", "--max-host-rate", "max"]


@pytest.mark.parametrize(
    ("arguments", "dead", "closed"),
    [
        (["10.8.0.0/26"], 62, 2),  # our own address is in it
        (["10.8.0.77", "--interface", "near"], 1, 0),
        (["10.8.0.70", "10.8.0.2", "-p", "1-1000", *FULL_SPEED], 1000, 1000),
        (["10.8.0.70", "fd08::70", "10.9.0.5", "-p", "1-9", *FULL_SPEED], 18, 9),
        (["10.8.0.70-73", "-p", "1-2", *FULL_SPEED], 8, 0),  # left to the kernel
    ],
)
def test_dead_neighbours_are_no_filters_on_the_rawip_link(
    arguments: list[str], dead: int, closed: int
) -> None:
    link, verdicts, errors = call(scanned, arguments)
    assert link == "rawip"
    expected = {"unknown no-arp-response": dead, "closed reset": closed}
    assert verdicts == {claim: count for claim, count in expected.items() if count}, errors


def refused(arguments: list[str]) -> list[Any]:
    """Exit code, records, and what is said, where there are two interfaces."""
    with Peer("near") as peer:
        furnish(peer)
        ip("link add side type veth peer name aside", "addr add 10.78.0.1/24 dev side")
        ip("link set side up", "link set aside up")
        command = [sys.executable, "-m", "rawscan", "scan", "--json", "--no-udp", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return [done.returncode, done.stdout, done.stderr]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["10.8.0.2", "10.78.0.5", "--link", "packet"], 2, "leave through near and side"),
        (["10.99.0.5", "--link", "xdp"], 1, "no way to 10.99.0.5: there is no route"),
        (["127.0.0.1", "--link", "xdp"], 1, "lo is no Ethernet; use --link rawip"),
        (["fd08::/64"], 1, "smaller parts, or use --link rawip"),
        (["fd08::/64", "--link", "packet"], 1, "smaller parts, or use --link rawip"),
        (["fd08::/64", "127.0.0.1"], 1, "smaller parts, or use --link rawip"),
    ],
)
def test_what_an_ethernet_link_cannot_do_is_said_once_and_before_anything_is_sent(
    arguments: list[str], code: int, said: str
) -> None:
    found_code, out, errors = call(refused, arguments)
    assert (found_code, out) == (code, ""), errors
    assert said in errors
    assert len(errors.splitlines()) == 1


def test_two_interfaces_are_served_by_the_rawip_link_of_itself() -> None:
    code, out, errors = call(refused, ["10.8.0.2-6", "10.78.0.5-9"])
    records = [json.loads(line) for line in out.splitlines()]
    reasons = {r["target"]: r["reason"] for r in records if r["type"] == "port"}
    assert (code, records[0]["link"]) == (0, "rawip"), errors
    assert len(reasons) == 10
    for last in range(5, 10):  # nobody has these, on the second interface
        assert reasons[f"10.78.0.{last}"] == "no-arp-response"


def stopped_at_the_start(arguments: list[str]) -> list[Any]:
    """How long a scan goes on after an interrupt two seconds after it began; how far it came."""
    with Peer("near") as peer:
        furnish(peer)
        command = [sys.executable, "-m", "rawscan", "scan", "--json", "--no-udp", *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            time.sleep(2)
            process.send_signal(signal.SIGINT)
            start_s = time.monotonic()
            out, _ = process.communicate(timeout=60)
            took_s = time.monotonic() - start_s
        summary = json.loads(out.splitlines()[-1])
        return [process.returncode, took_s, summary["type"], summary["probes_sent"]]


@pytest.mark.parametrize(("arguments", "begins"), [(["fd09::/64"], True), (["10.8.0.0/16"], False)])
def test_many_targets_begin_at_once_behind_a_gateway_and_an_interrupt_is_heard(
    arguments: list[str], begins: bool
) -> None:
    code, took_s, kind, sent = call(stopped_at_the_start, [*arguments, "--link", "packet"])
    assert (code, kind, sent > 0) == (130, "summary", begins)
    assert took_s < 1  # of which Python's own end takes some
