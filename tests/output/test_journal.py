"""Journals: every write ends a line and stays within a page, so that no kill can tear one."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rawscan.errors import UsageError
from rawscan.output.journal import PAGE_BYTES, PageLines, open_locked, read_last, read_lines

FUNCTION_SCOPED = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

SIZES = st.one_of(
    st.integers(0, 400), st.integers(480, 600), st.integers(3900, 4200), st.integers(0, 13000)
)
BATCHES = st.lists(st.lists(SIZES, min_size=1, max_size=30), max_size=12)
"""Bytes of filling in each line, for some calls of `write` with some lines each."""


def record(number: int, size: int) -> dict[str, Any]:
    return {"type": "port", "number": number, "filling": "é" * (size // 2)}


def line(number: int, size: int) -> str:
    return json.dumps(record(number, size), ensure_ascii=False) + "\n"


def lines_of(batches: list[list[int]]) -> Iterator[str]:
    """What each call of `write` is given."""
    number = 0
    for batch in batches:
        yield "".join(line(number + at, size) for at, size in enumerate(batch))
        number += len(batch)


def parsed(data: bytes) -> list[dict[str, Any]]:
    """As a strict reader has it: every line is one JSON value, and ends."""
    assert data == b"" or data.endswith(b"\n")
    return [json.loads(each) for each in data.decode().split("\n")[:-1]]


@contextmanager
def watched(watch: Callable[[int, bytes, int], int]) -> Iterator[None]:
    """While `watch` takes the place of pwrite(2)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rawscan.output.journal.os.pwrite", watch)
        yield


@FUNCTION_SCOPED
@given(BATCHES, st.integers(0, 9000))
def test_whole_lines_within_pages_at_every_moment(
    tmp_path: Path, batches: list[list[int]], before: int
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(line(-1, before) + '{"torn')
    expected = [record(-1, before)]
    sizes = [size for batch in batches for size in batch]
    expected += [record(number, size) for number, size in enumerate(sizes)]
    real = os.pwrite

    def watch(descriptor: int, data: bytes, offset: int) -> int:
        done = real(descriptor, data, offset)
        found = parsed(path.read_bytes())
        assert found == expected[: len(found)]
        assert data.endswith(b"\n")
        if len(data) <= PAGE_BYTES:
            assert offset // PAGE_BYTES == (offset + len(data) - 1) // PAGE_BYTES
        else:  # one line that is longer than a page, from the beginning of one
            assert data.count(b"\n") == 1
            assert offset % PAGE_BYTES == 0
        return done

    stream = PageLines(open_locked(path), len(line(-1, before).encode()))
    with watched(watch):
        for text in lines_of(batches):
            assert stream.write(text) == len(text)
            numbers = [each["number"] for each in parsed(path.read_bytes())]
            assert numbers[-1] == json.loads(text.splitlines()[-1])["number"]
    stream.close()
    assert parsed(path.read_bytes()) == expected


@FUNCTION_SCOPED
@given(BATCHES.filter(bool), st.data())
def test_a_full_disk_leaves_whole_lines(
    tmp_path: Path, batches: list[list[int]], data: st.DataObject
) -> None:
    """However few bytes of a write were still taken."""
    path = tmp_path / "x.jsonl"
    text = "".join(lines_of(batches))
    room = data.draw(st.integers(0, len(text.encode()) - 1))
    real = os.pwrite

    def watch(descriptor: int, piece: bytes, offset: int) -> int:
        if offset + len(piece) > room and offset >= room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, piece[: room - offset], offset)

    stream = PageLines(open_locked(path, os.O_CREAT))
    with watched(watch), pytest.raises(OSError, match="No space"):
        stream.write(text)
    stream.close()
    numbers = [each["number"] for each in parsed(path.read_bytes())]
    assert numbers == list(range(len(numbers)))


def test_no_kill_tears_a_line(tmp_path: Path) -> None:
    """By this kernel, on this file system, in 60 of 60 cases."""
    path, random = tmp_path / "x.jsonl", Random(561)
    text = "".join(line(number, 300) for number in range(200))
    found = 0
    for _ in range(60):
        stream = PageLines(open_locked(path, os.O_CREAT))
        child = os.fork()
        while not child:
            stream.write(text)
        time.sleep(random.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        stream.close()
        found += len(parsed(path.read_bytes()))
    assert found > 60


def test_what_is_no_text_becomes_an_escape(tmp_path: Path) -> None:
    """A byte of a file name that is not UTF-8 is a lone surrogate in Python."""
    path = tmp_path / "x.jsonl"
    stream = PageLines(open_locked(path, os.O_CREAT))
    stream.write('{"type":"scan","command":["\udcff"]}\n')
    stream.close()
    assert json.loads(path.read_bytes()) == {"type": "scan", "command": ["\udcff"]}


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("kept\n")
    first = open_locked(path)
    with pytest.raises(UsageError, match=r"x\.jsonl: another rawscan is writing it"):
        open_locked(path)
    os.close(first)
    os.close(open_locked(path))
    assert path.read_text() == "kept\n"


def read(path: Path) -> list[tuple[int, int, dict[str, Any]]]:
    with path.open("rb") as file:
        return [(number, end, record) for number, end, record in read_lines(file, "x")]


A, B = {"type": "scan"}, {"type": "port"}
WHOLE = b'{"type":"scan"}\n{"type":"port"}   \n'


@pytest.mark.parametrize("tail", [b"", b'{"type":"po', b'{"type":"port"}', b"\0" * 4096, b"  "])
def test_a_torn_last_line_is_left_out(tail: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(WHOLE + tail)
    assert read(path) == [(1, 16, A), (2, 35, B)]


def test_lines_of_spaces_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"type":"scan"}\n  \n\n{"type":"port"}\n')
    assert read(path) == [(1, 16, A), (4, 36, B)]


@pytest.mark.parametrize("bad", [b'{"type":"po', b"[]", b"{}", b"\0\0", b"\xff", b"1"])
def test_a_broken_line_in_between_is_named(bad: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"type":"scan"}\n' + bad + b'\n{"type":"port"}\n')
    with pytest.raises(UsageError, match="x, line 2: is no record"):
        read(path)


@pytest.mark.parametrize(
    ("data", "last"),
    [
        (b"", None),
        (WHOLE, B),
        (WHOLE + b"  \n", B),
        (WHOLE + b'{"type":"summary"', None),
        (WHOLE + b"[]\n", None),
        (WHOLE + b"{no}\n", None),
        (WHOLE * 9000 + b'{"type":"scan"}\n', A),
        (b"{" + b" " * 100_000 + b'"type":"scan"}\n', None),
    ],
)
def test_the_last_record(data: bytes, last: dict[str, Any] | None, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(data)
    assert read_last(path) == last
