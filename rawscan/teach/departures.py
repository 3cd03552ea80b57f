"""Where tools disagree with the rule table, as data. Touches nothing.

Every claim is checked against the real tool by `tests/teach/test_departures.py`, in a lab; it names
the version that was looked at. A claim that cannot be checked there does not stand here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rawscan.model import ProbeKind, ReplyKind
from rawscan.rules import RULES, Rule


@dataclass(frozen=True, slots=True)
class Departure:
    """What one tool says where this rule speaks; `says` is its state and reason, in its words."""

    rule: str
    tool: str
    version: str
    says: str
    why: str


_NMAP, _NMAP_VERSION = "nmap", "7.93"
_MASSCAN, _MASSCAN_VERSION = "masscan", "1.3.2"
_ZMAP, _ZMAP_VERSION = "zmap", "2.1.1"
NOTHING = "nothing"
"""What a tool says that prints no line for the port."""
_UNHEARD = (5, 6, 7, 8, 11, 12, 14, 15)
"""Codes of ICMP destination unreachable that nmap does not listen to."""


def _nmap(rule: Rule) -> Iterator[Departure]:
    silent = "open|filtered no-response" if rule.probe.value == "udp" else "filtered no-response"
    if rule.reply is ReplyKind.ICMP and rule.type == 3 and rule.codes and rule.codes[0] in _UNHEARD:
        yield Departure(
            rule.id, _NMAP, _NMAP_VERSION, silent,
            "it does not listen to this code, asks again, and takes the answer for silence",
        )  # fmt: skip
    if rule.reply is ReplyKind.ICMP6 and rule.type == 3:
        yield Departure(
            rule.id, _NMAP, _NMAP_VERSION, silent,
            "it counts time exceeded over IPv4, but does not listen to it over IPv6",
        )  # fmt: skip
    if rule.reason == "policy-fail":
        yield Departure(
            rule.id, _NMAP, _NMAP_VERSION, "filtered admin-prohibited",
            "it has one word for ICMPv6 1/1 and 1/5",
        )  # fmt: skip
    if rule.reason == "header-field" and rule.probe.value != "ack":
        yield Departure(
            rule.id, _NMAP, _NMAP_VERSION, "open",
            "it takes a complaint about the IPv6 header for a sign of life of the port",
        )  # fmt: skip
    if rule.reply is ReplyKind.NO_NEIGHBOUR:
        yield Departure(
            rule.id, _NMAP, _NMAP_VERSION, NOTHING,
            "it resolves the neighbour itself beforehand, takes the host for down, and leaves it"
            " out",
        )  # fmt: skip


def _masscan(rule: Rule) -> Iterator[Departure]:
    if rule.id == "syn-port-unreach":
        yield Departure(
            rule.id, _MASSCAN, _MASSCAN_VERSION, "closed",
            "it takes port unreachable for closed, also for TCP and from whomever",
        )  # fmt: skip
    if rule.id == "syn-admin-prohibited":
        yield Departure(
            rule.id, _MASSCAN, _MASSCAN_VERSION, NOTHING,
            "of ICMP errors it listens to port unreachable only",
        )  # fmt: skip


def _zmap(rule: Rule) -> Iterator[Departure]:
    if rule.probe is ProbeKind.SYN and rule.reply is ReplyKind.ICMP and rule.type == 3:
        yield Departure(
            rule.id, _ZMAP, _ZMAP_VERSION, NOTHING,
            "its TCP probe does not listen to ICMP errors: a firewall that rejects looks to it like"
            " one that drops",
        )  # fmt: skip
    if rule.id == "udp-port-unreach-other":
        yield Departure(
            rule.id, _ZMAP, _ZMAP_VERSION, "icmp-unreach",
            "it has the same word for it whoever says so",
        )  # fmt: skip


DEPARTURES: tuple[Departure, ...] = tuple(
    departure for rule in RULES for tool in (_nmap, _masscan, _zmap) for departure in tool(rule)
)


def departures_from(rule: Rule) -> tuple[Departure, ...]:
    """Every known departure from this row."""
    return tuple(departure for departure in DEPARTURES if departure.rule == rule.id)
