"""The sieve: it leaves out only what the decoder reads without fault, and is not of the ports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_address

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawscan.ask import ask_of
from rawscan.errors import DecodeError
from rawscan.model import Frame, Icmp, Other, Packet, Tcp, Udp
from rawscan.ports import parse_ports
from rawscan.wire import linklayer
from rawscan.wire.decode import decode_frame
from rawscan.wire.sieve import AddressCheck, Check, PortCheck, Sieve
from tests.wire.mixes import LINKS, framed, packets

P561 = PortCheck(parse_ports("561"))
BOTH = PortCheck(parse_ports("T:561,U:53"))


def sifted(check: Check, frames: list[bytes], linktype: int) -> tuple[set[int], Counter[str]]:
    """Frames lie one behind the other, as in a file."""
    data = bytearray(16)
    at = []
    for frame in frames:
        at.append(len(data))
        data += frame + b"\x05\xa5" * 4
    sizes = np.array([len(frame) for frame in frames], np.int64)
    rows, causes = Sieve(check)(data + b"\x02\x31" * 256, np.array(at), sizes, linktype)
    return set(rows.tolist()), causes


def concerns(packet: Packet) -> bool:
    """Must it be looked at for T:561,U:53? Said here once more, in plain words."""
    match packet.body:
        case Tcp(sport=sport, dport=dport):
            return 561 in (sport, dport)
        case Udp(sport=sport, dport=dport):
            return 53 in (sport, dport) or dport == 4789
        case Icmp(version=version, type=type_, quoted=quoted):
            is_error = type_ in (3, 4, 5, 11, 12) if version == 4 else type_ < 128
            if quoted is None:
                return is_error  # too little of it, perhaps
            legible = not isinstance(quoted.body, Tcp) or quoted.body.seq is not None
            return concerns(quoted) or not legible
        case Other(protocol):
            return protocol in (4, 41, 47)
    raise AssertionError(packet)


@settings(deadline=None)
@given(st.sampled_from(sorted(LINKS)), st.lists(packets(), min_size=1, max_size=30), st.data())
def test_nothing_is_lost(linktype: int, bodies: list[bytes], data: st.DataObject) -> None:
    frames = [data.draw(framed(linktype, body)) for body in bodies]
    kept, causes = sifted(BOTH, frames, linktype)
    expected = Counter[str]()
    for row, frame in enumerate(frames):
        try:
            packet = decode_frame(Frame(1.0, frame, linktype, len(frame)))
        except DecodeError as error:
            if row not in kept:
                expected[error.cause] += 1
            continue
        assert row in kept or not concerns(packet), frame.hex()
    assert causes == expected


@settings(deadline=None)
@given(st.sampled_from(sorted(LINKS)), st.lists(packets(), min_size=1, max_size=30), st.data())
def test_no_packet_to_an_address_is_lost(
    linktype: int, bodies: list[bytes], data: st.DataObject
) -> None:
    frames = [data.draw(framed(linktype, body)) for body in bodies]
    one, other = ip_address("10.0.0.1"), ip_address("fd00::1")
    kept, _ = sifted(AddressCheck(to=[one, other], from_=[one], with_=[other]), frames, linktype)
    for row, frame in enumerate(frames):
        try:
            packet = decode_frame(Frame(1.0, frame, linktype, len(frame)))
        except DecodeError:
            continue
        if ask_of(packet) is not None and packet.destination in (one, other):
            assert row in kept


def ethernet(kind: int, body: bytes, tags: Iterable[int] = ()) -> bytes:
    stack = b"".join(tag.to_bytes(2, "big") + b"\0\7" for tag in tags)
    return bytes(12) + stack + kind.to_bytes(2, "big") + body


def ipv4(protocol: int, body: bytes, options: bytes = b"", fragment: int = 0) -> bytes:
    size = 20 + len(options) + len(body)
    return (
        bytes([0x45 + len(options) // 4, 0]) + size.to_bytes(2, "big") + b"\0\0"
        + fragment.to_bytes(2, "big") + bytes([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2])
        + options + body
    )  # fmt: skip


def ports(sport: int, dport: int) -> bytes:
    return sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + bytes(16)


COMMON = [
    ethernet(0x0800, ipv4(6, ports(40000, 443))),
    ethernet(0x0800, ipv4(17, ports(561, 561))),  # UDP is not asked for
    ethernet(0x0800, ipv4(6, ports(40000, 4789))),
    ethernet(0x0800, ipv4(6, ports(40000, 443), options=bytes(8))),
    ethernet(0x0800, ipv4(1, b"\x08\0" + bytes(6))),  # echo
    ethernet(0x0800, ipv4(89, bytes(20))),  # OSPF
    ethernet(0x86DD, b"\x60\0\0\0\0\x14\x06\x40" + bytes(32) + ports(443, 40000)),
    ethernet(0x86DD, b"\x60\0\0\0\0\x14\x3a\x40" + bytes(32) + b"\x87" + bytes(19)),
    ethernet(0x0800, ipv4(6, ports(40000, 443)), tags=(0x88A8, 0x8100)),
]
ODD = [
    ethernet(0x0800, ipv4(6, ports(40000, 561))),
    ethernet(0x0800, ipv4(6, ports(561, 40000), options=bytes(40))),
    ethernet(0x0800, ipv4(6, ports(40000, 561)), tags=(0x8100,)),
    ethernet(0x0800, ipv4(6, ports(40000, 443), fragment=0x2000)),
    ethernet(0x0800, ipv4(6, ports(40000, 443), fragment=1)),
    ethernet(0x0800, ipv4(47, bytes(20))),
    ethernet(0x0800, ipv4(17, ports(40000, 4789))),
    ethernet(0x0800, ipv4(1, b"\x03\x03" + bytes(30))),
    ethernet(0x0800, ipv4(6, b"\1\2\3")),
    ethernet(0x0800, ipv4(6, ports(40000, 443)))[:36],
    ethernet(0x0800, b"\x60" + ipv4(6, ports(40000, 443))[1:]),
    ethernet(0x86DD, b"\x60\0\0\0\0\x18\x00\x40" + bytes(32) + b"\6" + bytes(7) + ports(1, 2)),
    ethernet(0x8847, bytes(30)),
    ethernet(0x8100, b""),
    b"short",
]  # fmt: skip


@pytest.mark.parametrize("front", range(2))
def test_what_stays_in_and_what_does_not(front: int) -> None:
    """Also when most of it is no IPv4."""
    more = [ethernet(0x0806, bytes(28))] * 40 * front
    kept, causes = sifted(PortCheck(parse_ports("T:561")), more + COMMON + ODD, linklayer.ETHERNET)
    first = len(more) + len(COMMON)
    assert kept == set(range(first, first + len(ODD)))
    assert causes == Counter({"ethertype 0x0806": len(more)} if more else {})


def test_a_link_type_that_is_not_read_holds_nothing() -> None:
    assert sifted(P561, [b"x", b"y"], 250) == (set(), Counter({"link type 250": 2}))
