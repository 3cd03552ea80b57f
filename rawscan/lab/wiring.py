"""The plan's links, addresses, routes and kernel settings. Pure text; touches nothing.

The scanner and every host see one interface, `eth0`; the router has `uplink` towards the scanner
and the bridge `lan`, with one port for each host.
"""

from __future__ import annotations

from collections.abc import Callable

from rawscan.lab.records import FAMILIES, Host, Network, Plan

BRIDGE = "lan"
SCANNER_NUMBER = 2


def router_batch(plan: Plan, namespace_path: Callable[[str], str]) -> str:
    """`ip -batch` lines for the router: its addresses, and a cable into every other namespace."""
    lines = [
        "link set lo up",
        f"link add {BRIDGE} type bridge forward_delay 0 stp_state 0 mcast_snooping 0",
        f"link add uplink type veth peer name eth0 netns {namespace_path('scanner')}",
        f"link set {BRIDGE} up",
        "link set uplink up",
        *_addresses(BRIDGE, plan.lan, 1),
        *_addresses("uplink", plan.scanner_link, 1),
    ]
    for host in plan.hosts:
        if host.has_namespace:
            port = port_name(host)
            peer = namespace_path(host.name)
            lines.append(f"link add {port} type veth peer name eth0 netns {peer}")
            lines.append(f"link set {port} master {BRIDGE} up")
    return _text(lines)


def port_name(host: Host) -> str:
    """The router's interface towards a host, after the last number of its IPv4 address."""
    return f"host{int(host.v4) & 0xFF}"


def scanner_batch(plan: Plan) -> str:
    """`ip -batch` lines for the scanner."""
    return _leaf(plan.scanner_link, _addresses("eth0", plan.scanner_link, SCANNER_NUMBER))


def host_batch(plan: Plan, host: Host) -> str:
    """`ip -batch` lines for a host on the LAN."""
    length4, length6 = plan.lan.v4.prefixlen, plan.lan.v6.prefixlen
    return _leaf(
        plan.lan,
        [
            f"addr add {host.v4}/{length4} dev eth0",
            f"addr add {host.v6}/{length6} dev eth0 nodad",
        ],
    )


def settings(plan: Plan, name: str) -> dict[str, str]:
    """Kernel settings of one namespace (paths under /proc/sys/net).

    Duplicate address detection is off, so that IPv6 addresses work at once. ICMP error limits are
    off by limit and by mask: the mask also lifts the limit for the whole machine that kernels
    before 6.13 share between namespaces.
    """
    found = {f"ipv4/conf/{scope}/rp_filter": "0" for scope in ("all", "default")}
    for scope in ("all", "default"):
        found[f"ipv6/conf/{scope}/disable_ipv6"] = "0"
        found[f"ipv6/conf/{scope}/accept_dad"] = "0"
        found[f"ipv6/conf/{scope}/accept_ra"] = "0"
    limited = {host.name for host in plan.hosts if host.behaviour.default_icmp_limit}
    if name not in limited:
        found["ipv4/icmp_ratelimit"] = "0"
        found["ipv4/icmp_ratemask"] = "0"
        found["ipv4/icmp_msgs_per_sec"] = "1000000"
        found["ipv6/icmp/ratelimit"] = "0"
        found["ipv6/icmp/ratemask"] = ""
    if name == "router":
        found["ipv4/ip_forward"] = "1"
        found["ipv6/conf/all/forwarding"] = "1"
    return found


OPTIONAL_SETTINGS = frozenset({"ipv4/icmp_msgs_per_sec", "ipv6/icmp/ratemask"})
"""Settings that older kernels do not have for each namespace."""


def _leaf(network: Network, addresses: list[str]) -> str:
    """A machine with one cable, whose way to everywhere is the router."""
    routers = [network.address(family, 1) for family in FAMILIES]
    routes = [f"route add default via {router} dev eth0" for router in routers]
    return _text(["link set lo up", "link set eth0 up", *addresses, *routes])


def _addresses(interface: str, network: Network, number: int) -> list[str]:
    return [
        f"addr add {network.address(4, number)}/{network.v4.prefixlen} dev {interface}",
        f"addr add {network.address(6, number)}/{network.v6.prefixlen} dev {interface} nodad",
    ]


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
