"""Packets in packets, as Scapy builds them: the inner one counts."""

from __future__ import annotations

import pytest
from scapy.layers.dot11 import Dot11, Dot11QoS, RadioTap
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, LLC, SNAP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet as Layer
from scapy.packet import Raw

from rawscan.errors import DecodeError
from rawscan.model import Frame, Other, Tcp, Udp
from rawscan.wire.decode import decode, decode_frame, innermost, upper_layer
from rawscan.wire.linklayer import IEEE802_11, PPP_HDLC, RADIOTAP

FOUR = IP(src="10.56.1.1", dst="10.56.1.3", ttl=7) / TCP(sport=40000, dport=561, seq=9)
SIX = IPv6(src="fd56:1::1", dst="fd56:1::3", hlim=7) / TCP(sport=40000, dport=561, seq=9)
OUTER4, OUTER6 = IP(src="192.0.2.1", dst="192.0.2.2"), IPv6(src="2001:db8::1", dst="2001:db8::2")

TUNNELS: dict[str, Layer] = {
    "IPIP": OUTER4 / FOUR,
    "6in4": OUTER4 / SIX,
    "4in6": OUTER6 / FOUR,
    "6in6": OUTER6 / SIX,
    "IPIP twice": OUTER4 / OUTER4 / FOUR,
    "GRE": OUTER4 / GRE() / FOUR,
    "GRE of IPv6 over IPv6": OUTER6 / GRE(proto=0x86DD) / SIX,
    "GRE with checksum": OUTER4 / GRE(chksum_present=1) / FOUR,
    "GRE with key": OUTER4 / GRE(key_present=1, key=5) / FOUR,
    "GRE with all": OUTER4 / GRE(chksum_present=1, key_present=1, seqnum_present=1) / FOUR,
    "Ethernet over GRE": OUTER4 / GRE(proto=0x6558) / Ether() / Dot1Q(vlan=5) / FOUR,
    "VXLAN": OUTER4 / UDP(sport=5, dport=4789) / VXLAN(vni=5) / Ether() / FOUR,
    "VXLAN of IPv6": OUTER6 / UDP(sport=5, dport=4789) / VXLAN(vni=5) / Ether() / SIX,
}


@pytest.mark.parametrize("name", TUNNELS)
def test_the_inner_packet_counts(name: str) -> None:
    packet = decode(bytes(TUNNELS[name]))
    assert isinstance(packet.body, Tcp)
    assert str(packet.source) in ("10.56.1.1", "fd56:1::1")
    assert (packet.ttl, packet.body.dport, packet.body.seq) == (7, 561, 9)


@pytest.mark.parametrize("name", TUNNELS)
def test_its_bytes_are_given_with_it(name: str) -> None:
    packet, data = innermost(bytes(TUNNELS[name]))
    assert packet == decode(bytes(TUNNELS[name]))
    assert data == bytes(FOUR if packet.source.version == 4 else SIX)
    assert upper_layer(data) == (20 if packet.source.version == 4 else 40, 6)


@pytest.mark.parametrize(
    "carried",
    [
        GRE(routing_present=1) / FOUR,
        GRE(version=1, proto=0x880B) / FOUR,
        GRE(proto=0x880B) / Raw(bytes(FOUR)),
        GRE() / Raw(bytes(FOUR)[:19]),
        Raw(b"\0\0\x08"),
    ],
)
def test_gre_that_cannot_be_looked_into_is_what_it_is(carried: Layer) -> None:
    assert decode(bytes(IP(proto=47) / carried)).body == Other(47)


@pytest.mark.parametrize("flags", [0x00, 0x04])
def test_a_datagram_to_4789_that_is_no_vxlan_is_one(flags: int) -> None:
    data = bytearray(bytes(TUNNELS["VXLAN"]))
    data[28] = flags
    assert isinstance(decode(bytes(data)).body, Udp)


def test_a_fragment_of_a_tunnel_is_not_looked_into() -> None:
    assert decode(bytes(IP(proto=4, frag=2) / Raw(bytes(FOUR)))).body == Other(4)


def test_packets_of_headers_alone_do_not_go_down_for_ever() -> None:
    data = bytes(FOUR)
    for _ in range(2000):
        data = bytes([0x45, 0, 0, 0]) + bytes(5) + b"\x04\0\0" + bytes(8) + data
    assert decode(data).body == Other(4)


def wireless(header: Layer) -> bytes:
    return bytes(header / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(code=0x0800) / FOUR)


WIRELESS = {
    "data": wireless(Dot11(type=2, subtype=0, FCfield=1)),
    "between stations": wireless(Dot11(type=2, subtype=0, FCfield=3)),
    "with quality of service": wireless(Dot11(type=2, subtype=8, FCfield=2) / Dot11QoS()),
}


@pytest.mark.parametrize("name", WIRELESS)
def test_data_of_802_11(name: str) -> None:
    for linktype, before in ((IEEE802_11, b""), (RADIOTAP, bytes(RadioTap()))):
        data = before + WIRELESS[name]
        packet = decode_frame(Frame(1.0, data, linktype, len(data)))
        assert isinstance(packet.body, Tcp)
        assert packet.body.dport == 561


def test_a_padded_header_behind_a_radiotap_that_says_so() -> None:
    # radiotap.org: version, pad, length, present (time, flags), the time, the flags (0x20: padded).
    front = b"\0\0\x11\0\x03\0\0\0" + bytes(8) + b"\x20"
    frame = WIRELESS["with quality of service"]
    data = front + frame[:26] + b"\0\0" + frame[26:]
    assert isinstance(decode_frame(Frame(1.0, data, RADIOTAP, len(data))).body, Tcp)
    unsaid = data[:16] + b"\0" + data[17:]
    with pytest.raises(DecodeError, match=r"802\.11 without SNAP"):
        decode_frame(Frame(1.0, unsaid, RADIOTAP, len(unsaid)))


@pytest.mark.parametrize(
    ("frame", "cause"),
    [
        (Dot11(type=0, subtype=8), "802.11 without data"),
        (Dot11(type=2, subtype=4), "802.11 without data"),
        (Dot11(type=2, subtype=0, FCfield=0x40), "802.11 encrypted"),
        (Dot11(type=2, subtype=0) / Raw(b"\x42\x42\x03" + bytes(9)), "802.11 without SNAP"),
    ],
)
def test_other_frames_of_802_11_are_said_to_be_so(frame: Layer, cause: str) -> None:
    data = bytes(frame)
    with pytest.raises(DecodeError, match=cause):
        decode_frame(Frame(1.0, data, IEEE802_11, len(data)))


def test_ppp_in_hdlc() -> None:
    data = b"\xff\x03\x00\x21" + bytes(FOUR)
    assert isinstance(decode_frame(Frame(1.0, data, PPP_HDLC, len(data))).body, Tcp)
