"""Packed captures: every packing, cut anywhere, joined, padded, damaged; from files and pipes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest
from backports import zstd

from rawscan.capture.gunzip import GzipDecompressor
from rawscan.capture.reader import open_capture
from rawscan.capture.unpack import Unpacked, name_of, packing_of
from tests.capture.forged import FORGED, frames_of, opened

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstd.compress,
    "xz": lzma.compress,
    "lz4": lz4.frame.compress,
    "bzip2": bz2.compress,
}
WHOLE = b"".join(FORGED["pcapng<"])
packings = pytest.mark.parametrize("packing", PACK)


@packings
def test_packed_is_as_plain(packing: str, tmp_path: Path) -> None:
    packed = PACK[packing](WHOLE)
    assert name_of(packing_of(packed) or b"") == packing
    assert frames_of(packed) == frames_of(WHOLE)
    path = tmp_path / "x.pcapng"  # what it is, its content tells
    path.write_bytes(packed)
    with open_capture(path) as reader:
        assert list(reader) == frames_of(WHOLE)
        assert reader.how_far() == (len(packed), len(packed))


@packings
def test_several_streams_are_one_file(packing: str) -> None:
    pack = PACK[packing]
    assert frames_of(pack(WHOLE[:100]) + pack(WHOLE[100:150]) + pack(WHOLE[150:])) == frames_of(
        WHOLE
    )


@packings
def test_zeros_behind_the_end_are_padding(packing: str) -> None:
    assert frames_of(PACK[packing](WHOLE) + bytes(1000)) == frames_of(WHOLE)


@packings
def test_something_else_behind_the_end_is_said(packing: str) -> None:
    reader = opened(PACK[packing](WHOLE) + b"and more")
    assert list(reader) == frames_of(WHOLE)
    assert f"behind the {packing} stream stands something else" in str(reader.error)


@packings
def test_a_cut_is_a_cut(packing: str) -> None:
    packed = PACK[packing](b"".join(FORGED["pcap<us"]) + bytes(range(256)) * 300)
    unpacked = Unpacked(io.BytesIO(packed[:-9]).read, packing_of(packed) or b"")
    with unpacked, pytest.raises(EOFError, match=f"the {packing} stream has no end"):
        for _ in iter(unpacked.read1, b""):
            pass


@packings
def test_a_slow_stream(packing: str) -> None:
    packed = io.BytesIO(PACK[packing](WHOLE))
    with Unpacked(lambda size: packed.read(1), packing_of(packed.getvalue()) or b"") as unpacked:
        pieces = []
        while piece := unpacked.read1(7):
            assert len(piece) <= 7
            pieces.append(piece)
    assert b"".join(pieces) == WHOLE


def test_the_thread_ends_with_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"".join(FORGED["pcap<us"]) + bytes(64 << 20), 1))
    before = threading.active_count()
    with open_capture(path) as reader:
        next(iter(reader))
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


# gzip, whose header and trailer are read here


def unzipped(data: bytes) -> bytes:
    member = GzipDecompressor()
    pieces = [member.decompress(data)]
    while not member.eof:
        assert not member.needs_input
        pieces.append(member.decompress(b""))
    assert member.unused_data == b""
    return b"".join(pieces)


@pytest.mark.parametrize("flags", [0, 1, 2, 4, 8, 16, 31])
def test_every_optional_part_of_the_header(flags: int) -> None:
    """RFC 1952, section 2.3: text, header CRC, extra, name, comment."""
    plain = gzip.compress(b"hello", mtime=0)
    parts = plain[:3] + bytes([flags]) + plain[4:10]
    parts += b"\x03\0abc" * bool(flags & 4) + b"name\0" * bool(flags & 8)
    parts += b"a comment\0" * bool(flags & 16) + b"cc" * bool(flags & 2)
    assert unzipped(parts + plain[10:]) == b"hello"
    for cut in range(len(parts)):
        member = GzipDecompressor()
        assert member.decompress(parts[:cut]) == b""
        assert member.needs_input


@pytest.mark.parametrize(("place", "what"), [(-6, "CRC check failed"), (-2, "were unpacked")])
def test_a_wrong_trailer_comes_after_the_data(place: int, what: str) -> None:
    data = bytearray(gzip.compress(b"hello"))
    data[place] ^= 1
    member = GzipDecompressor()
    assert member.decompress(bytes(data)) == b"hello"
    with pytest.raises(OSError, match=what):
        member.decompress(b"")


@pytest.mark.peer
def test_what_gzip_itself_has_packed(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    path.write_bytes(WHOLE)
    subprocess.run(["gzip", "-9", str(path)], check=True, timeout=20)
    with open_capture(tmp_path / "x.pcapng.gz") as reader:
        assert list(reader) == frames_of(WHOLE)
