"""Makes the captures that `captures.py` measures with: seeded, in NumPy, gigabytes in seconds.

    python benchmarks/mix.py FILE [--packets N] [--repeat N] [--form pcap|pcapng] [--sweep]

The mix is a day at a border router: TCP in sessions, UDP, IPv6, VLAN, ARP, ICMP, a few fragments
and tunnels, and one packet in a thousand about port 561 (scans that are answered, rejected and
swallowed). The sweep is nothing but port 561: one SYN and one answer for each of its hosts. Writes
the file it is told to.
"""

from __future__ import annotations

import argparse
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

CHUNK = 200_000
START_S = 1_795_000_000
GAP_US = 100
SNAPLEN = 262_144
_HEAD = 78  # as long as the longest header that is laid: Ethernet, VLAN, IPv6, TCP

# kind -> share of the packets, in ten thousandths
_SHARES = {
    "tcp": 7400, "udp": 1662, "tcp6": 500, "vlan": 200, "arp": 120, "echo": 100, "error": 10,
    "fragment": 4, "gre": 2, "vxlan": 2,
}  # fmt: skip
_ETHER = bytes.fromhex("020000000001020000000002")
_SCANNERS = 50
_MUTE_SCANNERS = 2
"""So many of the scanners never get an answer to anything."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file wraps its packets: bytes before and after each, and how the former are filled."""

    form: str
    before: int
    after: int

    def head(self) -> bytes:
        """What the file begins with."""
        if self.form == "pcap":
            return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAPLEN, 1)
        section = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
        return section + struct.pack("<IIHHII", 1, 20, 1, 0, SNAPLEN, 20)


PCAP, PCAPNG = Layout("pcap", 16, 0), Layout("pcapng", 28, 4)


def _addresses(rng: np.random.Generator, count: int, first: int, spread: int) -> NDArray[np.uint32]:
    return (first + rng.integers(0, spread, count)).astype(np.uint32)


def _put(rows: Bytes, offset: int, values: NDArray[np.generic], dtype: str) -> None:
    """Write `values` as `dtype` at `offset` of every row."""
    raw = np.ascontiguousarray(values.astype(dtype))
    rows[:, offset : offset + raw.itemsize] = raw.view(np.uint8).reshape(len(raw), -1)


def _ipv4(rows: Bytes, at: int, protocol: int, size: NDArray[np.int64], pair: Bytes) -> None:
    """IPv4 headers at column `at`, for packets of `size` bytes; `pair` holds the addresses."""
    rows[:, at] = 0x45
    rows[:, at + 1] = 0
    _put(rows, at + 2, size, ">u2")
    rows[:, at + 6 : at + 8] = (0x40, 0)
    rows[:, at + 8] = 57
    rows[:, at + 9] = protocol
    rows[:, at + 12 : at + 20] = pair


class Mix:
    """The realistic mix."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        flows = 200_000
        self._client = _addresses(self._rng, flows, 0xC0A80000, 1 << 16)
        self._server = _addresses(self._rng, flows, 0x5DB80000, 1 << 18)
        self._cport = self._rng.integers(32768, 61000, flows).astype(np.uint16)
        self._sport = self._rng.choice(np.array([443, 443, 443, 80, 22, 993, 8080], "u2"), flows)
        self._pool = self._payloads()
        self._story = _story(np.random.default_rng(seed + 1))

    def _payloads(self) -> Bytes:
        """Bytes to cut payloads from: as much prose as ciphertext."""
        words = [bytes(self._rng.integers(97, 123, n, np.uint8)) for n in range(2, 12)] * 20
        prose = b" ".join(words[i] for i in self._rng.integers(0, len(words), 400_000))
        cipher = self._rng.bytes(len(prose))
        pieces = (s[i : i + 5000] for i in range(0, len(prose), 5000) for s in (prose, cipher))
        return np.frombuffer(b"".join(pieces), np.uint8)

    def chunk(self, count: int, layout: Layout, ticks: NDArray[np.uint64]) -> Bytes:
        """So many packets, wrapped, at the times `ticks` (microseconds)."""
        rng = self._rng
        kinds = rng.choice(len(_SHARES), count, p=np.array(list(_SHARES.values())) / 10_000)
        size = np.where(rng.random(count) < 0.42, 1514, rng.integers(90, 900, count))
        size[rng.random(count) < 0.45] = 66
        rows = np.zeros((count, _HEAD), np.uint8)
        rows[:, :12] = np.frombuffer(_ETHER, np.uint8)
        for kind, name in enumerate(_SHARES):
            chosen = np.flatnonzero(kinds == kind)
            if chosen.size:
                part = rows[chosen]
                size[chosen] = getattr(self, f"_{name}")(part, size[chosen])
                rows[chosen] = part
        told = np.flatnonzero(rng.random(count) < 0.001)
        stories = [next(self._story) for _ in told]
        size[told] = [len(story) for story in stories]
        for row, story in zip(told.tolist(), stories, strict=True):
            rows[row, : len(story)] = np.frombuffer(story, np.uint8)
        return wrap(layout, rows, size, ticks, self._pool, int(rng.integers(1 << 20)))

    def _pairs(self, count: int) -> tuple[Bytes, Bytes]:
        """Addresses and ports, 8 and 4 bytes a row, in the direction of either side."""
        flow = self._rng.integers(0, len(self._client), count)
        up = self._rng.random(count) < 0.4
        addresses, ports = np.empty((count, 2), ">u4"), np.empty((count, 2), ">u2")
        addresses[:, 0] = np.where(up, self._client[flow], self._server[flow])
        addresses[:, 1] = np.where(up, self._server[flow], self._client[flow])
        ports[:, 0] = np.where(up, self._cport[flow], self._sport[flow])
        ports[:, 1] = np.where(up, self._sport[flow], self._cport[flow])
        return addresses.view(np.uint8), ports.view(np.uint8)

    def _segment(self, rows: Bytes, at: int, ports: Bytes) -> None:
        rows[:, at : at + 4] = ports
        rows[:, at + 4 : at + 12] = self._rng.integers(0, 256, (len(rows), 8), np.uint8)
        rows[:, at + 12 : at + 14] = (0x80, 0x10)
        rows[:, at + 14 : at + 16] = (1, 245)

    def _tcp(self, rows: Bytes, size: NDArray[np.int64], at: int = 14) -> NDArray[np.int64]:
        addresses, ports = self._pairs(len(rows))
        rows[:, at - 2 : at] = (8, 0)
        _ipv4(rows, at, 6, size - at, addresses)
        self._segment(rows, at + 20, ports)
        return size

    def _vlan(self, rows: Bytes, size: NDArray[np.int64]) -> NDArray[np.int64]:
        rows[:, 12:16] = (0x81, 0, 0, 7)
        return self._tcp(rows, np.maximum(size, 70), 18)

    def _udp(self, rows: Bytes, size: NDArray[np.int64], dport: int = 0) -> NDArray[np.int64]:
        addresses, ports = self._pairs(len(rows))
        rows[:, 12:14] = (8, 0)
        _ipv4(rows, 14, 17, size - 14, addresses)
        rows[:, 34:38] = ports
        if dport:
            rows[:, 36:38] = divmod(dport, 256)
        _put(rows, 38, size - 34, ">u2")
        return size

    def _tcp6(self, rows: Bytes, size: NDArray[np.int64]) -> NDArray[np.int64]:
        size = np.maximum(size, 86)
        addresses, ports = self._pairs(len(rows))
        rows[:, 12:15] = (0x86, 0xDD, 0x60)
        _put(rows, 18, size - 54, ">u2")
        rows[:, 20:22] = (6, 60)
        rows[:, 22:26] = rows[:, 38:42] = (0x20, 1, 0x0D, 0xB8)
        rows[:, 34:38], rows[:, 50:54] = addresses[:, :4], addresses[:, 4:]
        self._segment(rows, 54, ports)
        return size

    def _arp(self, rows: Bytes, size: NDArray[np.int64]) -> NDArray[np.int64]:
        rows[:, 12:22] = (8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
        return np.full(len(rows), 60)

    def _echo(self, rows: Bytes, size: NDArray[np.int64]) -> NDArray[np.int64]:
        rows[:, 12:14] = (8, 0)
        _ipv4(rows, 14, 1, np.full(len(rows), 84), self._pairs(len(rows))[0])
        rows[:, 34] = 8
        return np.full(len(rows), 98)

    def _error(self, rows: Bytes, size: NDArray[np.int64]) -> NDArray[np.int64]:
        addresses, ports = self._pairs(len(rows))
        rows[:, 12:14] = (8, 0)
        _ipv4(rows, 14, 1, np.full(len(rows), 56), addresses[:, [4, 5, 6, 7, 0, 1, 2, 3]])
        rows[:, 34:36] = (3, 3)
        _ipv4(rows, 42, 17, np.full(len(rows), 100), addresses)
        rows[:, 62:66] = ports
        return np.full(len(rows), 70)

    def _fragment(self, rows: Bytes, size: NDArray[np.int64]) -> NDArray[np.int64]:
        size = self._udp(rows, np.maximum(size, 90))
        rows[:, 20:22] = self._rng.choice(np.array([(0x20, 0), (0, 185)], np.uint8), len(rows))
        return size

    def _gre(self, rows: Bytes, size: NDArray[np.int64]) -> NDArray[np.int64]:
        size = np.maximum(size, 90)
        addresses, ports = self._pairs(len(rows))
        rows[:, 12:14] = (8, 0)
        _ipv4(rows, 14, 47, size - 14, addresses)
        rows[:, 36:38] = (8, 0)
        _ipv4(rows, 38, 6, size - 38, addresses)
        self._segment(rows, 58, ports)
        return size

    def _vxlan(self, rows: Bytes, size: NDArray[np.int64]) -> NDArray[np.int64]:
        size = self._udp(rows, np.maximum(size, 120), 4789)
        rows[:, 42] = 8
        rows[:, 50:62] = np.frombuffer(_ETHER, np.uint8)
        rows[:, 62:64] = (8, 6)
        return size


def _packet(source: int, target: int, protocol: int, body: bytes) -> bytes:
    header = struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(body), 0, 0x4000, 50, protocol, 0,
                         source, target)  # fmt: skip
    return header + body


def _tcp_body(sport: int, dport: int, seq: int, ack: int, flags: int, window: int) -> bytes:
    options = b"\x02\x04\x05\xb4" if flags & 2 else b""
    words = 5 + len(options) // 4
    return struct.pack(">HHIIBBHHH", sport, dport, seq, ack, words << 4, flags, window, 0, 0
                       ) + options  # fmt: skip


def _story(rng: np.random.Generator) -> Iterator[bytes]:
    """Frames about port 561, without end: probes and what becomes of them."""
    while True:
        scanner = int(rng.integers(_SCANNERS))
        source, target = 0xC6336400 + scanner, 0xCB007100 + int(rng.integers(1 << 16))
        sport, seq = int(rng.integers(40000, 60000)), int(rng.integers(1 << 32))
        up = (
            1
            if scanner < _MUTE_SCANNERS
            else int(rng.choice(6, p=(0.6, 0.2, 0.05, 0.05, 0.05, 0.05)))
        )
        syn = _packet(source, target, 6, _tcp_body(sport, 561, seq, 0, 2, 1024))
        ask = _packet(source, target, 17, struct.pack(">HHHH", sport, 561, 8, 0))
        acked = (seq + 1) & 0xFFFF_FFFF
        rst = _packet(target, source, 6, _tcp_body(561, sport, 0, acked, 0x14, 0))
        yes = _packet(target, source, 6, _tcp_body(561, sport, 77, acked, 0x12, 64240))
        off = _packet(source, target, 6, _tcp_body(sport, 561, acked, 0, 4, 0))
        no = _packet(0x0A0000FE, source, 1, struct.pack(">BBHI", 3, 13, 0, 0) + syn[:28])
        shut = _packet(target, source, 1, struct.pack(">BBHI", 3, 3, 0, 0) + ask)
        tale = ((syn, rst), (syn, syn, syn), (syn, yes, off), (syn, no), (ask, shut), (ask, ask))
        for packet in tale[up]:
            yield _ETHER + b"\x08\x00" + packet


def wrap(
    layout: Layout,
    rows: Bytes,
    size: NDArray[np.int64],
    ticks: NDArray[np.uint64],
    pool: Bytes,
    roll: int,
) -> Bytes:
    """Lay packets out one after the other: headers from `rows`, the rest from `pool`."""
    padded = size + (-size % 4 if layout.form == "pcapng" else 0)
    whole = layout.before + padded + layout.after
    starts = np.cumsum(whole) - whole
    total = int(whole.sum())
    out = np.resize(np.roll(pool, -roll), total)
    head = np.zeros((len(size), layout.before), np.uint8)
    if layout.form == "pcap":
        _put(head, 0, ticks // 1_000_000, "<u4")
        _put(head, 4, ticks % 1_000_000, "<u4")
        _put(head, 8, size, "<u4")
        _put(head, 12, size, "<u4")
    else:
        head[:, 0] = 6
        _put(head, 4, whole, "<u4")
        _put(head, 12, ticks >> np.uint64(32), "<u4")
        _put(head, 16, ticks & np.uint64(0xFFFF_FFFF), "<u4")
        _put(head, 20, size, "<u4")
        _put(head, 24, size, "<u4")
        tail = np.ascontiguousarray(whole.astype("<u4")).view(np.uint8).reshape(-1, 4)
        out[(starts + whole - 4)[:, None] + np.arange(4)] = tail
    out[starts[:, None] + np.arange(layout.before)] = head
    for width in np.unique(np.minimum(size, rows.shape[1])).tolist():
        same = np.minimum(size, rows.shape[1]) == width
        places = (starts[same] + layout.before)[:, None] + np.arange(width)
        out[places] = rows[same, :width]
    return out


def sweep(count: int, layout: Layout, ticks: NDArray[np.uint64]) -> Bytes:
    """A SYN and its answer for each of `count / 2` hosts: nine closed for one open."""
    hosts = count // 2
    rng = np.random.default_rng(count)
    rows = np.zeros((hosts, 2, 58), np.uint8)
    rows[..., :14] = np.frombuffer(_ETHER + b"\x08\x00", np.uint8)
    target = (0x0A000000 + rng.permutation(hosts)).astype(np.uint32)
    seq = rng.integers(0, 1 << 32, hosts).astype(np.uint32)
    is_open = rng.random(hosts) < 0.1
    pair = np.empty((hosts, 2), ">u4")
    pair[:, 0], pair[:, 1] = 0xC6336401, target
    for way in (0, 1):
        part = rows[:, way]
        addresses = pair if way == 0 else pair[:, ::-1].copy()
        _ipv4(part, 14, 6, np.where(is_open | (way == 0), 44, 40), addresses.view(np.uint8))
        _put(part, 34 + 2 * way, rng.integers(40000, 60000, hosts) if way == 0 else seq, ">u2")
    _put(rows[:, 0], 36, np.full(hosts, 561), ">u2")
    rows[:, 1, 36:38], rows[:, 1, 34:36] = rows[:, 0, 34:36], rows[:, 0, 36:38]
    _put(rows[:, 0], 38, seq, ">u4")
    _put(rows[:, 1], 42, seq + np.uint32(1), ">u4")
    rows[:, 0, 46:50] = (0x60, 2, 4, 0)
    rows[:, 1, 46:50] = (0x50, 0x14, 0, 0)
    rows[is_open, 1, 46:50] = (0x60, 0x12, 0xFA, 0xF0)
    rows[:, 0, 54:58] = (2, 4, 5, 0xB4)
    rows[is_open, 1, 54:58] = (2, 4, 5, 0xB4)
    size = np.full((hosts, 2), 58)
    size[~is_open, 1] = 54
    # Probes at a steady rate, each answer among those that follow 200 probes later.
    when = ticks[:hosts, None] * np.ones(2, np.uint64)
    when[:, 1] += np.uint64(200 * GAP_US)
    order = np.argsort(when.ravel(), kind="stable")
    return wrap(layout, rows.reshape(-1, 58)[order], size.ravel()[order], when.ravel()[order],
                np.zeros(1, np.uint8), 0)  # fmt: skip


def write(path: Path, packets: int, layout: Layout, *, repeat: int = 1, seed: int = 561) -> None:
    """Write the mix; `repeat` times over, each time later."""
    with path.open("wb") as file:
        file.write(layout.head())
        for again in range(repeat):
            mix = Mix(seed)
            gaps = np.random.default_rng(seed + 2)
            now_us = (START_S * 10**6) + again * packets * GAP_US * 2
            for done in range(0, packets, CHUNK):
                count = min(CHUNK, packets - done)
                ticks = now_us + np.cumsum(gaps.integers(0, 2 * GAP_US, count))
                now_us = int(ticks[-1])
                file.write(mix.chunk(count, layout, ticks.astype(np.uint64)).data)


def write_sweep(path: Path, packets: int) -> None:
    """Write the sweep."""
    ticks = (START_S * 10**6 + np.arange(packets) * GAP_US).astype(np.uint64)
    with path.open("wb") as file:
        file.write(PCAP.head())
        file.write(sweep(packets, PCAP, ticks).data)


def main() -> None:
    """Parse and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--packets", type=int, default=4_000_000)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--form", choices=("pcap", "pcapng"), default="pcap")
    parser.add_argument("--sweep", action="store_true")
    wanted = parser.parse_args()
    if wanted.sweep:
        write_sweep(wanted.file, wanted.packets)
    else:
        layout = PCAP if wanted.form == "pcap" else PCAPNG
        write(wanted.file, wanted.packets, layout, repeat=wanted.repeat)


if __name__ == "__main__":
    main()
