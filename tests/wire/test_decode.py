"""Decoding against packets that Scapy built, against every cut, and against any bytes at all."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP, IPOption_RR
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.packet import Raw

from rawscan.errors import DecodeError
from rawscan.model import Flags, Frame, Icmp, Other, Packet, Tcp, Udp
from rawscan.wire.decode import decode, decode_frame
from rawscan.wire.linklayer import ETHERNET, LOOP, NULL, PPP, RAW, SLL, SLL2
from tests.wire.samples import V4, V6, Sample, decoded, errors, samples


@settings(max_examples=300, deadline=None)
@given(samples())
def test_every_field_is_what_scapy_wrote(sample: Sample) -> None:
    assert decode(sample.data) == sample.packet


@settings(max_examples=300, deadline=None)
@given(errors())
def test_icmp_errors_quote_as_much_as_they_have(sample: Sample) -> None:
    assert decode(sample.data) == sample.packet


@settings(max_examples=150, deadline=None)
@given(st.one_of(samples(), errors()), st.binary(min_size=1, max_size=60))
def test_nothing_beyond_the_packet_is_read(sample: Sample, garbage: bytes) -> None:
    # Ethernet pads short frames; the lengths in the IP headers say where the packet ends.
    assert decode(sample.data + garbage) == sample.packet


def differences(cut: Any, whole: Any, where: str = "") -> list[str]:
    """Fields of `cut` that are not None, nor as in `whole`, nor the first bytes of that."""
    if cut is None or cut == whole:
        return []
    if isinstance(cut, bytes) and whole.startswith(cut):
        return []
    if isinstance(cut, Packet | Tcp | Udp | Icmp) and type(cut) is type(whole):
        return [
            bad
            for field in fields(cut)
            for bad in differences(
                getattr(cut, field.name), getattr(whole, field.name), f"{where}.{field.name}"
            )
        ]
    return [f"{where}: {cut} is not {whole}"]


@settings(max_examples=100, deadline=None)
@given(st.one_of(samples(), errors()))
def test_a_cut_loses_fields_and_changes_none(sample: Sample) -> None:
    for length in range(len(sample.data)):
        found = decoded(sample.data[:length])
        assert differences(found, sample.packet) == [], length
    assert decoded(sample.data[: sample.offset + 1]) is None
    assert decoded(sample.data[: sample.offset + 4]) is not None


def any_packet() -> st.SearchStrategy[bytes]:
    """Noise, noise that begins like IP, and real packets with some bytes overwritten."""
    noise = st.binary(max_size=120)
    like_ip = st.builds(
        lambda first, rest: bytes([first]) + rest,
        st.sampled_from([0x40, 0x45, 0x46, 0x4F, 0x60]),
        noise,
    )

    def overwritten(sample: Sample, changes: dict[int, int]) -> bytes:
        data = bytearray(sample.data)
        for place, value in changes.items():
            data[place % len(data)] = value
        return bytes(data)

    changes = st.dictionaries(st.integers(0, 199), st.integers(0, 255), max_size=6)
    return st.one_of(
        noise, like_ip, st.builds(overwritten, st.one_of(samples(), errors()), changes)
    )


@settings(max_examples=500, deadline=None)
@given(any_packet())
@example(b"")
@example(b"\x60" + b"\0" * 5 + b"\x00" + b"\0" * 33)
def test_any_bytes_are_a_packet_or_a_decode_error(data: bytes) -> None:
    packet = decoded(data)  # which catches DecodeError, and it alone
    assert packet is None or isinstance(packet.body, Tcp | Udp | Icmp | Other)


LINKTYPES = [NULL, ETHERNET, PPP, RAW, LOOP, SLL, SLL2, 12, 14, 228, 229, 127, 2**31]


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(st.sampled_from(LINKTYPES), st.integers()),
    st.sampled_from(
        [b"", b"\2\0\0\0", b"\xff\x03\x00\x21", b"\0" * 12 + b"\x88\x47", b"\0" * 12 + b"\x81\0"]
    ),
    any_packet(),
)
def test_any_frame_is_a_packet_or_a_decode_error(linktype: int, head: bytes, data: bytes) -> None:
    frame = Frame(0.0, head + data, linktype, len(head) + len(data))
    with suppress(DecodeError):
        assert isinstance(decode_frame(frame), Packet)


def ipv4(layer: Any, **fields: Any) -> bytes:
    return bytes(IP(src=V4[0], dst=V4[1], **fields) / layer)


@pytest.mark.parametrize("offset", [1, 2, 0x1000, 0x1FFF])
def test_later_fragments_have_no_ports(offset: int) -> None:
    looks_like_tcp = bytes(TCP(sport=40000, dport=561, flags="SA"))
    assert decode(ipv4(Raw(looks_like_tcp), proto=6, frag=offset)).body == Other(6)
    fragment = IPv6ExtHdrFragment(nh=6, offset=offset, m=0, id=1)
    six = IPv6(src=V6[0], dst=V6[1]) / IPv6ExtHdrHopByHop() / fragment / Raw(looks_like_tcp)
    assert decode(bytes(six)).body == Other(6)


def test_first_fragments_have_ports() -> None:
    tcp = TCP(sport=40000, dport=561, flags="S", seq=9)
    body = decode(ipv4(tcp, flags="MF")).body
    assert isinstance(body, Tcp)
    assert (body.sport, body.dport, body.seq, body.flags) == (40000, 561, 9, Flags.SYN)


@pytest.mark.parametrize(("flags", "offset"), [("MF", 0), ("MF", 3), (0, 3)])
def test_fragments_say_of_which_datagram_they_are(flags: str | int, offset: int) -> None:
    tcp = Raw(bytes(TCP(sport=1, dport=561)))
    assert decode(ipv4(tcp, proto=6, id=77, flags=flags, frag=offset)).piece_of == 77
    fragment = IPv6ExtHdrFragment(nh=6, offset=offset, m=1 if flags else 0, id=0xABCDEF01)
    six = IPv6(src=V6[0], dst=V6[1]) / fragment / tcp
    assert decode(bytes(six)).piece_of == 0xABCDEF01


def test_what_is_whole_is_no_piece() -> None:
    tcp = Raw(bytes(TCP(sport=1, dport=561)))
    assert decode(ipv4(tcp, proto=6, id=77, flags="DF")).piece_of is None
    # RFC 6946: an atomic fragment.
    six = IPv6(src=V6[0], dst=V6[1]) / IPv6ExtHdrFragment(nh=6, offset=0, m=0, id=7) / tcp
    assert decode(bytes(six)).piece_of is None


def test_a_quote_of_exactly_eight_bytes() -> None:
    # RFC 792: the IP header, options and all, plus the first 64 bits of what it carried.
    option = IPOption_RR(pointer=4, routers=["0.0.0.0"] * 3)
    quote = ipv4(TCP(sport=40000, dport=561, seq=0xDEADBEEF, flags="S"), options=[option], ttl=7)
    quote = quote[: (quote[0] & 0xF) * 4 + 8]
    packet = decode(ipv4(Raw(b"\x03\x0d" + b"\0" * 6 + quote), proto=1))
    source, target = map(ip_address, V4)
    expected = Packet(source, target, 7, Tcp(40000, 561, seq=0xDEADBEEF), False, 1)
    assert packet.body == Icmp(4, 3, 13, expected)


@pytest.mark.parametrize("have", range(4))
def test_a_quote_without_ports_is_none(have: int) -> None:
    quote = ipv4(UDP(sport=40000, dport=561))[: 20 + have]
    assert decode(ipv4(Raw(b"\x03\x03" + b"\0" * 6 + quote), proto=1)).body == Icmp(4, 3, 3, None)


def test_a_quote_in_a_quote_is_left_alone() -> None:
    # An error about an error must not be sent (RFC 1122, section 3.2.2), but it can be forged.
    inner = b"\x03\x03" + b"\0" * 6 + ipv4(UDP(sport=1, dport=561))
    middle = b"\x03\x01" + b"\0" * 6 + ipv4(Raw(inner), proto=1)
    body = decode(ipv4(Raw(middle), proto=1)).body
    assert isinstance(body, Icmp)
    assert body.quoted is not None
    assert body.quoted.body == Icmp(4, 3, 3, None)


@pytest.mark.parametrize("total", [0, 19])
def test_a_total_length_that_cannot_be_is_offload_not_an_empty_packet(total: int) -> None:
    data = bytearray(ipv4(TCP(sport=40000, dport=561, flags="PA") / Raw(b"x" * 50)))
    data[2:4] = total.to_bytes(2, "big")
    body = decode(bytes(data)).body
    assert isinstance(body, Tcp)
    assert body.payload_bytes == 50


def test_payload_is_counted_from_the_headers_not_from_the_snaplen() -> None:
    data = ipv4(TCP(sport=40000, dport=561, flags="PA") / Raw(b"x" * 50))
    body = decode(data[:40]).body
    assert isinstance(body, Tcp)
    assert body.payload_bytes == 50


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "empty packet"),
        (b"\x50" * 40, "IP version 5"),
        (b"\x44" + b"\0" * 39, "IPv4 header length below 20"),
        (b"\x46" + b"\0" * 19, "IPv4 header cut off"),
        (b"\x60" + b"\0" * 38, "IPv6 header cut off"),
        (b"\x60" + b"\0" * 39, "IPv6 extension header cut off"),
    ],
)
def test_causes_can_be_counted(data: bytes, cause: str) -> None:
    with pytest.raises(DecodeError) as error:
        decode(data)
    assert error.value.cause == cause
