"""A lab that stays up between commands, and of which `down` leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rawscan.lab.menu import TOPOLOGIES
from tests.lab.helpers import holders, until
from tests.story import RAWSCAN

PLAN = TOPOLOGIES["rate-limited-udp"].plan


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A runtime directory of the test's own; whatever a test leaves up is taken down."""
    yield tmp_path
    lab(tmp_path, "down")


def lab(home: Path, *arguments: str, input: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RAWSCAN, "lab", *arguments],
        env={**os.environ, "XDG_RUNTIME_DIR": str(home)},
        input=input, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def note(home: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((home / "rawscan" / "lab.json").read_text())
    return found


def inodes(home: Path) -> set[int]:
    data = json.loads((home / "rawscan" / "lab.json").read_text())
    fds = Path(f"/proc/{data['keeper']}/fd")
    return {(fds / str(number)).stat().st_ino for number in data["namespaces"].values()}


def runs(pid: int) -> bool:
    """A zombie that nobody has collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.netns
def test_up_status_shell_down(home: Path) -> None:
    done = lab(home, "up", "rate-limited-udp")
    assert done.returncode == 0, done.stderr
    assert str(PLAN.host("rate-limited").v4) in done.stdout
    status = lab(home, "status")
    assert (status.returncode, "rate-limited-udp is up: 2 hosts" in status.stdout) == (0, True)
    found = lab(home, "shell", "closed", input="ip -brief addr; exit 7\n")
    assert (found.returncode, str(PLAN.host("closed").v4) in found.stdout) == (7, True)
    assert "rate-limited-udp; `exit` leaves it up" in found.stderr

    again = lab(home, "up")
    assert again.returncode == 1
    assert "the lab 'rate-limited-udp' is up already; `rawscan lab down`" in again.stderr
    wrong = lab(home, "shell", "nobody")
    assert (wrong.returncode, "it has scanner, router, closed" in wrong.stderr) == (2, True)

    was, processes = inodes(home), (note(home)["warden"], note(home)["keeper"])
    assert len(was) == len(PLAN.namespaces())
    down = lab(home, "down")
    assert (down.returncode, down.stdout) == (0, "the lab is down\n")
    assert list(home.iterdir()) == []
    assert holders(was) == set()
    assert not any(runs(pid) for pid in processes)
    assert (lab(home, "status").returncode, lab(home, "down").stdout) == (1, "no lab was up\n")


@pytest.mark.netns
def test_what_runs_in_it_goes_with_it(home: Path) -> None:
    lab(home, "up", "rate-limited-udp")
    was = inodes(home)
    lab(home, "shell", "closed", input="sleep 600 >/dev/null 2>&1 &\n")
    assert len(holders(was)) > 1
    lab(home, "down")
    assert holders(was) == set()


@pytest.mark.netns
@pytest.mark.parametrize("which", ["warden", "keeper"])
def test_a_lab_that_was_killed_is_none(which: str, home: Path) -> None:
    lab(home, "up", "rate-limited-udp")
    was = inodes(home)
    os.kill(note(home)[which], signal.SIGKILL)
    assert until(lambda: holders(was) == set())
    assert until(lambda: lab(home, "status").returncode == 1)
    assert list(home.iterdir()) == []
    assert lab(home, "up", "rate-limited-udp").returncode == 0


def test_a_note_that_lies_is_not_believed(home: Path) -> None:
    """Of a process that is there, but is another one; of none; or no note at all."""
    (home / "rawscan").mkdir()
    path = home / "rawscan" / "lab.json"
    lie = {"name": "x", "keeper": os.getpid(), "namespaces": {}, "user_namespace": False,
           "hosts": [], "warden": os.getpid(), "mark": "another boot 1"}  # fmt: skip
    for text in (json.dumps(lie), json.dumps(lie | {"warden": 2**22 + 1}), "{", "[]"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        assert lab(home, "status").returncode == 1
        assert not path.exists()
    assert lab(home, "down").stdout == "no lab was up\n"


@pytest.mark.netns
def test_a_lab_that_cannot_be_built_leaves_nothing(home: Path, tmp_path: Path) -> None:
    done = lab(home, "up", str(tmp_path / "nosuch.toml"))
    assert (done.returncode, "cannot be read" in done.stderr) == (2, True)
    done = lab(home, "up", "nosuch")
    assert (done.returncode, "there are basic, firewall-zoo" in done.stderr) == (2, True)
    done = subprocess.run(
        [*RAWSCAN, "lab", "up"],
        env={**os.environ, "XDG_RUNTIME_DIR": str(home), "PYTHONPATH": "/nonexistent"},
        capture_output=True, text=True, check=False, timeout=60, preexec_fn=_no_files,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert [path.name for path in home.iterdir() if path.name == "rawscan"] == []


def _no_files() -> None:
    """So few open files that twenty namespaces do not fit."""
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
