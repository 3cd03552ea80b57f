"""Who asks whom: of a probe, of its reply, and of an ICMP error that quotes it. Touches nothing."""

from __future__ import annotations

from dataclasses import dataclass

from rawscan.model import Icmp, IPAddress, Other, Packet, Protocol, Tcp, Udp


@dataclass(frozen=True, slots=True)
class Ask:
    """Who asks whom, as a packet says: of a reply, seen from the one who asked."""

    source: IPAddress
    target: IPAddress
    protocol: Protocol
    source_port: int
    port: int


def ask_of(packet: Packet) -> Ask | None:
    """The probe that this packet is, or that the packet quoted in an ICMP error was."""
    match packet.body:
        case Tcp(sport=sport, dport=dport):
            return Ask(packet.source, packet.destination, Protocol.TCP, sport, dport)
        case Udp(sport=sport, dport=dport):
            return Ask(packet.source, packet.destination, Protocol.UDP, sport, dport)
        case Icmp(quoted=Packet(body=Tcp() | Udp()) as quoted):
            return ask_of(quoted)
        case Icmp() | Other():
            return None


def answered_ask(packet: Packet) -> Ask | None:
    """The probe that this packet would be a reply to."""
    ask = ask_of(packet)
    if ask is None or isinstance(packet.body, Icmp):
        return ask
    return Ask(ask.target, ask.source, ask.protocol, ask.port, ask.source_port)
