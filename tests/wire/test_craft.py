"""Crafted probes, read back by Scapy, with the checksums added up by hand."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import NoPayload

from rawscan.model import Flags, IPAddress, Port, Probe, ProbeKind, Tcp, Udp
from rawscan.wire.craft import MSS, TTL, WINDOW, craft
from rawscan.wire.decode import decode
from rawscan.wire.token import Token

V4: tuple[IPAddress, IPAddress] = (ip_address("10.56.1.1"), ip_address("10.56.1.3"))
V6: tuple[IPAddress, IPAddress] = (ip_address("fd56:1::1"), ip_address("fd56:1::3"))
TOKEN = Token(b"a key of some length", range(40000, 60000))


def ones_sum(data: bytes) -> int:
    """RFC 1071: the one's complement sum of 16-bit words; 0xffff over data with its checksum."""
    data += b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def assert_checksums(data: bytes) -> None:
    """Of the IPv4 header, and of the transport with its pseudo header."""
    if data[0] >> 4 == 4:
        header = (data[0] & 0xF) * 4
        assert ones_sum(data[:header]) == 0xFFFF
        segment, protocol, addresses = data[header:], data[9], data[12:20]
        pseudo = addresses + bytes([0, protocol]) + len(segment).to_bytes(2, "big")
    else:
        segment, protocol, addresses = data[40:], data[6], data[8:40]
        # RFC 8200, section 8.1.
        pseudo = addresses + len(segment).to_bytes(4, "big") + bytes([0, 0, 0, protocol])
    assert ones_sum(pseudo + segment) == 0xFFFF
    place = 16 if protocol == 6 else 6
    assert segment[place : place + 2] != b"\0\0"  # for UDP, 0 means that there is none


def dissected(data: bytes) -> Any:
    return IP(data) if data[0] >> 4 == 4 else IPv6(data)


def assert_header(
    layer: Any, source: IPAddress, target: IPAddress, data: bytes, sequence: int
) -> None:
    assert (ip_address(layer.src), ip_address(layer.dst)) == (source, target)
    if source.version == 4:
        assert (layer.version, layer.ihl, layer.ttl, layer.len) == (4, 5, TTL, len(data))
        assert (layer.frag, str(layer.flags), layer.tos, layer.options) == (0, "", 0, [])
        assert layer.id == ((sequence & 0xFFFF) or 1)
    else:
        assert (layer.version, layer.hlim, layer.plen) == (6, TTL, len(data) - 40)
        assert (layer.tc, layer.fl) == (0, (sequence & 0xFFFFF) or 1)


CASES = st.tuples(
    st.sampled_from([V4, V6]), st.integers(1, 65535), st.integers(0, 15), st.binary(max_size=32)
)


def port_and_probe(target: IPAddress, number: int, try_: int, kind: ProbeKind) -> Probe:
    return Probe(Port(target, number, kind), try_)


@settings(max_examples=100, deadline=None)
@given(CASES, st.sampled_from([ProbeKind.SYN, ProbeKind.ACK]))
def test_tcp_probes(
    case: tuple[tuple[IPAddress, IPAddress], int, int, bytes], kind: ProbeKind
) -> None:
    (source, target), number, try_, key = case
    token = Token(key, range(40000, 60000))
    probe = port_and_probe(target, number, try_, kind)
    data = craft(probe, source, token, udp_payload=b"not for TCP")
    layer = dissected(data)
    sequence = token.sequence(source, probe.port, try_)
    assert_header(layer, source, target, data, sequence)
    assert_checksums(data)
    tcp = layer[TCP]
    assert (tcp.sport, tcp.dport) == (token.source_port(source, probe.port, try_), number)
    assert tcp.seq == sequence
    assert tcp.ack == (sequence if kind is ProbeKind.ACK else 0)
    assert str(tcp.flags) == ("A" if kind is ProbeKind.ACK else "S")
    assert (tcp.window, tcp.urgptr, tcp.reserved) == (WINDOW, 0, 0)
    assert tcp.options == ([("MSS", MSS)] if kind is ProbeKind.SYN else [])
    assert isinstance(tcp.payload, NoPayload)
    assert token.try_number(source, probe.port, tcp.sport) == try_


@settings(max_examples=100, deadline=None)
@given(CASES, st.binary(max_size=64))
def test_udp_probes(
    case: tuple[tuple[IPAddress, IPAddress], int, int, bytes], payload: bytes
) -> None:
    (source, target), number, try_, key = case
    token = Token(key, range(40000, 60000))
    probe = port_and_probe(target, number, try_, ProbeKind.UDP)
    data = craft(probe, source, token, udp_payload=payload)
    layer = dissected(data)
    assert_header(layer, source, target, data, token.sequence(source, probe.port, try_))
    assert_checksums(data)
    udp = layer[UDP]
    assert (udp.sport, udp.dport) == (token.source_port(source, probe.port, try_), number)
    assert udp.len == 8 + len(payload)
    assert data.endswith(payload)
    assert len(data) == (20 if source.version == 4 else 40) + 8 + len(payload)


def test_a_udp_checksum_that_comes_out_as_zero_is_sent_as_ffff() -> None:
    # RFC 768. Two bytes of payload can make the sum anything, so one of these gives 0.
    probe = port_and_probe(V4[1], 561, 0, ProbeKind.UDP)
    plain = craft(probe, V4[0], TOKEN, udp_payload=b"\0\0")
    wanted = int.from_bytes(plain[26:28], "big")
    data = craft(probe, V4[0], TOKEN, udp_payload=wanted.to_bytes(2, "big"))
    assert data[26:28] == b"\xff\xff"


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize(("source", "target"), [V4, V6])
def test_our_own_decoder_reads_the_same(
    kind: ProbeKind, source: IPAddress, target: IPAddress
) -> None:
    probe = port_and_probe(target, 561, 3, kind)
    packet = decode(craft(probe, source, TOKEN, udp_payload=b"abc"))
    sport = TOKEN.source_port(source, probe.port, 3)
    seq = TOKEN.sequence(source, probe.port, 3)
    bodies: dict[ProbeKind, Tcp | Udp] = {
        ProbeKind.UDP: Udp(sport, 561, 3, b"abc"),
        ProbeKind.SYN: Tcp(sport, 561, seq, 0, Flags.SYN, WINDOW, 4, 0, bytes.fromhex("020405b4")),
        ProbeKind.ACK: Tcp(sport, 561, seq, seq, Flags.ACK, WINDOW, 0, 0),
    }
    assert packet.body == bodies[kind]


def test_identification_and_flow_label_are_never_zero() -> None:
    # The kernel replaces a zero, and the bytes in a recording would not be those that were sent.
    # The label 0 says that there is none (RFC 6437, section 2).
    class Zeros(Token):
        def sequence(self, source: IPAddress, port: Port, number: int) -> int:
            return 0xABC00000

    token = Zeros(b"", range(40000, 40016))
    for kind in ProbeKind:
        assert dissected(craft(port_and_probe(V4[1], 561, 0, kind), V4[0], token)).id == 1
        assert dissected(craft(port_and_probe(V6[1], 561, 0, kind), V6[0], token)).fl == 1


@pytest.mark.parametrize(("source", "target"), [(V4[0], V6[1]), (V6[0], V4[1])])
@pytest.mark.parametrize("kind", ProbeKind)
def test_a_source_of_the_wrong_version(
    source: IPAddress, target: IPAddress, kind: ProbeKind
) -> None:
    with pytest.raises(ValueError, match="cannot be the source"):
        craft(port_and_probe(target, 561, 0, kind), source, TOKEN)
