"""Where the IP packet begins, for each link type: with Scapy's headers, by hand, and cut short."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Ether, Loopback
from scapy.layers.ppp import HDLC, PPP, PPPoE

from rawscan.errors import DecodeError
from rawscan.wire import linklayer
from rawscan.wire.linklayer import ip_offset

TCP_SYN = TCP(sport=40000, dport=561, flags="S")
IN4: Any = IP(src="10.56.1.1", dst="10.56.1.3") / TCP_SYN
IN6: Any = IPv6(src="fd56:1::1", dst="fd56:1::3") / TCP_SYN

# name -> link type (www.tcpdump.org/linktypes.html), Scapy's headers, bytes before the IP header.
HEADERS: dict[str, tuple[int, Any, int]] = {
    "ethernet": (1, Ether(), 14),
    "802.1Q": (1, Ether() / Dot1Q(vlan=7), 18),
    "QinQ": (1, Ether() / Dot1AD(vlan=7) / Dot1Q(vlan=8), 22),
    "QinQ of old": (1, Ether(type=0x9100) / Dot1Q(vlan=7), 18),
    "three tags": (1, Ether() / Dot1AD(vlan=7) / Dot1Q(vlan=8) / Dot1Q(vlan=9), 26),
    "MPLS": (1, Ether() / MPLS(label=99, s=1), 18),
    "MPLS stack in a VLAN": (1, Ether() / Dot1Q() / MPLS(label=9, s=0) / MPLS(label=8, s=1), 26),
    "PPPoE": (1, Ether() / PPPoE(sessionid=1) / PPP(), 22),
    "PPP": (9, PPP(), 2),
    "PPP as in HDLC": (9, HDLC() / PPP(), 4),
    "Linux cooked": (113, CookedLinux(), 16),
    "Linux cooked, VLAN": (113, CookedLinux() / Dot1Q(vlan=7), 20),
    "Linux cooked 2": (276, CookedLinuxV2(), 20),
}


@pytest.mark.parametrize("inside", [IN4, IN6], ids=["v4", "v6"])
@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_scapy_wrote(name: str, inside: Any) -> None:
    linktype, header, size = HEADERS[name]
    frame = bytes(header / inside)
    assert len(frame) == size + len(bytes(inside))
    assert ip_offset(linktype, frame) == size
    # The IP header itself is none of this module's business: it may be cut off.
    assert ip_offset(linktype, frame[:size]) == size
    for length in range(size):
        with pytest.raises(DecodeError):
            ip_offset(linktype, frame[:length])


@pytest.mark.parametrize("linktype", [0, 108])
@pytest.mark.parametrize("family", [2, 10, 24, 28, 30])
@pytest.mark.parametrize("order", ["little", "big"])
def test_address_families_in_both_orders(linktype: int, family: int, order: Any) -> None:
    head = family.to_bytes(4, order)
    assert ip_offset(linktype, head + bytes(IN6)) == 4
    for length in range(4):
        with pytest.raises(DecodeError, match="cut off"):
            ip_offset(linktype, head[:length])


def test_scapys_loopback() -> None:
    assert ip_offset(0, bytes(Loopback() / IN4)) == 4


@pytest.mark.parametrize("linktype", [12, 14, 101, 228, 229])
def test_raw_ip_begins_at_once(linktype: int) -> None:
    assert ip_offset(linktype, bytes(IN4)) == 0


@pytest.mark.parametrize(
    ("linktype", "frame", "cause"),
    [
        (1, bytes(Ether() / ARP()), "ethertype 0x0806"),
        (1, bytes(Ether() / Dot1Q() / ARP()), "ethertype 0x0806"),
        (1, b"\0" * 12 + b"\x00\x2e" + b"\0" * 46, "ethertype 0x002e"),  # 802.3: a length
        (113, b"\0" * 14 + b"\x08\x06", "ethertype 0x0806"),
        (276, b"\x08\x06" + b"\0" * 18, "ethertype 0x0806"),
        (9, b"\xff\x03\xc0\x21", "PPP protocol 0xc021"),
        (0, b"\x07\0\0\0", "address family 7"),
        (147, b"\0" * 64, "link type 147"),
        (-1, b"", "link type -1"),
    ],
)
def test_what_is_no_ip_says_what_it_is(linktype: int, frame: bytes, cause: str) -> None:
    with pytest.raises(DecodeError) as error:
        ip_offset(linktype, frame)
    assert error.value.cause == cause


def test_a_label_stack_without_bottom_ends_with_the_data() -> None:
    with pytest.raises(DecodeError, match="cut off"):
        ip_offset(1, b"\0" * 12 + b"\x88\x47" + b"\0" * 400)


@given(st.integers(), st.binary(max_size=80))
def test_an_offset_or_a_decode_error(linktype: int, data: bytes) -> None:
    for kind in (linktype, *linklayer._IP_OFFSET):
        try:
            offset = ip_offset(kind, data)
        except DecodeError:
            continue
        assert 0 <= offset <= len(data)
