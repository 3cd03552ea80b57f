"""What is no capture: every refusal names the file, what was found, and what to do."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import pytest

from rawscan.capture.reader import open_capture
from rawscan.errors import CaptureError
from tests.capture import forge

PCAP = forge.pcap_header() + forge.record("<", 1, 0, b"x")
EXPECTED = "expected pcap (d4 c3 b2 a1"


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["is empty (0 bytes)", EXPECTED]),
        (b"\n", ["it begins with 0a; ", EXPECTED]),
        (b"nmap scan report", ["it begins with 6e 6d 61 70 20 73 63 61; ", "editcap -F pcapng"]),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), ["89 50 4e 47 0d 0a 1a 0a", EXPECTED]),
        (gzip.compress(b"hello, world"), ["68 65 6c 6c 6f 2c 20 77 once unpacked", EXPECTED]),
        (gzip.compress(b""), ["is a gzip file of nothing", EXPECTED]),
        (gzip.compress(gzip.compress(PCAP)), ["begins with 1f 8b", "once unpacked"]),
        (b"\x1f\x8b\x08", ["the gzip stream has no end"]),
        (
            b"\x1f\x8b" + b"\xff" * 40,
            ["cannot be read any further: gzip: Unknown compression method"],
        ),
        (b"\x28\xb5\x2f\xfd", ["the zstd stream has no end"]),
        (b"\x28\xb5\x2f\xfd\x08" + bytes(9), ["cannot be read any further: zstd: "]),
        (b"\xfd7zXZ\x00" + bytes(9), ["cannot be read any further: xz: "]),
        (b"\x04\x22\x4d\x18" + bytes(9), ["cannot be read any further: lz4: "]),
        (b"BZh9" + bytes(9), ["cannot be read any further: bzip2: "]),
        (b"\xa1\xb2\xcd\x34" + bytes(20), ["Kuznetzov", "editcap -F pcapng "]),
        (b"\x34\xcd\xb2\xa1" + bytes(20), ["Kuznetzov", "editcap -F pcapng "]),
        (b"snoop\x00\x00\x00" + bytes(20), ["snoop", "editcap -F pcapng "]),
        (forge.pcap_header(version=(1, 2)), ["pcap version 1.2", "2.x"]),
        (forge.pcap_header()[:23], ["cut short", "the pcap file header"]),
        (b"\x0a\x0d\x0d\x0a", ["cut short", "a block"]),
        (b"\x0a\x0d\x0d\x0a" + bytes(40), ["byte-order magic 00 00 00 00"]),
        (forge.section(">", major=3), ["a section of version 3.0"]),
    ],
)
def test_no_capture(tmp_path: Path, content: bytes, parts: list[str]) -> None:
    path = tmp_path / "it's.pcap"
    path.write_bytes(content)
    for source, name in ((path, str(path)), (io.BytesIO(content), "standard input")):
        with pytest.raises(CaptureError) as caught:
            open_capture(source, name=name)
        message = str(caught.value)
        assert message.startswith(f"{name}: ")
        assert [part for part in parts if part not in message] == []
        assert caught.value.offset is not None


def test_the_remedy_can_be_pasted_into_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "two words.pcap.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd")
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    with pytest.raises(CaptureError, match=f"not there .*; unpack it first: zstd -dk '{path}'$"):
        open_capture(path)


def test_what_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CaptureError, match=f"{tmp_path}: is a directory"):
        open_capture(tmp_path)
    with pytest.raises(CaptureError, match=r"absent\.pcap: cannot be opened: No such file"):
        open_capture(tmp_path / "absent.pcap")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CaptureError, match=r"a\.pcap: cannot be opened: Permission denied"):
        open_capture(Path("a.pcap"))


def test_a_stream_that_cannot_be_read() -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(CaptureError, match=r"disk: cannot be read any further: .*Input/output"):
        open_capture(Broken(), name="disk")  # type: ignore[arg-type]


def test_a_disk_that_fails_midway_keeps_what_was_read() -> None:
    class Failing(io.RawIOBase):
        pieces = iter([PCAP + PCAP[24:30]])

        def read(self, size: int = -1) -> bytes:
            for piece in self.pieces:
                return piece
            raise OSError(5, "Input/output error")

    reader = open_capture(Failing(), name="disk")  # type: ignore[arg-type]
    assert len(list(reader)) == 1
    assert not reader.truncated
    assert reader.error is not None
    assert "Input/output error" in str(reader.error)
    assert reader.error.offset == len(PCAP) + 6
