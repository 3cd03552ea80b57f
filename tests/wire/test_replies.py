"""Replies as hosts and routers send them: addressed back, provable, and right to the checksum."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6

from rawscan.correlate import proves
from rawscan.model import Flags, Icmp, IPAddress, Packet, Port, Probe, ProbeKind, Tcp, Udp
from rawscan.wire import replies
from rawscan.wire.craft import craft
from rawscan.wire.decode import decode
from rawscan.wire.token import Token

OURS = {4: ip_address("10.0.0.1"), 6: ip_address("fd00::1")}
TARGET = {4: ip_address("10.0.0.5"), 6: ip_address("fd00::5")}
ROUTER = {4: ip_address("10.0.0.254"), 6: ip_address("fd00::fe")}
TOKEN = Token(b"replies", range(16384, 32768))
SYN, UDP, ACK = ProbeKind.SYN, ProbeKind.UDP, ProbeKind.ACK

versions = pytest.mark.parametrize("version", [4, 6])


def probe(version: int, kind: ProbeKind = SYN) -> bytes:
    return craft(Probe(Port(TARGET[version], 561, kind), 0), OURS[version], TOKEN)


def addressed(packet: Packet, version: int, sender: IPAddress | None = None) -> None:
    """Is it a packet back to us?"""
    assert (packet.source, packet.destination) == (sender or TARGET[version], OURS[version])


def tcp(data: bytes) -> Tcp:
    body = decode(data).body
    assert isinstance(body, Tcp)
    return body


@versions
@pytest.mark.parametrize(
    ("make", "kind", "flags"),
    [
        (replies.rst, SYN, Flags.RST | Flags.ACK),
        (replies.rst, ACK, Flags.RST),
        (replies.syn_ack, SYN, Flags.SYN | Flags.ACK),
        (replies.syn, SYN, Flags.SYN),
    ],
)
def test_tcp_replies_prove_that_they_answer(
    make: Callable[..., bytes], kind: ProbeKind, flags: Flags, version: int
) -> None:
    asked = probe(version, kind)
    question, packet = tcp(asked), decode(make(asked, ttl=57))
    addressed(packet, version)
    body = packet.body
    assert isinstance(body, Tcp)
    assert (packet.ttl, body.flags) == (57, flags)
    assert (body.sport, body.dport) == (561, question.sport)
    assert question.seq is not None
    assert question.ack is not None
    assert proves(kind, packet, question.seq, question.ack, None)
    if make is not replies.syn:  # which has nothing but the ports
        assert not proves(kind, packet, question.seq ^ 64, question.ack ^ 64, None)


@versions
def test_a_sequence_number_wraps_around(version: int) -> None:
    asked = bytearray(probe(version))
    start = 20 if version == 4 else 40
    asked[start + 4 : start + 8] = b"\xff" * 4
    for make in (replies.rst, replies.syn_ack):
        assert tcp(make(bytes(asked))).ack == 0


@versions
def test_window_and_options_of_a_syn_ack(version: int) -> None:
    usual, proxy = (
        tcp(replies.syn_ack(probe(version), **options)) for options in ({}, {"window": 0, "mss": 0})
    )
    assert (usual.window, usual.options_bytes) == (64240, 4)
    assert (proxy.window, proxy.options_bytes) == (0, 0)


@versions
@pytest.mark.parametrize("payload", [b"", b"hello"])
def test_datagrams(payload: bytes, version: int) -> None:
    asked = probe(version, UDP)
    question = decode(asked).body
    packet = decode(replies.datagram(asked, payload))
    addressed(packet, version)
    assert isinstance(question, Udp)
    assert packet.body == Udp(561, question.sport, len(payload), payload)


@versions
@pytest.mark.parametrize("kind", [SYN, UDP, ACK], ids=lambda kind: kind.value)
@pytest.mark.parametrize("from_router", [False, True])
def test_errors_quote_the_probe(kind: ProbeKind, from_router: bool, version: int) -> None:
    asked = probe(version, kind)
    type_, code = (3, 13) if version == 4 else (1, 1)
    responder = ROUTER[version] if from_router else None
    data = replies.icmp_error(asked, type_, code, responder=responder, ttl=61)
    packet = decode(data)
    addressed(packet, version, responder)
    body = packet.body
    assert isinstance(body, Icmp)
    assert (packet.ttl, body.version, body.type, body.code) == (61, version, type_, code)
    assert body.quoted is not None
    assert (body.quoted.source, body.quoted.destination) == (OURS[version], TARGET[version])
    assert isinstance(body.quoted.body, Tcp | Udp)
    assert body.quoted.body.dport == 561
    # 8 bytes of transport header, no more: what RFC 792 promises.
    assert data.endswith(asked[: (20 if version == 4 else 40) + 8])


@versions
def test_errors_may_quote_more(version: int) -> None:
    asked = probe(version)
    body = decode(replies.icmp_error(asked, *((3, 3) if version == 4 else (1, 4)),
                                     quoted_bytes=20)).body  # fmt: skip
    assert isinstance(body, Icmp)
    assert body.quoted is not None
    assert isinstance(body.quoted.body, Tcp)
    assert body.quoted.body.flags == Flags.SYN


@versions
def test_every_error_type_can_be_made(version: int) -> None:
    types = [3, 4, 5, 11, 12] if version == 4 else [1, 2, 3, 4]
    for type_ in types:
        body = decode(replies.icmp_error(probe(version), type_, 1)).body
        assert isinstance(body, Icmp)
        assert (body.type, body.code, body.quoted is not None) == (type_, 1, True)


@versions
def test_checksums_are_right(version: int) -> None:
    """Scapy fills them in; taken out and filled in again, nothing may change."""
    layer = IP if version == 4 else IPv6
    error = (3, 3) if version == 4 else (1, 4)
    made = [make(probe(version)) for make in (replies.rst, replies.syn_ack, replies.syn)]
    made += [
        replies.datagram(probe(version, UDP), b"x"),
        replies.icmp_error(probe(version), *error),
    ]
    for data in made:
        again = layer(data)
        for each in (again, again.payload):
            for field in ("chksum", "cksum"):
                if field in each.fields:
                    delattr(each, field)
        assert bytes(again) == data
