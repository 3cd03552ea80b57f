"""The one error for a missing privilege tells what to do, for this very program."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from rawscan.errors import PrivilegeError
from rawscan.net.privilege import may_open_raw_sockets, missing_privilege


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Name:\tx\nCapEff:\t000001ffffffffff\n", True),  # root
        ("CapEff:\t0000000000002000\n", True),  # cap_net_raw+ep alone: bit 13
        ("CapEff:\t000001ffffffdfff\n", False),  # all but that
        ("CapEff:\t0000000000000000\n", False),
        ("", False),
    ],
)
def test_the_privilege_is_read_and_not_tried(text: str, expected: bool, tmp_path: Path) -> None:
    (tmp_path / "status").write_text(text)
    assert may_open_raw_sockets(tmp_path / "status") is expected
    assert may_open_raw_sockets(tmp_path / "none") is False
