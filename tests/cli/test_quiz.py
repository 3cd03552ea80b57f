"""`rawscan quiz`: asks, scores, explains each miss; prints, takes and grades."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.story import RAWSCAN
from tests.teach.shared import CAPTURES

CLOSED = str(CAPTURES / "rules" / "syn-rst.pcapng")


def quiz(
    *arguments: str, typed: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RAWSCAN, "quiz", *arguments], input=typed, capture_output=True, text=True, check=False,
        timeout=60, cwd=cwd, env={**os.environ, "PYTHONPATH": str(CAPTURES.parent)},
    )  # fmt: skip


def test_a_capture_of_ones_own() -> None:
    done = quiz(CLOSED, typed="closed\nopen\n")
    assert done.returncode == 0, done.stderr
    assert "Question 1 of 2" in done.stdout
    assert "RST+ACK seq=0" in done.stdout
    assert "Right: closed. reset: No program listens" in done.stdout
    assert "No: closed." in done.stdout
    assert "RFC 9293, section 3.5.2" in done.stdout
    assert "1 of 2 right (--seed " in done.stdout


def test_other_ports_of_a_capture() -> None:
    limited = str(CAPTURES / "lab-rate-limited-udp" / "capture.pcapng")
    done = quiz(limited, "--ports", "U:563", "--count", "50", typed="q\n")
    assert "Question 1 of 4" in done.stdout  # two hosts, IPv4 and IPv6
    assert "port 563/udp?" in done.stdout
    none = quiz(CLOSED, "-p", "562")
    assert (none.returncode, "nothing to ask" in none.stderr) == (2, True)


def test_the_answer_is_not_given_away_beforehand() -> None:
    done = quiz(CLOSED, typed="q\n")
    assert "0 of 0 right" in done.stdout
    assert done.stdout.count("closed") == 1  # among the choices


def test_numbers_words_and_slips() -> None:
    done = quiz(CLOSED, "--count", "1", typed="9\nnonsense\n0\n2\n")
    assert done.stdout.count("Type a number from 1 to 4, or q to leave.") == 3
    assert "1 of 1 right" in done.stdout


def test_a_seed_asks_the_same() -> None:
    first, again, other = (
        quiz("--seed", seed, "--count", "5", typed="1\n" * 5).stdout for seed in ("a", "a", "b")
    )
    assert first == again != other


def test_export(tmp_path: Path) -> None:
    done = quiz("--export", str(tmp_path / "new"), "--seed", "a", "--count", "4")
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"quiz.html", "questions.html", "answers.html"}
    (tmp_path / "file").write_text("")
    wrong = quiz("--export", str(tmp_path / "file" / "x"))
    assert (wrong.returncode, "cannot be written" in wrong.stderr) == (2, True)


def test_a_class(tmp_path: Path) -> None:
    for name in ("Ada L.", "Bob"):
        done = quiz(
            "--student", name, "--class", "2b", "--count", "6", typed="1\n" * 6, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["rawscan-quiz-ada-l.json", "rawscan-quiz-bob.json"]
    again = quiz("--student", "Bob", cwd=tmp_path)
    assert (again.returncode, "is there already; --result FILE" in again.stderr) == (2, True)

    bob = tmp_path / "rawscan-quiz-bob.json"
    bob.write_text(json.dumps(json.loads(bob.read_text()) | {"right": 6}))
    (tmp_path / "other.json").write_text("{}")
    graded = quiz("--grade", *files, "other.json", "nosuch.json", cwd=tmp_path)
    assert graded.returncode == 1
    rows = graded.stdout.splitlines()
    assert rows[0].split() == ["STUDENT", "RIGHT", "PERCENT", "MINUTES", "REMARKS"]
    assert rows[1].startswith("Ada L.")
    assert "changed" not in rows[1]
    assert "changed after it was written; claims 6 right" in rows[2]
    assert "other.json: cannot be graded: is no result" in graded.stderr
    assert "nosuch.json: cannot be graded: No such file" in graded.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--grade"], "--grade needs the result files"),
        (["--student", "x", "--seed", "y"], "--student has a seed of its own"),
        (["--class", "y"], "--class and --result go with --student NAME"),
        (["--count", "0"], "0 is not in the range"),
    ],
    ids=str,
)
def test_usage(arguments: list[str], complaint: str) -> None:
    done = quiz(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr


def test_a_capture_without_a_question() -> None:
    done = quiz(str(CAPTURES / "nosuch.pcapng"))
    assert done.returncode == 1
    assert "nosuch.pcapng" in done.stderr
    assert "Traceback" not in done.stderr
