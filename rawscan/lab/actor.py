"""An actor: answers probes by script, inside one host's namespace, where no kernel would say it.

Run as `python -m rawscan.lab.actor PORT ADDRESSES SIGNALS` (both lists parted by commas). Writes
"ready" once it watches, answers every probe to the port with each of the signals that fits it, and
ends when its standard input does.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Callable, Iterator

from rawscan.errors import DecodeError
from rawscan.model import Flags, Packet, Tcp, Udp
from rawscan.wire import replies
from rawscan.wire.decode import decode

_ETHERNET_BYTES = 14
_ETH_P_ALL = 3  # linux/if_ether.h
_PACKET_OUTGOING = 4  # linux/if_packet.h

_TCP_ANSWERS: dict[str, Callable[[bytes], bytes]] = {
    "rst": replies.rst,
    "syn-ack": replies.syn_ack,
    "syn": replies.syn,
    "syn-proxy": lambda probe: replies.syn_ack(probe, window=0, mss=0),
}
SIGNALS = ("udp", *_TCP_ANSWERS, "icmp:TYPE/CODE", "icmp6:TYPE/CODE")
"""What can be asked of an actor."""


def is_signal(text: str) -> bool:
    """Can an actor say this?"""
    if text == "udp" or text in _TCP_ANSWERS:
        return True
    name, _, numbers = text.partition(":")
    parts = numbers.split("/")
    sensible = len(parts) == 2 and all(part.isascii() and part.isdecimal() for part in parts)
    types = range(256) if name == "icmp" else (1, 2, 3, 4)
    return (
        name in ("icmp", "icmp6") and sensible and int(parts[0]) in types and int(parts[1]) <= 255
    )


def answers(data: bytes, packet: Packet, signals: list[str]) -> Iterator[bytes]:
    """The replies to one probe."""
    for signal in signals:
        name, _, numbers = signal.partition(":")
        if name == ("icmp" if packet.source.version == 4 else "icmp6"):
            type_, code = map(int, numbers.split("/"))
            yield replies.icmp_error(data, type_, code)
        elif name == "udp" and isinstance(packet.body, Udp):
            yield replies.datagram(data)
        elif name in _TCP_ANSWERS and isinstance(packet.body, Tcp):
            yield _TCP_ANSWERS[name](data)


def is_probe(packet: Packet, port: int, addresses: list[str]) -> bool:
    """Is it for one of our addresses and our port, and no RST?"""
    if str(packet.destination) not in addresses:
        return False
    match packet.body:
        case Tcp(dport=dport, flags=flags):
            return dport == port and flags is not None and not flags & Flags.RST
        case Udp(dport=dport):
            return dport == port
    return False


def main() -> None:
    """Answer until standard input ends."""
    port, addresses, signals = int(sys.argv[1]), sys.argv[2].split(","), sys.argv[3].split(",")
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    sock.bind(("eth0", _ETH_P_ALL))
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([0, sock.fileno()], [], [])
        if 0 in ready and not os.read(0, 1024):
            return
        if sock.fileno() not in ready:
            continue
        frame, address = sock.recvfrom(65535)
        if address[2] == _PACKET_OUTGOING:
            continue
        data = frame[_ETHERNET_BYTES:]
        try:
            packet = decode(data)
        except DecodeError:
            continue
        if is_probe(packet, port, addresses):
            for answer in answers(data, packet, signals):
                sock.send(frame[6:12] + frame[:6] + frame[12:14] + answer)


if __name__ == "__main__":
    main()
