"""Whole blocks of received frames to arrays, a field at a time. Touches nothing.

Only the common shapes are read here: IPv4 without fragments, IPv6 without extension headers, in
them TCP, UDP, and ICMP errors that quote such a packet with at least 8 bytes of TCP or UDP (RFC
792). Every other frame is marked `rare` and left to `rawscan.wire.decode`, with which this agrees
on all the rest. Nothing is read beyond what was captured of a frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rawscan.model import Flags, IPAddress, ReplyKind, Signal
from rawscan.wire.addresses import Addresses
from rawscan.wire.columns import ipv4_words, ipv6_words, u16_view, u32_view
from rawscan.wire.decode import ICMP_ERRORS

NO_REPLY = 0xFF
"""The `kind` of a frame that cannot be a reply to a probe: an echo, say, or another protocol."""

NONE = -1
"""Stands where `rawscan.model` has None."""

ETHERNET_BYTES = 14
_ETHER_IP = (0x0800, 0x86DD)
_TCP, _UDP = 6, 17
_ICMP = {4: 1, 6: 58}
_TCP_BYTES, _UDP_BYTES, _ICMP_BYTES = 20, 8, 8
_QUOTED_BYTES = 8  # what RFC 792 promises
_IPV4_BYTES, _IPV6_BYTES = 20, 40
_FRAGMENT = 0x3FFF  # RFC 791: offset, and "more fragments"
_FLOW_LABEL = 0xF_FFFF
# ICMP types whose messages quote a packet. ICMPv6: all below 128 (RFC 4443, section 2.1).
_IS_ERROR = {
    4: np.isin(np.arange(256), list(ICMP_ERRORS)),
    6: np.arange(256) < 128,
}
# "Nobody on the last link has this address": type and code, by IP version.
_HOST_UNREACHABLE = {4: (3, 1), 6: (1, 3)}


def _kinds_of_flags() -> NDArray[np.uint8]:
    """What kind of reply a segment with these control bits is (RFC 9293, section 3.5)."""
    flags = np.arange(256)
    syn, rst, ack = (flags & int(bit) != 0 for bit in (Flags.SYN, Flags.RST, Flags.ACK))
    kinds = np.full(256, ReplyKind.TCP_OTHER, np.uint8)
    kinds[syn & ack] = ReplyKind.SYN_ACK
    kinds[syn & ~ack] = ReplyKind.SYN
    kinds[rst] = ReplyKind.RST  # whatever else it says
    return kinds


_KIND_OF_FLAGS = _kinds_of_flags()


@dataclass(frozen=True, slots=True, eq=False)
class Replies:
    """One entry for each frame. Where `rare` is set, no other field means anything.

    Addresses are rows of two words, high and low (0 for IPv4). `responder` sent the frame;
    `source` (ours), `target`, `source_port` (ours) and `port` are those of the probe that it would
    answer, which an ICMP error quotes. `kind`, `type` and `code` are the parts of a `Signal`, or
    `kind` is `NO_REPLY`, and then only `version`, `ttl` and `responder` are given. `seq`, `ack`,
    `flags`, `window` and `options_bytes` are those of a TCP segment (the last two else `NONE`),
    `quoted_seq` that of a quoted one, `quoted_id` a quoted packet's identification (IPv4) or flow
    label (IPv6). `own`: nobody else than the prober's own address says that the host cannot be
    reached, which is how the last hop complains about its own link.
    """

    rare: NDArray[np.bool_]
    version: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    type: NDArray[np.uint8]
    code: NDArray[np.uint8]
    responder: NDArray[np.uint64]
    source: NDArray[np.uint64]
    target: NDArray[np.uint64]
    protocol: NDArray[np.uint8]
    source_port: NDArray[np.uint16]
    port: NDArray[np.uint16]
    seq: NDArray[np.uint32]
    ack: NDArray[np.uint32]
    flags: NDArray[np.uint8]
    ttl: NDArray[np.uint8]
    window: NDArray[np.int32]
    options_bytes: NDArray[np.int16]
    from_target: NDArray[np.bool_]
    quoted_seq: NDArray[np.uint32]
    quoted_id: NDArray[np.uint32]
    own: NDArray[np.bool_]

    @classmethod
    def blank(cls, count: int) -> Replies:
        """So many rare frames."""
        return cls(
            rare=np.ones(count, np.bool_),
            version=np.zeros(count, np.uint8),
            kind=np.full(count, NO_REPLY, np.uint8),
            type=np.zeros(count, np.uint8),
            code=np.zeros(count, np.uint8),
            responder=np.zeros((count, 2), np.uint64),
            source=np.zeros((count, 2), np.uint64),
            target=np.zeros((count, 2), np.uint64),
            protocol=np.zeros(count, np.uint8),
            source_port=np.zeros(count, np.uint16),
            port=np.zeros(count, np.uint16),
            seq=np.zeros(count, np.uint32),
            ack=np.zeros(count, np.uint32),
            flags=np.zeros(count, np.uint8),
            ttl=np.zeros(count, np.uint8),
            window=np.full(count, NONE, np.int32),
            options_bytes=np.full(count, NONE, np.int16),
            from_target=np.zeros(count, np.bool_),
            quoted_seq=np.zeros(count, np.uint32),
            quoted_id=np.zeros(count, np.uint32),
            own=np.zeros(count, np.bool_),
        )

    def __len__(self) -> int:
        return len(self.rare)

    @property
    def may_answer(self) -> NDArray[np.bool_]:
        """Read here, and of a shape that can answer a probe."""
        return np.not_equal(self.kind, NO_REPLY) & ~self.rare

    def address(self, field: NDArray[np.uint64], index: int) -> IPAddress:
        """One entry of `responder`, `source` or `target`."""
        if self.version[index] == 4:
            return IPv4Address(int(field[index, 1]))
        return IPv6Address(int(field[index, 0]) << 64 | int(field[index, 1]))

    def signal(self, index: int) -> Signal:
        """What kind of reply this frame can be. Only where `may_answer`."""
        kind = ReplyKind(int(self.kind[index]))
        return Signal(kind, int(self.type[index]), int(self.code[index]))


def addresses_at(
    field: NDArray[np.uint64], rows: NDArray[np.intp], version: Literal[4, 6]
) -> Addresses:
    """Rows of an address field of `Replies`, all of one IP version, as a batch."""
    words = field[rows]
    return Addresses(version, words[:, 0] if version == 6 else None, words[:, 1])


def decode_batch(frames: NDArray[np.uint8], lengths: NDArray[Any], offset: int = 0) -> Replies:
    """Decode the frames that lie in the rows of `frames`.

    `lengths` is how many bytes were captured of each; what comes after them in a row is not looked
    at. `offset` is where the IP header begins: 0 without a link-layer header, 14 with Ethernet's.
    """
    if offset not in (0, ETHERNET_BYTES):
        raise ValueError(f"IP at offset {offset}")
    replies = Replies.blank(len(frames))
    sizes = np.minimum(np.asarray(lengths, np.int64), frames.shape[1]) - offset
    rows = np.flatnonzero(sizes >= _IPV4_BYTES)
    if offset and rows.size:
        # VLAN tags and the like are rare.
        rows = rows[np.isin(u16_view(frames[rows, offset - 2 : offset], 0), _ETHER_IP)]
    if not rows.size:
        return replies
    versions = frames[rows, offset] >> 4
    for version in (4, 6):
        chosen = rows[versions == version]
        for packets in _packets(frames, chosen, offset, sizes[chosen], version):
            _read(replies, frames, packets)
    return replies


@dataclass(frozen=True, slots=True, eq=False)
class _Packets:
    """IP packets of one version in the common shape, whose upper layers begin at one column.

    `rows` are those of the frames; `have` bytes of the upper layer were captured and belong to it.
    """

    version: int
    rows: NDArray[np.intp]
    source: NDArray[np.uint64]
    destination: NDArray[np.uint64]
    ttl: NDArray[np.uint8]
    protocol: NDArray[np.uint8]
    identification: NDArray[np.uint32]
    upper: int
    have: NDArray[np.int64]

    def where(self, chosen: NDArray[np.bool_]) -> _Packets:
        return _Packets(
            self.version,
            self.rows[chosen],
            self.source[chosen],
            self.destination[chosen],
            self.ttl[chosen],
            self.protocol[chosen],
            self.identification[chosen],
            self.upper,
            self.have[chosen],
        )


def _packets(
    frames: NDArray[np.uint8],
    rows: NDArray[np.intp],
    start: int,
    sizes: NDArray[np.int64],
    version: int,
) -> Iterator[_Packets]:
    """Read the IP headers at column `start`, of whose packets `sizes` bytes were captured.

    Gives a group for each length that they have, which is one, unless IPv4 options turn up.
    """
    least = _IPV4_BYTES if version == 4 else _IPV6_BYTES
    rows, sizes = rows[sizes >= least], sizes[sizes >= least]
    if not rows.size:
        return
    header = frames[rows, start : start + least]
    if version == 4:
        yield from _ipv4(header, rows, start, sizes)
        return
    # RFC 8200, section 3. A payload length of 0 is a jumbogram's (RFC 2675), or offload's.
    payload = u16_view(header, 4).astype(np.int64)
    captured = sizes - _IPV6_BYTES
    have = np.where(payload > 0, np.minimum(payload, captured), captured)
    yield _Packets(
        version=6,
        rows=rows,
        source=ipv6_words(header, 8),
        destination=ipv6_words(header, 24),
        ttl=header[:, 7],
        protocol=header[:, 6],
        identification=u32_view(header, 0) & np.uint32(_FLOW_LABEL),
        upper=start + _IPV6_BYTES,
        have=have,
    )


def _ipv4(
    header: NDArray[np.uint8], rows: NDArray[np.intp], start: int, sizes: NDArray[np.int64]
) -> Iterator[_Packets]:
    header_bytes = (header[:, 0] & 0xF).astype(np.int64) * 4
    total = u16_view(header, 2).astype(np.int64)
    # Segmentation offload leaves 0 in the length field of captures taken on the sender.
    end = np.where(total >= header_bytes, np.minimum(total, sizes), sizes)
    # Of a header that was cut off, the upper layer has less than no bytes, and is not read.
    whole = (header_bytes >= _IPV4_BYTES) & (u16_view(header, 6) & _FRAGMENT == 0)
    for length in np.flatnonzero(np.bincount(header_bytes[whole])):
        same = whole & (header_bytes == length)
        part = header[same]
        yield _Packets(
            version=4,
            rows=rows[same],
            source=ipv4_words(part, 12),
            destination=ipv4_words(part, 16),
            ttl=part[:, 8],
            protocol=part[:, 9],
            identification=u16_view(part, 4).astype(np.uint32),
            upper=start + int(length),
            have=end[same] - length,
        )


def _read(replies: Replies, frames: NDArray[np.uint8], packets: _Packets) -> None:
    """Read the upper layers of frames' packets."""
    replies.version[packets.rows] = packets.version
    replies.ttl[packets.rows] = packets.ttl
    replies.responder[packets.rows] = packets.source
    is_tcp, is_udp = packets.protocol == _TCP, packets.protocol == _UDP
    is_icmp = packets.protocol == _ICMP[packets.version]
    _read_direct(replies, frames, packets.where(is_tcp & (packets.have >= _TCP_BYTES)), _TCP)
    _read_direct(replies, frames, packets.where(is_udp & (packets.have >= _UDP_BYTES)), _UDP)
    _read_icmp(replies, frames, packets.where(is_icmp & (packets.have >= _ICMP_BYTES)))


def _read_direct(
    replies: Replies, frames: NDArray[np.uint8], packets: _Packets, protocol: int
) -> None:
    """Read segments or datagrams: the reply goes the probe's way back."""
    rows = packets.rows
    if not rows.size:
        return
    size = _TCP_BYTES if protocol == _TCP else _UDP_BYTES
    header = frames[rows, packets.upper : packets.upper + size]
    replies.rare[rows] = False
    replies.protocol[rows] = protocol
    replies.source[rows] = packets.destination
    replies.target[rows] = packets.source
    replies.port[rows] = u16_view(header, 0)
    replies.source_port[rows] = u16_view(header, 2)
    replies.from_target[rows] = True
    if protocol == _UDP:
        replies.kind[rows] = ReplyKind.UDP
        return
    replies.kind[rows] = _KIND_OF_FLAGS[header[:, 13]]
    replies.seq[rows] = u32_view(header, 4)
    replies.ack[rows] = u32_view(header, 8)
    replies.flags[rows] = header[:, 13]
    replies.window[rows] = u16_view(header, 14)
    offset = (header[:, 12] >> 4).astype(np.int16) * 4  # RFC 9293, section 3.1
    replies.options_bytes[rows] = np.maximum(offset - _TCP_BYTES, 0)


def _read_icmp(replies: Replies, frames: NDArray[np.uint8], packets: _Packets) -> None:
    """Read ICMP: what is no error is no reply, and what is one counts by what it quotes."""
    if not packets.rows.size:
        return
    types = frames[packets.rows, packets.upper]
    is_error = _IS_ERROR[packets.version][types]
    replies.rare[packets.rows[~is_error]] = False
    rows, types = packets.rows[is_error], types[is_error]
    if not rows.size:
        return
    replies.type[rows] = types
    replies.code[rows] = frames[rows, packets.upper + 1]
    quote = packets.upper + _ICMP_BYTES
    sizes = packets.have[is_error] - _ICMP_BYTES
    least = _IPV4_BYTES + _QUOTED_BYTES
    rows, sizes = rows[sizes >= least], sizes[sizes >= least]
    if not rows.size:
        return
    same = frames[rows, quote] >> 4 == packets.version
    for quoted in _packets(frames, rows[same], quote, sizes[same], packets.version):
        named = (quoted.protocol == _TCP) | (quoted.protocol == _UDP)
        _read_quoted(replies, frames, quoted.where(named & (quoted.have >= _QUOTED_BYTES)))


def _read_quoted(replies: Replies, frames: NDArray[np.uint8], quoted: _Packets) -> None:
    """Read the probes that errors quote."""
    rows = quoted.rows
    if not rows.size:
        return
    header = frames[rows, quoted.upper : quoted.upper + _QUOTED_BYTES]
    replies.rare[rows] = False
    replies.protocol[rows] = quoted.protocol
    replies.source[rows] = quoted.source
    replies.target[rows] = quoted.destination
    replies.source_port[rows] = u16_view(header, 0)
    replies.port[rows] = u16_view(header, 2)
    replies.quoted_seq[rows] = np.where(quoted.protocol == _TCP, u32_view(header, 4), 0)
    replies.quoted_id[rows] = quoted.identification
    responder = replies.responder[rows]
    replies.from_target[rows] = (responder == quoted.destination).all(axis=1)
    replies.kind[rows] = ReplyKind.ICMP if quoted.version == 4 else ReplyKind.ICMP6
    type_, code = _HOST_UNREACHABLE[quoted.version]
    own = (responder == quoted.source).all(axis=1)
    own &= (quoted.source != quoted.destination).any(axis=1)
    own &= (replies.type[rows] == type_) & (replies.code[rows] == code)
    complaints = rows[own]
    replies.own[complaints] = True
    replies.kind[complaints] = ReplyKind.NO_NEIGHBOUR
    replies.type[complaints] = replies.code[complaints] = 0  # as in its `Signal`
