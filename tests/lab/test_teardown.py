"""The lab takes nothing, leaves nothing, and needs no root: whatever happens to it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rawscan.errors import LabError
from rawscan.lab import build
from rawscan.lab.build import Lab
from rawscan.lab.plan import BASIC, Action, Filter, Verb
from rawscan.lab.tools import search_path
from tests.lab.helpers import ROOT, WITNESS, errors_from, holders, inodes_of, script, until

pytestmark = pytest.mark.netns


def host_network() -> list[str]:
    """The host's own network, as far as the lab could disturb it."""
    limits = [Path("/proc/sys/net/ipv4") / name for name in ("icmp_ratelimit", "ip_forward")]
    listings = [["ip", "-brief", "addr"], ["ip", "-4", "route", "show", "table", "all"]]
    path = {**os.environ, "PATH": search_path()}
    return [limit.read_text() for limit in limits] + [
        subprocess.run(listing, env=path, capture_output=True, text=True, check=True).stdout
        for listing in listings
    ]


def test_it_is_up_quickly_and_leaves_nothing_and_touches_nothing() -> None:
    before = host_network()
    started = time.monotonic()
    with Lab.up() as lab:
        assert time.monotonic() - started < 3
        sleeper = lab.popen(["sh", "-c", "sleep 600 & exec sleep 600"], host="drop")
        inodes = inodes_of(lab)
        assert len(inodes) == len(BASIC.namespaces())
        assert until(lambda: {lab.pid, sleeper.pid} < holders(inodes))
        assert host_network() == before
    assert sleeper.poll() == -signal.SIGKILL
    assert holders(inodes) == set()
    assert host_network() == before
    lab.close()  # again: harmless
    with pytest.raises(LabError, match="the lab is down"):
        lab.run(["true"])


def test_two_labs_do_not_meet() -> None:
    with Lab.up() as first, Lab.up() as second:
        assert not inodes_of(first) & inodes_of(second)
        first.close()
        assert second.run(["true"]).returncode == 0
        assert errors_from(second, "closed", 4, 5) == 5


@pytest.mark.parametrize("forked_child", [False, True], ids=["alone", "child holds the pipe"])
def test_nothing_outlives_a_kill_and_the_next_run_works(forked_child: bool) -> None:
    with script("stay", *(["fork"] if forked_child else [])) as (process, report):
        inodes = set(report["inodes"])
        assert report["keeper"] in holders(inodes)
        process.send_signal(signal.SIGKILL)
        try:
            # the forked child is outside of the lab: it may live, it must not keep the lab alive
            assert until(lambda: holders(inodes) <= {report["child"]})
            assert until(lambda: not Path(f"/proc/{report['keeper']}/ns/net").exists())
        finally:
            if forked_child:
                os.kill(report["child"], signal.SIGKILL)
    with Lab.up() as lab:
        assert errors_from(lab, "closed", 4, 5) == 5


def test_ctrl_c_at_a_terminal_leaves_the_program_time_to_finish_and_then_takes_it_down() -> None:
    with script("stay") as (process, report):
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole group
        assert process.stdout.readline() == "still up\n"
        assert process.wait(10) == 0
        assert holders(set(report["inodes"])) == set()


def test_nothing_outlives_the_keeper() -> None:
    with Lab.up() as lab:
        inodes = inodes_of(lab)
        os.kill(lab.pid, signal.SIGKILL)
        assert until(lambda: holders(inodes) == set())
        lab._keeper.wait(3)
        with pytest.raises(LabError, match="the lab is down"):
            lab.run(["true"])


@pytest.fixture
def keepers(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Every keeper that is started during the test."""
    found: list[subprocess.Popen[bytes]] = []
    start = build._start_keeper

    def remember(user_namespace: bool) -> subprocess.Popen[bytes]:
        found.append(start(user_namespace))
        return found[-1]

    monkeypatch.setattr(build, "_start_keeper", remember)
    return found


def test_a_plan_that_cannot_be_built_says_why_and_leaves_nothing(
    keepers: list[subprocess.Popen[bytes]],
) -> None:
    nonsense = Filter(*[Action(Verb.ICMP, "nonsense")] * 4)
    host = replace(BASIC.hosts[0], behaviour=replace(BASIC.hosts[0].behaviour, firewall=nonsense))
    with pytest.raises(LabError, match=r"'nft -f -' for 'open' failed: .*icmp code"):
        Lab.up(replace(BASIC, hosts=(host, *BASIC.hosts[1:])))
    assert [keeper.poll() for keeper in keepers] == [1]


def test_ctrl_c_while_it_is_being_built(
    keepers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "_read_line", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Lab.up()
    assert [keeper.poll() is not None for keeper in keepers] == [True]


@pytest.fixture
def readable_copy() -> Iterator[Path]:
    """The program where any user may read it: a clone in somebody's home may be out of reach."""
    root = Path(tempfile.mkdtemp(prefix="rawscan-test-"))
    try:
        root.chmod(0o755)
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "rawscan", root / "rawscan", ignore=skip)
        (root / "tests/lab").mkdir(parents=True)
        shutil.copy(WITNESS[1], root / "tests/lab/witness.py")
        yield root
    finally:
        shutil.rmtree(root)


@pytest.mark.skipif(os.getuid() != 0, reason="the whole file has just shown it")
def test_it_needs_no_root(readable_copy: Path) -> None:
    python = "/usr/bin/python3"  # the system's: any user may run it
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all")
    usable = [*nobody, python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    if subprocess.run(usable, capture_output=True, check=False).returncode:
        pytest.skip(f"no {python} of version 3.11 that another user may run")
    with script(prefix=(*nobody, python), root=readable_copy) as (process, report):
        assert process.wait(20) == 0
        assert (report["outside"], report["inside"]) == (65534, "0")
        assert report["checksum"] == "0"
        assert holders(set(report["inodes"])) == set()


@pytest.mark.skipif(os.getuid() != 0, reason="the limit is lowered in a namespace of root's")
def test_a_real_refusal_is_explained() -> None:
    limit = "/proc/sys/user/max_user_namespaces"
    up = "from rawscan.lab.build import Lab; Lab.up()"
    shell = (
        f"echo 0 > {limit} && exec setpriv --bounding-set=-all --inh-caps=-all '{sys.executable}'"
    )
    tried = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", f"{shell} -c '{up}'"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "LabError: the lab's namespaces were refused" in tried.stderr
    assert "sudo sysctl user.max_user_namespaces=" in tried.stderr
