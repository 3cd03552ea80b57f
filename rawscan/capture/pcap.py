"""The classic pcap format: one file header, then records. Reads from a `Source` only.

Layout: draft-ietf-opsawg-pcap, sections 4 (file header) and 5 (packet record).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from rawscan.capture.note import SectionNote
from rawscan.capture.source import MAX_BYTES, Source
from rawscan.errors import CaptureError
from rawscan.model import Frame

MAGICS: Final[dict[bytes, tuple[str, int]]] = {
    b"\xa1\xb2\xc3\xd4": (">", 10**6),
    b"\xd4\xc3\xb2\xa1": ("<", 10**6),
    b"\xa1\xb2\x3c\x4d": (">", 10**9),
    b"\x4d\x3c\xb2\xa1": ("<", 10**9),
}
"""Magic number as it stands in the file -> byte order, ticks per second (section 4)."""

FILE_HEADER_BYTES = 24
RECORD_HEADER_BYTES = 16

LINKTYPE_MASK = 0x03FF_FFFF
"""Above these bits stand the length of the frame check sequence and whether it is known. Bits 16
to 25 are kept, as libpcap does: NetBSD's raw class lives there and is no other link type."""


class PcapParser:
    """One pcap file. The constructor reads the file header and raises if there is none."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.notes: list[SectionNote | None] = []
        if not source.need(FILE_HEADER_BYTES):
            raise source.cut("the pcap file header")
        order, self._ticks = MAGICS[bytes(source.data[:4])]
        major, minor, _, _, _, network = struct.unpack_from(f"{order}HHiIII", source.data, 4)
        if major != 2:
            raise CaptureError(
                f"{source.name}: pcap version {major}.{minor}, but rawscan reads 2.x only; "
                "try to convert it with editcap",
                offset=4,
            )
        self._order = order
        self.linktypes: list[int] = [network & LINKTYPE_MASK]
        source.position = FILE_HEADER_BYTES

    def frames(self) -> Iterator[Frame]:
        """Every whole record. Raises `CaptureError` where the file is cut short or damaged."""
        source, ticks, linktype = self._source, self._ticks, self.linktypes[0]
        unpack_from = struct.Struct(f"{self._order}IIII").unpack_from
        while source.more():
            if not source.need(RECORD_HEADER_BYTES):
                raise source.cut("the header of a packet")
            seconds, fraction, captured, original = unpack_from(source.data, source.position)
            if captured > MAX_BYTES:
                raise source.damage(f"a packet of {captured} bytes")
            if not source.need(RECORD_HEADER_BYTES + captured):
                raise source.cut("a packet")
            start = source.position + RECORD_HEADER_BYTES
            source.position = start + captured
            data = bytes(source.data[start : source.position])
            yield Frame(seconds + fraction / ticks, data, linktype, max(original, captured))
