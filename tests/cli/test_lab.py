"""`rawscan lab`: the demo as root and as anybody, and that it fails when something disagrees."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rawscan.cli.lab import _compare, _plan_claims
from rawscan.errors import LabError
from rawscan.lab.build import Lab
from rawscan.lab.plan import BASIC
from tests.lab.helpers import ROOT
from tests.story import RAWSCAN, read_records

PORTS = len(list(BASIC.claims()))
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all")


def run_demo(
    directory: Path, *, prefix: tuple[str, ...] = (), **options: Any
) -> subprocess.CompletedProcess[str]:
    command = [*prefix, *(RAWSCAN if not prefix else ()), "lab", "demo"]
    return subprocess.run(
        [*command, "--directory", str(directory)],
        capture_output=True, text=True, check=False, timeout=120, **options,
    )  # fmt: skip


def assert_story(done: subprocess.CompletedProcess[str], directory: Path) -> None:
    assert done.returncode == 0, done.stderr
    assert f"{PORTS} of {PORTS} ports: the verdict is what the plan expects" in done.stdout
    live, offline = done.stdout.split("$ rawscan pcap")
    # The offline table under the live one agrees with it row for row (times aside).
    rows = [
        [
            re.sub(r"[\d.]+ ms", "", line).split()
            for line in part.splitlines()
            if re.match(r"\S+ +561/", line)
        ]
        for part in (live, offline)
    ]
    assert rows[0] == rows[1]
    assert len(rows[0]) == PORTS
    assert {path.name for path in directory.iterdir()} == {
        "demo.pcapng", "demo-live.jsonl", "demo-offline.jsonl",
    }  # fmt: skip
    kept = read_records((directory / "demo-offline.jsonl").read_text())
    assert [r["type"] for r in kept].count("port") == PORTS


@pytest.mark.netns
def test_demo_tells_the_whole_story(tmp_path: Path) -> None:
    assert_story(run_demo(tmp_path / "new" / "out"), tmp_path / "new" / "out")


@pytest.fixture
def anybodys() -> Iterator[Path]:
    """A folder where any user may write, with a copy of the program that any user may read."""
    root = Path(tempfile.mkdtemp(prefix="rawscan-test-"))
    try:
        root.chmod(0o755)
        shutil.copytree(ROOT / "rawscan", root / "rawscan", ignore=shutil.ignore_patterns("__py*"))
        (root / "out").mkdir(mode=0o777)
        (root / "out").chmod(0o777)
        yield root
    finally:
        shutil.rmtree(root)


@pytest.mark.netns
@pytest.mark.skipif(os.getuid() != 0, reason="the test before has just shown it")
def test_demo_needs_no_root(anybodys: Path) -> None:
    python = "/usr/bin/python3"  # the system's: any user may run it
    libraries = sysconfig.get_path("purelib")
    environment = {**os.environ, "PYTHONPATH": f"{anybodys}:{libraries}", "HOME": "/nonexistent"}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    usable = [
        *NOBODY,
        python,
        "-c",
        "import sys, click, rich, scapy.all, enum; enum.member",
    ]
    if subprocess.run(usable, capture_output=True, check=False, env=environment).returncode:
        pytest.skip(f"another user may not run {python} with {libraries}")
    prefix = (*NOBODY, python, "-m", "rawscan")
    done = run_demo(anybodys / "out" / "demo", prefix=prefix, cwd="/", env=environment)
    assert_story(done, anybodys / "out" / "demo")


def test_show_lists_the_plan_and_builds_nothing() -> None:
    done = subprocess.run(
        [*RAWSCAN, "lab", "show"], capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PATH": "/nonexistent"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    for host in BASIC.hosts:
        (line,) = (line for line in done.stdout.splitlines() if line.startswith(f"{host.name} "))
        assert str(host.v4) in line
        assert host.expected[0].reason in line
        assert str(host.v6) in done.stdout


def test_demo_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run_demo(tmp_path / "file" / "out")
    assert done.returncode == 2
    assert f"--directory {tmp_path}/file/out" in done.stderr


@pytest.mark.netns
def test_shell_is_on_the_host_that_was_named() -> None:
    done = subprocess.run(
        [*RAWSCAN, "lab", "shell", "open"],
        input="ip -brief addr\nexit 7\n", capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 7
    assert str(BASIC.host("open").v4) in done.stdout


@pytest.mark.parametrize("host", ["nobody", "dead-onlink"])
def test_shell_on_nobody_is_refused_before_anything_is_built(host: str) -> None:
    done = subprocess.run(
        [*RAWSCAN, "lab", "shell", host],
        capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PATH": "/nonexistent"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert f"'{host}'; it has scanner, router, open, closed" in done.stderr


@pytest.fixture
def told(tmp_path: Path) -> tuple[Path, Path]:
    """Records, live and offline, that say just what the plan expects."""
    lines = [{"type": "scan"}]
    for (target, protocol), (state, reason, responder) in _plan_claims(BASIC).items():
        lines.append({"type": "port", "target": target, "protocol": protocol, "state": state,
                      "reason": reason, "reason_ip": cast(str, responder)})  # fmt: skip
    paths = tmp_path / "live.jsonl", tmp_path / "offline.jsonl"
    for path in paths:
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return paths


def compare(told: tuple[Path, Path]) -> int:
    return _compare(cast(Lab, SimpleNamespace(plan=BASIC)), *told)


def test_agreement_is_success(told: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(told) == 0
    out, err = capsys.readouterr()
    assert f"{PORTS} of {PORTS} ports" in out
    assert err == ""


@pytest.mark.parametrize("which", [0, 1], ids=["live", "offline"])
@pytest.mark.parametrize("change", ["state", "reason", "reason_ip", "missing"])
def test_disagreement_is_failure(
    which: int, change: str, told: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = told[which].read_text().splitlines(keepends=True)
    if change == "missing":
        del lines[1]
    else:
        lines[1] = json.dumps(json.loads(lines[1]) | {change: "other"}) + "\n"
    told[which].write_text("".join(lines))
    with pytest.raises(LabError, match=f"1 of {PORTS} ports disagree"):
        compare(told)
    out, err = capsys.readouterr()
    assert f"{PORTS - 1} of {PORTS} ports" in out
    assert str(BASIC.hosts[0].v4) in err


def test_a_wrong_plan_is_noticed(told: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    claims = _plan_claims(BASIC)
    key = next(iter(claims))
    monkeypatch.setattr("rawscan.cli.lab._plan_claims", lambda _: claims | {key: ("a", "b", None)})
    with pytest.raises(LabError, match="1 of"):
        compare(told)
