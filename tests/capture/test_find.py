"""Which files are meant by a name, a directory, a pattern."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rawscan.capture.find import sources
from rawscan.errors import CaptureError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.pcap", "b.pcapng", "notes.txt", "deep/c.cap", "deep/er/d.pcap.gz", ".h.pcap"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.pcap", ["a.pcap"]),
        ("missing.pcap", ["missing.pcap"]),  # whoever opens it says what is wrong
        ("deep", ["deep/c.cap", "deep/er/d.pcap.gz"]),
        ("*.pcap*", ["a.pcap", "b.pcapng"]),  # no hidden ones, as in a shell
        ("?.pcap", ["a.pcap"]),
        ("[ab].*", ["a.pcap", "b.pcapng"]),
        ("**/*.gz", ["deep/er/d.pcap.gz"]),
        ("de*", ["deep/c.cap", "deep/er/d.pcap.gz"]),  # a directory, by a pattern
    ],
)
def test_names(name: str, found: list[str], folder: Path) -> None:
    assert list(map(str, sources([name]))) == found


def test_packed_captures_in_directories(tmp_path: Path) -> None:
    names = ["a.cap.lz4", "b.pcap.bz2", "c.pcapng.xz", "d.pcapng.zst"]
    for name in (*names, "notes.txt.gz", "e.pcap.zip"):
        (tmp_path / name).touch()
    assert list(sources([str(tmp_path)])) == [tmp_path / name for name in names]


def test_standard_input_and_the_order_of_the_names(folder: Path) -> None:
    assert list(sources(["b.pcapng", "-", "a.pcap"])) == [
        Path("b.pcapng"), sys.stdin.buffer, Path("a.pcap"),
    ]  # fmt: skip


def test_a_file_whose_name_looks_like_a_pattern(folder: Path) -> None:
    (folder / "x[1].pcap").touch()
    assert list(sources(["x[1].pcap"])) == [Path("x[1].pcap")]


@pytest.mark.parametrize(
    ("name", "why"), [("*.foo", "no file is named like that"), ("empty", "holds no file")]
)
def test_what_is_wrong_comes_in_its_place(name: str, why: str, folder: Path) -> None:
    (folder / "empty").mkdir()
    error, path = sources([name, "a.pcap"])
    assert isinstance(error, CaptureError)
    assert str(error).startswith(f"{name}: {why}")
    assert path == Path("a.pcap")
