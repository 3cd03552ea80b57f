"""Packets for the tests of `rawscan.wire`, built by Scapy as the independent oracle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP, IPOption_RR
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.ipsec import AH
from scapy.packet import Raw

from rawscan.errors import DecodeError
from rawscan.model import Flags, Icmp, IPAddress, Other, Packet, Tcp, Udp
from rawscan.wire.decode import decode

V4, V6 = ("10.56.1.1", "10.56.1.3"), ("fd56:1::1", "fd56:1::3")
SHORT, LONG = st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF)
PAYLOAD = st.binary(max_size=40)

MSS_OPTION = [("MSS", 1460), ("NOP", None), ("NOP", None), ("NOP", None), ("NOP", None)]
MSS_BYTES = bytes.fromhex("020405b401010101")  # RFC 9293, section 3.1: kind 2, length 4; kind 1

# IPv6's extension headers, by the number that announces them. AH's length counts 4-byte words,
# minus 2 (RFC 4302, section 2.2): here 12 bytes of header and 12 of ICV.
EXTENSIONS: dict[int, bytes] = {
    0: bytes(IPv6ExtHdrHopByHop()),
    43: bytes(IPv6ExtHdrRouting(addresses=["fd56:1::9"])),
    44: bytes(IPv6ExtHdrFragment(offset=0, m=1, id=7)),
    51: bytes(AH(payloadlen=4, spi=1, seq=1, icv=b"\xa5" * 12)),
    60: bytes(IPv6ExtHdrDestOpt()),
}


@dataclass(frozen=True)
class Sample:
    """Bytes, what they mean, and how many come before the transport header."""

    data: bytes
    packet: Packet
    offset: int


@st.composite
def headers(draw: st.DrawFn, version: int, upper: int) -> tuple[Any, Packet]:
    """An IP header of Scapy's with options or extension headers, and our record of it, bodiless."""
    ttl = draw(st.integers(0, 255))
    if version == 4:
        identification, unfragmented = draw(SHORT), draw(st.booleans())
        record = Packet(*addresses(4), ttl, Other(upper), unfragmented, identification)
        options = [IPOption_RR(pointer=4, routers=["0.0.0.0"] * draw(st.integers(1, 9)))]
        chosen = options if draw(st.booleans()) else []
        sent = IP(src=V4[0], dst=V4[1], ttl=ttl, proto=upper, options=chosen)
        sent.id, sent.flags = identification, "DF" if unfragmented else 0
        return sent, record
    label, traffic_class = draw(st.integers(0, 0xF_FFFF)), draw(st.integers(0, 255))
    record = Packet(*addresses(6), ttl, Other(upper), identification=label)
    header: Any = IPv6(src=V6[0], dst=V6[1], hlim=ttl, fl=label, tc=traffic_class)
    kinds = draw(st.lists(st.sampled_from([*EXTENSIONS]), max_size=4))
    header.nh = kinds[0] if kinds else upper
    for kind, following in zip(kinds, [*kinds, upper][1:], strict=True):
        header /= Raw(bytes([following]) + EXTENSIONS[kind][1:])
    # Of the extension headers only the fragment's says that this is a piece of something.
    return header, replace(record, piece_of=7 if 44 in kinds else None)


@st.composite
def bodies(draw: st.DrawFn, version: int) -> tuple[int, Any, Tcp | Udp | Icmp]:
    """IP protocol number, Scapy's layer, and our record of it. Nobody checks the checksums."""
    kind = draw(st.sampled_from(["tcp", "udp", "icmp"]))
    sport, dport, payload = draw(SHORT), draw(SHORT), draw(PAYLOAD)
    if kind == "udp":
        layer = UDP(sport=sport, dport=dport, chksum=0) / Raw(payload)
        return 17, layer, Udp(sport, dport, len(payload), payload)
    if kind == "icmp":
        type_ = draw(st.integers(0, 255).filter(lambda t: not quotes(version, t)))
        code = draw(st.integers(0, 255))
        raw = Raw(bytes([type_, code]) + b"\0" * 6 + payload)
        return (1 if version == 4 else 58), raw, Icmp(version, type_, code)
    seq, ack, window, flags = draw(LONG), draw(LONG), draw(SHORT), draw(st.integers(0, 255))
    options = draw(st.sampled_from([[], MSS_OPTION]))
    written = MSS_BYTES if options else b""
    tcp = TCP(sport=sport, dport=dport, seq=seq, ack=ack, flags=flags, window=window, chksum=0)
    tcp.options = options
    fields = (Flags(flags), window, len(written), len(payload), written, payload)
    return 6, tcp / Raw(payload), Tcp(sport, dport, seq, ack, *fields)


def quotes(version: int, type_: int) -> bool:
    """RFC 792's errors (and RFC 1122's list of them); RFC 4443, section 2.1."""
    return type_ in (3, 4, 5, 11, 12) if version == 4 else type_ < 128


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """A whole packet that is no ICMP error."""
    version = draw(st.sampled_from([4, 6]))
    upper, layer, body = draw(bodies(version))
    header, record = draw(headers(version, upper))
    data = bytes(header / layer)
    return Sample(data, replace(record, body=body), len(bytes(header)))


@st.composite
def errors(draw: st.DrawFn) -> Sample:
    """An ICMP error that quotes a sample, cut to 8 bytes of transport or more."""
    inner = draw(samples())
    version = 4 if inner.data[0] >> 4 == 4 else 6
    quote = inner.data[: inner.offset + draw(st.sampled_from([8, 12, 13, 14, 16, 20, 999]))]
    types = [t for t in range(256) if quotes(version, t)]
    type_, code = draw(st.sampled_from(types)), draw(st.integers(0, 255))
    message = Raw(bytes([type_, code]) + b"\0" * 6 + quote)
    header, record = draw(headers(version, 1 if version == 4 else 58))
    data = bytes(header / message)
    body = Icmp(version, type_, code, cut(inner.packet, len(quote) - inner.offset))
    return Sample(data, replace(record, body=body), len(bytes(header)))


def addresses(version: int) -> tuple[IPAddress, IPAddress]:
    """Source and destination of every sample."""
    source, destination = V4 if version == 4 else V6
    return ip_address(source), ip_address(destination)


def cut(packet: Packet, have: int) -> Packet:
    """The same packet with only `have` bytes of transport: what is not there is None."""
    body = packet.body
    if isinstance(body, Udp):
        body = replace(body, payload=body.payload[: max(have - 8, 0)])
        return replace(packet, body=body if have >= 6 else replace(body, payload_bytes=None))
    if not isinstance(body, Tcp):
        return packet
    # RFC 9293, section 3.1: where each field ends.
    ends = {"seq": 8, "ack": 12, "options_bytes": 13, "payload_bytes": 13, "flags": 14}
    missing = {name: None for name, end in (ends | {"window": 16}).items() if have < end}
    header = 20 + len(body.options)
    body = replace(body, payload=body.payload[: max(have - header, 0)])
    body = replace(body, options=body.options[: max(have - 20, 0)])
    return replace(packet, body=replace(body, **missing))  # type: ignore[arg-type]


def decoded(data: bytes) -> Packet | None:
    """The packet, or None where `decode` refuses."""
    try:
        return decode(data)
    except DecodeError:
        return None
