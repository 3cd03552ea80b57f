"""Independent second opinions: what Wireshark's dissector says of the packets that we decoded.

Runs tshark, by `rawscan.capture.dissect`; reads the files that it is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rawscan.capture.dissect import Dissection, dissect
from rawscan.capture.reader import open_capture
from rawscan.errors import CaptureError, DecodeError
from rawscan.model import Frame, Icmp, Other, Packet, Tcp, Udp
from rawscan.wire.decode import decode_frame


def protocol_of(packet: Packet) -> int:
    """IANA's number of what the IP packet carries."""
    match packet.body:
        case Other(protocol):
            return protocol
        case Icmp(version=version):
            return 1 if version == 4 else 58
        case Tcp():
            return 6
        case Udp():
            return 17


def levels(dissection: Dissection) -> Iterator[Dissection]:
    """The packets in one frame, from the outermost (the tunnel's) to the innermost."""
    if dissection.outer is not None:
        yield from levels(dissection.outer)
    yield dissection


def assert_same(packet: Packet, dissection: Dissection) -> None:
    """Fail unless Wireshark saw the same addresses, ports, flags, numbers, ICMP and quote."""
    where = f"frame {dissection.frame_number}: {packet}"
    head = (packet.source, packet.destination, protocol_of(packet))
    heads = {(d.source, d.destination, d.protocol): d for d in levels(dissection)}
    assert head in heads, f"{where}\nis not among {[*heads]}"
    theirs = heads[head]
    match packet.body:
        case Tcp() as tcp:
            assert (tcp.sport, tcp.dport) == (theirs.sport, theirs.dport), where
            # Wireshark leaves out the numbers of a header that was cut off behind them.
            for field in ("seq", "ack", "flags"):
                if getattr(theirs, field) is not None:
                    assert getattr(tcp, field) == getattr(theirs, field), f"{where}\n{field}"
        case Udp(sport=sport, dport=dport):
            assert (sport, dport) == (theirs.sport, theirs.dport), where
        case Icmp() as icmp:
            assert (icmp.version, icmp.type, icmp.code) == (
                theirs.icmp_version,
                theirs.icmp_type,
                theirs.icmp_code,
            ), where
            if icmp.quoted is not None:
                assert_same_quote(icmp.quoted, theirs, where)


def assert_same_quote(quoted: Packet, theirs: Dissection, where: str) -> None:
    """The same for the packet that an ICMP error quotes."""
    assert (quoted.source, quoted.destination, protocol_of(quoted)) == (
        theirs.quoted_source,
        theirs.quoted_destination,
        theirs.quoted_protocol,
    ), where
    if isinstance(quoted.body, Tcp | Udp):
        ports = (quoted.body.sport, quoted.body.dport)
        assert ports == (theirs.quoted_sport, theirs.quoted_dport), where
    if isinstance(quoted.body, Tcp):
        assert quoted.body.seq == theirs.quoted_seq, where


def frames_of(path: Path) -> list[Frame]:
    """Every frame of a capture, up to its damage."""
    with open_capture(path) as reader:
        return list(reader)


def dissections_of(path: Path) -> list[Dissection]:
    """Every dissection of a capture, up to its damage."""
    found = []
    try:
        for dissection in dissect(path):
            found.append(dissection)
    except CaptureError:
        assert found, path
    return found


def compare_with_tshark(path: Path) -> int:
    """Compare every frame that rawscan decodes. Returns how many packets that were."""
    frames, dissections = frames_of(path), dissections_of(path)
    assert [d.frame_number for d in dissections] == list(range(1, len(dissections) + 1)), path
    if len(dissections) != len(frames):
        # Wireshark shows pcapng's custom blocks as frames of nothing but data; they are no packets.
        dissections = [d for d in dissections if d.layers != ("DATA",)]
    compared = 0
    for frame, dissection in zip(frames, dissections, strict=True):
        try:
            packet = decode_frame(frame)
        except DecodeError:
            continue
        assert_same(packet, dissection)
        compared += 1
    return compared
