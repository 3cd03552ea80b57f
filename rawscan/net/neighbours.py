"""Which MAC addresses on-link targets have: whom to ask when, the frames, and what to believe.

Sans-I/O but for `known_neighbours`, which reads the kernel's table; `now_s` is an argument. The
kernel resolves neighbours too, but keeps no more than net.ipv4.neigh.default.gc_thresh3 of them
(1,024) and then fails to send. Addresses are rows of 4 or 16 bytes, MAC addresses rows of 6, in
network order. ARP is RFC 826; neighbour discovery is RFC 4861.
"""

from __future__ import annotations

import socket
from ipaddress import IPv6Address
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rawscan.errors import LinkError
from rawscan.model import IPAddress
from rawscan.net.netlink import Netlink

Rows = NDArray[np.uint8]

TRIES, WAIT_S = 3, 1.0
"""As Linux (net.ipv4.neigh.*.mcast_solicit, retrans_time_ms) and RFC 4861, section 10."""

ARP_BYTES, SOLICITATION_BYTES = 42, 86

_BROADCAST = b"\xff" * 6
_ETH = 14  # Ethernet header
_ICMP = _ETH + 40  # IPv6 header without extensions; RFC 4861 knows none
_SOLICITATION, _ADVERTISEMENT = 135, 136
_OPTIONS = _ICMP + 24  # a neighbour advertisement's (section 4.4)
_SOLICITED = 0x40
_SOURCE_MAC, _TARGET_MAC = 1, 2  # options (section 4.6.1)

# linux/neighbour.h: reachable, stale, delay (stale and just used), permanent
_USABLE_STATES = 0x02 | 0x04 | 0x08 | 0x80


def rows_of(addresses: list[IPAddress]) -> Rows:
    """Addresses of one version as rows."""
    octets = addresses[0].max_prefixlen // 8 if addresses else 4
    return np.frombuffer(b"".join(a.packed for a in addresses), np.uint8).reshape(-1, octets)


def keys_of(rows: Rows) -> NDArray[Any]:
    """One value for each row, in the addresses' order: integers for IPv4, strings for IPv6."""
    rows = np.ascontiguousarray(rows)
    if rows.shape[1] == 4:
        return cast(NDArray[Any], rows.view(">u4").ravel().astype(np.uint32))
    return cast(NDArray[Any], rows.view("S16").ravel())


def _rows_from(keys: NDArray[Any]) -> Rows:
    if keys.dtype.kind == "u":
        return cast(Rows, keys.astype(">u4").view(np.uint8).reshape(-1, 4))
    return np.frombuffer(keys.tobytes(), np.uint8).reshape(-1, 16)


class NeighbourTable:
    """The addresses of one IP version that are not resolved yet, at most `capacity` of them.

    An address leaves the table with its MAC address, or as failed once `tries` requests have
    waited `wait_s` each. It costs 13 bytes here in IPv4 and 25 in IPv6.
    """

    def __init__(
        self, version: int, tries: int = TRIES, wait_s: float = WAIT_S, capacity: int = 65_536
    ) -> None:
        self.capacity = capacity
        self._tries_allowed = tries
        self._wait_s = wait_s
        # Parallel arrays in the order of the keys, so that replies are found by bisection.
        self._keys: NDArray[Any] = np.empty(0, np.uint32 if version == 4 else "S16")
        self._tries = np.empty(0, np.int8)
        self._due_s = np.empty(0, np.float64)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def room(self) -> int:
        """How many more addresses fit."""
        return self.capacity - len(self)

    @property
    def unasked(self) -> int:
        """How many have not been asked for at all."""
        return int(np.count_nonzero(self._tries == 0))

    def add(self, addresses: Rows) -> None:
        """Take addresses to be resolved; those that are already here change nothing."""
        new = np.setdiff1d(keys_of(addresses), self._keys)
        if len(new) > self.room:
            raise ValueError(f"{len(new)} addresses, but room for {self.room}")
        keys = np.concatenate([self._keys, new])
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        self._tries = np.concatenate([self._tries, np.zeros(len(new), np.int8)])[order]
        self._due_s = np.concatenate([self._due_s, np.full(len(new), -np.inf)])[order]

    def requests(self, now_s: float, limit: int) -> Rows:
        """Whom to ask now, at most `limit`, retries first; they count as asked."""
        if limit <= 0:
            return _rows_from(self._keys[:0])
        ready = np.flatnonzero((self._due_s <= now_s) & (self._tries < self._tries_allowed))
        if len(ready) > limit:
            ready = ready[np.argsort(-self._tries[ready], kind="stable")[:limit]]
        self._tries[ready] += 1
        self._due_s[ready] = now_s + self._wait_s
        return _rows_from(self._keys[ready])

    def heard(self, addresses: Rows, macs: Rows) -> tuple[Rows, Rows]:
        """Who was resolved by these replies: the first for each address that was asked for."""
        if not len(self) or not len(addresses):
            return addresses[:0], macs[:0]
        keys = keys_of(addresses)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self) - 1)
        asked = np.flatnonzero((self._keys[at] == keys) & (self._tries[at] > 0))
        gone, first = np.unique(at[asked], return_index=True)
        self._drop(gone)
        return addresses[asked[first]], macs[asked[first]]

    def failed(self, now_s: float) -> Rows:
        """Who has not answered the last request in time; they leave the table."""
        over = (self._tries >= self._tries_allowed) & (self._due_s <= now_s)
        gone = np.flatnonzero(over)
        rows = _rows_from(self._keys[gone])
        self._drop(gone)
        return rows

    def next_s(self) -> float | None:
        """When the next request or failure is due; None if nothing is left."""
        return float(self._due_s.min()) if len(self) else None

    def _drop(self, gone: NDArray[np.intp]) -> None:
        if len(gone):
            self._keys = np.delete(self._keys, gone)
            self._tries = np.delete(self._tries, gone)
            self._due_s = np.delete(self._due_s, gone)


def requests_for(addresses: Rows, mac: bytes, source: IPAddress) -> Rows:
    """One frame for each address, of `source`'s version: ARP requests or solicitations."""
    if source.version == 4:
        return _arp_requests(addresses, mac, source.packed)
    return _solicitations(addresses, mac, source.packed)


def _arp_requests(addresses: Rows, mac: bytes, source: bytes) -> Rows:
    """RFC 826: hardware 1 (Ethernet), protocol 0x0800, lengths 6 and 4, opcode 1."""
    template = _BROADCAST + mac + b"\x08\x06" + b"\x00\x01\x08\x00\x06\x04\x00\x01"
    template += mac + source + bytes(6 + 4)
    frames = _copies(template, len(addresses))
    frames[:, 38:42] = addresses
    return frames


def _solicitations(addresses: Rows, mac: bytes, source: bytes) -> Rows:
    """RFC 4861, section 4.3, to the solicited-node group ff02::1:ffXX:XXXX (RFC 4291, 2.7.1)."""
    group = IPv6Address("ff02::1:ff00:0").packed
    template = b"\x33\x33\xff\0\0\0" + mac + b"\x86\xdd"  # the group's MAC: RFC 2464, section 7
    template += (
        b"\x60\0\0\0" + b"\x00\x20" + b"\x3a\xff" + source + group
    )  # 32 bytes, hop limit 255
    template += bytes([_SOLICITATION]) + bytes(3 + 4 + 16) + bytes([_SOURCE_MAC, 1]) + mac
    frames = _copies(template, len(addresses))
    frames[:, 3:6] = addresses[:, 13:]
    frames[:, 51:54] = addresses[:, 13:]
    frames[:, 62:78] = addresses
    checksums = ~_sums(frames[:, 22:], 32)
    frames[:, 56], frames[:, 57] = checksums >> 8, checksums & 0xFF
    return frames


def _copies(template: bytes, count: int) -> Rows:
    return np.tile(np.frombuffer(template, np.uint8), (count, 1))


def _sums(rows: Rows, lengths: int | NDArray[np.int64]) -> NDArray[np.uint16]:
    """Internet checksum sums of ICMPv6 messages: source, destination and message in each row.

    RFC 8200, section 8.1: with the message's length and the next header 58.
    """
    even = np.zeros((len(rows), rows.shape[1] + 1 & ~1), np.uint8)
    even[:, : rows.shape[1]] = rows
    total = even.view(">u2").sum(axis=1, dtype=np.uint32) + np.asarray(lengths, np.uint32) + 58
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return cast(NDArray[np.uint16], total.astype(np.uint16))


def replies_in(frames: Rows, lengths: NDArray[np.int64], source: IPAddress) -> tuple[Rows, Rows]:
    """Addresses and MAC addresses from the valid replies among received Ethernet frames.

    Frame i is the first `lengths[i]` bytes of row i; what is longer than a row is no reply.
    `source` is whose questions they answer. A MAC address that is a group's is not believed
    (RFC 1812, section 3.3.2, says so of ARP).
    """
    fits = lengths <= frames.shape[1]
    frames, lengths = frames[fits], lengths[fits]
    if source.version == 4:
        addresses, macs = _arp_replies(frames, lengths, source.packed)
    else:
        addresses, macs = _advertisements(frames, lengths)
    single = (macs[:, 0] & 1 == 0) & macs.any(axis=1)
    return addresses[single], macs[single]


def _arp_replies(frames: Rows, lengths: NDArray[np.int64], source: bytes) -> tuple[Rows, Rows]:
    """RFC 826, "Packet Reception": opcode 2, about IPv4 over Ethernet, to whoever asked."""
    if frames.shape[1] < ARP_BYTES:
        return np.empty((0, 4), np.uint8), np.empty((0, 6), np.uint8)
    head = np.frombuffer(b"\x08\x06\x00\x01\x08\x00\x06\x04\x00\x02", np.uint8)
    good = (lengths >= ARP_BYTES) & (frames[:, 12:22] == head).all(axis=1)
    good &= (frames[:, 38:42] == np.frombuffer(source, np.uint8)).all(axis=1)
    return frames[good, 28:32], frames[good, 22:28]


def _advertisements(frames: Rows, lengths: NDArray[np.int64]) -> tuple[Rows, Rows]:
    """RFC 4861, section 7.1.2; without the target's link-layer address they help nobody (7.2.5)."""
    nothing = np.empty((0, 16), np.uint8), np.empty((0, 6), np.uint8)
    if frames.shape[1] < _OPTIONS + 8:
        return nothing
    bytes_ = frames[:, 18].astype(np.int64) << 8 | frames[:, 19]  # IPv6 payload length
    good = (frames[:, 12] == 0x86) & (frames[:, 13] == 0xDD) & (frames[:, _ETH] >> 4 == 6)
    good &= (frames[:, 20] == 58) & (frames[:, 21] == 255)  # next header, hop limit
    good &= (frames[:, _ICMP] == _ADVERTISEMENT) & (frames[:, _ICMP + 1] == 0)
    good &= (bytes_ >= 24) & (_ICMP + bytes_ <= lengths)
    good &= frames[:, 62] != 0xFF  # the target is no group
    # One that is sent to a group must not say that it was asked for.
    good &= (frames[:, 38] != 0xFF) | (frames[:, 58] & _SOLICITED == 0)
    if not good.any():
        return nothing
    frames, bytes_ = frames[good], bytes_[good]
    message = np.where(np.arange(frames.shape[1]) < (_ICMP + bytes_)[:, None], frames, 0)
    whole = _sums(message[:, 22:], bytes_) == 0xFFFF
    frames, bytes_ = frames[whole], bytes_[whole]
    macs, found = _target_macs(frames, _ICMP + bytes_)
    return frames[found, 62:78], macs[found]


def _target_macs(frames: Rows, ends: NDArray[np.int64]) -> tuple[Rows, NDArray[np.bool_]]:
    """The target link-layer address option of each frame, and which frames have it.

    RFC 4861, section 4.6: type, length in units of 8 bytes. A length of 0, or an option that goes
    beyond the end, makes the whole message invalid (section 7.1.2).
    """
    macs = np.zeros((len(frames), 6), np.uint8)
    found = np.zeros(len(frames), bool)
    broken = np.zeros(len(frames), bool)
    at = np.full(len(frames), _OPTIONS)
    while (open_ := np.flatnonzero(~broken & (at < ends))).size:
        cut_off = at[open_] + 2 > ends[open_]
        broken[open_[cut_off]] = True
        open_ = open_[~cut_off]
        kinds = frames[open_, at[open_]]
        sizes = frames[open_, at[open_] + 1].astype(np.int64) * 8
        bad = (sizes == 0) | (at[open_] + sizes > ends[open_])
        broken[open_[bad]] = True
        ours = open_[~bad & (kinds == _TARGET_MAC) & (sizes == 8) & ~found[open_]]
        macs[ours] = frames[ours[:, None], at[ours, None] + np.arange(2, 8)]
        found[ours] = True
        at[open_[~bad]] += sizes[~bad]
    return macs, found & ~broken


def known_neighbours(interface: int) -> dict[IPAddress, bytes]:
    """What the kernel knows already of an interface (its index), if it would use it now.

    Good for a gateway, which the kernel talks to all the time. Not for targets: a stale entry may
    be a host that has gone, and a probe to it would look as if it had been filtered.
    """
    found: dict[IPAddress, bytes] = {}
    try:
        with Netlink() as kernel:
            for family in (socket.AF_INET, socket.AF_INET6):
                for line in kernel.neighbours(family):
                    usable = line.state & _USABLE_STATES and len(line.mac) == 6
                    if line.interface == interface and usable:
                        found[line.address] = line.mac
    except OSError as error:
        raise LinkError(f"cannot read the neighbour table: {error.strerror}") from error
    return found
