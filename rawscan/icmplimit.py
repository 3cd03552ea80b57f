"""How fast a Linux kernel tells that UDP ports are closed, by default. Touches nothing.

ICMP errors are limited twice: to each peer, and for the whole machine, which is 1,000 a second and
no concern here (RFC 1812, section 4.3.2.8, and RFC 4443, section 2.4 (f), ask for limits). The
defaults are those of Linux: `icmp_ratelimit` in Documentation/networking/ip-sysctl.rst, and
XRLIM_BURST_FACTOR in net/ipv4/inetpeer.c.
"""

from __future__ import annotations

PEER_BURST = 6
"""Errors that one peer gets at once, if it has had none for as many intervals."""

PEER_INTERVAL_S = 1.0
"""After that, one error in this time goes to a peer (`net.ipv4.icmp_ratelimit`, 1000 ms)."""

PEER_INTERVAL_V6_S = 0.0625
"""The same for IPv6, at the least. Kernels divide `net.ipv6.icmp.ratelimit` (1000 ms) by 2 for each
whole 32 bits that the prefix of their route to the peer is short of 128, so by 16 on a default
route (net/ipv6/icmp.c, "wider prefixes"); those that no longer do start from 100 ms."""


def floor_s(ports_per_host: int, version: int = 4) -> float:
    """Seconds that closed UDP ports of one host take to be told closed, at the very least.

    The first burst is free; each further port waits for its turn. Nothing that a scanner does
    makes this shorter, and a host that limits less is quicker.
    """
    interval_s = PEER_INTERVAL_S if version == 4 else PEER_INTERVAL_V6_S
    return max(ports_per_host - PEER_BURST, 0) * interval_s
