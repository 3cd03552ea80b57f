"""Which targets are nobody's business but ours, and which are none at all. Touches nothing.

The ranges are those of the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, as RFC
8190 has them), and of the IPv4 and IPv6 multicast address spaces. `LOCAL` are those whose column
"Globally Reachable" says false: their hosts, if there are any, are in our own networks. `RESERVED`
are those among them, and the multicast ones, that are no single host's address.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from rawscan.targets import TargetSet

ASK_ABOVE = 256
"""So many addresses outside `LOCAL` are scanned without a question: a /24, or an IPv6 /120. IPv4
and IPv6 count together: what matters is how many hosts of others are asked, not how they are
numbered."""


@dataclass(frozen=True, slots=True)
class Range:
    """A prefix, what it is for, and who says so."""

    prefix: str
    name: str
    source: str


RESERVED = (
    Range("0.0.0.0/8", "this network", "RFC 791, section 3.2"),
    Range("224.0.0.0/4", "multicast", "RFC 5771"),
    Range("240.0.0.0/4", "reserved, and limited broadcast", "RFC 1112, section 4; RFC 919"),
    Range("::/128", "unspecified", "RFC 4291, section 2.5.2"),
    Range("::ffff:0:0/96", "IPv4-mapped, never on a wire", "RFC 4291, section 2.5.5.2"),
    Range("ff00::/8", "multicast", "RFC 4291, section 2.7"),
)

LOCAL = (
    Range("10.0.0.0/8", "private", "RFC 1918"),
    Range("100.64.0.0/10", "shared, behind a carrier's NAT", "RFC 6598"),
    Range("127.0.0.0/8", "loopback", "RFC 1122, section 3.2.1.3"),
    Range("169.254.0.0/16", "link-local", "RFC 3927"),
    Range("172.16.0.0/12", "private", "RFC 1918"),
    Range("192.0.0.0/29", "IPv4 service continuity", "RFC 7335"),
    Range("192.0.2.0/24", "documentation", "RFC 5737"),
    Range("192.168.0.0/16", "private", "RFC 1918"),
    Range("198.18.0.0/15", "benchmarks", "RFC 2544"),
    Range("198.51.100.0/24", "documentation", "RFC 5737"),
    Range("203.0.113.0/24", "documentation", "RFC 5737"),
    Range("::1/128", "loopback", "RFC 4291, section 2.5.3"),
    Range("64:ff9b:1::/48", "local translation to IPv4", "RFC 8215"),
    Range("100::/64", "discard", "RFC 6666"),
    Range("100:0:0:1::/64", "dummy", "RFC 9780"),
    Range("2001:2::/48", "benchmarks", "RFC 5180"),
    Range("2001:db8::/32", "documentation", "RFC 3849"),
    Range("3fff::/20", "documentation", "RFC 9637"),
    Range("5f00::/16", "segment routing inside one domain", "RFC 9602"),
    Range("fc00::/7", "unique local", "RFC 4193"),
    Range("fe80::/10", "link-local", "RFC 4291, section 2.5.6"),
)


@cache
def _set_of(ranges: tuple[Range, ...]) -> TargetSet:
    return TargetSet.parse(each.prefix for each in ranges)


def without_reserved(targets: TargetSet, also: Iterable[str] = ()) -> TargetSet:
    """The targets that can be a single host's address. `also` are further specs to leave out."""
    return targets - _set_of(RESERVED) - TargetSet.parse(also)


def outside(targets: TargetSet) -> TargetSet:
    """The targets that may be anybody's: those not in `LOCAL`."""
    return targets - _set_of(LOCAL)
