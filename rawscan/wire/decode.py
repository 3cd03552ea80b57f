"""Bytes to a `Packet`. Touches nothing, and never looks beyond what was captured.

Of a packet that carries another one (IP in IP, GRE, VXLAN) the inner one is given, as far as it can
be read: it is the one that somebody asked a port with.

A header that was cut off (by snaplen, or by an ICMP error that quotes only its first 8 bytes) is
read as far as it goes: the fields that are missing are None. The headers of IPv4 are those of RFC
791, of IPv6 RFC 8200, of TCP RFC 9293, of UDP RFC 768, of ICMP RFC 792 and RFC 4443.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from struct import unpack_from

from rawscan.errors import DecodeError
from rawscan.model import Flags, Frame, Icmp, Other, Packet, Tcp, Udp
from rawscan.wire.linklayer import ETHER_IP, ETHERNET, ip_offset

ICMP_ERRORS = frozenset({3, 4, 5, 11, 12})
"""ICMP types that quote the packet that provoked them (RFC 1122, section 3.2.2)."""

PAYLOAD_BYTES = 256
"""How much of a payload a record keeps: enough to know a protocol by, and to show."""

TUNNELS = {4: "IPIP", 41: "6in4", 47: "GRE"}
"""IP protocols that carry packets."""
VXLAN_PORT = 4789

_FLAGS = tuple(map(Flags, range(256)))
_ICMP, _TCP, _UDP, _ICMP6 = 1, 6, 17, 58
_GRE = 47
_TRANSPARENT_BRIDGING = 0x6558
_MOST_TUNNELS = 8
"""Deeper than this nobody looks: a packet of headers alone could go on for thousands."""
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60
_MOBILITY, _HIP, _SHIM6 = 135, 139, 140
_EXTENSIONS = frozenset(
    {_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION, _MOBILITY, _HIP, _SHIM6}
)


def decode_frame(frame: Frame) -> Packet:
    """Decode a frame as it was captured. Raises `DecodeError` if it holds no readable IP packet."""
    return innermost(frame.data[ip_offset(frame.linktype, frame.data) :])[0]


def decode(data: bytes, *, quotes: bool = True) -> Packet:
    """Decode an IP packet. Raises `DecodeError`, and nothing else, for what is none.

    With `quotes` false, the packet inside an ICMP error is left alone.
    """
    return innermost(data, quotes=quotes)[0]


def innermost(data: bytes, *, quotes: bool = True, depth: int = 0) -> tuple[Packet, bytes]:
    """Decode an IP packet as `decode` does; gives the bytes of what it gives, too.

    Those are the inner packet's, if this one carries another. `depth` is how many packets there are
    around it.
    """
    if not data:
        raise DecodeError("empty packet")
    version = data[0] >> 4
    if version == 4:
        return _ipv4(data, quotes, depth)
    if version == 6:
        return _ipv6(data, quotes, depth)
    raise DecodeError(f"IP version {version}")


def _ipv4(data: bytes, quotes: bool, depth: int) -> tuple[Packet, bytes]:
    header = (data[0] & 0xF) * 4
    if header < 20:
        raise DecodeError("IPv4 header length below 20")
    if len(data) < header:
        raise DecodeError("IPv4 header cut off")
    total, identification, fragment = unpack_from("!HHH", data, 2)
    # Segmentation offload leaves 0 in the length field of captures taken on the sender.
    size = (total if total >= header else len(data)) - header
    upper = data[header : header + size]
    if not fragment & 0x3FFF:
        inner = _carried(data[9], upper, quotes, depth)
        if inner is not None:
            return inner
    body = _transport(data[9], upper, size, bool(fragment & 0x1FFF), quotes)
    source, destination = IPv4Address(data[12:16]), IPv4Address(data[16:20])
    piece_of = identification if fragment & 0x3FFF else None
    whole = bool(fragment & 0x4000)
    return Packet(source, destination, data[8], body, whole, identification, piece_of), data


def _ipv6(data: bytes, quotes: bool, depth: int) -> tuple[Packet, bytes]:
    if len(data) < 40:
        raise DecodeError("IPv6 header cut off")
    payload, protocol, hop_limit = unpack_from("!HBB", data, 4)
    end = 40 + payload if payload else len(data)  # 0: a jumbogram (RFC 2675) or offload
    start, protocol, later, piece_of = _skip_extensions(data, protocol)
    if piece_of is None:
        inner = _carried(protocol, data[start:end], quotes, depth)
        if inner is not None:
            return inner
    body = _transport(protocol, data[start:end], max(end - start, 0), later, quotes)
    source, destination = IPv6Address(data[8:24]), IPv6Address(data[24:40])
    flow_label = unpack_from("!I", data)[0] & 0xF_FFFF
    return Packet(source, destination, hop_limit, body, None, flow_label, piece_of), data


def _carried(protocol: int, data: bytes, quotes: bool, depth: int) -> tuple[Packet, bytes] | None:
    """The packet that one of this protocol carries; None if it carries none that can be read."""
    is_vxlan = protocol == _UDP and data[2:4] == VXLAN_PORT.to_bytes(2, "big")
    if (protocol not in TUNNELS and not is_vxlan) or depth >= _MOST_TUNNELS:
        return None
    try:
        if is_vxlan:
            # RFC 7348, section 5: 8 bytes of UDP, 8 of VXLAN, of which a flag says that it is one.
            start = (
                16 + ip_offset(ETHERNET, data[16:])
                if data[8:9] > b"\x07" and data[8] & 8
                else len(data)
            )
        else:
            start = _after_gre(data) if protocol == _GRE else 0
        return innermost(data[start:], quotes=quotes, depth=depth + 1)
    except DecodeError:
        return None


def _after_gre(data: bytes) -> int:
    """Where the packet begins in GRE (RFC 2784, section 2; key and number: RFC 2890)."""
    if len(data) < 4:
        raise DecodeError("GRE header cut off")
    flags = int.from_bytes(data[:2], "big")
    kind = int.from_bytes(data[2:4], "big")
    if flags & 0x4FFF:  # routing, as RFC 1701 had it, or another version
        raise DecodeError("GRE of another kind")
    start = 4 + 4 * (flags & 0xB000).bit_count()  # checksum, key, sequence number
    if kind == _TRANSPARENT_BRIDGING:
        return start + ip_offset(ETHERNET, data[start:])
    if kind not in ETHER_IP:
        raise DecodeError(f"GRE of 0x{kind:04x}")
    return start


def _skip_extensions(data: bytes, protocol: int) -> tuple[int, int, bool, int | None]:
    """Where the upper layer begins, what it is, whether this is a later fragment, and of what.

    The last is the identification of the datagram of which this is a piece; None if it is whole.
    """
    offset, piece_of = 40, None
    while protocol in _EXTENSIONS:
        if len(data) < offset + 8:
            raise DecodeError("IPv6 extension header cut off")
        kind, protocol = protocol, data[offset]
        if kind == _FRAGMENT:
            place, identification = unpack_from("!HI", data, offset + 2)
            if place & 0xFFF9:  # RFC 6946: a fragment that is all there is needs no joining
                piece_of = identification
            if place & 0xFFF8:
                return offset + 8, protocol, True, piece_of
            offset += 8
        elif kind == _AUTHENTICATION:  # RFC 4302, section 2.2: in 4-byte units, minus 2
            offset += (data[offset + 1] + 2) * 4
        else:
            offset += (data[offset + 1] + 1) * 8
    return offset, protocol, False, piece_of


def _transport(
    protocol: int, data: bytes, size: int, later_fragment: bool, quotes: bool
) -> Tcp | Udp | Icmp | Other:
    """Decode what IP carries: `data` is what was captured of its `size` bytes."""
    if later_fragment:
        return Other(protocol)
    if protocol == _TCP:
        return _tcp(data, size)
    if protocol == _UDP:
        return _udp(data)
    if protocol in (_ICMP, _ICMP6):
        return _icmp(4 if protocol == _ICMP else 6, data, quotes)
    return Other(protocol)


def _tcp(data: bytes, size: int) -> Tcp:
    have = len(data)
    if have < 4:
        raise DecodeError("TCP header cut off before the ports")
    sport, dport = unpack_from("!HH", data)
    offset = (data[12] >> 4) * 4 if have > 12 else None
    return Tcp(
        sport,
        dport,
        seq=unpack_from("!I", data, 4)[0] if have >= 8 else None,
        ack=unpack_from("!I", data, 8)[0] if have >= 12 else None,
        flags=_FLAGS[data[13]] if have > 13 else None,
        window=unpack_from("!H", data, 14)[0] if have >= 16 else None,
        options_bytes=None if offset is None else max(offset - 20, 0),
        payload_bytes=None if offset is None else max(size - offset, 0),
        options=data[20:offset] if offset else b"",
        payload=data[offset : offset + PAYLOAD_BYTES] if offset else b"",
    )


def _udp(data: bytes) -> Udp:
    if len(data) < 4:
        raise DecodeError("UDP header cut off before the ports")
    sport, dport = unpack_from("!HH", data)
    length = max(unpack_from("!H", data, 4)[0] - 8, 0) if len(data) >= 6 else None
    return Udp(sport, dport, length, data[8 : 8 + min(length or 0, PAYLOAD_BYTES)])


def _icmp(version: int, data: bytes, quotes: bool) -> Icmp:
    if len(data) < 2:
        raise DecodeError("ICMP header cut off")
    type_, code = data[0], data[1]
    # Every ICMPv6 type below 128 is an error, and quotes (RFC 4443, sections 2.1 and 2.4 (c)).
    is_error = type_ in ICMP_ERRORS if version == 4 else type_ < 128
    quoted = None
    if is_error and quotes:
        try:
            quoted = decode(data[8:], quotes=False)
        except DecodeError:
            quoted = None  # It quotes too little to say whose probe it was; that is no error.
    return Icmp(version, type_, code, quoted)


def upper_layer(data: bytes) -> tuple[int, int]:
    """Where in an IP packet the upper layer begins, and which protocol it is.

    Raises `DecodeError` for what `decode` does not read either. Of a later fragment, where its data
    begins.
    """
    decode(data, quotes=False)
    if data[0] >> 4 == 4:
        return (data[0] & 0xF) * 4, data[9]
    offset, protocol, _, _ = _skip_extensions(data, data[6])
    return offset, protocol
