"""Captures made to order: probes and replies at chosen times, as anybody's or as rawscan's own.

Touches nothing but the files it is told to write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from rawscan.capture.writer import PcapngWriter
from rawscan.model import Frame, IPAddress, Port, Probe, ProbeKind
from rawscan.testing import START_S
from rawscan.wire.craft import craft
from rawscan.wire.linklayer import RAW
from rawscan.wire.token import Token
from tests.capture import forge

SYN, UDP, ACK = ProbeKind.SYN, ProbeKind.UDP, ProbeKind.ACK
SCANNER, TARGET, ROUTER = map(ip_address, ("10.0.0.1", "10.0.0.5", "10.0.0.254"))
TOKEN = Token(b"tape", range(16384, 32768))


@dataclass(slots=True)
class Tape:
    """What is on the capture. Times are seconds after `START_S`."""

    frames: list[tuple[float, bytes, Literal["in", "out"]]] = field(default_factory=list)

    def probe(
        self, at_s: float, kind: ProbeKind = SYN, target: IPAddress = TARGET, number: int = 0
    ) -> bytes:
        """Record a probe to port 561 and give its bytes, for replies to be made from."""
        packet = craft(Probe(Port(target, 561, kind), number), SCANNER, TOKEN)
        self.frames.append((at_s, packet, "out"))
        return packet

    def reply(self, at_s: float, packet: bytes) -> None:
        """Record what came back."""
        self.frames.append((at_s, packet, "in"))

    def foreign(self, path: Path) -> Path:
        """Write it as a plain pcap of somebody else's."""
        records = [
            forge.record("<", int(START_S + at_s), round(at_s % 1 * 1e6), packet)
            for at_s, packet, _ in self.frames
        ]
        path.write_bytes(forge.pcap_header(network=RAW) + b"".join(records))
        return path

    def own(
        self,
        path: Path,
        until_s: float | None,
        *,
        complete: bool = True,
        drops: int = 0,
        dropped_s: float | None = None,
        noticed: Sequence[tuple[float, int]] = (),
    ) -> Path:
        """Write it as rawscan records; `until_s` None is a recorder that died.

        `noticed`: when drops were, and how many by then.
        """
        writer = PcapngWriter(path, linktype=RAW, interface="sim", now_s=START_S, ports="561")
        for at_s, packet, direction in self.frames:
            writer.write(Frame(START_S + at_s, packet, RAW, len(packet)), direction)
        for at_s, total in noticed:
            writer.drops(START_S + at_s, total)
        writer.close(
            None if until_s is None else START_S + until_s,
            complete=complete,
            drops=drops,
            dropped_s=None if dropped_s is None else START_S + dropped_s,
        )
        return path

    def timeless(self, path: Path) -> Path:
        """Write it as pcapng of Simple Packet Blocks, which bear no time."""
        blocks = b"".join(forge.simple("<", packet) for _, packet, _ in self.frames)
        path.write_bytes(forge.section("<") + forge.interface("<", linktype=RAW) + blocks)
        return path
