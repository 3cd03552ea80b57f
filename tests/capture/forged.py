"""Whole forged files, part by part, and how to read them. Touches nothing."""

from __future__ import annotations

import io

from rawscan.capture.note import SectionNote
from rawscan.capture.reader import CaptureReader, open_capture
from rawscan.model import Frame
from tests.capture import forge

S = 1795415451
DATA = [b"", b"a", b"bcd", bytes(range(60))]
NOTE = SectionNote("9.9", ports="561")
LATER = SectionNote("9.9", ports="562")


def opened(data: bytes) -> CaptureReader:
    return open_capture(io.BytesIO(data), name="forged")


def frames_of(data: bytes) -> list[Frame]:
    reader = opened(data)
    frames = list(reader)
    assert reader.error is None
    assert not reader.truncated
    return frames


def pcap_parts(order: str, ns: bool) -> list[bytes]:
    records = [forge.record(order, S + i, i * 1001, data) for i, data in enumerate(DATA)]
    return [forge.pcap_header(order, ns=ns), *records]


def pcapng_parts(order: str) -> list[bytes]:
    """One block of every kind, with a second section in the other byte order."""
    other = "<" if order == ">" else ">"
    return [
        forge.section(order, (1, NOTE.to_bytes()), (4, b"forge")),
        forge.interface(order, (2, b"eth0"), (9, b"\x09"), snaplen=50),
        forge.enhanced(order, S * 10**9 + 5, DATA[1], (2, bytes(4)), (0, b"")),
        forge.block(order, 0xBAD, bytes(13)),
        forge.simple(order, DATA[3][:50], original=60),
        forge.obsolete(order, S * 10**9, DATA[2]),
        forge.section(other),
        forge.interface(other, linktype=101),
        forge.enhanced(other, S * 10**6, DATA[3]),
    ]


FORGED = {
    **{f"pcap{o}{'ns' if ns else 'us'}": pcap_parts(o, ns) for o in "<>" for ns in (False, True)},
    **{f"pcapng{order}": pcapng_parts(order) for order in "<>"},
}
PACKET_PARTS = {"pcap": {1, 2, 3, 4}, "pcapng": {2, 4, 5, 8}}
