"""The words of a lab plan: host, behaviour, expected verdict. Frozen records; touches nothing.

Tests, demo and lessons read one plan, so what is built, shown and expected cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal

from rawscan.model import DEFAULT_PORT, IPAddress, Protocol, State

Family = Literal[4, 6]
Responder = Literal["target", "router", "scanner"]
Answer = tuple[State, str, Responder | None]
"""State, reason and who said it (None for silence)."""

FAMILIES: tuple[Family, Family] = (4, 6)

REJECT_REASONS: dict[Family, dict[str, str]] = {
    4: {
        "net-unreachable": "net-unreach",
        "host-unreachable": "host-unreach",
        "prot-unreachable": "proto-unreach",
        "port-unreachable": "port-unreach",
        "net-prohibited": "net-prohibited",
        "host-prohibited": "host-prohibited",
        "admin-prohibited": "admin-prohibited",
    },
    6: {
        "no-route": "no-route",
        "admin-prohibited": "admin-prohibited",
        "addr-unreachable": "host-unreach",
        "port-unreachable": "port-unreach",
        "policy-fail": "policy-fail",
        "reject-route": "reject-route",
    },
}
"""nftables' name of each ICMP code that it can send, and the reason that a scan gives for it.

`frag-needed`, which nftables can send too, is missing because it says nothing about a port.
"""


class Verb(Enum):
    """What a firewall does with a packet; `ICMP` goes with a code, by nftables' name.

    `DROP_SYN` is a firewall without memory: it drops what begins a TCP connection, and lets pass
    what looks like the middle of one. `SYN_PROXY` answers every SYN itself.
    """

    ACCEPT = "accept"
    DROP = "drop"
    DROP_SYN = "drop-syn"
    RESET = "reset"
    SYN_PROXY = "syn-proxy"
    ICMP = "icmp"


@dataclass(frozen=True, slots=True)
class Action:
    """A verb, and for `Verb.ICMP` the code that nftables is to send."""

    verb: Verb
    code: str = ""


ACCEPT = Action(Verb.ACCEPT)
DROP = Action(Verb.DROP)
DROP_SYN = Action(Verb.DROP_SYN)
RESET = Action(Verb.RESET)
SYN_PROXY = Action(Verb.SYN_PROXY)


@dataclass(frozen=True, slots=True)
class Filter:
    """What a firewall does with TCP and UDP, IPv4 and IPv6, whatever the port."""

    tcp4: Action
    udp4: Action
    tcp6: Action
    udp6: Action

    def action(self, family: Family, protocol: Protocol) -> Action:
        """The action for one family and protocol."""
        if protocol is Protocol.TCP:
            return self.tcp4 if family == 4 else self.tcp6
        return self.udp4 if family == 4 else self.udp6


class Presence(Enum):
    """Where a host is, if anywhere."""

    LAN = "lan"
    ABSENT_FROM_LAN = "absent-from-lan"
    ABSENT_FROM_SCANNER_LINK = "absent-from-scanner-link"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a host, and the router on the way to it, treat a probe.

    `firewall` is the host's own; `router_firewall` answers in the host's place. `loss_percent` is
    lost in each direction. `default_icmp_limit` leaves the kernel's ICMP rate limit as it ships;
    everywhere else in the lab it is off. `answers` are replies that an actor sends in the kernel's
    place, for what no kernel can be made to say: `("icmp:3/7",)`, `("rst", "syn-ack")`.
    """

    presence: Presence = Presence.LAN
    listens: bool = False
    firewall: Filter | None = None
    router_firewall: Filter | None = None
    expires_at_router: bool = False
    loss_percent: int = 0
    default_icmp_limit: bool = False
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """What a correct scan says about the lab's port of one host, one family and protocol."""

    family: Family
    protocol: Protocol
    state: State
    reason: str
    responder: Responder | None


@dataclass(frozen=True, slots=True)
class Host:
    """One host: its name and addresses, what it does, why (one sentence), and what to expect."""

    name: str
    v4: IPv4Address
    v6: IPv6Address
    behaviour: Behaviour
    note: str
    expected: tuple[Expected, ...]

    @property
    def has_namespace(self) -> bool:
        """Whether this host exists: a dead one is only an address."""
        return self.behaviour.presence is Presence.LAN

    def address(self, family: Family) -> IPAddress:
        """The host's address of that family."""
        return self.v4 if family == 4 else self.v6


@dataclass(frozen=True, slots=True)
class Network:
    """One link: its two prefixes, in which the router has the first address."""

    v4: IPv4Network
    v6: IPv6Network

    def address(self, family: Family, number: int) -> IPAddress:
        """Host `number`; IPv6 shows the same digits: 10.56.1.11 and fd56:1::11."""
        return self.v4[number] if family == 4 else self.v6[int(str(number), 16)]


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole lab: scanner, router, a link between them, and hosts on a LAN behind the router."""

    hosts: tuple[Host, ...]
    port: int = DEFAULT_PORT
    scanner_link: Network = field(
        default=Network(IPv4Network("10.56.0.0/24"), IPv6Network("fd56::/64"))
    )
    lan: Network = field(default=Network(IPv4Network("10.56.1.0/24"), IPv6Network("fd56:1::/64")))

    def scanner(self, family: Family) -> IPAddress:
        """The scanner's address."""
        return self.scanner_link.address(family, 2)

    def router(self, family: Family) -> IPAddress:
        """The router's address on the scanner's side: the one it sends its ICMP errors from."""
        return self.scanner_link.address(family, 1)

    def targets(self, family: Family | None = None) -> tuple[IPAddress, ...]:
        """The addresses to scan, IPv4 first, in the order of the hosts."""
        families = FAMILIES if family is None else (family,)
        return tuple(host.address(each) for each in families for host in self.hosts)

    def host(self, name_or_address: str | IPAddress) -> Host:
        """A host by name or address; KeyError if there is none."""
        for host in self.hosts:
            if name_or_address in (host.name, host.v4, host.v6):
                return host
        raise KeyError(str(name_or_address))

    def expected(self, target: IPAddress, protocol: Protocol) -> Expected:
        """What a scan of `target` must find; KeyError if the plan does not say."""
        for expected in self.host(target).expected:
            if (expected.family, expected.protocol) == (target.version, protocol):
                return expected
        raise KeyError(f"{target} {protocol.value}")

    def responder(self, target: IPAddress, expected: Expected) -> IPAddress | None:
        """The address that the answer comes from, None for silence."""
        family = expected.family
        return {
            None: None,
            "target": target,
            "router": self.router(family),
            "scanner": self.scanner(family),
        }[expected.responder]

    def claims(self) -> Iterator[tuple[Host, IPAddress, Expected]]:
        """Every expectation with its host and target address."""
        for host in self.hosts:
            for expected in host.expected:
                yield host, host.address(expected.family), expected

    def namespaces(self) -> tuple[str, ...]:
        """The names of everything that has a network stack of its own."""
        return ("scanner", "router", *(host.name for host in self.hosts if host.has_namespace))
