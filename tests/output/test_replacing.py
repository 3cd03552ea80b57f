"""Files that take their names when they are whole, and files that cannot be replaced."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rawscan.output.files import open_output
from rawscan.output.replacing import replaceable
from rawscan.output.sink import Sink

RECORD: dict[str, Any] = {"type": "port", "target": "10.0.0.5", "hints": []}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "x.json"
    path.write_text("old")
    return path


def finish(sink: Sink, records: int = 1) -> None:
    for _ in range(records):
        sink.write(RECORD)
    sink.close()


def test_the_old_file_stays_until_the_new_one_is_whole(old: Path) -> None:
    sink = open_output(old)
    for _ in range(1000):
        sink.write(RECORD)
    assert old.read_text() == "old"
    sink.close()
    assert json.loads(old.read_text()) == [RECORD] * 1000
    assert list(old.parent.iterdir()) == [old]


def test_what_a_killed_process_left_is_taken_away(old: Path) -> None:
    (old.parent / ".x.json.part").write_text("half")
    finish(open_output(old))
    assert list(old.parent.iterdir()) == [old]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_it_has_the_old_ones_mode(mode: int, old: Path) -> None:
    old.chmod(mode)
    finish(open_output(old))
    assert stat.S_IMODE(old.stat().st_mode) == mode


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_it_has_the_old_ones_owner(old: Path) -> None:
    os.chown(old, 1234, 5678)
    finish(open_output(old))
    assert (old.stat().st_uid, old.stat().st_gid) == (1234, 5678)


@pytest.fixture(params=[0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("name", ["new.json", "new.jsonl"])
def test_a_new_one_has_the_mode_that_open_gives(name: str, umask: int, tmp_path: Path) -> None:
    finish(open_output(tmp_path / name))
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("ending", ["json", "jsonl"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_a_link(exists: bool, ending: str, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / f"y.{ending}", tmp_path / f"x.{ending}"
    link.symlink_to(target)
    if exists:
        target.write_text("old")
    finish(open_output(link))
    assert link.is_symlink()
    assert "10.0.0.5" in target.read_text()
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("ending", ["json", "jsonl", "csv"])
def test_a_pipe_is_written_to(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{ending}"
    os.mkfifo(path)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    finish(open_output(path), 100)
    reader.join(10)
    assert read[0].count("10.0.0.5") == 100
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_every_name_of_a_file_shows_the_new_content(old: Path) -> None:
    other = old.with_name("other")
    other.hardlink_to(old)
    finish(open_output(old))
    assert json.loads(other.read_text()) == [RECORD]


def test_a_file_that_is_open_is_written_in_place(old: Path) -> None:
    """It may be standard output: `-o x.json`, a link to /dev/stdout, `>result`."""
    with old.open("a") as opened:
        finish(open_output(old))
        assert os.path.samestat(os.fstat(opened.fileno()), old.stat())
    assert json.loads(old.read_text()) == [RECORD]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_where_no_file_can_be_made_it_is_written_in_place(old: Path) -> None:
    old.parent.chmod(0o555)
    finish(open_output(old))
    assert json.loads(old.read_text()) == [RECORD]


@pytest.mark.parametrize(
    ("name", "answer"), [("x.json", True), ("new", True), ("/dev/null", False)]
)
def test_replaceable(name: str, answer: bool, old: Path) -> None:
    assert replaceable(old.parent / name) is answer


def test_a_mount_point_is_filled(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(self: Path, target: Path) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(Path, "replace", busy)
    finish(open_output(old))
    assert json.loads(old.read_text()) == [RECORD]
    assert list(old.parent.iterdir()) == [old]


def test_a_write_that_broke_off_leaves_the_old_file(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = open_output(old)
    sink.write(RECORD)

    def interrupted(*arguments: object, **options: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("rawscan.output.files.json.dumps", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sink.write(RECORD)
    sink.close()
    assert old.read_text() == "old"
    assert list(old.parent.iterdir()) == [old]


FULL = """
import resource, sys
from pathlib import Path
from rawscan.output.files import open_output
sink = open_output(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    for _ in range(10_000):
        sink.write({"type": "port", "target": "10.0.0.5", "hints": []})
except OSError as error:
    print(error.strerror)
try:
    sink.close()
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.parametrize("ending", ["json", "csv", "jsonl"])
def test_a_full_disk(ending: str, tmp_path: Path) -> None:
    """A limit on the file's size is met as a full disk is: in the middle of a write."""
    old = tmp_path / f"x.{ending}"
    old.write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(old)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.splitlines()) == {"File too large"}
    assert list(tmp_path.iterdir()) == [old]
    if ending == "jsonl":
        lines = old.read_text().splitlines()
        assert [json.loads(line) for line in lines] == [RECORD | {}] * len(lines)
        assert 19_000 < old.stat().st_size <= 20_000
    else:
        assert old.read_text() == "old"
