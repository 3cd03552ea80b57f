"""The resolver on real links: thousands that answer, some that do not, and who else may speak."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest

from rawscan.errors import LinkError, PrivilegeError
from rawscan.lab.tools import may_make_namespaces
from rawscan.model import IPAddress
from rawscan.net.neighbours import Rows, rows_of
from rawscan.net.nexthop import LinkKind, Path, PathFinder
from rawscan.net.resolver import Resolver, resolve
from tests.net.cable import Peer, call, ip, setting

netns = pytest.mark.netns

NEIGHBOURS_6 = 1200  # more than net.ipv6.neigh.default.gc_thresh3


def furnish(peer: Peer, six: int = 0) -> str:
    """Over there 10.9.16.0/20 is local, and some IPv6 addresses; gives the MAC address of it."""
    ip("addr add 10.9.0.1/16 dev near", "addr add fd09::1/64 dev near nodad")
    peer.ip("route add local 10.9.16.0/20 dev lo", "addr add 10.9.0.254/16 dev far")
    peer.ip(*(f"addr add fd09::{n:x}:0/64 dev far nodad" for n in range(1, six + 1)))
    shown = subprocess.run(
        [*peer.prefix, "ip", "-json", "link", "show", "far"], capture_output=True, check=True
    )
    return str(json.loads(shown.stdout)[0]["address"])


def path_to(target: str) -> Path:
    with PathFinder() as finder:
        return finder.path_for(ip_address(target))


def kernels_table() -> int:
    shown = subprocess.run(["ip", "-json", "neigh"], capture_output=True, check=True).stdout
    return len([line for line in json.loads(shown) if "lladdr" in line])


def summary(found: dict[IPAddress, bytes | None], mac: str) -> dict[str, Any]:
    return {
        "right": [str(a) for a, got in found.items() if got is not None and got.hex(":") == mac],
        "wrong": [str(a) for a, got in found.items() if got is not None and got.hex(":") != mac],
        "silent": [str(a) for a, got in found.items() if got is None],
    }


def four_thousand(rate_pps: float) -> dict[str, Any]:
    with Peer("near") as peer:
        mac = furnish(peer)
        answering = [ip_address(f"10.9.{16 + n // 256}.{n % 256}") for n in range(4096)]
        silent = [ip_address(f"10.9.200.{n}") for n in range(100)]
        started_s = time.monotonic()
        found = resolve(answering + silent, path_to("10.9.16.1"), rate_pps=rate_pps)
        return {
            **summary(found, mac),
            "elapsed_s": time.monotonic() - started_s,
            "kernel": kernels_table(),
        }


@netns
def test_more_neighbours_than_the_kernel_can_keep() -> None:
    found = call(four_thousand, 20_000)
    assert (len(found["right"]), found["wrong"]) == (4096, [])
    assert found["silent"] == [f"10.9.200.{n}" for n in range(100)]
    assert len(found["right"]) > 1024  # net.ipv4.neigh.default.gc_thresh3, unless it was raised
    # Three requests, a second apart, and then a second more.
    assert 3.0 < found["elapsed_s"] < 8.0
    assert found["kernel"] < 10  # its table is spared


def many_of_ipv6() -> dict[str, Any]:
    with Peer("near") as peer:
        mac = furnish(peer, NEIGHBOURS_6)
        answering = [ip_address(f"fd09::{n:x}:0") for n in range(1, NEIGHBOURS_6 + 1)]
        silent = [ip_address(f"fd09::dead:{n:x}") for n in range(50)]
        found = resolve(answering + silent, path_to("fd09::1:0"), rate_pps=20_000)
        return summary(found, mac)


@netns
def test_ipv6_neighbours() -> None:
    found = call(many_of_ipv6)
    assert (len(found["right"]), found["wrong"]) == (NEIGHBOURS_6, [])
    assert found["silent"] == [f"fd09::dead:{n:x}" for n in range(50)]


def listen(peer: Peer, seconds: float) -> subprocess.Popen[str]:
    """Writes the time and target of each ARP request that arrives over there."""
    code = """
import socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
s.settimeout(0.1)
print("ready", flush=True)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    try:
        frame = s.recv(256)
    except TimeoutError:
        continue
    if frame[21] == 1:
        print(time.monotonic(), socket.inet_ntoa(frame[38:42]), flush=True)
"""
    command = [*peer.prefix, sys.executable, "-c", code, str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def requests_on_the_wire() -> dict[str, Any]:
    with Peer("near") as peer:
        furnish(peer)
        listener = listen(peer, 5.5)
        silent = [ip_address(f"10.9.200.{n}") for n in range(125)]
        started_s = time.monotonic()
        resolve([*silent, ip_address("10.9.16.1")], path_to("10.9.16.1"), rate_pps=100)
        elapsed_s = time.monotonic() - started_s
        lines = [line.split() for line in (listener.communicate()[0]).splitlines()]
        return {"elapsed_s": elapsed_s, "heard": [(float(s), who) for s, who in lines]}


@netns
def test_rate_retries_and_spacing() -> None:
    found = call(requests_on_the_wire)
    times: dict[str, list[float]] = {}
    for time_s, target in found["heard"]:
        times.setdefault(target, []).append(time_s)
    assert len(times.pop("10.9.16.1")) == 1
    assert {len(each) for each in times.values()} == {3}
    assert len(times) == 125
    gaps = [b - a for each in times.values() for a, b in pairwise(each)]
    assert min(gaps) > 0.95
    # 376 requests at 100 a second, and no second has more than that and a burst
    assert 3.7 < found["elapsed_s"] < 7.5
    moments = sorted(time_s for time_s, _ in found["heard"])
    for at, moment in enumerate(moments):
        in_a_second = sum(moment <= other < moment + 1 for other in moments[at:])
        assert in_a_second <= 100 + 10


def endless() -> list[Any]:
    """The first answers for an endless stream of targets, with a small table."""
    with Peer("near") as peer:
        furnish(peer)
        taken = 0

        def blocks() -> Iterator[Rows]:
            nonlocal taken
            while True:
                numbers = np.arange(taken, taken + 50) % 4096
                taken += 50
                addresses = np.full((50, 4), 10, np.uint8)
                addresses[:, 1] = 9
                addresses[:, 2] = 16 + numbers // 256
                addresses[:, 3] = numbers % 256
                yield addresses

        with Resolver(path_to("10.9.16.1"), 4, rate_pps=5000, capacity=100) as resolver:
            answered = 0
            for answers in islice(resolver.stream(blocks()), 4000):
                assert answers.resolved.all()
                answered += len(answers.addresses)
                assert taken - answered <= 100 + 50
                if answered >= 2000:
                    break
            return [answered, resolver.drops()]


@netns
def test_a_stream_is_read_only_as_far_as_the_table_has_room() -> None:
    answered, drops = call(endless)
    assert answered >= 2000
    assert drops == 0


def liars() -> dict[str, Any]:
    """A neighbour that answers for addresses that nobody asked about, and for its own one, late."""
    code = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
s.bind(("far", 0x0806))
s.settimeout(5)
print("ready", flush=True)
mac, requests = b"\\x02\\x0b\\x0b\\x0b\\x0b\\x0b", 0
while requests < 2:
    frame = s.recv(256)
    if frame[38:42] != socket.inet_aton("10.9.200.1"):
        continue
    requests += 1
    answer = "10.9.200.1" if requests == 2 else "10.9.200.2"
    head = frame[6:12] + mac + frame[12:20] + b"\\0\\2"
    s.send(head + mac + socket.inet_aton(answer) + frame[22:32])
"""
    with Peer("near") as peer:
        furnish(peer)
        command = [*peer.prefix, sys.executable, "-c", code]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        asked = rows_of([ip_address("10.9.200.1")])
        with Resolver(path_to("10.9.200.1"), 4, wait_s=0.2) as resolver:
            found = [
                [str(ip_address(row.tobytes())), mac.tobytes().hex()]
                for answers in resolver.stream([asked])
                for row, mac in zip(answers.addresses, answers.macs, strict=True)
            ]
            sent = resolver.requests_sent
        process.wait(10)
        return {"found": found, "sent": sent}


@netns
def test_answers_to_other_questions_are_not_believed() -> None:
    assert call(liars) == {"found": [["10.9.200.1", "020b0b0b0b0b"]], "sent": 2}


def broken_links() -> list[str]:
    found = []
    with Peer("near") as peer:
        furnish(peer)
        path = path_to("10.9.16.1")
        setting("ipv6/conf/near/disable_ipv6", "1")
        with pytest.raises(LinkError) as no_source:
            Resolver(path, 6)
        found.append(str(no_source.value))
        with Resolver(path, 4) as resolver:
            ip("link set near down")
            with pytest.raises(LinkError) as down:
                list(resolver.stream([rows_of([ip_address("10.9.16.1")])]))
        found.append(str(down.value))
    with pytest.raises(LinkError) as gone:
        Resolver(path, 4)
    return [*found, str(gone.value)]


@netns
def test_links_that_cannot_be_used() -> None:
    no_source, down, gone = call(broken_links)
    assert no_source == "near has no IPv6 address to ask neighbours from"
    assert "Network is down" in down
    assert "near" in gone
    assert "No such device" in gone


def test_no_ethernet_no_neighbours() -> None:
    loopback = Path("lo", 1, LinkKind.LOOPBACK, None, 65536, ip_address("127.0.0.1"), None)
    with pytest.raises(LinkError, match="lo has no neighbours"):
        Resolver(loopback, 4)
    assert resolve([], loopback) == {}


def unprivileged() -> str:
    with Peer("near") as peer:
        furnish(peer)
        path = path_to("10.9.16.1")
        os.setresuid(65534, 65534, 65534)
        with pytest.raises(PrivilegeError) as refused:
            Resolver(path, 4)
        os._exit(0 if "raw sockets need" in str(refused.value) else 1)


@netns
@pytest.mark.skipif(not may_make_namespaces(), reason="only root can give its rights away")
def test_without_the_privilege() -> None:
    with pytest.raises(json.JSONDecodeError):  # left at once, with 0
        call(unprivileged)
