"""The marks that scanners leave in their packets, as a table. Touches nothing.

One row is one `Mark`. A mark is looked for in the probes of one source; since each has chance hits,
`recognise` wants it in several of them. To teach it a tool, add a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rawscan.model import Flags, IPAddress, Packet, Tcp

Key = Callable[[Packet, Tcp], int | None]

SEVERAL = 3
"""In fewer packets than this a mark may be chance."""

_USUAL_SHARE = 0.8
"""Of a source's probes so many must bear the mark: others may sit behind the same address."""
_SYN = Flags.SYN
_CONTROL = Flags.SYN | Flags.ACK | Flags.RST | Flags.FIN
_STEALTH = (Flags(0), Flags.FIN, Flags.ACK, Flags.FIN | Flags.ACK, Flags.FIN | 0x28)
"""What nmap's -sN, -sF, -sA and -sW, -sM and -sX send (nmap(1), PORT SCANNING TECHNIQUES)."""
_MSS_1460 = bytes.fromhex("020405b4")
_ZMAP_OPTIONS = bytes.fromhex("020405b4 01 030308 0101 0402")
_NMAP_WINDOWS = frozenset({1024, 2048, 3072, 4096})
"""1024 today; old versions chose among these."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One row.

    `key` of a TCP probe is None if the probe does not bear the mark; else it is a number that is
    the same in all probes of one run. Where that number is the whole mark, `varied` asks for
    several ports or hosts: of one, counters that run side by side fit as well. `what` says what was
    found, in the words of the header's fields, `source` who says that it is this tool's.
    """

    tool: str
    what: str
    source: str
    key: Key
    varied: bool = False


def _plain(packet: Packet) -> bool:
    """May routers fragment it? Kernels of today forbid that; raw senders forget to."""
    return not packet.dont_fragment


def _folded(number: int) -> int:
    return (number >> 16) ^ (number & 0xFFFF)


def _swapped(address: IPAddress) -> int:
    """An IPv4 address as a little-endian machine's integer reads it from the wire."""
    return int.from_bytes(address.packed, "little")


def _rawscan(packet: Packet, tcp: Tcp) -> int | None:
    ours = tcp.window == 1024 and packet.ttl <= 64 and tcp.options in (b"", _MSS_1460)
    ours = ours and packet.identification == ((tcp.seq or 0) & 0xFFFF or 1)
    return 0 if ours else None


def _mirai(packet: Packet, tcp: Tcp) -> int | None:
    return 0 if tcp.flags == _SYN and tcp.seq == int(packet.destination) else None


def _masscan(packet: Packet, tcp: Tcp) -> int | None:
    expected = (int(packet.destination) ^ tcp.dport ^ (tcp.seq or 0)) & 0xFFFF
    alike = packet.identification == expected and packet.source.version == 4
    return 0 if alike and _plain(packet) and packet.ttl > 128 else None


def _zmap(packet: Packet, tcp: Tcp) -> int | None:
    alike = packet.identification == 54321 and tcp.window == 65535 and packet.ttl > 128
    return 0 if alike and _plain(packet) and packet.source.version == 4 else None


def _zmap_4_1(packet: Packet, tcp: Tcp) -> int | None:
    alike = tcp.options == _ZMAP_OPTIONS and tcp.window == 65535 and packet.ttl <= 64
    return 0 if alike and 32768 <= tcp.sport <= 61000 else None


def _nmap_syn(packet: Packet, tcp: Tcp) -> int | None:
    alike = tcp.flags == _SYN and tcp.options == _MSS_1460 and tcp.window in _NMAP_WINDOWS
    return _folded(tcp.seq or 0) if alike and _plain(packet) and packet.ttl < 60 else None


def _nmap_stealth(packet: Packet, tcp: Tcp) -> int | None:
    alike = tcp.flags in _STEALTH and not tcp.options and tcp.window in _NMAP_WINDOWS
    if not (alike and _plain(packet) and packet.ttl < 60):
        return None
    return _folded((tcp.ack if tcp.flags == Flags.ACK else tcp.seq) or 0)


def _hping(packet: Packet, tcp: Tcp) -> int | None:
    stray = bool(tcp.ack) and tcp.flags is not None and not tcp.flags & Flags.ACK
    alike = stray and tcp.window == 512 and not tcp.options and packet.ttl <= 64
    return 0 if alike else None


def _unicornscan(packet: Packet, tcp: Tcp) -> int | None:
    if packet.source.version != 4 or (tcp.flags or Flags(0)) & _CONTROL != _SYN:
        return None
    return (tcp.seq or 0) ^ _swapped(packet.destination) ^ ((tcp.dport << 16) + tcp.sport)


MARKS: tuple[Mark, ...] = (
    Mark("mirai", "tcp.seq = ip.dst", "Mirai's published scanner.c", _mirai),
    Mark(
        "masscan", "ip.id = (ip.dst ^ tcp.dport ^ tcp.seq) & 0xffff, TTL over 128, no DF",
        "masscan, templ-pkt.c", _masscan,
    ),
    Mark(
        "zmap", "ip.id = 54321, window 65535, TTL over 128, no DF (up to 4.0)",
        "zmap, packet.c before b0190cc; Ghiëtte, Blenn, Doerr, NTMS 2016", _zmap,
    ),
    Mark(
        "zmap", "options MSS 1460, NOP, WS 8, NOP, NOP, SACK; window 65535, TTL up to 64 (4.1 on)",
        "zmap#798, c88db29", _zmap_4_1,
    ),
    Mark(
        "rawscan", "ip.id = tcp.seq & 0xffff, window 1024, TTL up to 64", "rawscan, wire/craft.py",
        _rawscan,
    ),
    Mark(
        "nmap", "SYN, window a small multiple of 1024, options just MSS 1460, TTL under 60, no DF;"
        " the halves of tcp.seq differ by one constant",
        "nmap, scan_engine_raw.cc (seq32_encode)", _nmap_syn,
    ),
    Mark(
        "nmap", "FIN, NULL, Xmas or ACK, window a small multiple of 1024, no options, TTL under 60,"
        " no DF",
        "nmap, scan_engine_raw.cc", _nmap_stealth,
    ),
    Mark(
        "hping", "window 512, no options, tcp.ack not 0 without the ACK flag",
        "hping3, sendtcp.c", _hping,
    ),
    Mark(
        "unicornscan", "tcp.seq ^ swapped ip.dst ^ (tcp.dport << 16 + tcp.sport) is constant",
        "unicornscan, tcphash.h", _unicornscan, varied=True,
    ),
)  # fmt: skip
"""The most telling first."""


def recognise(probes: Iterable[Packet]) -> tuple[str, str] | None:
    """The tool that sent these TCP probes of one source, and the evidence in one line, or None.

    Probes that are alike in all that a mark looks at (retransmissions) count once.
    """
    distinct: dict[tuple[object, ...], tuple[Packet, Tcp]] = {}
    for packet in probes:
        match packet.body:
            case Tcp(flags=flags) as tcp if flags is not None:
                to = (packet.destination, tcp.dport, tcp.sport)
                distinct[*to, tcp.seq, packet.identification, packet.ttl] = packet, tcp
    if len(distinct) < SEVERAL:
        return None
    for mark in MARKS:
        keys = Counter(key for pair in distinct.values() if (key := mark.key(*pair)) is not None)
        hits = max(keys.values(), default=0)
        varied = not mark.varied or len({key[:2] for key in distinct}) >= SEVERAL
        if hits >= SEVERAL and hits >= _USUAL_SHARE * len(distinct) and varied:
            return mark.tool, f"{hits} of {len(distinct)} probes: {mark.what} ({mark.source})"
    return None
