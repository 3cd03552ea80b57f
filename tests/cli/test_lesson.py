"""`rawscan lesson`: lists, teaches in a lab of its own, remembers, falls back on recordings."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from rawscan.teach.lesson import lessons
from tests.story import RAWSCAN


def lesson(
    home: Path, *arguments: str, typed: str = "", path: str | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_STATE_HOME": str(home)}
    if path is not None:
        environment["PATH"] = path
    return subprocess.run(
        [*RAWSCAN, "lesson", *arguments], input=typed, capture_output=True, text=True, check=False,
        timeout=120, env=environment,
    )  # fmt: skip


def test_the_list(tmp_path: Path) -> None:
    done = lesson(tmp_path)
    assert done.returncode == 0, done.stderr
    for each in lessons():
        assert re.search(
            rf"{each.number} +{each.id} +{each.minutes} min +{each.title}", done.stdout
        )


@pytest.mark.netns
def test_a_lesson_in_the_lab(tmp_path: Path) -> None:
    done = lesson(tmp_path, "closed", typed="\na RST\n\n\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "$ rawscan scan 10.56.1.11 --no-udp    (in the lab)" in done.stdout
    assert "You said a RST, and so it is." in done.stdout
    assert "Lesson 2 is done: 1 of 1 predictions right." in done.stdout
    assert "(done)" in lesson(tmp_path).stdout


def test_left_and_taken_up_again(tmp_path: Path) -> None:
    first = lesson(tmp_path, "2", "--recorded", typed="\n")
    assert first.returncode == 0
    assert "Left; `rawscan lesson 2` goes on from here." in first.stdout
    assert "(step 2 of 4)" in lesson(tmp_path).stdout
    second = lesson(tmp_path, "2", "--recorded", typed="2\n\n\n")
    assert "(going on at step 2 of 4)" in second.stdout
    assert "A TCP conversation begins" not in second.stdout
    assert "is done: 1 of 1" in second.stdout
    again = lesson(tmp_path, "2", "--recorded", "--restart", typed="q\n")
    assert "A TCP conversation begins" in again.stdout


def test_without_namespaces_the_recording_is_shown(tmp_path: Path) -> None:
    done = lesson(tmp_path, "2", typed="\n2\n\n\n", path="/nonexistent")
    assert done.returncode == 0
    assert "the lab needs unshare" in done.stderr
    assert "goes on with a recording of the same lab" in done.stderr
    assert "(recorded in the same lab before)" in done.stdout
    assert "is done: 1 of 1" in done.stdout


@pytest.mark.parametrize("each", lessons(), ids=lambda each: each.id)
def test_every_lesson_can_be_taken_from_recordings(each: object, tmp_path: Path) -> None:
    (found,) = (lesson_ for lesson_ in lessons() if lesson_ == each)
    done = lesson(tmp_path, found.id, "--recorded", typed="\n1\n" * 40)
    assert done.returncode == 0, done.stderr
    assert f"Lesson {found.number} is done" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_state_directory_that_cannot_be_written_does_not_end_the_lesson(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = lesson(tmp_path / "file", "2", "--recorded", typed="\n2\n\n\n")
    assert done.returncode == 0
    assert "cannot remember how far you came" in done.stderr
    assert "is done" in done.stdout


def test_pages(tmp_path: Path) -> None:
    done = lesson(tmp_path, "--html", str(tmp_path / "site"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "index.html").is_file()
    wrong = lesson(tmp_path, "2", "--html", str(tmp_path / "x"))
    assert (wrong.returncode, "--html writes all lessons" in wrong.stderr) == (2, True)


def test_no_such_lesson(tmp_path: Path) -> None:
    done = lesson(tmp_path, "99")
    assert (done.returncode, "there is no lesson '99'" in done.stderr) == (2, True)
