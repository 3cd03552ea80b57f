"""Sends SYN probes into `left` until killed, by one of rawscan's fast links: what `transmit` times.

    python -m benchmarks.sender packet|packet-bypass|xdp [BATCH [STRIDE]]

The engine's work is left out: this is how fast probes can leave. Runs only in a namespace of
`network`, and the frames go to a MAC address that nobody has.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.network import NOBODY_MAC, SOURCE, require_apart
from rawscan.errors import RawscanError
from rawscan.net.framesender import FrameSender
from rawscan.net.xdp import XdpSender

FRAME_BYTES = 58  # Ethernet, IPv4, TCP with the MSS option
FIRST = 11 << 24  # 11.0.0.0

SENDERS: dict[str, Callable[[int, int], FrameSender | XdpSender]] = {
    "packet": lambda batch, stride: FrameSender("left", batch, stride),
    "packet-bypass": lambda batch, stride: FrameSender("left", batch, stride, bypass_qdisc=True),
    "xdp": lambda batch, stride: XdpSender("left", batch, stride),
}


def template() -> bytes:
    """A SYN probe to 0.0.0.0 whose checksum fields are zero."""
    ethernet = bytes.fromhex(NOBODY_MAC.replace(":", "")) + bytes(6) + b"\x08\x00"
    source = socket.inet_aton(SOURCE)
    ip = struct.pack("!BBHHHBBH4s4x", 0x45, 0, 44, 0, 0, 64, 6, 0, source)
    tcp = struct.pack("!HHIIBBHHH", 40000, 561, 0, 0, 0x60, 2, 1024, 0, 0)
    return ethernet + ip + tcp + b"\x02\x04\x05\xb4"


def words(data: bytes) -> int:
    """Sum of 16-bit words (RFC 1071)."""
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


def folded(sums: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """The checksums of sums, as the bytes that go into a frame."""
    for _ in range(2):
        sums = (sums & np.uint64(0xFFFF)) + (sums >> np.uint64(16))
    return (sums ^ np.uint64(0xFFFF)).astype(">u2").view(np.uint8).reshape(-1, 2)


def send(link: str, batch: int, stride: int) -> None:
    """Send SYN probes to one address after the other, as a scan would, until killed."""
    frame = template()
    ip_sum = np.uint64(words(frame[14:34]))
    tcp_sum = np.uint64(words(frame[34:]) + words(frame[26:34]) + 6 + 24)
    sender = SENDERS[link](batch, stride)
    sender.buffer[:, :FRAME_BYTES] = np.frombuffer(frame, np.uint8)
    low = np.uint64(0xFFFF)
    address = np.uint64(FIRST) + np.arange(batch, dtype=np.uint64)
    while True:
        sequence = address * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)
        half = (address >> np.uint64(16)) + (address & low)
        sender.buffer[:, 24:26] = folded(ip_sum + half)
        sender.buffer[:, 30:34] = address.astype(">u4").view(np.uint8).reshape(-1, 4)
        sender.buffer[:, 38:42] = sequence.astype(">u4").view(np.uint8).reshape(-1, 4)
        sums = tcp_sum + half + (sequence >> np.uint64(16)) + (sequence & low)
        sender.buffer[:, 50:52] = folded(sums)
        sender.send(batch, FRAME_BYTES)
        address += np.uint64(batch)


def main() -> None:
    """Send, or say why not."""
    require_apart({"lo", "left"})
    link, *sizes = sys.argv[1:]
    batch, stride = map(int, [*sizes, *("1024", "128")[len(sizes) :]])
    try:
        send(link, batch, stride)
    except RawscanError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
