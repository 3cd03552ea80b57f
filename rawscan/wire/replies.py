"""Replies as bytes, made by Scapy: what a target or a router would answer to a packet.

For simulated networks, tests and lessons; a scan never sends these. Touches nothing.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
)
from scapy.packet import Raw

from rawscan.model import IPAddress

_SEQ = 1 << 32
_ICMP6 = {
    1: ICMPv6DestUnreach,
    2: ICMPv6PacketTooBig,
    3: ICMPv6TimeExceeded,
    4: ICMPv6ParamProblem,
}


def rst(probe: bytes, *, ttl: int = 64) -> bytes:
    """The RST of a closed port (RFC 9293, section 3.5.2), for a SYN or an ACK, window 0."""
    ip, tcp = _parsed(probe)
    if tcp.flags.A:
        return _tcp(ip, tcp, "R", seq=tcp.ack, ack=0, ttl=ttl, window=0)
    return _tcp(ip, tcp, "RA", seq=0, ack=(tcp.seq + 1) % _SEQ, ttl=ttl, window=0)


def syn_ack(probe: bytes, *, ttl: int = 64, window: int = 64_240, mss: int = 1460) -> bytes:
    """The SYN+ACK of an open port; `mss` 0 leaves all options out, as SYN proxies do."""
    ip, tcp = _parsed(probe)
    options = [("MSS", mss)] if mss else []
    ack = (tcp.seq + 1) % _SEQ
    return _tcp(ip, tcp, "SA", seq=1000, ack=ack, ttl=ttl, window=window, options=options)


def syn(probe: bytes, *, ttl: int = 64) -> bytes:
    """A SYN without ACK, as in simultaneous opening (RFC 9293, section 3.5)."""
    ip, tcp = _parsed(probe)
    return _tcp(ip, tcp, "S", seq=1000, ack=0, ttl=ttl)


def datagram(probe: bytes, payload: bytes = b"", *, ttl: int = 64) -> bytes:
    """A UDP answer from the probed port."""
    ip, udp = _parsed(probe)
    body = UDP(sport=udp.dport, dport=udp.sport)
    return bytes(_back(ip, ttl) / (body / Raw(payload) if payload else body))


def icmp_error(
    probe: bytes,
    type_: int,
    code: int,
    *,
    responder: IPAddress | None = None,
    ttl: int = 64,
    quoted_bytes: int = 8,
) -> bytes:
    """An ICMP or ICMPv6 error about `probe` from `responder` (None: the target itself).

    It quotes the IP header and `quoted_bytes` of what follows: 8 is what RFC 792 promises.
    """
    ip, _ = _parsed(probe)
    header_bytes = ip.ihl * 4 if ip.version == 4 else 40
    quote = Raw(probe[: header_bytes + quoted_bytes])
    message: Any = ICMP(type=type_, code=code) if ip.version == 4 else _ICMP6[type_](code=code)
    return bytes(_back(ip, ttl, responder) / message / quote)


def _parsed(probe: bytes) -> tuple[Any, Any]:
    ip = IP(probe) if probe[0] >> 4 == 4 else IPv6(probe)
    return ip, ip.payload


def _back(ip: Any, ttl: int, source: IPAddress | None = None) -> Any:
    """The IP header of an answer."""
    sender = str(source or ip_address(ip.dst))
    if ip.version == 4:
        return IP(src=sender, dst=ip.src, ttl=ttl)
    return IPv6(src=sender, dst=ip.src, hlim=ttl)


def _tcp(ip: Any, tcp: Any, flags: str, *, ttl: int, **fields: Any) -> bytes:
    return bytes(_back(ip, ttl) / TCP(sport=tcp.dport, dport=tcp.sport, flags=flags, **fields))
