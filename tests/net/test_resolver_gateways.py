"""Whose MAC address is taken for a gateway, and which address asks for it."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from rawscan.errors import LinkError, NeighbourError
from rawscan.lab.build import Lab
from rawscan.lab.records import Family, Presence
from rawscan.net.resolver import gateway_mac, source_on
from tests.net.cable import Peer, call, ip
from tests.net.test_resolver import furnish, path_to

netns = pytest.mark.netns


def gateways() -> dict[str, Any]:
    with Peer("near") as peer:
        mac = furnish(peer, six=1)
        ip(
            "route add 192.0.2.0/24 via 10.9.0.254",
            "route add 198.51.100.0/24 via inet6 fd09::1:0 dev near",
            "route add 203.0.113.0/24 via 10.9.0.77",
            "-6 route add 2001:db8::/32 via fd09::1:0",
            "-6 addr add fd77::1/128 dev lo nodad",
            "-6 route add fd88::/64 dev near src fd77::1",
        )
        macs = {
            target: gateway_mac(path_to(target)).hex(":")
            for target in ("192.0.2.1", "198.51.100.1", "2001:db8::1")
        }
        with pytest.raises(NeighbourError) as nobody:
            gateway_mac(path_to("203.0.113.1"))
        with pytest.raises(LinkError) as on_link:
            gateway_mac(path_to("10.9.16.1"))
        ip("neigh replace 10.9.0.254 lladdr 02:00:00:00:00:77 dev near nud permanent")
        other = path_to("fd88::1")
        return {
            "mac": mac,
            "macs": macs,
            "errors": [str(nobody.value), str(on_link.value)],
            "known": gateway_mac(path_to("192.0.2.1")).hex(":"),
            "sources": [
                str(source_on(path_to("10.9.16.1"), 4)),
                str(source_on(path_to("2001:db8::1"), 6)),
                source_on(other, 6).is_link_local and str(other.source) == "fd77::1",
            ],
        }


@netns
def test_gateways() -> None:
    found = call(gateways)
    assert set(found["macs"].values()) == {found["mac"]}
    assert found["known"] == "02:00:00:00:00:77"
    assert found["errors"] == [
        "the gateway 10.9.0.77 on near does not answer",
        "the way through near has no gateway",
    ]
    assert found["sources"] == ["10.9.0.1", "fd09::1", True]


IN_THE_LAB = """
import json, sys
from ipaddress import ip_address
from rawscan.net.nexthop import PathFinder
from rawscan.net.resolver import gateway_mac, resolve

def mac_for(path, target):
    mac = gateway_mac(path) if path.gateway else resolve([target], path, wait_s=0.2)[target]
    return mac and mac.hex(":")

found = []
with PathFinder() as finder:
    for target in map(ip_address, sys.argv[1:]):
        path = finder.path_for(target)
        found.append([path.interface, str(path.gateway), str(path.source), mac_for(path, target)])
print(json.dumps(found))
"""


@netns
def test_the_lab_is_behind_its_router(lab: Lab) -> None:
    targets = lab.plan.targets()
    command = [sys.executable, "-c", IN_THE_LAB, *map(str, targets)]
    done = lab.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    shown = lab.run(["ip", "-json", "link", "show", "uplink"], "router", capture_output=True)
    mac = json.loads(shown.stdout)[0]["address"]
    wanted = []
    for target in targets:
        family: Family = target.version
        # One of its hosts is missing from the scanner's own link, the others are behind the router.
        near = lab.plan.host(target).behaviour.presence is Presence.ABSENT_FROM_SCANNER_LINK
        way = ["None", None] if near else [str(lab.plan.router(family)), mac]
        wanted.append(["eth0", way[0], str(lab.plan.scanner(family)), way[1]])
    assert json.loads(done.stdout) == wanted
    assert {line[3] for line in wanted} == {None, mac}
