"""The capture reader against files that are cut short, damaged or junk."""

from __future__ import annotations

import gzip
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawscan.capture.note import SectionNote
from rawscan.errors import CaptureError
from tests.capture import forge
from tests.capture.forged import FORGED, PACKET_PARTS, frames_of, opened


@pytest.mark.parametrize("name", FORGED)
def test_cut_at_every_byte(name: str) -> None:
    parts = FORGED[name]
    whole = b"".join(parts)
    starts = [sum(map(len, parts[:number])) for number in range(len(parts))]
    packets = [starts[n] + len(parts[n]) for n in PACKET_PARTS[name.rstrip("nus<>")]]
    frames = frames_of(whole)
    for length in range(len(whole)):
        if length < len(parts[0]):
            with pytest.raises(CaptureError, match="forged: "):
                opened(whole[:length])
            continue
        reader = opened(whole[:length])
        assert list(reader) == frames[: sum(end <= length for end in packets)]
        assert reader.truncated == (length not in starts)
        assert (reader.error is not None) == reader.truncated
        if reader.error is not None:
            begun = max(start for start in starts if start <= length)
            assert reader.error.offset == begun
            assert f"begins at byte {begun}" in str(reader.error)


@pytest.mark.parametrize("name", FORGED)
def test_a_gzip_cut_at_every_byte(name: str) -> None:
    whole = b"".join(FORGED[name])
    frames = frames_of(whole)
    packed = gzip.compress(whole)
    seen = set()
    for length in range(len(packed)):
        try:
            reader = opened(packed[:length])
        except CaptureError:
            continue
        assert list(reader) == frames[: reader.packets]
        assert reader.truncated
        assert reader.error is not None
        seen.add(reader.packets)
    assert len(seen) > 1
    assert frames_of(packed) == frames


PCAP = forge.pcap_header() + forge.record("<", 1, 0, b"first")
NOTED = forge.section("<", (1, SectionNote("1").to_bytes()))
OWN = NOTED + forge.interface("<") + forge.enhanced("<", 0, b"first")
PCAPNG = forge.section("<") + forge.interface("<") + forge.enhanced("<", 0, b"first")
HUGE = (256 << 20) + 4


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        (PCAP, struct.pack("<IIII", 0, 0, HUGE, HUGE), f"a packet of {HUGE} bytes"),
        (PCAP, b"\xff" * 16, "a packet of 4294967295 bytes"),
        (PCAPNG, forge.block("<", 6, bytes(40), length=0), "a block of 0 bytes (type 0x6)"),
        (PCAPNG, forge.block("<", 6, bytes(40), length=8), "a block of 8 bytes"),
        (PCAPNG, b"\x06\0\0\0\x32\0\0\0" + bytes(38) + b"\x32\0\0\0", "a block of 50 bytes"),
        (PCAPNG, forge.block("<", 0xBAD, bytes(40), length=HUGE), f"a block of {HUGE} bytes"),
        (PCAPNG, forge.block("<", 6, bytes(40), length=48), "that says 0 at its end"),
        (PCAPNG, forge.block("<", 6, bytes(16)), "a packet block without its fields"),
        (PCAPNG, forge.block("<", 2, bytes(16)), "a packet block without its fields"),
        (PCAPNG, forge.block("<", 3, b""), "a simple packet block without its fields"),
        (PCAPNG, forge.block("<", 1, bytes(4)), "an interface description without its fields"),
        (PCAPNG, forge.enhanced("<", 0, b"abcd", captured=5), "5 bytes in a block with room for 4"),
        (PCAPNG, forge.simple("<", b"abcd", original=5), "5 bytes in a block with room for 4"),
        (PCAPNG, forge.enhanced("<", 0, b"x", number=1), "interface 1, but 1 are described"),
        (PCAPNG, forge.block("<", 1, bytes(8) + b"\2\0\5\0abcd"), "an option (code 2) longer"),
        (OWN, forge.block("<", 5, bytes(8)), "interface statistics without their fields"),
        (OWN, forge.statistics("<", 0, number=1), "interface 1, but 1 are described"),
        (PCAPNG, forge.section("<", major=2), "a section of version 2.0"),
        (PCAPNG, forge.block("<", 0x0A0D0D0A, b"\x4d\x3c\x2b\x1a"), "header without its fields"),
        (PCAPNG, forge.block("<", 0x0A0D0D0A, bytes(16)), "byte-order magic 00 00 00 00"),
    ],
)
def test_damage_stops_and_says_where(good: bytes, bad: bytes, message: str) -> None:
    reader = opened(good + bad + good)
    assert [frame.data for frame in reader] == [b"first"]
    assert reader.error is not None
    assert message in str(reader.error)
    assert f"forged: damaged at byte {len(good)}: " in str(reader.error)
    assert reader.error.offset == len(good)
    assert not reader.truncated


def test_damage_in_the_gzip_is_not_a_cut() -> None:
    whole = b"".join(FORGED["pcap<us"])
    packed = bytearray(gzip.compress(whole))
    packed[-6] ^= 0xFF  # the checksum
    reader = opened(bytes(packed))
    assert list(reader) == frames_of(whole)
    assert not reader.truncated
    assert "CRC check failed" in str(reader.error)
    assert f"after byte (unpacked) {len(whole)}" in str(reader.error)


@settings(deadline=None)
@given(st.sampled_from(["pcap<us", "pcap>ns", "pcapng<", "pcapng>"]), st.binary(max_size=400))
def test_junk_after_a_header_neither_fails_nor_loops(name: str, junk: bytes) -> None:
    heads = 2 if name.startswith("pcapng") else 1
    reader = opened(b"".join(FORGED[name][:heads]) + junk)
    assert len(list(reader)) == reader.packets <= len(junk) / 12
    assert reader.error is None or reader.error.offset is not None


@settings(deadline=None)
@given(
    st.sampled_from(sorted(FORGED)),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
)
def test_flipped_bytes_neither_fail_nor_loop(name: str, flips: list[tuple[int, int]]) -> None:
    data = bytearray(b"".join(FORGED[name]))
    for place, value in flips:
        data[place % len(data)] = value
    try:
        reader = opened(bytes(data))
    except CaptureError:
        return
    assert len(list(reader)) <= len(data) / 12
