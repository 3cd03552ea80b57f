"""Times rawscan beside its peers in the lab's namespaces, and writes `RESULTS.md` beside itself.

Each row runs both commands in turn, A B A B ..., and gives the medians and their ratio: single
times on a shared machine mean little, ratios within one run do. A missing peer is said to be so.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rawscan.lab.build import Lab

RUNS = 5
RESULTS = Path(__file__).with_name("RESULTS.md")
RAWSCAN = (str(Path(sys.executable).with_name("rawscan")),)


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: what is done, and the commands that do it. `host` None: outside the lab."""

    work: str
    ours: Sequence[str]
    theirs: Sequence[str]
    host: str | None = "scanner"


def rows(lab: Lab, recording: Path) -> list[Row]:
    """What is measured."""
    closed = str(lab.plan.host("closed").v4)
    everybody = [str(target) for target in lab.plan.targets(4)]
    nmap = ("nmap", "-n", "-Pn", "-sS", "-sU", "-p561")
    return [
        Row("show the help", (*RAWSCAN, "--help"), ("nmap", "--help"), None),
        Row("one closed host, SYN and UDP", (*RAWSCAN, "scan", closed), (*nmap, closed)),
        Row(
            f"the lab's {len(everybody)} IPv4 addresses, SYN and UDP",
            (*RAWSCAN, "scan", *everybody),
            (*nmap, *everybody),
        ),
        Row(
            "read the recording of that scan back",
            (*RAWSCAN, "pcap", str(recording)),
            ("tshark", "-n", "-r", str(recording), "-z", "conv,tcp", "-q"),
            None,
        ),
    ]


def timed_s(run: Callable[[], object]) -> float:
    """Wall-clock seconds of one run."""
    started_s = time.perf_counter()
    run()
    return time.perf_counter() - started_s


def measure(lab: Lab, row: Row) -> str:
    """One line of the table."""

    def once(command: Sequence[str]) -> None:
        argv = list(command) if row.host is None else lab.argv(row.host, command)
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    if shutil.which(row.theirs[0]) is None:
        return f"| {row.work} | - | {row.theirs[0]} is missing | - |"
    once(row.ours)  # warm both up, so that the disk is not what is measured
    once(row.theirs)
    ours, theirs = [], []
    for _ in range(RUNS):
        ours.append(timed_s(lambda: once(row.ours)))
        theirs.append(timed_s(lambda: once(row.theirs)))
    ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
    peer = row.theirs[0]
    return f"| {row.work} | {median(ours):.3f} s | {median(theirs):.3f} s ({peer}) | {ratio:.2f} |"


def machine() -> str:
    """What this was measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"Python {platform.python_version()}"
    )


def main() -> None:
    """Measure everything and write the results."""
    with tempfile.TemporaryDirectory() as directory, Lab.up() as lab:
        recording = Path(directory) / "lab.pcapng"
        targets = [str(target) for target in lab.plan.targets(4)]
        lab.run(
            [*RAWSCAN, "scan", *targets, "--write-pcap", str(recording)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        lines = [measure(lab, row) for row in rows(lab, recording)]
    table = "\n".join(
        [
            "# Measured with `make bench`",
            "",
            f"{machine()}. Medians of {RUNS} alternating runs of the whole command;",
            "the ratio is the median of the runs' ratios, below 1 where rawscan is faster.",
            "",
            "| work | rawscan | peer | ratio |",
            "|---|---|---|---|",
            *lines,
            "",
        ]
    )
    RESULTS.write_text(table)
    print(table)


if __name__ == "__main__":
    main()
