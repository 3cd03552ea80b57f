"""The command line as a whole: quick to start, quiet when nobody reads, exit codes."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from rawscan import __version__
from rawscan import cli as cli_module
from rawscan.capture.writer import PcapngWriter
from rawscan.cli import main
from rawscan.errors import CaptureError, LabError, PrivilegeError, UsageError
from tests.story import RAWSCAN, apart, rawscan

HEAVY = ("scapy", "numpy", "rich", "pyroute2", "pyshark")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def python(code: str) -> str:
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_help_comes_at_once_and_loads_nothing_heavy() -> None:
    times_s = []
    for _ in range(5):
        before_s = time.perf_counter()
        assert run(*RAWSCAN, "--help").returncode == 0
        times_s.append(time.perf_counter() - before_s)
    assert statistics.median(times_s) < 0.3  # half of it on a quiet machine
    done = run(sys.executable, "-X", "importtime", "-m", "rawscan", "--help")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in loaded
    assert not {name for name in loaded if name.split(".")[0] in HEAVY}
    # Not even the commands that it lists are loaded.
    assert not {name for name in loaded if re.match(r"rawscan\.(cli\.|scanner|analysis)", name)}


@pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
def test_help_lists_every_command(arguments: list[str]) -> None:
    done = run(*RAWSCAN, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    for name in cli_module._COMMANDS:
        assert re.search(rf"^  {name} ", done.stdout, re.MULTILINE)
        assert run(*RAWSCAN, name, "--help").returncode == 0


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(option: str) -> None:
    done = run(*RAWSCAN, option)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"rawscan {__version__}\n", "")


def test_installed_program_is_the_module() -> None:
    program = Path(sys.executable).with_name("rawscan")
    if not program.exists():
        pytest.skip("rawscan is not installed beside this Python")
    assert run(str(program), "--help").stdout == run(*RAWSCAN, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["nonsense"], "'nonsense'"), (["scan", "--nonsense"], "--nonsense"), (["pcap"], "FILE|DIR")],
)
def test_mistakes_are_named_and_exit_2(arguments: list[str], named: str) -> None:
    done = run(*RAWSCAN, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert named in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CaptureError("x"), 1),
        (LabError("x"), 1),
        (UsageError("x"), 2),
        (PrivilegeError("x"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_exit_codes(
    error: BaseException,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*args: object, **options: object) -> int:
        raise error

    monkeypatch.setattr(cli_module.cli, "main", fail)
    with pytest.raises(SystemExit) as left:
        main(["scan"])
    assert left.value.code == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err == ("rawscan: interrupted\n" if code == 130 else "rawscan: x\n")


def test_ctrl_c_while_it_still_loads_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [*RAWSCAN, "--help"], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "rawscan: interrupted\n")


def test_the_script_and_the_module_begin_alike() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    module, _, name = project["project"]["scripts"]["rawscan"].partition(":")
    assert (module, name) == ("rawscan.__main__", "main")
    assert (
        run(sys.executable, "-X", "importtime", "-c", f"import {module}").stderr.count("click") == 0
    )


def test_the_version_has_one_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"] == {"path": "rawscan/__init__.py"}
    monkeypatch.setattr("importlib.metadata.version", lambda _: "another")
    with PcapngWriter(tmp_path / "x", linktype=101, interface="any", now_s=0.0) as writer:
        assert writer.note.version == __version__


@pytest.mark.netns
@pytest.mark.parametrize(
    "arguments",
    [["explain"], ["explain", "syn-rst"], ["lab", "show"], ["scan", "127.0.0.1", "--json"],
     ["scan", "127.0.0.1"]],
    ids=" ".join,
)  # fmt: skip
def test_a_reader_that_has_gone_is_no_error(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = rawscan(None, *arguments, capture_output=False, stdout=writing, stderr=-1)
    finally:
        os.close(writing)
    assert done.stderr == ""
    assert done.returncode in (0, 1)


@pytest.mark.netns
@pytest.mark.parametrize("arguments", [["explain"], ["scan", "127.0.0.1", "--json"]], ids=" ".join)
def test_a_full_disk_is_said_in_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = rawscan(None, *arguments, capture_output=False, stdout=full, stderr=-1)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_importing_is_light_and_the_calls_are_there() -> None:
    loaded = python("import rawscan, sys; print(*sys.modules)").split()
    assert "rawscan" in loaded
    assert not {name for name in loaded if name.split(".")[0] in HEAVY}


@pytest.mark.parametrize(
    "first", ["pass", "import rawscan.scanner, rawscan.analysis", "from rawscan import *"]
)
def test_the_calls_are_there_whatever_was_imported_before(first: str) -> None:
    code = f"import rawscan\n{first}\nprint(callable(rawscan.scan), callable(rawscan.analyse))"
    assert python(code) == "True True"


def test_what_is_not_there_is_said_so() -> None:
    code = "import rawscan\ntry: rawscan.nonsense\nexcept AttributeError as e: print(e)"
    assert python(code) == "module 'rawscan' has no attribute 'nonsense'"


@pytest.mark.netns
def test_tests_scan_in_a_network_with_nothing_but_loopback() -> None:
    """What keeps a mistake in a test from sending anything to anybody."""
    done = run(*apart(["sh", "-c", "readlink /proc/self/ns/net; cat /proc/net/dev"]))
    namespace, *devices = done.stdout.splitlines()
    assert namespace != str(Path("/proc/self/ns/net").readlink())
    assert [line.split(":")[0].strip() for line in devices if ":" in line] == ["lo"]
