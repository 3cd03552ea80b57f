"""Where the IP packet begins in a frame, for each link type. Touches nothing.

Link type numbers are those of the pcap and pcapng formats (www.tcpdump.org/linktypes.html).
"""

from __future__ import annotations

from collections.abc import Callable

from rawscan.errors import DecodeError

NULL, ETHERNET, PPP, PPP_HDLC, RAW, LOOP, SLL = 0, 1, 9, 50, 101, 108, 113
IEEE802_11, RADIOTAP = 105, 127
IPV4, IPV6, SLL2 = 228, 229, 276
# DLT_RAW as some systems wrote it into files before 101 was assigned.
RAW_BSD, RAW_OPENBSD = 12, 14

ETHER_IP = (0x0800, 0x86DD)
VLAN = (0x8100, 0x88A8, 0x9100)
MPLS = (0x8847, 0x8848)
PPPOE = 0x8864
_PPP_IP = (0x0021, 0x0057)
IP_FAMILIES = (2, 10, 24, 28, 30)
"""AF_INET is 2 everywhere, AF_INET6 one of the others."""


def no_ip(ethertype: int) -> str:
    """The cause under which a frame of this ethertype is counted, if it carries no IP."""
    return f"ethertype 0x{ethertype:04x}"


def unread(linktype: int) -> str:
    """The same for a frame of a link type that is not read."""
    return f"link type {linktype}"


def _u16(data: bytes, offset: int) -> int:
    if len(data) < offset + 2:
        raise DecodeError("link-layer header cut off")
    return data[offset] << 8 | data[offset + 1]


def _after_ethertype(data: bytes, offset: int) -> int:
    """Follow VLAN tags, MPLS labels and PPPoE from the ethertype at `offset`."""
    kind = _u16(data, offset)
    while kind in VLAN:  # IEEE 802.1Q: two bytes of tag, then the next ethertype
        offset += 4
        kind = _u16(data, offset)
    offset += 2
    if kind in ETHER_IP:
        return offset
    if kind in MPLS:
        return _after_labels(data, offset)
    if kind == PPPOE:  # RFC 2516, section 4: 6 bytes, then PPP's protocol field
        return _after_ppp_protocol(data, offset + 6)
    raise DecodeError(no_ip(kind))


def _after_labels(data: bytes, offset: int) -> int:
    """Skip MPLS labels up to the bottom of the stack (RFC 3032, section 2.1)."""
    while True:
        last = _u16(data, offset + 2) >> 8 & 1
        offset += 4
        if last:
            return offset


def _after_ppp_protocol(data: bytes, offset: int) -> int:
    protocol = _u16(data, offset)
    if protocol not in _PPP_IP:
        raise DecodeError(f"PPP protocol 0x{protocol:04x}")
    return offset + 2


def _ppp(data: bytes) -> int:
    # RFC 1662, section 3.2: address and control field, ff 03, may be left out.
    return _after_ppp_protocol(data, 2 if data[:2] == b"\xff\x03" else 0)


def _bsd_family(data: bytes) -> int:
    # In the byte order of whoever wrote it.
    if len(data) < 4:
        raise DecodeError("link-layer header cut off")
    family = min(int.from_bytes(data[:4], "little"), int.from_bytes(data[:4], "big"))
    if family not in IP_FAMILIES:
        raise DecodeError(f"address family {family}")
    return 4


def _cooked2(data: bytes) -> int:
    # The ethertype comes first, and is followed by 18 bytes; a VLAN tag would stand behind these.
    if len(data) < 20:
        raise DecodeError("link-layer header cut off")
    return _after_ethertype(data[:2] + data[20:], 0) + 18


def _radiotap(data: bytes) -> int:
    """A header of its own length (radiotap.org), then the frame, perhaps padded in its middle."""
    if len(data) < 8:
        raise DecodeError("link-layer header cut off")
    length = int.from_bytes(data[2:4], "little")
    present = int.from_bytes(data[4:8], "little")
    fields, word = 8, present
    while word >> 31 and len(data) >= fields + 4:  # another word says what else is there
        word = int.from_bytes(data[fields : fields + 4], "little")
        fields += 4
    if present & 1:  # a time, of 8 bytes at an address of 8
        fields = -(-fields // 8) * 8 + 8
    flags = data[fields] if present & 2 and len(data) > fields else 0
    return length + _wireless(data[length:], padded=bool(flags & 0x20))


def _wireless(data: bytes, padded: bool = False) -> int:
    """IEEE 802.11, section 9.2: a data frame, in it LLC and SNAP, in it the ethertype."""
    if len(data) < 24:
        raise DecodeError("link-layer header cut off")
    kind, flags = data[0], data[1]
    if kind & 0x0C != 0x08:
        raise DecodeError("802.11 without data")
    if kind & 0x40:  # of the subtype: nothing in it
        raise DecodeError("802.11 without data")
    if flags & 0x40:
        raise DecodeError("802.11 encrypted")
    header = 24 + (6 if flags & 3 == 3 else 0)
    if kind & 0x80:  # quality of service, and perhaps HT control
        header += 6 if flags & 0x80 else 2
    if padded:
        header += -header % 4
    if data[header : header + 6] != b"\xaa\xaa\x03\0\0\0":
        raise DecodeError("802.11 without SNAP")
    return _after_ethertype(data, header + 6)


_IP_OFFSET: dict[int, Callable[[bytes], int]] = {
    NULL: _bsd_family,
    LOOP: _bsd_family,
    ETHERNET: lambda data: _after_ethertype(data, 12),
    PPP: _ppp,
    PPP_HDLC: _ppp,
    IEEE802_11: _wireless,
    RADIOTAP: _radiotap,
    RAW: lambda data: 0,
    RAW_BSD: lambda data: 0,
    RAW_OPENBSD: lambda data: 0,
    IPV4: lambda data: 0,
    IPV6: lambda data: 0,
    SLL: lambda data: _after_ethertype(data, 14),
    SLL2: _cooked2,
}

LINKTYPES = frozenset(_IP_OFFSET)
"""The link types that are read."""


def ip_offset(linktype: int, data: bytes) -> int:
    """Offset in bytes of the IP header in a frame.

    Raises `DecodeError` for a link type that is not read, for frames that carry no IP and for
    those cut off before it.
    """
    find = _IP_OFFSET.get(linktype)
    if find is None:
        raise DecodeError(unread(linktype))
    return find(data)
