"""Packet records by hand, short enough to read a test as a ladder diagram."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from rawscan.model import (
    Flags,
    Icmp,
    IPAddress,
    Packet,
    ProbeKind,
    Tcp,
    Udp,
)

ME, TARGET, ROUTER, STRANGER = map(
    ip_address, ("10.56.1.1", "10.56.1.3", "10.56.0.1", "10.56.1.77")
)
ME6, TARGET6 = ip_address("fd56:1::1"), ip_address("fd56:1::3")
SYN, UDP, ACK = ProbeKind.SYN, ProbeKind.UDP, ProbeKind.ACK
S, A, R, F = Flags.SYN, Flags.ACK, Flags.RST, Flags.FIN
MAX = 0xFFFF_FFFF


def tcp(
    source: IPAddress,
    sport: int,
    target: IPAddress,
    dport: int,
    flags: Flags | None,
    seq: int | None = 0,
    ack: int | None = 0,
    payload_bytes: int = 0,
) -> Packet:
    body = Tcp(sport, dport, seq, ack, flags, 1024, 4, payload_bytes)
    return Packet(source, target, 60, body)


def udp(source: IPAddress, sport: int, target: IPAddress, dport: int) -> Packet:
    return Packet(source, target, 60, Udp(sport, dport, 0))


def icmp(
    sender: IPAddress, to: IPAddress, quoted: Packet | None, type_: int = 3, code: int = 13
) -> Packet:
    return Packet(sender, to, 61, Icmp(sender.version, type_, code, quoted))


def eight_bytes(packet: Packet) -> Packet:
    """What a sparing router quotes (RFC 792): ports and sequence number, no more."""
    assert isinstance(packet.body, Tcp)
    return replace(packet, body=Tcp(packet.body.sport, packet.body.dport, packet.body.seq))
