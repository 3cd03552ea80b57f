"""Blocks of frames against `decode` and `rawscan.correlate`, frame by frame."""

from __future__ import annotations

from dataclasses import fields
from ipaddress import ip_address
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.packet import Raw

from rawscan.ask import answered_ask
from rawscan.correlate import signal_of
from rawscan.errors import DecodeError
from rawscan.model import Flags, Frame, Icmp, Packet, ReplyKind, Signal, Tcp
from rawscan.wire.batch import NO_REPLY, NONE, Replies, decode_batch
from rawscan.wire.decode import decode_frame
from rawscan.wire.linklayer import ETHERNET, RAW

ADDRESSES = {4: ["10.56.1.1", "10.56.1.3", "10.56.1.254"], 6: ["fd56:1::1", "fd56:1::3", "fe80::1"]}
MACS = b"\xa5" * 12
SHORT, LONG = st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF)
BYTE = st.integers(0, 255)
ERRORS = {4: [3, 3, 3, 4, 5, 11, 12], 6: [1, 1, 1, 2, 3, 4, 0, 127]}


@st.composite
def ip_headers(draw: st.DrawFn, version: int, upper: int, common: bool) -> Any:
    """Scapy's IP header, before what carries the protocol `upper`."""
    source, target = draw(st.tuples(*[st.sampled_from(ADDRESSES[version])] * 2))
    ttl, odd = draw(BYTE), not common and draw(st.integers(0, 5)) == 0
    if version == 6 and odd:
        extension = draw(st.sampled_from([IPv6ExtHdrHopByHop, IPv6ExtHdrFragment]))
        return IPv6(src=source, dst=target, hlim=ttl) / extension(nh=upper)
    if version == 6:
        return IPv6(src=source, dst=target, hlim=ttl, nh=upper)
    options = [IPOption_NOP()] * draw(st.sampled_from([0, 0, 1, 4, 9, 40]))
    header = IP(src=source, dst=target, ttl=ttl, proto=upper, options=options)
    header.flags = draw(st.sampled_from(["", "DF"]))
    if odd:
        header.flags, header.frag = draw(st.sampled_from([("MF", 0), ("", 5), ("", 0x1FFF)]))
    return header


@st.composite
def plain(draw: st.DrawFn, version: int, common: bool) -> bytes:
    """A TCP segment or a UDP datagram."""
    sport, dport = draw(SHORT), draw(SHORT)
    payload = Raw(draw(st.binary(max_size=9)))
    if draw(st.booleans()):
        header = draw(ip_headers(version, 17, common))
        return bytes(header / UDP(sport=sport, dport=dport) / payload)
    tcp = TCP(sport=sport, dport=dport, seq=draw(LONG), ack=draw(LONG), flags=draw(BYTE))
    tcp.window = draw(SHORT)
    tcp.options = draw(st.sampled_from([[], [("MSS", 1460)]]))
    return bytes(draw(ip_headers(version, 6, common)) / tcp / payload)


@st.composite
def errors(draw: st.DrawFn, version: int, common: bool) -> bytes:
    """An ICMP error; mostly one that quotes enough."""
    inside = version if common or draw(st.integers(0, 9)) else 10 - version
    inner = draw(plain(inside, common))
    header_bytes = (inner[0] & 0xF) * 4 if inside == 4 else 40
    least = 8 if common else 0
    quote = inner[: header_bytes + draw(st.integers(least, 12) | st.just(999))]
    # Most are "host unreachable", which may be our own kernel's complaint.
    type_, code = draw(st.sampled_from(ERRORS[version])), draw(st.sampled_from([0, 1, 3, 4, 255]))
    upper = 1 if version == 4 else 58
    message = Raw(bytes([type_, code]) + b"\xa5" * 6 + quote)
    return bytes(draw(ip_headers(version, upper, common)) / message)


@st.composite
def others(draw: st.DrawFn, version: int) -> bytes:
    """What is no reply at all."""
    header = draw(ip_headers(version, draw(st.sampled_from([1, 58, 2, 47, 132])), False))
    return bytes(header / Raw(draw(st.binary(max_size=30))))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Any packet, perhaps with a few bytes changed, cut short, or with something behind it."""
    version = draw(st.sampled_from([4, 6]))
    data = bytearray(
        draw(st.one_of(plain(version, False), errors(version, False), others(version)))
    )
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        data[draw(st.integers(0, min(len(data), 80) - 1))] = draw(BYTE)
    if draw(st.integers(0, 2)) == 0:
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data) + draw(st.sampled_from([b"", b"", b"\0" * 6, b"\xff"]))


whole = st.sampled_from([4, 6]).flatmap(lambda v: plain(v, True) | errors(v, True))
headers = st.sampled_from(
    [b"\x08\x00", b"\x08\x00", b"\x86\xdd", b"\x86\xdd", b"\x08\x06", b"\x81\x00\x00\x07\x08\x00"]
).map(lambda end: MACS + end)


def block_of(frames: list[bytes], spare: int, stale: int = 0xA5) -> tuple[Any, Any]:
    """The frames in rows, with garbage behind each, and their lengths."""
    rows = np.full((len(frames), max(map(len, frames)) + spare), stale, np.uint8)
    for row, frame in zip(rows, frames, strict=True):
        row[: len(frame)] = np.frombuffer(frame, np.uint8)
    return rows, np.array([len(frame) for frame in frames], np.uint32)


def scalar(frame: bytes, linktype: int) -> Packet | None:
    try:
        return decode_frame(Frame(0.0, frame, linktype, len(frame)))
    except DecodeError:
        return None


def assert_agrees(replies: Replies, index: int, packet: Packet | None) -> None:
    """What was read of one frame is what `rawscan.correlate` sees in it."""
    signal = signal_of(packet) if packet else None
    ask = answered_ask(packet) if packet else None
    if packet is None or signal is None or ask is None:
        assert replies.kind[index] == NO_REPLY
        return
    assert replies.may_answer[index]
    assert replies.version[index] == packet.source.version
    assert replies.signal(index) == signal
    assert replies.ttl[index] == packet.ttl
    assert replies.address(replies.responder, index) == packet.source
    assert replies.address(replies.source, index) == ask.source
    assert replies.address(replies.target, index) == ask.target
    assert replies.protocol[index] == ask.protocol.number
    assert (replies.source_port[index], replies.port[index]) == (ask.source_port, ask.port)
    assert replies.from_target[index] == (packet.source == ask.target)
    assert replies.own[index] == (signal.kind is ReplyKind.NO_NEIGHBOUR)
    numbers = (replies.seq, replies.ack, replies.flags, replies.window, replies.options_bytes)
    tcp = packet.body
    wanted: tuple[int | None, ...] = (0, 0, 0, NONE, NONE)
    if isinstance(tcp, Tcp):
        wanted = (tcp.seq, tcp.ack, tcp.flags, tcp.window, tcp.options_bytes)
    assert tuple(int(array[index]) for array in numbers) == wanted
    quoted = packet.body.quoted if isinstance(packet.body, Icmp) else None
    quoted_tcp = quoted.body if quoted and isinstance(quoted.body, Tcp) else None
    assert replies.quoted_seq[index] == (quoted_tcp.seq if quoted_tcp else 0)
    assert replies.quoted_id[index] == (quoted.identification if quoted else 0)


@settings(max_examples=250, deadline=None)
@given(st.lists(damaged(), min_size=1, max_size=8), st.sampled_from([0, 1, 60]))
def test_it_reads_what_decode_reads(packets: list[bytes], spare: int) -> None:
    replies = decode_batch(*block_of(packets, spare))
    for index, data in enumerate(packets):
        if not replies.rare[index]:
            assert_agrees(replies, index, scalar(data, RAW))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(headers, damaged()).map(b"".join), min_size=1, max_size=8),
    st.integers(0, 30),
)
def test_it_reads_what_decode_reads_of_ethernet(frames: list[bytes], cut: int) -> None:
    frames.append(frames[0][:cut])  # ends within or just behind the link-layer header
    replies = decode_batch(*block_of(frames, 0), 14)
    for index, data in enumerate(frames):
        if not replies.rare[index]:
            assert_agrees(replies, index, scalar(data, ETHERNET))


@settings(max_examples=150, deadline=None)
@given(st.lists(whole, min_size=1, max_size=8), st.booleans())
def test_common_shapes_are_not_rare(packets: list[bytes], ethernet: bool) -> None:
    frames = [
        MACS + (b"\x08\x00" if data[0] >> 4 == 4 else b"\x86\xdd") + data if ethernet else data
        for data in packets
    ]
    replies = decode_batch(*block_of(frames, 0), 14 if ethernet else 0)
    assert not replies.rare.any()
    assert replies.may_answer.all()
    for index, data in enumerate(packets):
        assert_agrees(replies, index, scalar(data, RAW))


@settings(max_examples=150, deadline=None)
@given(st.lists(damaged(), min_size=1, max_size=6))
def test_nothing_beyond_what_was_captured_is_read(packets: list[bytes]) -> None:
    one = decode_batch(*block_of(packets, 100, 0xA5))
    for stale in (0x00, 0x45, 0x06, 0xFF):
        other = decode_batch(*block_of(packets, 100, stale))
        for field in fields(Replies):
            assert (getattr(one, field.name) == getattr(other, field.name)).all(), field.name


@settings(max_examples=100, deadline=None)
@given(whole)
def test_every_cut_of_a_packet(data: bytes) -> None:
    cuts = [data[:size] for size in range(len(data) + 1)]
    rows = np.tile(np.frombuffer(data, np.uint8), (len(cuts), 1))  # the rest of it is still there
    replies = decode_batch(rows, np.arange(len(cuts)))
    for index, cut in enumerate(cuts):
        if not replies.rare[index]:
            assert_agrees(replies, index, scalar(cut, RAW))
    # And it is read as soon as there is enough: not later than 20 bytes of TCP, or 8 of another.
    assert replies.rare[:28].all()
    assert not replies.rare[-1]


PROBE = IP(src="10.56.1.1", dst="10.56.1.3") / TCP(sport=40000, dport=561, seq=7)


def one(data: bytes) -> Replies:
    return decode_batch(*block_of([data], 3))


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ("SA", ReplyKind.SYN_ACK), ("S", ReplyKind.SYN), ("RA", ReplyKind.RST),
        ("R", ReplyKind.RST), ("RSA", ReplyKind.RST), ("A", ReplyKind.TCP_OTHER),
        ("FA", ReplyKind.TCP_OTHER), ("", ReplyKind.TCP_OTHER), ("SAEC", ReplyKind.SYN_ACK),
    ],
)  # fmt: skip
def test_a_segment_read_by_hand(flags: str, kind: ReplyKind) -> None:
    tcp = TCP(sport=561, dport=40000, seq=5, ack=8, flags=flags, window=9)
    tcp.options = [("MSS", 1460)]
    replies = one(bytes(IP(src="10.56.1.3", dst="10.56.1.1", ttl=63) / tcp))
    assert replies.signal(0) == Signal(kind)
    assert (replies.seq[0], replies.ack[0]) == (5, 8)
    assert replies.flags[0] == int(Flags(int(tcp.flags)))
    assert (replies.window[0], replies.options_bytes[0], replies.ttl[0]) == (9, 4, 63)
    assert (replies.source_port[0], replies.port[0], replies.from_target[0]) == (40000, 561, True)
    assert replies.address(replies.source, 0) == ip_address("10.56.1.1")
    assert replies.address(replies.target, 0) == ip_address("10.56.1.3")


@pytest.mark.parametrize(
    ("responder", "type_", "code", "signal"),
    [
        ("10.56.1.1", 3, 1, Signal(ReplyKind.NO_NEIGHBOUR)),
        ("10.56.1.1", 3, 0, Signal(ReplyKind.ICMP, 3, 0)),
        ("10.56.1.254", 3, 1, Signal(ReplyKind.ICMP, 3, 1)),
        ("10.56.1.3", 3, 3, Signal(ReplyKind.ICMP, 3, 3)),
        ("10.56.1.254", 11, 77, Signal(ReplyKind.ICMP, 11, 77)),
    ],
)
def test_an_error_read_by_hand(responder: str, type_: int, code: int, signal: Signal) -> None:
    error = IP(src=responder, dst="10.56.1.1") / ICMP(type=type_, code=code)
    replies = one(bytes(error / Raw(bytes(PROBE)[:28])))
    assert replies.signal(0) == signal
    assert replies.own[0] == (signal.kind is ReplyKind.NO_NEIGHBOUR)
    assert replies.quoted_seq[0] == 7
    assert replies.from_target[0] == (responder == "10.56.1.3")
    assert (replies.source_port[0], replies.port[0]) == (40000, 561)


@pytest.mark.parametrize("version", [4, 6])
def test_a_host_that_asks_itself_is_no_missing_neighbour(version: int) -> None:
    address = ADDRESSES[version][0]
    header = (IP if version == 4 else IPv6)(src=address, dst=address)
    type_, code, upper = (3, 1, 1) if version == 4 else (1, 3, 58)
    setattr(header, "proto" if version == 4 else "nh", upper)
    quote = header.copy()
    setattr(quote, "proto" if version == 4 else "nh", 17)
    probe = bytes(quote / UDP(sport=40000, dport=561))
    replies = one(bytes(header / Raw(bytes([type_, code]) + b"\0" * 6 + probe)))
    assert not replies.own[0]
    assert replies.kind[0] == (ReplyKind.ICMP if version == 4 else ReplyKind.ICMP6)


@pytest.mark.parametrize(
    "data",
    [
        bytes(IP(flags="MF") / UDP()),
        bytes(IP(frag=1) / UDP()),
        bytes(IPv6() / IPv6ExtHdrHopByHop() / UDP()),
        bytes(IPv6() / IPv6ExtHdrFragment() / UDP()),
        bytes(IP() / UDP())[:27],
        bytes(IP(dst="10.56.1.1") / ICMP(type=3) / Raw(bytes(PROBE)[:27])),
        b"",
        b"\x00" * 60,
        b"\x44" + bytes(IP() / UDP())[1:],
    ],
)
def test_the_rest_is_rare(data: bytes) -> None:
    assert one(data).rare.tolist() == [True]


@pytest.mark.parametrize(
    "data", [bytes(IP() / ICMP()), b"\x60" + b"\0" * 5 + b"\x3a" + b"\x88" * 70]
)
def test_echoes_and_neighbour_discovery_are_no_replies(data: bytes) -> None:
    replies = one(data)
    assert not replies.rare[0]
    assert replies.kind[0] == NO_REPLY
    assert not replies.may_answer[0]


@pytest.mark.parametrize("header", [IP(len=0), IPv6(plen=0)])
def test_lengths_that_offload_left_at_zero(header: Any) -> None:
    # The sender's own captures have them; scapy keeps a length that it is given.
    data = bytes(header / UDP(sport=561, dport=40000))
    replies = one(data)
    assert replies.kind[0] == ReplyKind.UDP
    assert_agrees(replies, 0, scalar(data, RAW))
    replies = decode_batch(*block_of([data[:-1]], 3))
    assert replies.rare[0]


@pytest.mark.parametrize("words", [0, 4, 5, 15])
def test_options_by_the_data_offset(words: int) -> None:
    # Less than 5 words cannot be: there are no options then, and not less than none.
    tcp = TCP(sport=561, dport=40000, flags="SA", dataofs=words)
    replies = one(bytes(IP() / tcp))
    assert replies.options_bytes[0] == {0: 0, 4: 0, 5: 0, 15: 40}[words]


def test_an_empty_block() -> None:
    empty: NDArray[np.uint8] = np.empty((0, 64), np.uint8)
    assert len(decode_batch(empty, np.empty(0, np.int64), 14)) == 0


def test_lengths_longer_than_the_rows() -> None:
    # A ring whose frames are cut says how long they were before: no more than the row is there.
    data = bytes(IP() / UDP(sport=561, dport=40000))
    rows, _ = block_of([data], 0)
    assert not decode_batch(rows, np.array([1500])).rare[0]
    assert decode_batch(rows[:, :27], np.array([1500])).rare[0]


def test_other_link_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="offset 16"):
        decode_batch(np.zeros((1, 64), np.uint8), np.array([64]), 16)
