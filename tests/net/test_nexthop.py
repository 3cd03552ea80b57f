"""Paths against `ip route get`, in namespaces whose routes are of every kind."""

from __future__ import annotations

import json
import socket
import subprocess
from collections import Counter
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from rawscan.errors import LinkError
from rawscan.model import IPAddress
from rawscan.net.neighbours import rows_of
from rawscan.net.netlink import Interface, Route
from rawscan.net.nexthop import LinkKind, PathFinder, _cut, _kind
from rawscan.net.nexthop import Path as Way
from tests.net.apart import run
from tests.net.cable import Peer, call, ip, setting
from tests.net.routings import SETUPS, TWO_CARDS, route_get, some_targets

netns = pytest.mark.netns


def flat(way: Way | LinkError) -> list[Any] | None:
    if isinstance(way, LinkError):
        return None
    gateway = None if way.gateway is None else str(way.gateway)
    special = way.broadcast or way.kind is LinkKind.LOOPBACK
    return [way.interface, gateway, str(way.source), special]


def one_by_one(finder: PathFinder, targets: list[IPAddress]) -> dict[str, list[Any] | None]:
    found = {}
    for target in targets:
        try:
            found[str(target)] = flat(finder.path_for(target))
        except LinkError as error:
            found[str(target)] = None if str(target) in str(error) else [str(error)]
    return found


def in_batches(finder: PathFinder, targets: list[IPAddress]) -> dict[str, list[Any] | None]:
    found = {}
    for version in (4, 6):
        mine = [target for target in targets if target.version == version]
        for half in (mine[::2], mine[1::2]):
            for target, number in zip(half, finder.paths_for(rows_of(half)), strict=True):
                found[str(target)] = flat(finder.answers[number])
    return found


def compare(name: str) -> dict[str, Any]:
    lines, flow = SETUPS[name]
    with Peer("east") as east, Peer("west") as west:
        for peer in (east, west):
            peer.ip("addr add 192.0.2.1/32 dev lo")
        setting("ipv4/nexthop_compat_mode", "0")  # next hop groups are not shown as their members
        ip("link set lo up", *TWO_CARDS, *lines)
        targets = some_targets(561)
        if flow:  # these set-ups are IPv4's
            targets = [target for target in targets if "." in target]
        reference = route_get(targets, flow)
        asked = {**flow}
        if "source" in asked:
            asked["source"] = ip_address(asked["source"])
        addresses = [ip_address(target) for target in targets]
        differences: dict[str, Any] = {}
        for way in (one_by_one, in_batches):
            with PathFinder(**asked) as finder:
                found = way(finder, addresses)
            differences[way.__name__] = {
                target: [reference[target], found[target]]
                for target in targets
                if reference[target] != found[target]
            }
        kinds = Counter(str(answer) for answer in reference.values())
        return {"differences": differences, "targets": len(reference), "answers": len(kinds)}


@netns
@pytest.mark.parametrize("name", SETUPS)
def test_paths_are_those_of_ip_route_get(name: str) -> None:
    found = call(compare, name)
    assert found["differences"] == {"one_by_one": {}, "in_batches": {}}
    assert found["targets"] > 350
    assert found["answers"] >= (3 if "without" in name else 5)  # or the set-up tells nothing apart


def details() -> dict[str, Any]:
    with Peer("east"), Peer("west"), Peer("quiet"):
        ip("link set lo up", *TWO_CARDS, *SETUPS["prefixes in prefixes"][0])
        ip("addr add 10.77.0.1/24 dev quiet", "link set quiet arp off")
        ip("link set west mtu 1400")
        found: dict[str, Any] = {}
        with PathFinder() as finder:
            targets = ("10.1.0.9", "10.3.7.1", "10.2.0.9", "10.6.1.1", "10.77.0.9", "127.1.2.3")
            for target in targets:
                way = finder.path_for(ip_address(target))
                mac = None if way.mac is None else way.mac.hex(":")
                found[target] = [way.kind.value, way.mtu, mac, socket.if_indextoname(way.index)]
            way = finder.path_for(ip_address("10.1.0.255"))
            found["broadcast"] = [
                way.broadcast,
                (way.fixed_mac(ip_address("10.1.0.255")) or b"").hex(),
            ]
            found["errors"] = [
                error_of(finder, target)
                for target in ("10.4.0.1", "10.4.4.1", "10.4.5.1", "2001:db8:4::1", "fe80::1")
            ]
            scoped = finder.path_for(ip_address("fe80::1%west"))
            found["scoped"] = [scoped.interface, scoped.source.is_link_local]
        shown = subprocess.run(["ip", "-json", "link"], capture_output=True, check=True).stdout
        found["link"] = {link["ifname"]: link.get("address") for link in json.loads(shown)}
        return found


def error_of(finder: PathFinder, target: str) -> str:
    with pytest.raises(LinkError) as caught:
        finder.path_for(ip_address(target))
    return str(caught.value)


@netns
def test_what_else_a_path_says() -> None:
    found = call(details)
    east, west = found["link"]["east"], found["link"]["west"]
    assert found["10.1.0.9"] == ["ethernet", 1500, east, "east"]
    assert found["10.3.7.1"] == ["ethernet", 1300, east, "east"]  # the route's own
    assert found["10.2.0.9"] == ["ethernet", 1400, west, "west"]
    assert found["10.6.1.1"] == ["loopback", 65536, None, "lo"]
    assert found["127.1.2.3"] == ["loopback", 65536, None, "lo"]
    assert found["10.77.0.9"] == ["other", 1500, None, "quiet"]  # it has MAC addresses, but no ARP
    assert found["broadcast"] == [True, "ff" * 6]
    assert found["scoped"] == ["west", True]
    assert [text.partition(": ")[2] for text in found["errors"]] == [
        "the routes say that it is unreachable",
        "the routes prohibit it",
        "the routes discard it (blackhole)",
        "the routes say that it is unreachable",
        "say on which interface this link-local address is",
    ]


def tunnel() -> list[Any]:
    ip("tuntap add dev tun0 mode tun", "addr add 10.8.0.1/24 dev tun0", "link set tun0 up")
    ip("route add default dev tun0")
    with PathFinder() as finder:
        way = finder.path_for(ip_address("192.0.2.1"))
        return [way.interface, way.kind.value, way.mac, way.gateway, str(way.source)]


@netns
@pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="no /dev/net/tun")
def test_a_tunnel_has_no_addresses_below_ip() -> None:
    assert call(tunnel) == ["tun0", "other", None, None, "10.8.0.1"]


@pytest.mark.parametrize(
    ("arphrd", "flags", "encapsulated", "kind"),
    [
        (1, 0x1003, False, LinkKind.ETHERNET),
        (1, 0x1003, True, LinkKind.OTHER),  # only the kernel can wrap the packet
        (1, 0x1083, False, LinkKind.OTHER),  # IFF_NOARP
        (1, 0x1013, False, LinkKind.OTHER),  # IFF_POINTOPOINT
        (512, 0x1003, False, LinkKind.OTHER),  # ARPHRD_PPP
        (772, 0x0009, False, LinkKind.LOOPBACK),
    ],
)
def test_kinds_of_link(arphrd: int, flags: int, encapsulated: bool, kind: LinkKind) -> None:
    route = Route(1, 2, ip_address("10.0.0.1"), None, encapsulated, None)
    assert _kind(route, Interface(2, "e", arphrd, flags, bytes(6), 1500)) is kind


def no_address() -> list[str]:
    with Peer("east"):
        setting("ipv6/conf/east/disable_ipv6", "1")
        ip("route add 192.0.2.0/24 dev east")
        with PathFinder() as finder:
            return [error_of(finder, "192.0.2.1"), error_of(finder, "2001:db8::1")]


@netns
def test_an_interface_without_an_address_cannot_send() -> None:
    first, second = call(no_address)
    assert first == "no way to 192.0.2.1: east has no IPv4 address to send from"
    assert second == "no way to 2001:db8::1: there is no route"


def questions() -> dict[str, Any]:
    """How many of 100,000 targets of a /8 the kernel is asked about, and what changes do."""
    import numpy as np

    with Peer("east"), Peer("west"):
        ip("link set lo up", *TWO_CARDS, *SETUPS["prefixes in prefixes"][0])
        with PathFinder() as finder:
            asked = []
            real = finder._kernel.route
            finder._kernel.route = lambda *a: asked.append(a) or real(*a)  # type: ignore
            rng = np.random.default_rng(561)
            rows = rng.integers(0, 256, (100_000, 4), np.uint8)
            rows[:, 0] = 10
            rows = rows[rows[:, 1] != 6]  # local addresses: each is its own source
            finder.paths_for(rows)
            first = len(asked)
            finder.paths_for(rows)
            for row in rows[:500]:
                if row[1] != 4:  # no way there
                    finder.path_for(ip_address(row.tobytes()))
            again = len(asked) - first
            before = flat(finder.path_for(ip_address("10.200.0.1")))
            ip("route add 10.200.0.0/16 via 10.1.0.200")
            still = flat(finder.path_for(ip_address("10.200.0.1")))
            finder.refresh()
            after = flat(finder.path_for(ip_address("10.200.0.1")))
        return {"first": first, "again": again, "ways": [before, still, after]}


@netns
def test_the_kernel_is_asked_once_for_an_interval() -> None:
    found = call(questions)
    assert 10 < found["first"] < 60
    assert found["again"] == 0
    before, still, after = found["ways"]
    assert before == still == ["west", "10.2.0.254", "10.5.5.5", False]
    assert after == ["east", "10.1.0.200", "10.1.0.1", False]


def test_intervals_end_where_prefixes_do() -> None:
    # 0/0, 64/2 and in it 80/4, on 8 bits; a prefix at the very end leaves nothing behind it.
    assert _cut(8, [(0, 0), (64, 2), (80, 4), (255, 8)]) == [0, 64, 80, 96, 128, 255]


@pytest.mark.parametrize(
    ("target", "mac"),
    [
        ("224.0.0.251", "01005e0000fb"),
        ("239.255.1.2", "01005e7f0102"),  # 23 bits remain (RFC 1112, section 6.4)
        ("ff02::1:ff00:1", "3333ff000001"),
        ("10.0.0.1", None),
    ],
)
def test_multicast_needs_no_question(target: str, mac: str | None) -> None:
    way = Way("e", 2, LinkKind.ETHERNET, bytes(6), 1500, ip_address("10.0.0.2"), None)
    fixed = way.fixed_mac(ip_address(target))
    assert (None if fixed is None else fixed.hex()) == mac


def test_the_neighbour_is_the_gateway_if_there_is_one() -> None:
    source, gateway, target = map(ip_address, ("10.0.0.2", "10.0.0.254", "192.0.2.1"))
    assert (
        Way("e", 2, LinkKind.ETHERNET, bytes(6), 1500, source, gateway).neighbour(target) == gateway
    )
    assert Way("e", 2, LinkKind.ETHERNET, bytes(6), 1500, source, None).neighbour(target) == target


def test_an_interface_that_is_not_there_is_an_error() -> None:
    with pytest.raises(LinkError, match="nowhere0"):
        PathFinder(interface="nowhere0")
    with PathFinder() as finder, pytest.raises(LinkError, match="nowhere0"):
        finder.path_for(ip_address("fe80::1%nowhere0"))


def test_a_source_of_another_version_is_an_error() -> None:
    with PathFinder(source=ip_address("127.0.0.1")) as finder:
        with pytest.raises(LinkError, match="another IP version"):
            finder.path_for(ip_address("::1"))
        assert finder.path_for(ip_address("127.0.0.1")).kind is LinkKind.LOOPBACK


@netns
def test_ways_of_spans_are_counted_by_intervals_and_no_further_than_told() -> None:
    found = run("""
from rawscan.net.nexthop import PathFinder
device()
subprocess.run("ip route add 10.9.1.0/24 via 10.9.0.9".split(), check=True)
low = int(ip_address("10.9.0.2"))
def told(spans, **options):
    with PathFinder() as finder:
        counts = finder.ways(spans, 4, **options)
        return [[str(getattr(finder.answers[n], "gateway", "-")), counts[n]] for n in counts]
print(json.dumps([
    told([(low, low + 510)]),
    told([(low, low), (low + 5, low + 6), (low + 300, low + 300)]),
    told([(low, low + 510)], most=1),
    told([(2**32 - 2, 2**32 - 1)]),
    told([])]))
""")
    # 10.9.0.2 to .254, the broadcast, 10.9.1.0 to .255 by the gateway, 10.9.2.0 by no way.
    assert found[0] == [["None", 253], ["None", 1], ["10.9.0.9", 256], ["-", 1]]
    assert found[1] == [["None", 3], ["10.9.0.9", 1]]
    assert found[2] == [["None", 253]]
    assert sum(count for _, count in found[3]) == 2
    assert found[4] == []
