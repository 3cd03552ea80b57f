"""The one error for a missing privilege tells what to do, for this very program."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from rawscan.errors import PrivilegeError
from rawscan.net.privilege import missing_privilege


def lines(monkeypatch: pytest.MonkeyPatch, program: str) -> list[str]:
    monkeypatch.setattr(sys, "argv", [program, "scan"])
    error = missing_privilege()
    assert isinstance(error, PrivilegeError)
    assert error.exit_code == 3
    return str(error).splitlines()


def test_setcap_names_the_real_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Capabilities sit on files, and the python of a virtualenv is a link."""
    (line,) = (x for x in lines(monkeypatch, "/opt/rawscan") if "sudo setcap" in x)
    command = shlex.split(line.partition("Python:")[2])
    assert command == ["sudo", "setcap", "cap_net_raw+ep", str(Path(sys.executable).resolve())]
    assert not Path(command[-1]).is_symlink()


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("/opt/bin/rawscan", ["/opt/bin/rawscan"]),
        ("/opt/my tools/rawscan", ["/opt/my tools/rawscan"]),
        ("/x/rawscan/__main__.py", [sys.executable, "-m", "rawscan"]),
    ],
)
def test_sudo_finds_the_program(
    program: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = (x for x in lines(monkeypatch, program) if "with sudo:" in x)
    assert shlex.split(line.partition("with sudo:")[2]) == ["sudo", *expected, "..."]


def test_a_relative_program_becomes_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """sudo has a PATH, and maybe a directory, of its own."""
    monkeypatch.chdir(tmp_path)
    assert f"sudo {tmp_path}/bin/rawscan ..." in "\n".join(lines(monkeypatch, "bin/rawscan"))


def test_it_says_that_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nothing was sent" in lines(monkeypatch, "rawscan")[0]
