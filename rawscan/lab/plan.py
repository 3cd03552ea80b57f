"""The plan of the lab: `BASIC`, every answer that port 561 can get, as data. Touches nothing.

Tests, demo and lessons read this one plan; its words are in `records`, and can be had from here.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from rawscan.lab.records import (
    DROP,
    REJECT_REASONS,
    RESET,
    Action,
    Answer,
    Behaviour,
    Expected,
    Family,
    Filter,
    Host,
    Network,
    Plan,
    Presence,
    Responder,
    Verb,
)
from rawscan.model import Protocol, State

__all__ = [
    "BASIC",
    "LOSS_PERCENT",
    "REJECT_REASONS",
    "Action",
    "Behaviour",
    "Expected",
    "Family",
    "Filter",
    "Host",
    "Network",
    "Plan",
    "Presence",
    "Responder",
    "Verb",
]

LOSS_PERCENT = 10
"""Lost on the path to and from `lossy`, each way, independently."""

_REJECTS = (
    ("net-unreachable", "no-route", "A firewall may claim that there is no way to the network."),
    ("host-unreachable", "addr-unreachable", "A live firewall may claim that the host is absent."),
    ("prot-unreachable", "reject-route", "Protocol unreachable says nothing honest of the port."),
    (
        "port-unreachable",
        "port-unreachable",
        "Port unreachable means closed for UDP; TCP would have sent RST, so there a filter spoke.",
    ),
    ("net-prohibited", "policy-fail", "The firewall admits that the whole network is forbidden."),
    ("host-prohibited", "admin-prohibited", "The firewall admits that this host is forbidden."),
    ("admin-prohibited", "admin-prohibited", "The plainest way to say: a filter stopped you."),
)
"""nftables' IPv4 code (also the host's name), its IPv6 code, and the note."""

_OPEN_TCP: Answer = (State.OPEN, "syn-ack", "target")
_OPEN_UDP: Answer = (State.OPEN, "udp-response", "target")
_CLOSED_TCP: Answer = (State.CLOSED, "reset", "target")
_CLOSED_UDP: Answer = (State.CLOSED, "port-unreach", "target")
_SILENT_TCP: Answer = (State.FILTERED, "no-response", None)
_SILENT_UDP: Answer = (State.OPEN_FILTERED, "no-response", None)
_NO_NEIGHBOUR: Answer = (State.UNKNOWN, "no-arp-response", "scanner")
_FRAG_NEEDED = Action(Verb.ICMP, "frag-needed")


def _filtered(reason: str, responder: Responder) -> Answer:
    return State.FILTERED, reason, responder


def _expect(family: Family, tcp: Answer, udp: Answer) -> tuple[Expected, ...]:
    return Expected(family, Protocol.TCP, *tcp), Expected(family, Protocol.UDP, *udp)


def _both(tcp: Answer, udp: Answer) -> tuple[Expected, ...]:
    """The same answers over IPv4 and IPv6."""
    return _expect(4, tcp, udp) + _expect(6, tcp, udp)


def _uniform(tcp: Action, udp: Action) -> Filter:
    return Filter(tcp, udp, tcp, udp)


def _icmp(code4: str, code6: str) -> Filter:
    v4, v6 = Action(Verb.ICMP, code4), Action(Verb.ICMP, code6)
    return Filter(v4, v4, v6, v6)


def host_of(
    number: int, name: str, behaviour: Behaviour, note: str, expected: tuple[Expected, ...]
) -> Host:
    """A host of the lab: its addresses follow from its number, 1 to 254 but for the router's."""
    plan = Plan(())
    dead_here = behaviour.presence is Presence.ABSENT_FROM_SCANNER_LINK
    network = plan.scanner_link if dead_here else plan.lan
    v4, v6 = network.address(4, number), network.address(6, number)
    assert isinstance(v4, IPv4Address)
    assert isinstance(v6, IPv6Address)
    return Host(name, v4, v6, behaviour, note, expected)


def _reject_host(number: int, code4: str, code6: str, note: str) -> Host:
    """A host that rejects with these codes: filtered, but for a UDP port's own unreachable."""
    expected: tuple[Expected, ...] = ()
    families: tuple[tuple[Family, str], ...] = ((4, code4), (6, code6))
    for family, code in families:
        filtered = _filtered(REJECT_REASONS[family][code], "target")
        udp = _CLOSED_UDP if code == "port-unreachable" else filtered
        expected += _expect(family, filtered, udp)
    return host_of(number, code4, Behaviour(firewall=_icmp(code4, code6)), note, expected)


_PLAIN_HOSTS = (
    host_of(
        10,
        "open",
        Behaviour(listens=True),
        "A program listens, so the kernel answers SYN with SYN+ACK and the program answers UDP.",
        _both(_OPEN_TCP, _OPEN_UDP),
    ),
    host_of(
        11,
        "closed",
        Behaviour(),
        "Nobody listens, and the kernel says so itself: RST for TCP, port unreachable for UDP.",
        _both(_CLOSED_TCP, _CLOSED_UDP),
    ),
    host_of(
        12,
        "drop",
        Behaviour(firewall=_uniform(DROP, DROP)),
        "A firewall throws the probe away without a word: silence.",
        _both(_SILENT_TCP, _SILENT_UDP),
    ),
    host_of(
        13,
        "reset",
        Behaviour(firewall=_uniform(RESET, DROP)),
        "A firewall forges the RST of a closed port: no scan can tell the two apart.",
        _both(_CLOSED_TCP, _SILENT_UDP),
    ),
)

_SPECIAL_HOSTS = (
    host_of(
        28,
        "frag-needed",
        Behaviour(firewall=Filter(_FRAG_NEEDED, _FRAG_NEEDED, DROP, DROP)),
        "Fragmentation needed speaks of size, not of ports: it counts as silence.",
        _both(_SILENT_TCP, _SILENT_UDP),
    ),
    host_of(
        9,
        "dead-onlink",
        Behaviour(presence=Presence.ABSENT_FROM_SCANNER_LINK),
        "Nobody answers ARP, so no probe ever left: the scanner's own kernel says unreachable.",
        _both(_NO_NEIGHBOUR, _NO_NEIGHBOUR),
    ),
    host_of(
        30,
        "dead-routed",
        Behaviour(presence=Presence.ABSENT_FROM_LAN),
        "The last router finds nobody at this address, and says so after three seconds.",
        _both(_filtered("host-unreach", "router"), _filtered("host-unreach", "router")),
    ),
    host_of(
        31,
        "router-prohibited",
        Behaviour(router_firewall=_icmp("admin-prohibited", "admin-prohibited")),
        "The router forbids it in the host's place; look at the answer's source address.",
        _both(_filtered("admin-prohibited", "router"), _filtered("admin-prohibited", "router")),
    ),
    host_of(
        32,
        "router-port-unreach",
        Behaviour(router_firewall=_icmp("port-unreachable", "port-unreachable")),
        "A router cannot know the host's ports: port unreachable from it is a filter, not closed.",
        _both(_filtered("port-unreach", "router"), _filtered("port-unreach", "router")),
    ),
    host_of(
        33,
        "router-reset",
        Behaviour(router_firewall=_uniform(RESET, DROP)),
        "The router forges a RST with the host's address on it: it looks closed.",
        _both(_CLOSED_TCP, _SILENT_UDP),
    ),
    host_of(
        34,
        "expired",
        Behaviour(expires_at_router=True),
        "The probe runs out of hops at the router, which says so; the host never saw it.",
        _both(_filtered("time-exceeded", "router"), _filtered("time-exceeded", "router")),
    ),
    host_of(
        35,
        "lossy",
        Behaviour(loss_percent=LOSS_PERCENT),
        "A closed host on a path that loses packets: one silence proves nothing, so ask again.",
        _both(_CLOSED_TCP, _CLOSED_UDP),
    ),
    host_of(
        36,
        "rate-limited",
        Behaviour(default_icmp_limit=True),
        "A closed host as Linux ships: a burst of ICMP errors, then one a second to each peer.",
        _both(_CLOSED_TCP, _CLOSED_UDP),
    ),
)

BASIC = Plan(
    _PLAIN_HOSTS
    + tuple(_reject_host(20 + index, *reject) for index, reject in enumerate(_REJECTS))
    + _SPECIAL_HOSTS
)
"""Twenty hosts, IPv4 and IPv6, TCP and UDP: eighty expected verdicts."""
