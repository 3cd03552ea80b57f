"""Probes as bytes, made by Scapy. Touches nothing; the only module that builds packets.

A probe kind is one entry in `_TRANSPORTS` here; CONTRIBUTING.md lists the other places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from rawscan.model import IPAddress, Probe, ProbeKind
from rawscan.wire.token import Token, identification

WINDOW = 1024
TTL = 64
MSS = 1460


@dataclass(frozen=True, slots=True)
class Numbers:
    """What varies from probe to probe above the addresses."""

    source_port: int
    port: int
    sequence: int


def _syn(numbers: Numbers, payload: bytes) -> Any:
    # Stacks send 0 as the acknowledgement number where the ACK flag is off; hping3 does not, and
    # is known by it.
    return TCP(
        sport=numbers.source_port,
        dport=numbers.port,
        seq=numbers.sequence,
        ack=0,
        flags="S",
        window=WINDOW,
        options=[("MSS", MSS)],
    )


def _ack(numbers: Numbers, payload: bytes) -> Any:
    # The RST that answers takes its sequence number from this acknowledgement number (RFC 9293,
    # section 3.5.2), so the token must stand there; an ICMP error quotes only the sequence
    # number, so it must stand there too.
    return TCP(
        sport=numbers.source_port,
        dport=numbers.port,
        seq=numbers.sequence,
        ack=numbers.sequence,
        flags="A",
        window=WINDOW,
    )


def _udp(numbers: Numbers, payload: bytes) -> Any:
    datagram = UDP(sport=numbers.source_port, dport=numbers.port)
    return datagram / Raw(payload) if payload else datagram


_TRANSPORTS: dict[ProbeKind, Callable[[Numbers, bytes], Any]] = {
    ProbeKind.SYN: _syn,
    ProbeKind.ACK: _ack,
    ProbeKind.UDP: _udp,
}


def craft(probe: Probe, source: IPAddress, token: Token, udp_payload: bytes = b"") -> bytes:
    """Build the IP packet of one probe, checksums and all.

    `source` must be of the same IP version as the target. A UDP probe carries `udp_payload`, which
    may be empty; the other kinds carry nothing.
    """
    port = probe.port
    if source.version != port.target.version:
        raise ValueError(f"{source} cannot be the source of a probe to {port.target}")
    numbers = Numbers(
        source_port=token.source_port(source, port, probe.number),
        port=port.number,
        sequence=token.sequence(source, port, probe.number),
    )
    header = _ip_header(str(source), str(port.target), numbers, source.version)
    return bytes(header / _TRANSPORTS[port.kind](numbers, udp_payload))


def _ip_header(source: str, target: str, numbers: Numbers, version: int) -> Any:
    number = identification(version, numbers.sequence)
    if version == 6:
        return IPv6(src=source, dst=target, hlim=TTL, fl=number)
    return IP(src=source, dst=target, ttl=TTL, id=number)
