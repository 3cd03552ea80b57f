"""The header fields that a verdict hangs on, byte by byte. Pure.

Offsets count from the first byte of the IP header, as Wireshark does within its *Internet Protocol*
line. A field that was not captured is not told of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rawscan.errors import DecodeError
from rawscan.model import Icmp, IPAddress, Packet, ProbeKind, ReplyKind, Tcp, Udp
from rawscan.teach.case import Case, Shot
from rawscan.teach.words import flag_names, icmp_name
from rawscan.wire.decode import upper_layer

_SEQ = 1 << 32
_TCP, _UDP = 6, 17


@dataclass(frozen=True, slots=True)
class Field:
    """Bytes of one packet, what they are called, their value, and what it means here."""

    offset: int
    data: bytes
    name: str
    value: str
    meaning: str

    @property
    def place(self) -> str:
        """`9` or `12-15`."""
        last = self.offset + len(self.data) - 1
        return str(self.offset) if last == self.offset else f"{self.offset}-{last}"


@dataclass(frozen=True, slots=True)
class _Reader:
    """Takes fields out of a packet, as far as it was captured."""

    data: bytes
    base: int

    def at(self, offset: int, size: int, name: str, value: str, meaning: str) -> Iterator[Field]:
        start = self.base + offset
        found = self.data[start : start + size]
        if len(found) == size:
            yield Field(start, found, name, value, meaning)


def fields_of(shot: Shot, case: Case) -> tuple[Field, ...]:
    """The fields of this packet that decided something, in their order on the wire."""
    try:
        upper, protocol = upper_layer(shot.data)
    except DecodeError:
        return ()
    found = [*_ip_fields(shot, case, protocol), *_upper_fields(shot, case, upper)]
    return tuple(sorted(found, key=lambda field: field.offset))


def _ip_fields(shot: Shot, case: Case, protocol: int) -> Iterator[Field]:
    packet, read = shot.packet, _Reader(shot.data, 0)
    v4 = packet.source.version == 4
    size = 4 if v4 else 16
    if shot.evidence is None:
        yield from read.at(
            16 if v4 else 24, size, "destination", str(packet.destination), "the target"
        )
        return
    if v4:
        name = {1: "ICMP", _TCP: "TCP", _UDP: "UDP"}.get(protocol, str(protocol))
        yield from read.at(9, 1, "protocol", str(protocol), f"{name} answers")
    yield from read.at(
        8 if v4 else 7,
        1,
        "TTL" if v4 else "hop limit",
        str(packet.ttl),
        "what is left of it; compare with the host's other replies",
    )
    yield from read.at(
        12 if v4 else 8, size, "source", str(packet.source), _whose(packet.source, case, shot)
    )


def _whose(source: IPAddress, case: Case, shot: Shot) -> str:
    assert shot.evidence is not None
    if shot.evidence.signal.kind is ReplyKind.NO_NEIGHBOUR:
        return "the asker's own address: its own kernel says so"
    if shot.evidence.from_target:
        return "the target's address"
    return f"not the target ({case.port.target}) but somebody else"


def _upper_fields(shot: Shot, case: Case, upper: int) -> Iterator[Field]:
    read = _Reader(shot.data, upper)
    match shot.packet.body:
        case Tcp() as tcp:
            yield from _tcp_fields(read, tcp, case, shot)
        case Udp() as udp:
            yield from _port_fields(read, udp.sport, udp.dport, case, shot)
        case Icmp() as icmp:
            yield from read.at(0, 1, "type", str(icmp.type), icmp_name(icmp))
            yield from read.at(1, 1, "code", str(icmp.code), "which of its kind")
            if icmp.quoted is not None:
                yield from _quoted_fields(shot, icmp.quoted, upper + 8)


def _port_fields(read: _Reader, sport: int, dport: int, case: Case, shot: Shot) -> Iterator[Field]:
    if shot.evidence is None:
        yield from read.at(0, 2, "source port", str(sport), "where an answer has to go")
        yield from read.at(2, 2, "destination port", str(dport), "the probed port")
    else:
        yield from read.at(0, 2, "source port", str(sport), "the probed port speaks")
        yield from read.at(2, 2, "destination port", str(dport), "the probe's source port")


def _tcp_fields(read: _Reader, tcp: Tcp, case: Case, shot: Shot) -> Iterator[Field]:
    yield from _port_fields(read, tcp.sport, tcp.dport, case, shot)
    if tcp.flags is None:
        return
    yield from read.at(13, 1, "flags", f"{int(tcp.flags):08b}", flag_names(tcp.flags))
    if shot.evidence is None:
        is_ack = case.port.kind is ProbeKind.ACK
        proves = (
            "an ICMP error has to quote it" if is_ack else "an answer has to show that it knows it"
        )
        yield from read.at(4, 4, "sequence number", str(tcp.seq), proves)
        if is_ack:
            yield from read.at(8, 4, "acknowledgement", str(tcp.ack), "a RST has to repeat it")
        return
    probe = probe_of(case, shot)
    if probe is None or not isinstance(probe.packet.body, Tcp):
        return
    asked, number = probe.packet.body, f"#{probe.frame_number}"
    if case.port.kind is ProbeKind.ACK and tcp.seq is not None and tcp.seq == asked.ack:
        meaning = f"the acknowledgement number of {number}: it answers that"
        yield from read.at(4, 4, "sequence number", str(tcp.seq), meaning)
    elif tcp.ack is not None and asked.seq is not None:
        proof = {
            (asked.seq + 1) % _SEQ: f"{asked.seq} + 1, the sequence number of {number} plus 1",
            asked.seq: f"the sequence number of {number}",
        }.get(tcp.ack)
        if proof is not None:
            yield from read.at(8, 4, "acknowledgement", str(tcp.ack), proof)
    kind = shot.evidence.signal.kind
    if kind is ReplyKind.SYN_ACK and tcp.window == 0 and tcp.options_bytes == 0:
        yield from read.at(14, 2, "window", "0", "and no options: so answers a SYN proxy")


def _quoted_fields(shot: Shot, quoted: Packet, start: int) -> Iterator[Field]:
    """The packet inside an ICMP error: the probe that it is about."""
    v4 = quoted.source.version == 4
    size = 4 if v4 else 16
    inner = _Reader(shot.data, start)
    yield from inner.at(
        16 if v4 else 24,
        size,
        "quoted destination",
        str(quoted.destination),
        "where the probe went",
    )
    try:
        upper, _ = upper_layer(shot.data[start:])
    except DecodeError:
        return
    read = _Reader(shot.data, start + upper)
    match quoted.body:
        case Tcp(sport=sport, dport=dport) | Udp(sport=sport, dport=dport):
            yield from read.at(0, 2, "quoted source port", str(sport), "the probe's")
            yield from read.at(2, 2, "quoted destination port", str(dport), "the probed port")
    match quoted.body:
        case Tcp(seq=seq) if seq is not None:
            yield from read.at(4, 4, "quoted sequence number", str(seq), "the probe's, too")


def probe_of(case: Case, reply: Shot) -> Shot | None:
    """The probe that this reply answers."""
    if reply.evidence is None or reply.evidence.try_number is None:
        return None
    number = reply.evidence.try_number
    return next((probe for probe in case.probes if probe.try_number == number), None)
