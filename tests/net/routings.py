"""Routing set-ups of every kind, targets that tell them apart, and what `ip route get` says."""

from __future__ import annotations

import json
import random
import subprocess
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

TWO_CARDS = [
    "addr add 10.1.0.1/24 brd + dev east",
    "addr add 10.1.0.7/24 dev east",
    "addr add 10.2.0.1/20 brd + dev west",
    "addr add 10.5.5.5/32 dev lo",
    "addr add fd01::1/64 dev east nodad",
    "addr add fd01:0:0:1::1/48 dev east nodad",
    "addr add fd02::1/64 dev west nodad",
    "addr add 2001:db8:2::1/64 dev west nodad",
]

SETUPS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "prefixes in prefixes": (
        [
            "route add default via 10.1.0.254",
            "route add 10.0.0.0/8 via 10.2.0.254 src 10.5.5.5",
            "route add 10.3.0.0/16 dev west src 10.2.0.1",
            "route add 10.3.7.0/24 via 10.1.0.253 src 10.1.0.7 mtu 1300",
            "route add unreachable 10.4.0.0/16",
            "route add prohibit 10.4.4.0/24",
            "route add blackhole 10.4.5.0/24",
            "route add throw 10.4.6.0/24",
            "route add 10.4.4.4/32 via 10.1.0.252",
            "route add local 10.6.0.0/20 dev lo",
            "route add 10.7.0.0/16 via inet6 fd01::fe dev east",
            "-6 route add default via fd01::fe",
            "-6 route add 2001:db8::/32 via fd02::fe",
            "-6 route add 2001:db8:2:7::/64 dev east src fd01:0:0:1::1",
            "-6 route add unreachable 2001:db8:4::/48",
            "-6 route add prohibit 2001:db8:5::/48",
            "-6 route add blackhole 2001:db8:6::/48",
            "-6 route add fd00::/8 dev west",
            "-6 route add fd01:0:0:2::/63 dev west",
        ],
        {},
    ),
    "no default": (["route add 10.3.0.0/16 via 10.1.0.254"], {}),
    "several ways": (
        [
            "route add 10.0.0.0/8 nexthop via 10.1.0.254 nexthop via 10.2.0.254",
            "route add 10.3.0.0/16 via 10.1.0.253",
            "nexthop add id 1 via 10.1.0.250 dev east",
            "nexthop add id 2 via 10.2.0.250 dev west",
            "nexthop add id 3 group 1/2",
            "route add 10.4.0.0/16 nhid 3",
            "-6 route add 2001:db8::/32 nexthop via fd01::fe nexthop via fd02::fe",
        ],
        {},
    ),
    "rules by target": (
        [
            "route add default via 10.1.0.254",
            "-6 route add default via fd01::fe",
            "route add default via 10.2.0.254 table 7",
            "-6 route add default via fd02::fe table 7",
            "route add 10.3.3.0/24 via 10.2.0.253 table 8",
            "rule add to 10.3.0.0/16 lookup 8",
            "rule add to 10.4.0.0/16 lookup 7",
            "rule add to 10.4.4.0/24 prohibit",
            "rule add not to 10.0.0.0/8 lookup 7",
            "-6 rule add to 2001:db8::/33 lookup 7",
            # As for fc00::/7: sources from there come first (RFC 6724, section 5, rule 6).
            "-6 addrlabel add prefix 2001:db8:3000::/36 label 5",
        ],
        {},
    ),
    "suppressed": (
        [
            "route add default via 10.1.0.254",
            "route add 10.4.0.0/15 via 10.1.0.253",
            "route add default via 10.2.0.254 table 7",
            "rule add priority 100 lookup main suppress_prefixlength 0",
            "rule add priority 200 lookup 7",
        ],
        {},
    ),
}
FLOWS = [
    "route add default via 10.1.0.254",
    "route add default via 10.2.0.254 table 7",
    "route add 10.4.0.0/16 via 10.2.0.253 table 7",
    "rule add from 10.2.0.1 lookup 7",
    "rule add fwmark 0x2a lookup 7",
    "rule add oif west lookup 7",
    "rule add ipproto 6 dport 561 lookup 7",
]
SETUPS["from"] = (FLOWS, {"source": "10.2.0.1"})
SETUPS["mark"] = (FLOWS, {"mark": 42})
SETUPS["port"] = (FLOWS, {"protocol": 6, "sport": 40000, "dport": 561})
SETUPS["another port"] = (FLOWS, {"protocol": 6, "sport": 40000, "dport": 80})
SETUPS["interface"] = (FLOWS, {"interface": "west"})
SETUPS["interface without a route"] = ([], {"interface": "west"})

NETWORKS_4 = [
    *("10.1.0.0/24", "10.2.0.0/20", "10.3.0.0/16", "10.3.3.0/24", "10.3.7.0/24", "10.4.0.0/16"),
    *("10.4.4.0/24", "10.4.5.0/24", "10.4.6.0/24", "10.6.0.0/19", "10.7.0.0/16", "10.0.0.0/8"),
    *("127.0.0.0/8", "224.0.0.0/24", "240.0.0.0/4", "0.0.0.0/8", "0.0.0.0/0"),
]
NETWORKS_6 = [
    *("fd01::/64", "fd01::/48", "fd01::/62", "fd01:0:0:2::/63", "fd02::/60", "fd00::/8", "::/0"),
    *("2001:db8::/32", "2001:db8:2::/60", "2001:db8:4::/46", "2001:db8:6::/48", "2002::/16"),
    "2001:db8:2000::/35",
]
EDGES = [
    *("10.1.0.1", "10.1.0.7", "10.1.0.255", "10.1.0.0", "10.2.15.255", "10.4.4.3", "10.4.4.4"),
    *("10.4.4.5", "10.5.5.5", "127.0.0.1", "255.255.255.255", "224.0.0.1", "::1", "fd01::1"),
    *("fd02::1", "ff01::1", "ff02::1", "ff05::2", "ff0e::1"),
]


def some_targets(seed: int) -> list[str]:
    """Addresses from every network, and both ends of each."""
    rng = random.Random(seed)
    found = list(EDGES)
    for text in NETWORKS_4 + NETWORKS_6:
        network: IPv4Network | IPv6Network = ip_network(text)
        first, size = int(network.network_address), network.num_addresses
        numbers = [0, size - 1] + [rng.randrange(size) for _ in range(22)]
        found += [str(type(network.network_address)(first + number)) for number in numbers]
    return found


def route_get(targets: list[str], flow: dict[str, Any]) -> dict[str, list[Any] | None]:
    """What `ip route get` says: interface, gateway, source, whether it is local or broadcast."""
    words = {"source": "from", "interface": "oif", "protocol": "ipproto"}
    extra = " ".join(f"{words.get(key, key)} {value}" for key, value in flow.items())
    batch = "\n".join(f"route get {target} {extra}" for target in targets)
    done = subprocess.run(
        ["ip", "-json", "-force", "-batch", "-"],
        input=batch,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    found: dict[str, list[Any] | None] = dict.fromkeys(targets)
    decoder, text = json.JSONDecoder(), done.stdout.strip()
    while text:
        (route,), end = decoder.raw_decode(text)
        text = text[end:].lstrip()
        gateway = route.get("gateway") or route.get("via", {}).get("host")
        source = flow.get("source") or route.get("prefsrc")
        kind = route.get("type", "unicast")
        if source is not None:
            found[route["dst"]] = [route["dev"], gateway, source, kind in ("local", "broadcast")]
    return found
