"""Every family's rows, from invented runs; the file that they come together in; their networks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import closed, cost, lossy, run, silent, start, transmit, udp
from benchmarks.rows import HEAD, Effort, Row, Runs, row
from benchmarks.scanners import Scan
from benchmarks.transmit import Rate
from rawscan.lab.tools import search_path
from tests.story import apart

MISSING: Runs = ["is missing"] * 2


def scans(state: str, count: int, *seconds: float) -> list[Scan]:
    return [Scan(took_s, {state: count}) for took_s in seconds]


def families() -> dict[str, list[Row]]:
    """All rows, of runs in which rawscan reaches every goal, just."""
    sent = {name: [Rate(1e6, 2e6)] for name in transmit.COMMANDS}
    sent["rawscan packet"], sent["rawscan xdp"] = [Rate(1.4e6, 2.8e6)], [Rate(1.7e6, 3.4e6)]
    swept = {
        "rawscan": scans("closed", 65_536, 1.0, 1.0),
        closed.NMAP: scans("closed", 65_536, 6.0, 6.0),
        closed.MASSCAN: scans("closed", 60_000, 2.0, 2.0),
    }
    quiet = {
        kind: {"rawscan": scans(truth, 256, 5.0, 5.0), "nmap": scans(truth, 256, 50.0)}
        for kind, truth in silent.TRUTHS.items()
    }
    lost = {
        percent: {
            "rawscan": scans("closed", 4095, 7.0, 8.0),
            "nmap": scans("closed", 3950, 7.0, 8.0),
        }
        for percent in lossy.PERCENT
    }
    one = {"rawscan": scans("closed", 60, 55.0, 55.0), "nmap": scans("closed", 60, 50.0)}
    many = {
        "rawscan": scans("closed", 1536, 2.304, 2.3),
        udp.UNBOUND: scans("closed", 1536, 1.0, 1.0),
        "nmap": scans("closed", 1536, 3.0, 3.0),
    }
    small: dict[str, dict[str, Runs]] = {
        work: {"rawscan": [0.15, 0.15], "nmap": [0.05, 0.05]} for work in start.GOALS
    }
    small["read the recording of that scan back"] = {"rawscan": [0.1, 0.1], "tshark": MISSING}
    return {
        "transmit": transmit.rows(sent),
        "closed": closed.rows(swept),
        "silent": silent.rows(quiet),
        "lossy": lossy.rows(lost),
        "udp": udp.rows(one, many),
        "start": start.rows(small),
        "cost": cost.rows([300.0, 300.0], {1: [47.0]}, {"a": [1.0], "b": [2.0]}),
    }


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_every_family_is_here() -> None:
    assert list(families()) == list(run.FAMILIES)


@pytest.mark.parametrize("name", run.FAMILIES)
def test_every_row_parses_and_reaches_its_goal(name: str) -> None:
    made = families()[name]
    assert made
    for line in made:
        assert cells(str(line)) == [
            line.work, line.ours, line.peer, line.ratio, line.goal, line.verdict,
        ]  # fmt: skip
        assert line.verdict == ("" if line.goal == "-" else "met"), line


def test_goals_are_the_ones_that_were_set() -> None:
    found = {(name, line.goal) for name, made in families().items() for line in made}
    assert found - {(name, "-") for name in run.FAMILIES} == {
        ("transmit", "ratio ≥ 1.25"),
        ("transmit", "ratio ≥ 1.4"),
        ("transmit", "ratio ≥ 1.7"),
        ("closed", "ratio ≤ 0.167"),
        ("closed", "ratio ≤ 0.5"),
        ("closed", "each ≥ 65,536"),
        ("silent", "ratio ≤ 0.1"),
        ("silent", "each ≥ 256"),
        ("lossy", "ratio ≤ 1"),
        ("lossy", "each ≤ 1"),
        ("udp", "ratio ≤ 1.1"),
        ("udp", "each ≥ 60"),
        ("udp", "≤ 2.304 s"),
        ("udp", "each ≥ 1,536"),
        ("start", "≤ 0.15 s"),
        ("start", "ratio ≤ 3"),
        ("cost", "≤ 300 MB"),
    }


def test_sections_replace_their_like_and_keep_the_order() -> None:
    effort = Effort(5, 5)
    first = run.merged("", run.section("udp", [row("old", [1.0], "{}")], effort))
    second = run.merged(first, run.section("closed", [row("other", [2.0], "{}")], effort))
    third = run.merged(second, run.section("udp", [row("new", [3.0], "{}")], effort))
    titles = re.findall(r"^## (.*)$", third, re.MULTILINE)
    assert titles == [closed.TITLE, udp.TITLE]
    assert third.startswith(run.HEADER)
    assert ("| old |" in third, "| other |" in third, "| new |" in third) == (False, True, True)
    assert run.merged(third, run.section("udp", [row("new", [3.0], "{}")], effort)) == third


def test_the_results_of_the_day_parse() -> None:
    """Each section is a family's, and no verdict contradicts its ratio."""
    sections = run.RESULTS.read_text().split("\n## ")[1:]
    titles = [section.partition("\n")[0] for section in sections]
    assert titles == [f.TITLE for f in run.FAMILIES.values() if f.TITLE in titles]
    for section in sections:
        lines = section[section.index(HEAD) :].strip().splitlines()[2:]
        assert lines
        for line in lines:
            _, _, _, ratio, goal, verdict = cells(line)
            bound = re.fullmatch(r"ratio ([≤≥]) (.*)", goal)
            if bound and verdict != "**not measured**":
                over = float(ratio) - float(bound[2])
                # Both are rounded, so at the bound itself either will do.
                if abs(over) > 0.006:
                    assert (over < 0) == ((bound[1] == "≤") == (verdict == "met")), line


def test_the_results_lead_to_the_notes() -> None:
    assert "(NOTES.md)" in run.RESULTS.read_text()
    assert run.RESULTS.with_name("NOTES.md").exists()


def inside(set_up: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command where nothing can leave and where mounts are its own, after some shell."""
    shell = ["unshare", "--mount", "sh", "-ec", f'{set_up}; exec "$@"', "sh"]
    return subprocess.run(
        apart([*shell, *command]),
        env={**os.environ, "PATH": search_path()},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.netns
def test_the_wire_answers_and_falls_silent() -> None:
    script = """
from benchmarks import network
from benchmarks.scanners import rawscan
with network.wire() as far:
    for percent in (0, 100, 0):
        far.lose(percent)
        before = far.arrived()
        scan = rawscan("10.99.7.0/30", "--no-udp", "--rate", "max")
        print(scan.states, far.arrived() - before >= 4)
network.require_apart({"lo"})
"""
    done = inside(":", sys.executable, "-c", script)
    assert done.stdout.splitlines() == [
        "{'closed': 4} True", "{'filtered': 4} True", "{'closed': 4} True",
    ], done.stderr  # fmt: skip


@pytest.mark.netns
def test_each_host_has_a_limit_of_its_own() -> None:
    """Six errors at once from each of eight; with one bucket for all it would be 42 s."""
    script = """
from benchmarks import network
from benchmarks.scanners import rawscan
with network.hosts(8) as addresses:
    scan = rawscan("--no-syn", "-p1000-1005", *addresses)
    print(scan.states, scan.took_s < 5)
network.require_apart({"lo"})
"""
    private = "mount -t tmpfs tmpfs /run; mkdir /run/netns"
    done = inside(private, sys.executable, "-c", script)
    assert done.stdout == "{'closed': 48} True\n", done.stderr


@pytest.mark.netns
def test_nothing_runs_where_there_are_other_interfaces() -> None:
    other = "ip link add other type veth peer name end; export RAWSCAN_BENCH_INSIDE=1"
    done = inside(other, sys.executable, "-m", "benchmarks.run", "--only", "cost")
    assert done.returncode == 1
    assert "not in a network namespace of its own: ['end', 'lo', 'other']" in done.stderr
