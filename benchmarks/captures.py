"""Times `rawscan pcap` beside tcpdump, tshark and zcat, and writes `CAPTURES.md` beside itself.

The captures are made by `mix.py` in a temporary directory (some 14 GB) and removed at the end. All
are read once before anything is timed, so that no disk is measured. Commands run in turn, A B A B
...; the ratio is the median of the rounds' ratios: single times on a shared machine mean little.
"""

from __future__ import annotations

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

from benchmarks.run import machine
from benchmarks.scanners import RAWSCAN

ROUNDS = 5
RESULTS = Path(__file__).with_name("CAPTURES.md")
_LONGEST_S = 600


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: what is done, the two commands, and the ratio that is wanted."""

    work: str
    ours: Sequence[str]
    theirs: Sequence[str]
    goal: str
    rounds: int = ROUNDS


def make(folder: Path, packets: int) -> dict[str, Path]:
    """Write the captures."""

    def mix(name: str, count: int, *options: str) -> Path:
        script = str(Path(__file__).with_name("mix.py"))
        path = folder / name
        run((sys.executable, script, str(path), "--packets", str(count), *options))
        return path

    part = mix("part.pcap", packets // 4)
    run(("gzip", "-6", str(part)))
    return {
        "2g.pcap": mix("2g.pcap", packets),
        "8g.pcap": mix("8g.pcap", packets, "--repeat", "4"),
        "2g.pcapng": mix("2g.pcapng", packets, "--form", "pcapng"),
        "sweep.pcap": mix("sweep.pcap", packets // 4, "--sweep"),
        "gzip": part.with_suffix(".pcap.gz"),
    }


def rows(files: dict[str, Path]) -> list[Row]:
    """What is measured."""
    small, large, blocks, sweep, packed = (
        str(files[name]) for name in ("2g.pcap", "8g.pcap", "2g.pcapng", "sweep.pcap", "gzip")
    )
    ours = (RAWSCAN, "pcap", "--json")

    def filtered(file: str) -> tuple[str, ...]:
        return "tcpdump", "-r", file, "-w", "/dev/null", "port 561"

    return [
        Row("2 GB, all cores", (*ours, small), filtered(small), "< 1"),
        Row("2 GB, `--jobs 1`", (*ours, "--jobs", "1", small), filtered(small), "1.5"),
        Row("8 GB, all cores", (*ours, large), filtered(large), "0.75"),
        Row("2 GB as pcapng, beside pcap", (*ours, blocks), (*ours, small), "1.3"),
        Row("gzip of 0.5 GB", (*ours, packed), ("zcat", packed), "1.3"),
        Row("a sweep of 1 M packets", (RAWSCAN, "pcap", sweep),
            ("tshark", "-n", "-q", "-r", sweep, "-z", "conv,tcp"), "0.1", 1),
        Row("2 GB, all cores", (*ours, small),
            ("tshark", "-n", "-r", small, "-Y", "tcp.port==561||udp.port==561"), "0.02", 1),
    ]  # fmt: skip


def run(command: Sequence[str]) -> float:
    """Seconds of wall clock."""
    started_s = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   timeout=_LONGEST_S)  # fmt: skip
    return time.perf_counter() - started_s


def measure(row: Row) -> str:
    """One line of the table."""
    head = f"| {row.work} | {row.goal} |"
    peer = Path(row.theirs[0]).name
    if shutil.which(row.theirs[0]) is None:
        return f"{head} - | {peer} is missing | - |"
    ours, theirs = [], []
    for _ in range(row.rounds):
        ours.append(run(row.ours))
        theirs.append(run(row.theirs))
    ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
    line = f"{head} {median(ours):.2f} s | {median(theirs):.2f} s ({peer}) | {ratio:.2f} |"
    print(line, flush=True)
    return line


def memory(files: dict[str, Path]) -> list[str]:
    """The most that one process of ours holds, as a process finds it that starts nothing else."""
    script = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    lines = []
    for name in ("2g.pcap", "8g.pcap"):
        command = (sys.executable, "-c", script, RAWSCAN, "pcap", "--json", str(files[name]))
        done = subprocess.run(command, check=True, capture_output=True, timeout=_LONGEST_S)
        lines.append(f"| peak memory, {name} | 400 MB | {int(done.stdout) / 1000:.0f} MB | | |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Make the captures, measure everything and write the results."""
    packets = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000_000
    with tempfile.TemporaryDirectory() as directory:
        files = make(Path(directory), packets)
        for path in files.values():
            run(("cat", str(path)))
        lines = memory(files) + [measure(row) for row in rows(files)]
    load = os.getloadavg()[0]
    table = "\n".join(
        [
            "# Captures, measured with `benchmarks/captures.py`",
            "",
            f"{machine()}; load {load:.1f} while it ran. Whole commands, medians of alternating",
            f"rounds ({ROUNDS}; fewer where tshark takes part). Ratio: rawscan's time over the",
            "peer's in the same round.",
            "",
            "| work | goal | rawscan | peer | ratio |",
            "|---|---|---|---|---|",
            *lines,
            "",
        ]
    )
    RESULTS.write_text(table)
    print(table)


if __name__ == "__main__":
    main()
