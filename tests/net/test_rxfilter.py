"""The sieve admits what may be a reply and no more, as this machine's kernel runs it.

A socket filter works on any socket, so a pair of local ones runs the program over whole frames:
nothing is sent anywhere, and no privilege is needed.
"""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from rawscan.net.kernel import attach_filter
from rawscan.net.rxfilter import filter_for

PORTS = range(40_000, 40_010)
TAGS = {0: b"", 1: b"\x81\x00\x00\x05", 2: b"\x88\xa8\x00\x05\x81\x00\x00\x06"}
Admits = Callable[[bytes], bool]


def sieve(ports: range) -> Iterator[Admits]:
    """Whether the kernel, with the program for these ports, lets a frame through."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        attach_filter(there, filter_for(ports))

        def admits(frame: bytes) -> bool:
            here.send(frame)
            try:
                return there.recv(2048, socket.MSG_DONTWAIT) == frame
            except BlockingIOError:
                return False

        yield admits


@pytest.fixture(scope="module")
def admits() -> Iterator[Admits]:
    yield from sieve(PORTS)


def ethernet(ethertype: int, packet: bytes, tags: int = 0) -> bytes:
    return bytes(12) + TAGS[tags] + struct.pack("!H", ethertype) + packet


def ipv4(protocol: int, port: int, words: int = 5, fragment: int = 0) -> bytes:
    """An IPv4 packet (RFC 791) whose options, and the bytes after the ports, are all ones."""
    header = bytes([0x40 | words]) + struct.pack("!BHHHBB", 0, 0, 0, fragment, 64, protocol)
    options = b"\xff" * (words * 4 - 20)
    return header + bytes(10) + options + struct.pack("!HH", 561, port) + b"\xff" * 16


def ipv6(next_header: int, port: int) -> bytes:
    """An IPv6 packet (RFC 8200)."""
    header = struct.pack("!IHBB", 6 << 28, 20, next_header, 64) + b"\xff" * 32
    return header + struct.pack("!HH", 561, port) + b"\xff" * 16


def arp(operation: int) -> bytes:
    """An ARP packet for IPv4 over Ethernet (RFC 826)."""
    return struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + b"\xff" * 20


@pytest.mark.parametrize("tags", TAGS)
@pytest.mark.parametrize("protocol", [6, 17])
def test_ipv4_ports(admits: Admits, tags: int, protocol: int) -> None:
    for words, port in itertools.product((5, 6, 15), (39_999, 40_000, 40_009, 40_010, 561)):
        frame = ethernet(0x0800, ipv4(protocol, port, words), tags)
        assert admits(frame) == (port in PORTS), (words, port)


def test_every_port(admits: Admits) -> None:
    admitted = [port for port in range(65_536) if admits(ethernet(0x0800, ipv4(17, port)))]
    assert admitted == list(PORTS)


@pytest.mark.parametrize("ports", [range(1), range(65_535, 65_536), range(65_536)])
def test_ranges_at_the_ends(ports: range) -> None:
    for admits in sieve(ports):
        for port in (0, 1, 65_534, 65_535):
            assert admits(ethernet(0x86DD, ipv6(6, port))) == (port in ports)


@pytest.mark.parametrize(
    ("fragment", "first"),
    [(0, True), (0x4000, True), (0x2000, True), (0x0001, False), (0x2001, False), (0x1FFF, False)],
)
def test_only_first_fragments_have_ports(admits: Admits, fragment: int, first: bool) -> None:
    assert admits(ethernet(0x0800, ipv4(6, 40_000, fragment=fragment))) == first
    assert admits(ethernet(0x0800, ipv4(1, 0, fragment=fragment)))  # a piece of an ICMP error


@pytest.mark.parametrize("tags", TAGS)
def test_ipv6(admits: Admits, tags: int) -> None:
    for next_header in (6, 17):
        for port in (39_999, 40_000, 40_009, 40_010):
            frame = ethernet(0x86DD, ipv6(next_header, port), tags)
            assert admits(frame) == (port in PORTS), (next_header, port)


def test_every_protocol_number(admits: Admits) -> None:
    v4 = [number for number in range(256) if admits(ethernet(0x0800, ipv4(number, 1)))]
    v6 = [number for number in range(256) if admits(ethernet(0x86DD, ipv6(number, 1)))]
    assert v4 == [1]
    # ICMPv6 and the extension headers of IANA's "IPv6 Extension Header Types"
    assert v6 == [0, 43, 44, 50, 51, 58, 60, 135, 139, 140, 253, 254]


@pytest.mark.parametrize("tags", TAGS)
def test_arp_replies_but_no_requests(admits: Admits, tags: int) -> None:
    assert admits(ethernet(0x0806, arp(2), tags))
    assert not admits(ethernet(0x0806, arp(1), tags))


def test_nothing_else(admits: Admits) -> None:
    known = {0x0800, 0x86DD, 0x0806}
    # Words that read as an accepted protocol and port wherever they are looked for.
    body = struct.pack("!HH", 40_000, 40_000) * 20
    for ethertype in {*range(0, 0x10000, 7), 0x8863, 0x88CC, 0x9000} - known - {0x8100, 0x88A8}:
        assert not admits(ethernet(ethertype, body)), hex(ethertype)
    three_tags = bytes(12) + b"\x81\x00\x00\x05" * 3 + b"\x08\x00" + ipv4(6, 40_000)
    assert not admits(three_tags)


def test_frames_cut_short_are_rejected(admits: Admits) -> None:
    for frame, needed in (
        (ethernet(0x0800, ipv4(6, 40_000, 15)), 14 + 60 + 4),
        (ethernet(0x86DD, ipv6(17, 40_000), 2), 8 + 14 + 40 + 4),
        (ethernet(0x0806, arp(2)), 14 + 8),
    ):
        assert [admits(frame[:length]) for length in range(1, len(frame) + 1)] == [
            length >= needed for length in range(1, len(frame) + 1)
        ]


@pytest.mark.parametrize("ports", [range(0), range(5, 5), range(1, 9, 2)])
def test_ranges_that_are_none(ports: range) -> None:
    with pytest.raises(ValueError, match="neighbouring"):
        filter_for(ports)
