"""Sessions of real captures beside tshark's streams: how many, who, and how many bytes each way."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from rawscan.analysis import analyse
from rawscan.model import Protocol
from rawscan.ports import parse_ports

SHARED = Path(__file__).resolve().parents[2] / "shared" / "captures"
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not SHARED.is_dir(), reason=f"no captures at {SHARED}"),
]
P561 = parse_ports("561")
Direction = tuple[str, int, str, int]


def streams(path: Path, protocol: str) -> tuple[int, Counter[Direction]]:
    """How many streams tshark sees, and payload by direction, retransmissions left out."""
    fields = [f"{protocol}.stream", "ip.src", "ipv6.src", f"{protocol}.srcport", "ip.dst",
              "ipv6.dst", f"{protocol}.dstport", "tcp.len", "udp.length"]  # fmt: skip
    again = "&&!(tcp.analysis.retransmission)&&!(tcp.analysis.keep_alive)"
    chosen = f"{protocol}.port==561&&!(icmp||icmpv6)" + again * (protocol == "tcp")
    command = ["tshark", "-n", "-r", str(path), "-Y", chosen, "-T", "fields"]
    command += [part for field in fields for part in ("-e", field)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    numbers, sizes = set(), Counter[Direction]()
    for line in done.stdout.splitlines():
        stream, v4, v6, sport, to4, to6, dport, length, datagram = line.split("\t")
        numbers.add(stream)
        payload_bytes = int(length) if protocol == "tcp" else int(datagram) - 8
        sizes[v4 or v6, int(sport), to4 or to6, int(dport)] += payload_bytes
    return len(numbers), +sizes


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize(
    "name",
    ["session_tcp", "session_rst", "nmap_sV", "nmap_sS", "nmap_sU", "nmap_sA", "hping_S",
     "masscan_tcp", "masscan_udp", "nmap_6_sS", "any_sll", "telescope_synack"],
)  # fmt: skip
def test_streams_are_tsharks(name: str, protocol: str) -> None:
    path = SHARED / f"scans/{name}.pcap"
    wanted = Protocol(protocol)
    found = [s for s in analyse(path, P561).traffic.sessions if s.protocol is wanted]
    sizes = Counter[Direction]()
    for s in found:
        up = (str(s.client), s.client_port, str(s.server), s.server_port)
        sizes[up] += s.bytes_to_server
        sizes[up[2:] + up[:2]] += s.bytes_to_client
    assert (len(found), +sizes) == streams(path, protocol)
