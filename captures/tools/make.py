"""Makes this case: each tool's SYNs by the formula in its own source. Run it from anywhere."""

from __future__ import annotations

import sys
from ipaddress import ip_address
from pathlib import Path
from random import Random

from scapy.layers.inet import IP, TCP

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from builder import Tape  # noqa: E402

HOSTS = [f"10.0.{number}.{200 - 7 * number}" for number in range(8)]
MSS = [("MSS", 1460)]
ZMAP = [*MSS, ("NOP", None), ("WScale", 8), ("NOP", None), ("NOP", None), ("SAckOK", b"")]
LINUX = [*MSS, ("SAckOK", b""), ("Timestamp", (7, 0)), ("NOP", None), ("WScale", 7)]
RANDOM = Random(561)  # seeded: the same file every time


def word() -> int:
    """A random 32-bit number."""
    return RANDOM.getrandbits(32)


def masscan(target: str) -> IP:
    """`ip_id = ip_them ^ port_them ^ seqno`, of which the header has room for 16 bits."""
    seq = word()
    number = (int(ip_address(target)) ^ 561 ^ seq) & 0xFFFF
    head = IP(src="10.9.0.1", dst=target, ttl=250, id=number)
    return head / TCP(sport=55554, dport=561, flags="S", seq=seq, window=1024)


def zmap(target: str) -> IP:
    """`ip_id = 54321`, TTL 255 (five hops away), window 65535."""
    head = IP(src="10.9.0.2", dst=target, ttl=250, id=54321)
    return head / TCP(sport=40001, dport=561, flags="S", seq=word(), window=65535)


def new_zmap(target: str) -> IP:
    """Since 4.1: Linux's TTL, a random identification, and options that no Linux sends."""
    head = IP(src="10.9.0.3", dst=target, ttl=59, id=word() & 0xFFFF)
    return head / TCP(sport=45000, dport=561, flags="S", seq=word(), window=65535, options=ZMAP)


def mirai(target: str) -> IP:
    """`tcph->seq = iph->daddr`."""
    head = IP(src="10.9.0.4", dst=target, ttl=60, id=word() & 0xFFFF)
    seq = int(ip_address(target))
    return head / TCP(sport=33333, dport=561, flags="S", seq=seq, window=word() & 0xFFFF)


def nmap(target: str) -> IP:
    """`seq = ((nfo << 16) + nfo) ^ seqmask`, TTL 37 to 59, window 1024."""
    mask, nfo = 0x1234ABCD, RANDOM.choice((0, 1, 0x0100, 0x0101))
    head = IP(src="10.9.0.5", dst=target, ttl=RANDOM.randint(37, 59), id=word() & 0xFFFF)
    seq = ((nfo << 16) + nfo) ^ mask
    return head / TCP(sport=36971, dport=561, flags="S", seq=seq, window=1024, options=MSS)


def hping(target: str) -> IP:
    """Window 512, and an acknowledgement number that no flag speaks of."""
    head = IP(src="10.9.0.6", dst=target, ttl=64, id=word() & 0xFFFF)
    return head / TCP(sport=2929, dport=561, flags="S", seq=word(), ack=word() | 1, window=512)


def unicornscan(target: str) -> IP:
    """`TCPHASHTRACK(seq, dst, dport, sport, key)`; `dst` as a little-endian machine has it."""
    key, address = 0xCAFE1234, int.from_bytes(ip_address(target).packed, "little")
    sport = RANDOM.randint(4096, 65535)
    head = IP(src="10.9.0.7", dst=target, ttl=60, id=word() & 0xFFFF)
    seq = key ^ (address ^ ((561 << 16) + sport))
    return head / TCP(sport=sport, dport=561, flags="S", seq=seq, window=16384)


def rawscan(target: str) -> IP:
    """An identification that repeats the low half of the sequence number."""
    seq = word()
    head = IP(src="10.9.0.8", dst=target, ttl=64, id=(seq & 0xFFFF) or 1)
    return head / TCP(sport=20000, dport=561, flags="S", seq=seq, window=1024, options=MSS)


def linux(target: str) -> IP:
    """An ordinary program that connects: no mark of any tool."""
    head = IP(src="10.9.0.9", dst=target, ttl=64, id=word() & 0xFFFF, flags="DF")
    sport = RANDOM.randint(32768, 60999)
    return head / TCP(sport=sport, dport=561, flags="S", seq=word(), window=64240, options=LINUX)


TOOLS = {
    masscan: "masscan",
    zmap: "zmap",
    new_zmap: "zmap",
    mirai: "mirai",
    nmap: "nmap",
    hping: "hping",
    unicornscan: "unicornscan",
    rawscan: "rawscan",
    linux: None,
}


def main() -> None:
    """Write eight probes of each tool, and two of a masscan: too few to tell."""
    tape = Tape(1_700_000_000)
    expected = []
    for minute, (build, tool) in enumerate(TOOLS.items()):
        for number, target in enumerate(HOSTS):
            packet = tape.at(60 * minute + number, build(target))
        expected.append(
            {"type": "source", "address": packet.src, "tool": tool, "probes": 8, "targets": 8}
        )
    for number, target in enumerate(HOSTS[:2]):
        packet = masscan(target)
        packet.src = "10.9.0.10"
        tape.at(1000 + number, packet)
    expected.append({"type": "source", "address": "10.9.0.10", "tool": None, "probes": 2})
    tape.write(HERE, expected)


if __name__ == "__main__":
    main()
