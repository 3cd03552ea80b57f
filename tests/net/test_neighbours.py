"""Neighbour requests and replies against Scapy, byte for byte, and the kernel's table."""

from __future__ import annotations

import random
import socket
from ipaddress import IPv6Address, ip_address
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptMTU,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw
from scapy.utils6 import in6_getnsma, in6_getnsmac

from rawscan.model import IPAddress
from rawscan.net import neighbours
from rawscan.net.neighbours import (
    Rows,
    known_neighbours,
    replies_in,
    requests_for,
    rows_of,
)
from tests.net.cable import Peer, call, ip

MAC, THEIRS = "02:00:00:00:00:01", "02:aa:bb:cc:dd:ee"
OUR_MAC = bytes.fromhex(MAC.replace(":", ""))
SOURCE_4, SOURCE_6 = ip_address("10.0.0.1"), ip_address("fd00::1")
TARGET_4, TARGET_6 = "10.0.0.9", "fd00::1234:5678:9abc"


def some(version: int, count: int, seed: int = 561) -> list[IPAddress]:
    rng = random.Random(seed)
    bits, kind = (32, ip_address) if version == 4 else (128, IPv6Address)
    return [kind(rng.getrandbits(bits)) for _ in range(count)]


# ---------------------------------------------------------------------------------- requests


def test_arp_requests_are_scapys() -> None:
    targets = some(4, 300)
    frames = requests_for(rows_of(targets), OUR_MAC, SOURCE_4)
    for target, frame in zip(targets, frames, strict=True):
        arp = ARP(op="who-has", hwsrc=MAC, psrc=str(SOURCE_4), hwdst="00:00:00:00:00:00")
        arp.pdst = str(target)
        assert frame.tobytes() == bytes(Ether(dst="ff:ff:ff:ff:ff:ff", src=MAC) / arp)
    assert frames.shape == (300, neighbours.ARP_BYTES)


def test_solicitations_are_scapys() -> None:
    targets = [*some(6, 300), IPv6Address(0), IPv6Address((1 << 128) - 1)]
    for source in (SOURCE_6, ip_address("fe80::ffff:ffff:ffff:ffff")):
        frames = requests_for(rows_of(targets), OUR_MAC, source)
        for target, frame in zip(targets, frames, strict=True):
            group = in6_getnsma(target.packed)
            ether = Ether(dst=in6_getnsmac(group), src=MAC)
            packet = IPv6(src=str(source), dst=str(IPv6Address(group)), hlim=255)
            option = ICMPv6NDOptSrcLLAddr(lladdr=MAC)
            assert frame.tobytes() == bytes(ether / packet / ICMPv6ND_NS(tgt=str(target)) / option)
    assert frames.shape[1] == neighbours.SOLICITATION_BYTES


def test_no_targets_make_no_frames() -> None:
    assert requests_for(np.empty((0, 4), np.uint8), OUR_MAC, SOURCE_4).shape == (0, 42)
    assert requests_for(np.empty((0, 16), np.uint8), OUR_MAC, SOURCE_6).shape == (0, 86)


# ----------------------------------------------------------------------------------- replies


def block(*frames: bytes, stride: int = 256) -> tuple[Rows, NDArray[np.int64]]:
    """Frames in a receive block full of what earlier frames have left behind."""
    rows = np.full((len(frames), stride), 0xA5, np.uint8)
    for row, frame in zip(rows, frames, strict=True):
        row[: len(frame)] = np.frombuffer(frame, np.uint8)[:stride]
    return rows, np.array([len(frame) for frame in frames], np.int64)


def said(source: IPAddress, *frames: Packet | bytes, stride: int = 256) -> list[tuple[str, str]]:
    addresses, macs = replies_in(*block(*map(bytes, frames), stride=stride), source)
    return [
        (str(ip_address(address.tobytes())), mac.tobytes().hex(":"))
        for address, mac in zip(addresses, macs, strict=True)
    ]


def arp(dst: str = MAC, **fields: Any) -> Packet:
    values: dict[str, Any] = {
        "op": 2,
        "hwsrc": THEIRS,
        "psrc": TARGET_4,
        "hwdst": MAC,
        "pdst": str(SOURCE_4),
    }
    return Ether(src=THEIRS, dst=dst, type=0x0806) / ARP(**(values | fields))


def test_an_arp_reply_is_believed() -> None:
    plain, padded = bytes(arp()), bytes(arp()) + bytes(18)
    assert said(SOURCE_4, plain, padded) == [(TARGET_4, THEIRS)] * 2
    assert said(SOURCE_4, plain, stride=42) == [(TARGET_4, THEIRS)]


@pytest.mark.parametrize(
    "frame",
    [
        arp(op=1),
        arp(op=4),
        arp(hwtype=6),
        arp(ptype=0x86DD),
        arp(hwlen=8, hwsrc=b"12345678", hwdst=b"12345678"),
        arp(pdst="10.0.0.2"),
        arp(hwsrc="ff:ff:ff:ff:ff:ff"),
        arp(hwsrc="03:00:5e:00:00:01"),
        arp(hwsrc="00:00:00:00:00:00"),
        bytes(arp())[:41],
        bytes(arp()) + bytes(300),  # longer than what was read of it
        Ether(src=THEIRS, dst=MAC) / Dot1Q(vlan=5, type=0x0806) / ARP(bytes(arp())[14:]),
        Ether(src=THEIRS, dst=MAC, type=0x0835) / ARP(bytes(arp())[14:]),  # RARP
    ],
)
def test_arp_that_is_no_answer_to_us(frame: Packet | bytes) -> None:
    assert said(SOURCE_4, arp(), frame, arp()) == [(TARGET_4, THEIRS)] * 2


def advertisement(
    *options: Packet | bytes, hlim: int = 255, dst: str = "", **fields: Any
) -> Packet:
    packet: Packet = Ether(src=THEIRS, dst=MAC, type=0x86DD)
    packet /= IPv6(src=TARGET_6, dst=dst or str(SOURCE_6), hlim=hlim)
    values: dict[str, Any] = {"tgt": TARGET_6, "R": 0, "S": 1, "O": 1}
    packet /= ICMPv6ND_NA(**(values | fields))
    for option in options:
        packet /= Raw(option) if isinstance(option, bytes) else option
    return packet


OPTION = ICMPv6NDOptDstLLAddr(lladdr=THEIRS)
NONCE = b"\x0e\x01abcdef"  # RFC 3971, section 5.3.2


@pytest.mark.parametrize(
    "frame",
    [
        advertisement(OPTION),
        advertisement(OPTION, R=1, O=0),
        advertisement(OPTION, dst="ff02::1", S=0),
        advertisement(ICMPv6NDOptMTU(mtu=1500), NONCE, OPTION),  # options in any order
        advertisement(OPTION, NONCE),
        advertisement(b"\xfd\x02" + bytes(14), OPTION),  # unknown ones are skipped
        advertisement(OPTION, ICMPv6NDOptDstLLAddr(lladdr="02:00:00:00:00:99")),  # the first counts
        bytes(advertisement(OPTION)) + b"\x5a" * 9,  # Ethernet padding is no part of it
    ],
)
def test_an_advertisement_is_believed(frame: Packet | bytes) -> None:
    assert said(SOURCE_6, frame) == [(TARGET_6, THEIRS)]
    odd = 2 * (len(bytes(frame)) // 2) + 1
    assert said(SOURCE_6, frame, stride=odd) == [(TARGET_6, THEIRS)]


def broken_sum() -> bytes:
    data = bytearray(bytes(advertisement(OPTION)))
    data[-1] ^= 1
    return bytes(data)


@pytest.mark.parametrize(
    "frame",
    [
        advertisement(OPTION, hlim=254),  # from beyond the link: RFC 4861, section 7.1.2
        advertisement(OPTION, code=1),
        advertisement(OPTION, type=135),
        advertisement(OPTION, cksum=0),
        broken_sum(),
        advertisement(OPTION, tgt="ff02::1"),
        advertisement(OPTION, dst="ff02::1", S=1),
        advertisement(OPTION, b"\x03\x00" + bytes(6)),  # an option of length 0
        advertisement(b"\x03\x00" + bytes(6), OPTION),
        advertisement(OPTION, b"\x03\x02" + bytes(6)),  # beyond the end
        advertisement(OPTION, b"\x03"),  # not even a length
        advertisement(),
        advertisement(NONCE),
        advertisement(ICMPv6NDOptSrcLLAddr(lladdr=THEIRS)),
        advertisement(b"\x02\x02" + b"\x02" * 14),  # longer addresses than Ethernet's
        advertisement(ICMPv6NDOptDstLLAddr(lladdr="33:33:00:00:00:01")),
        bytes(advertisement(OPTION))[:-1],
        bytes(advertisement(OPTION))[:60],
        bytes(advertisement(*[OPTION] * 30)),  # more than was read of it
        bytes(arp()),
    ],
)
def test_an_advertisement_that_is_not_valid(frame: Packet | bytes) -> None:
    good = advertisement(OPTION)
    assert said(SOURCE_6, good, frame, good) == [(TARGET_6, THEIRS)] * 2


def test_wrong_version_and_next_header() -> None:
    data = bytearray(bytes(advertisement(OPTION)))
    for offset, value in ((14, 0x50), (20, 59)):
        changed = bytes(data[:offset]) + bytes([value]) + bytes(data[offset + 1 :])
        assert said(SOURCE_6, changed) == []


def test_noise_never_raises_and_says_nothing() -> None:
    rng = np.random.default_rng(561)
    for stride in (0, 1, 41, 42, 85, 86, 87, 256):
        rows = rng.integers(0, 256, (500, stride), np.uint8)
        lengths = rng.integers(0, stride + 50, 500)
        for source in (SOURCE_4, SOURCE_6):
            assert len(replies_in(rows, lengths, source)[0]) == 0


def test_damaged_advertisements_are_caught_by_the_checksum() -> None:
    """Every single changed byte behind the Ethernet header, but for those nobody looks at."""
    data = bytes(advertisement(OPTION))
    ignored = {14, 15, 16, 17}  # traffic class and flow label
    for offset in range(14, len(data)):
        changed = data[:offset] + bytes([data[offset] ^ 0x0F]) + data[offset + 1 :]
        assert bool(said(SOURCE_6, changed)) == (offset in ignored), offset


# ----------------------------------------------------------------------------- kernel's table


STATES = {
    "10.0.0.2": "reachable",
    "10.0.0.3": "stale",
    "10.0.0.4": "permanent",
    "10.0.0.5": "stale",  # and used below, which makes it `delay`
    "10.0.0.6": "probe",
    "10.0.0.7": "incomplete",
    "10.0.0.8": "noarp",
    "fd00::2": "stale",
}


def ask_the_kernel() -> dict[str, Any]:
    with Peer("near"), Peer("other"):
        ip("addr add 10.0.0.1/24 dev near")
        for number, (address, state) in enumerate(STATES.items()):
            ip(
                f"neigh add {address} lladdr 02:00:00:00:01:{number:02} dev near nud {state}",
                f"neigh add {address} lladdr 02:00:00:00:99:{number:02} dev other nud {state}",
            )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as user:
            user.sendto(b"", ("10.0.0.5", 9))
        found = known_neighbours(socket.if_nametoindex("near"))
        return {str(a): mac.hex(":") for a, mac in found.items() if not a.is_multicast}


@pytest.mark.netns
def test_what_the_kernel_knows() -> None:
    found = call(ask_the_kernel)
    assert found == {
        "10.0.0.2": "02:00:00:00:01:00",
        "10.0.0.3": "02:00:00:00:01:01",
        "10.0.0.4": "02:00:00:00:01:02",
        "10.0.0.5": "02:00:00:00:01:03",
        "fd00::2": "02:00:00:00:01:07",
    }
