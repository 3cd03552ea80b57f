"""How fast probes leave: rawscan's fast links beside masscan and zmap, into one veth pair.

Every sender runs alone, pinned to one core, and is killed when it has been measured; the rate is
that of the frames which arrive at the other end, counted by the kernel. The frames bear a MAC
address that is not the far end's, whose kernel drops them at once: the sender is what is measured.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.network import NOBODY_MAC, SOURCE, SOURCE_MAC, Wire, wire
from benchmarks.rows import Effort, Goal, Row, RunError, alternate, each, row

NAME, TITLE = "transmit", "Transmitting, one core, probes a second"
ABOUT = (
    "SYN probes of 58 bytes into a veth pair whose far end drops them, each sender pinned to one"
    " core. Where other programs compete for the core, probes a second of its time (user and"
    " system) say more than probes a second."
)
WARM_FRAMES, WINDOW_S, START_S = 100_000, 1.5, 10.0
TARGETS = "11.0.0.0/8"
MASSCAN, ZMAP = "masscan", "zmap -T1"
COMMANDS = {
    "rawscan packet": [sys.executable, "-m", "benchmarks.sender", "packet"],
    "rawscan xdp": [sys.executable, "-m", "benchmarks.sender", "xdp"],
    MASSCAN: [
        "masscan", TARGETS, "-p561", "--rate", "10000000", "--wait", "0", "-e", "left",
        "--adapter-ip", SOURCE, "--adapter-mac", SOURCE_MAC, "--router-mac", NOBODY_MAC,
        "-oL", "/dev/null",
    ],
    ZMAP: [
        "zmap", TARGETS, "-T1", "-p561", "--rate", "0", "-i", "left", "-S", SOURCE,
        "-G", NOBODY_MAC, "-b", "/dev/null", "-o", "/dev/null", "-q", "--log-file=/dev/null",
    ],
}  # fmt: skip
GOALS = {
    ("packet", MASSCAN): Goal("ratio", 1.25, least=True),
    ("packet", ZMAP): Goal("ratio", 1.4, least=True),
    ("xdp", MASSCAN): Goal("ratio", 1.7, least=True),
    ("xdp", ZMAP): None,
}


@dataclass(frozen=True, slots=True)
class Rate:
    """Probes a second, and a second of the core's time."""

    pps: float
    per_core_s: float


def measure(effort: Effort) -> list[Row]:
    """Measure, in a network that is made for it."""
    with wire() as far:
        programs: dict[str, Callable[[], Rate]] = {
            name: partial(rate, far, command) for name, command in COMMANDS.items()
        }
        return rows(alternate(programs, effort))


def rows(found: Mapping[str, Sequence[Rate | str]]) -> list[Row]:
    """By the clock, then by the core's time."""

    def lines(unit: str, number: Callable[[Rate], float]) -> list[Row]:
        return [
            row(
                f"`{link}`, {unit}",
                each(found[f"rawscan {link}"], number),
                "{:,.0f}",
                goal,
                (peer, each(found[peer], number)),
            )
            for (link, peer), goal in GOALS.items()
        ]

    return [
        *lines("thousand/s", lambda rate: rate.pps / 1e3),
        *lines("thousand a core-second", lambda rate: rate.per_core_s / 1e3),
    ]


def rate(far: Wire, command: Sequence[str]) -> Rate:
    """How fast frames come out while `command` sends. Raises RunError with what it complains of."""
    pinned = ["taskset", "-c", str(max(os.sched_getaffinity(0))), *command]
    before = far.arrived()
    with subprocess.Popen(
        pinned, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            _await_frames(far, process, before + WARM_FRAMES)
            started, started_s, used_s = far.arrived(), time.perf_counter(), core_s(process.pid)
            time.sleep(WINDOW_S)
            count, elapsed_s = far.arrived() - started, time.perf_counter() - started_s
            return Rate(count / elapsed_s, count / max(core_s(process.pid) - used_s, 0.01))
        finally:
            process.kill()


def _await_frames(far: Wire, process: subprocess.Popen[bytes], count: int) -> None:
    give_up_s = time.monotonic() + START_S
    while far.arrived() < count:
        if process.poll() is not None or time.monotonic() > give_up_s:
            process.kill()
            _, said = process.communicate()
            lines = said.decode().strip().splitlines()
            raise RunError(lines[-1] if lines else "it sent nothing")
        time.sleep(0.01)


def core_s(pid: int) -> float:
    """Seconds of a core that a process has used, all its threads together (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
