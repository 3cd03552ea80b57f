"""Many probes at once: one that Scapy has crafted, and what varies patched into copies of it.

Touches nothing but the buffer that it is given. What comes out is byte for byte what `craft` makes;
how a probe looks is said there alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawscan.model import IPAddress, ProbeKind, Protocol
from rawscan.wire import checksum
from rawscan.wire.addresses import Addresses
from rawscan.wire.columns import u16_view, u32_view
from rawscan.wire.crafted import CRAFTED
from rawscan.wire.token import identifications

_ETHERNET_BYTES, _MAC_BYTES = 14, 6
_IPV4_BYTES, _IPV6_BYTES = 20, 40
# Offsets in the headers of RFC 791, RFC 8200, RFC 9293 and RFC 768.
_V4_ID, _V4_CHECKSUM, _V4_TARGET, _V6_TARGET = 4, 10, 16, 24
_SEQUENCE, _ACKNOWLEDGEMENT, _TCP_CHECKSUM, _UDP_CHECKSUM = 4, 8, 16, 6
_FIRST_BUT_LABEL = 0xFFF0_0000


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """What all probes of one kind, from one address, have in common.

    `frame` is one whole probe; `ip` and `transport` are where these headers begin. The two bases
    are the sums of all that does not vary.
    """

    kind: ProbeKind
    source: IPAddress
    frame: NDArray[np.uint8]
    ip: int
    transport: int
    ip_base: int
    transport_base: int

    @classmethod
    def of(
        cls,
        kind: ProbeKind,
        source: IPAddress,
        payload: bytes = b"",
        ethernet: bytes | None = None,
    ) -> Template:
        """Craft it. `payload` is what UDP probes carry.

        `ethernet` is the link-layer header to put in front: the destination's address first, the
        ethertype (that must fit) last, tags in between if there are any. None: IP comes first.
        """
        header = ethernet or b""
        if header and (
            len(header) < _ETHERNET_BYTES
            or header[-2:] != (b"\x08\x00" if source.version == 4 else b"\x86\xdd")
        ):
            raise ValueError(f"{header.hex()} is no Ethernet header for IPv{source.version}")
        packet = _sample(kind, source.version, payload)
        transport = _IPV4_BYTES if source.version == 4 else _IPV6_BYTES
        size = len(source.packed)
        addresses = _words(packet, transport - 2 * size, 2 * size)  # every IP header ends with them
        own = checksum.ones_sum(source.packed)
        ip_base = 0
        if source.version == 4:
            varies = _words(packet, _V4_ID, 2) + addresses
            ip_base = own + checksum.without(_words(packet, _V4_CHECKSUM, 2)[0], varies)
        packet = packet[: transport - 2 * size] + source.packed + packet[transport - size :]
        return cls(
            kind=kind,
            source=source,
            frame=np.frombuffer(header + packet, np.uint8),
            ip=len(header),
            transport=len(header) + transport,
            ip_base=ip_base,
            transport_base=own + _transport_base(packet, transport, kind, addresses),
        )

    @property
    def size(self) -> int:
        """Bytes of one frame."""
        return len(self.frame)

    def fill(
        self,
        out: NDArray[np.uint8],
        targets: Addresses,
        ports: NDArray[np.uint16],
        source_ports: NDArray[np.uint16],
        sequences: NDArray[np.uint32],
        next_hops: NDArray[np.uint8] | None = None,
    ) -> None:
        """Write one probe into the first `size` bytes of each row of `out`.

        The arrays have one entry a row; `next_hops` has the 6 bytes of a destination's link-layer
        address in each row, and without it all go where the template's header says.
        """
        if targets.version != self.source.version:
            raise ValueError(f"{self.source} cannot be the source of IPv{targets.version} probes")
        if not len(out) == len(targets) == len(ports) == len(source_ports) == len(sequences):
            raise ValueError("one target, port, source port and sequence number for each row")
        if out.shape[1] < self.size:
            raise ValueError(f"rows of {out.shape[1]} bytes cannot hold {self.size}")
        if next_hops is not None and not self.ip:
            raise ValueError("without a link-layer header there is no place for a next hop")
        out[:, : self.size] = self.frame
        if next_hops is not None:
            out[:, :_MAC_BYTES] = next_hops
        sums = targets.sums
        if targets.version == 4:
            self._fill_ipv4(out[:, self.ip : self.transport], targets, sums, sequences)
        else:
            self._fill_ipv6(out[:, self.ip : self.transport], targets, sequences)
        self._fill_transport(
            out[:, self.transport : self.size], sums, ports, source_ports, sequences
        )

    def _fill_ipv4(
        self,
        header: NDArray[np.uint8],
        targets: Addresses,
        sums: NDArray[np.uint64],
        sequences: NDArray[np.uint32],
    ) -> None:
        numbers = identifications(4, sequences)
        u16_view(header, _V4_ID)[:] = numbers
        u32_view(header, _V4_TARGET)[:] = targets.low
        totals = sums + numbers
        totals += np.uint64(self.ip_base)
        u16_view(header, _V4_CHECKSUM)[:] = checksum.checksums(totals)

    def _fill_ipv6(
        self, header: NDArray[np.uint8], targets: Addresses, sequences: NDArray[np.uint32]
    ) -> None:
        # No checksum covers the flow label; before it stand the version and the traffic class.
        before = int.from_bytes(self.frame[self.ip : self.ip + 4], "big") & _FIRST_BUT_LABEL
        u32_view(header, 0)[:] = identifications(6, sequences) | np.uint32(before)
        header[:, _V6_TARGET:] = targets.octets

    def _fill_transport(
        self,
        header: NDArray[np.uint8],
        sums: NDArray[np.uint64],
        ports: NDArray[np.uint16],
        source_ports: NDArray[np.uint16],
        sequences: NDArray[np.uint32],
    ) -> None:
        u16_view(header, 0)[:] = source_ports
        u16_view(header, 2)[:] = ports
        totals = sums  # not needed afterwards
        totals += source_ports
        totals += ports
        totals += np.uint64(self.transport_base)
        if self.kind.protocol is Protocol.UDP:
            found = checksum.all_for_udp(checksum.checksums(totals))
            u16_view(header, _UDP_CHECKSUM)[:] = found
            return
        u32_view(header, _SEQUENCE)[:] = sequences
        totals += sequences
        if self.kind is ProbeKind.ACK:  # its token stands in both places (see `craft`)
            u32_view(header, _ACKNOWLEDGEMENT)[:] = sequences
            totals += sequences
        u16_view(header, _TCP_CHECKSUM)[:] = checksum.checksums(totals)


def _sample(kind: ProbeKind, version: int, payload: bytes) -> bytes:
    """A probe as Scapy makes it; what carries no payload was made long ago."""
    if not payload:
        return bytes.fromhex(CRAFTED[kind.value, version])
    from rawscan.wire.craft import sample

    return sample(kind, version, payload)


def _transport_base(
    packet: bytes, transport: int, kind: ProbeKind, addresses: tuple[int, ...]
) -> int:
    """The sum of the pseudo header and the segment, without the ports, tokens and `addresses`."""
    varies = addresses + _words(packet, transport, 4)
    if kind.protocol is Protocol.UDP:
        return checksum.without(_words(packet, transport + _UDP_CHECKSUM, 2)[0], varies)
    varies += _words(packet, transport + _SEQUENCE, 4)
    if kind is ProbeKind.ACK:
        varies += _words(packet, transport + _ACKNOWLEDGEMENT, 4)
    return checksum.without(_words(packet, transport + _TCP_CHECKSUM, 2)[0], varies)


def _words(data: bytes, offset: int, count: int) -> tuple[int, ...]:
    """`count` bytes as 16-bit words."""
    return tuple(int.from_bytes(data[i : i + 2], "big") for i in range(offset, offset + count, 2))
