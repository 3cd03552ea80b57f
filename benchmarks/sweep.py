"""Whole sweeps: rawscan beside nmap and masscan over a network of thousands, in namespaces.

One veth pair; behind its far end, by a route, a kernel that answers for a whole /16 as closed
hosts, loses a share of the packets, or drops all. Runs alternate; what is written to `SWEEPS.md`
are medians, and how many of the ports each program got right. `--rounds N` for fewer or more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rawscan.lab.tools import may_make_namespaces, search_path

RESULTS = Path(__file__).with_name("SWEEPS.md")
RAWSCAN = str(Path(sys.executable).with_name("rawscan"))
INSIDE = "--inside"

SET_UP = """
ip link set lo up
ip link add left address 02:00:00:00:00:01 type veth peer name right address 02:00:00:00:00:02 \
 netns {sink}
ip addr add 10.98.0.1/24 dev left
ip link set left up
{in_sink} sh -c 'ip link set lo up; ip addr add 10.98.0.2/24 dev right; ip link set right up
ip route add local 10.99.0.0/16 dev lo
sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=1000000'
ip route add 10.99.0.0/16 via 10.98.0.2
"""
LOSE = """table ip lose {{
 chain in {{ type filter hook prerouting priority -300
  ip daddr 10.99.0.0/16 {which} drop
 }}
 chain out {{ type filter hook output priority -300
  ip saddr 10.99.0.0/16 {which} drop
 }}
}}
"""


@dataclass(frozen=True, slots=True)
class Work:
    """One sweep: its targets and probe, the share lost each way, what every port is."""

    name: str
    targets: str
    ports: int
    loss_percent: int = 0
    udp: bool = False
    truth: str = "closed"
    masscan: bool = False


WORKS = (
    Work("closed /16, one port", "10.99.0.0/16", 65_536, masscan=True),
    Work("closed /20, 10 % lost each way", "10.99.0.0/20", 4096, loss_percent=10),
    Work("closed /20, 20 % lost each way", "10.99.0.0/20", 4096, loss_percent=20),
    Work("silent /24, SYN", "10.99.0.0/24", 256, loss_percent=100, truth="filtered"),
    Work("silent /24, UDP", "10.99.0.0/24", 256, loss_percent=100, udp=True, truth="open|filtered"),
)


def rawscan(work: Work) -> tuple[float, int]:
    """Seconds of the whole command, and how many ports are right."""
    probe = "--no-syn" if work.udp else "--no-udp"
    command = [RAWSCAN, "scan", work.targets, probe, "--rate", "max", "--json"]
    took_s, output = timed(command)
    summary = json.loads(output.splitlines()[-1])
    return took_s, summary["states"].get(work.truth, 0)


def nmap(work: Work) -> tuple[float, int]:
    """The same for nmap."""
    probe = "-sU" if work.udp else "-sS"
    command = ["nmap", "-n", "-Pn", probe, "-p561", "-T4", "-oG", "-", work.targets]
    took_s, output = timed(command)
    return took_s, output.count(f"561/{work.truth}/")


def masscan(work: Work) -> tuple[float, int]:
    """The same for masscan, which says closed only if asked to, and hangs writing to a pipe."""
    with tempfile.NamedTemporaryFile() as output:
        command = [
            "masscan", work.targets, "-p561", "--rate", "1000000", "--wait", "1", "-e", "left",
            "--adapter-ip", "10.98.0.1", "--adapter-mac", "02:00:00:00:00:01",
            "--router-mac", "02:00:00:00:00:02", "--show", "closed", "-oL", output.name,
        ]  # fmt: skip
        took_s, _ = timed(command)
        lines = Path(output.name).read_text().splitlines()
    return took_s, len({line.split()[3] for line in lines if line[:6] == "closed"})


def timed(command: Sequence[str]) -> tuple[float, str]:
    """Wall-clock seconds and standard output of a command; bounded."""
    started_s = time.perf_counter()
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=900,
        check=False,
    )
    return time.perf_counter() - started_s, done.stdout


def measure(work: Work, rounds: int, in_sink: Sequence[str], with_masscan: bool) -> list[str]:
    """The rows of one sweep."""
    subprocess.run([*in_sink, "nft", "flush", "ruleset"], check=True)
    if work.loss_percent:
        share = f"numgen random mod 100 < {work.loss_percent}"
        rules = LOSE.format(which="" if work.loss_percent == 100 else share)
        subprocess.run([*in_sink, "nft", "-f", "-"], input=rules, text=True, check=True)
    programs = {"rawscan": rawscan, "nmap -T4": nmap}
    if work.masscan and with_masscan:
        programs["masscan --wait 1"] = masscan
    programs = {name: run for name, run in programs.items() if _is_there(name)}
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, run in programs.items():
            found[name].append(run(work))
    ours = [took_s for took_s, _ in found["rawscan"]]
    rows = []
    for name, results in found.items():
        took = [took_s for took_s, _ in results]
        ratio = median(a / b for a, b in zip(ours, took, strict=True))
        right = ", ".join(str(count) for _, count in results)
        rows.append(
            f"| {work.name} | {name} | {median(took):.2f} s | {ratio:.2f} "
            f"| {right} of {work.ports} |"
        )
    return rows


def _is_there(name: str) -> bool:
    return name == "rawscan" or shutil.which(name.partition(" ")[0]) is not None


def inside(rounds: int, only: str, with_masscan: bool) -> None:
    """Build the network in this namespace, measure, and write the results."""
    sink = subprocess.Popen(["unshare", "--net", "sleep", "7200"])
    in_sink = ["nsenter", f"--net=/proc/{sink.pid}/ns/net", "--"]
    try:
        time.sleep(0.5)
        script = SET_UP.format(sink=sink.pid, in_sink=" ".join(in_sink))
        subprocess.run(["sh", "-ec", script], check=True)
        rows = []
        for work in (work for work in WORKS if only in work.name):
            rows += measure(work, rounds, in_sink, with_masscan)
            print(rows[-1], flush=True)
    finally:
        sink.kill()
        sink.wait()
    table = "\n".join(
        [
            "# Whole sweeps, measured with `benchmarks/sweep.py`",
            "",
            f"{os.cpu_count()} cores, one veth pair, medians of {rounds} alternating rounds of the",
            "whole command. Ratio: rawscan's time over that program's, in the same round. Right:",
            "ports with the true verdict, round by round.",
            "",
            "| work | program | time | ratio | right |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
    RESULTS.write_text(table)
    print(table)


def main() -> None:
    """Go into a network namespace of our own first: nothing leaves it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--masscan", action="store_true", help="masscan too: it hangs at times")
    parser.add_argument("--only", default="", help="sweeps whose name contains this")
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["PATH"] = search_path()
    if options.inside:
        inside(options.rounds, options.only, options.masscan)
        return
    users = [] if may_make_namespaces() else ["--user", "--map-root-user"]
    me = [sys.executable, __file__, INSIDE, "--rounds", str(options.rounds), "--only", options.only]
    me += ["--masscan"] * options.masscan
    sys.exit(subprocess.run(["unshare", *users, "--net", "--", *me], check=False).returncode)


if __name__ == "__main__":
    main()
