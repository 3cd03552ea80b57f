"""What the scripts of several cases share: packets at chosen times, as a plain pcap of raw IP.

Scapy builds the packets, so the bytes are not rawscan's own idea of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet, Raw
from scapy.utils import RawPcapWriter

LINKTYPE_RAW = 101
ACK, FIN, SYN, RST = "A", "F", "S", "R"


class Tape:
    """Packets with times, in seconds since the Unix epoch."""

    def __init__(self, start_s: float) -> None:
        self.start_s = start_s
        self.packets: list[tuple[float, bytes]] = []

    def at(self, second: float, packet: Packet) -> Packet:
        """Let a packet pass `second` seconds after the start."""
        self.packets.append((self.start_s + second, bytes(packet)))
        return packet

    def write(self, folder: Path, expected: list[dict[str, Any]], ports: str = "561") -> None:
        """Write `capture.pcap`, `expected.jsonl` and `ports`, in the order of time."""
        writer = RawPcapWriter(str(folder / "capture.pcap"), linktype=LINKTYPE_RAW, nano=False)
        writer.write_header(None)
        for time_s, data in sorted(self.packets, key=lambda pair: pair[0]):
            seconds = int(time_s)
            writer.write_packet(data, sec=seconds, usec=round((time_s - seconds) * 1e6))
        writer.close()
        lines = "".join(json.dumps(record) + "\n" for record in expected)
        (folder / "expected.jsonl").write_text(lines)
        (folder / "ports").write_text(ports + "\n")


class Talk:
    """A TCP conversation, segment by segment; keeps the numbers of both sides."""

    def __init__(
        self, tape: Tape, client: tuple[str, int], server: tuple[str, int], second: float
    ) -> None:
        self._tape = tape
        self._ends = (client, server)
        self._next = [1000 + client[1], 9000 + client[1]]
        self.second = second

    def up(self, flags: str, payload: bytes = b"", **fields: Any) -> Packet:
        """The client sends."""
        return self._say(0, flags, payload, fields)

    def down(self, flags: str, payload: bytes = b"", **fields: Any) -> Packet:
        """The server sends."""
        return self._say(1, flags, payload, fields)

    def open(self) -> None:
        """The three segments that establish a connection (RFC 9293, section 3.5)."""
        self.up("S")
        self.down("SA")
        self.up("A")

    def close(self) -> None:
        """A FIN of each side, acknowledged."""
        self.up("FA")
        self.down("FA")
        self.up("A")

    def _say(self, side: int, flags: str, payload: bytes, fields: dict[str, Any]) -> Packet:
        (source, sport), (target, dport) = self._ends[side], self._ends[1 - side]
        segment = TCP(
            sport=sport,
            dport=dport,
            flags=flags,
            seq=self._next[side],
            ack=self._next[1 - side] if "A" in flags else 0,
            window=0 if "R" in flags else 64240,
        )
        for name, value in fields.items():
            setattr(segment, name, value)
        self._next[side] += len(payload) + ("S" in flags) + ("F" in flags)
        self.second += 0.01
        packet = IP(src=source, dst=target, ttl=64, flags="DF") / segment
        return self._tape.at(self.second, packet / Raw(payload) if payload else packet)


def datagram(source: tuple[str, int], target: tuple[str, int], payload: bytes) -> Packet:
    """A UDP datagram."""
    packet = IP(src=source[0], dst=target[0], ttl=64) / UDP(sport=source[1], dport=target[1])
    return packet / Raw(payload) if payload else packet


def error(sender: str, about: Packet, type_: int, code: int) -> Packet:
    """An ICMP error that quotes the IP header and 8 bytes more (RFC 792)."""
    quote = bytes(about)[:28]
    return IP(src=sender, dst=about.src, ttl=62) / ICMP(type=type_, code=code) / Raw(quote)
