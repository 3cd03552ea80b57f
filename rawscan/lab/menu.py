"""The menu of labs: each a plan, by name, with what it is good for. Touches nothing."""

from __future__ import annotations

from dataclasses import dataclass

from rawscan.lab.plan import BASIC, host_of
from rawscan.lab.records import (
    ACCEPT,
    DROP,
    DROP_SYN,
    FAMILIES,
    SYN_PROXY,
    Answer,
    Behaviour,
    Expected,
    Filter,
    Host,
    Plan,
)
from rawscan.model import Protocol, State


@dataclass(frozen=True, slots=True)
class Topology:
    """A lab that can be had by name.

    Its recording is of a scan of `ports`, and with `ack` of one that sent ACK probes as well.
    """

    name: str
    about: str
    plan: Plan
    ack: bool = False
    ports: str = "561"


def _expect(tcp: Answer, udp: Answer) -> tuple[Expected, ...]:
    return tuple(
        Expected(family, protocol, *answer)
        for family in FAMILIES
        for protocol, answer in ((Protocol.TCP, tcp), (Protocol.UDP, udp))
    )


_CLOSED: Answer = (State.CLOSED, "reset", "target")
_CLOSED_UDP: Answer = (State.CLOSED, "port-unreach", "target")
_SILENT: Answer = (State.FILTERED, "no-response", None)
_SILENT_UDP: Answer = (State.OPEN_FILTERED, "no-response", None)
_OPEN: Answer = (State.OPEN, "syn-ack", "target")

STATELESS = host_of(
    40,
    "stateless",
    Behaviour(firewall=Filter(DROP_SYN, DROP, DROP_SYN, DROP)),
    "A firewall without memory drops what begins a connection; a lone ACK it takes for the middle"
    " of one, and lets it pass.",
    _expect(_SILENT, _SILENT_UDP),
)
SYN_PROXIED = host_of(
    41,
    "syn-proxy",
    Behaviour(firewall=Filter(SYN_PROXY, ACCEPT, ACCEPT, ACCEPT)),
    "Over IPv4 a SYN proxy answers every SYN itself, with window 0, whether a program listens or"
    " not; over IPv6 there is none, and the truth comes out.",
    _expect(_OPEN, _CLOSED_UDP)[:2] + _expect(_CLOSED, _CLOSED_UDP)[2:],
)
VERY_LOSSY = host_of(
    42,
    "very-lossy",
    Behaviour(loss_percent=25),
    "A closed host behind a path that loses a quarter of all packets, each way.",
    _expect(_CLOSED, _CLOSED_UDP),
)
TWO_VOICES = host_of(
    43,
    "two-voices",
    Behaviour(answers=("rst", "syn-ack", "udp")),
    "Two answers to every SYN: a RST, and then a SYN+ACK. Somebody on the way is lying.",
    _expect(_OPEN, (State.OPEN, "udp-response", "target")),
)
FORGED = host_of(
    44,
    "forged",
    Behaviour(answers=("icmp:3/13", "icmp6:1/1", "syn-ack", "udp")),
    "A forger's ICMP error runs ahead of the true answer; the stronger evidence must win.",
    _expect(_OPEN, (State.OPEN, "udp-response", "target")),
)

_REJECTING = tuple(
    host.name for host in BASIC.hosts if host.name.endswith(("-unreachable", "-prohibited"))
)


def _plan(*members: str | Host) -> Plan:
    return Plan(
        tuple(BASIC.host(member) if isinstance(member, str) else member for member in members)
    )


TOPOLOGIES: dict[str, Topology] = {
    topology.name: topology
    for topology in (
        Topology("basic", "twenty hosts: every answer that port 561 can get", BASIC),
        Topology(
            "firewall-zoo",
            "firewalls that drop, reject, reset, forget, or speak for others",
            _plan("open", "closed", "drop", "reset", STATELESS, *_REJECTING, "router-port-unreach",
                  "router-reset", "frag-needed"),
            ack=True,
        ),
        Topology(
            "router",
            "what a router in between says: nobody there, forbidden, out of hops",
            _plan("open", "closed", "dead-routed", "router-prohibited", "router-port-unreach",
                  "router-reset", "expired"),
        ),
        Topology(
            "lossy",
            "paths that lose packets: silence needs a number",
            _plan("closed", "drop", "lossy", VERY_LOSSY),
            ports="561-572",
        ),
        Topology(
            "rate-limited-udp",
            "a closed host as Linux ships: ICMP errors come in a burst, then one a second",
            _plan("closed", "rate-limited"),
            ports="561-572",
        ),
        Topology(
            "syn-proxy",
            "answers that are not the target's: a SYN proxy, two voices, a forger",
            _plan("open", "closed", SYN_PROXIED, TWO_VOICES, FORGED),
        ),
        Topology(
            "ipv6",
            "ICMPv6 and its own codes; every host has its IPv6 address in fd56:1::/64",
            _plan("open", "closed", "drop", *_REJECTING, "dead-onlink", "dead-routed",
                  "router-port-unreach", "expired"),
        ),
    )
}  # fmt: skip
