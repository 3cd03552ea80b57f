"""How soon a small job is done: help, one host, and the lab's twenty, beside nmap and tshark."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.rows import OURS, Effort, Goal, Row, Runs, alternate, row
from benchmarks.scanners import RAWSCAN, timed
from rawscan.lab.build import Lab

NAME, TITLE = "start", "Small jobs, from start to exit"
ABOUT = "In the lab; `nmap -n -Pn -sS -sU -p561`, and `tshark -z conv,tcp` for the recording."
GOALS = {
    "show the help": Goal("median", 0.15, unit=" s"),
    "one closed host, SYN and UDP": Goal("ratio", 3.0),
    "the lab's 20 IPv4 addresses, SYN and UDP": None,
    "read the recording of that scan back": None,
}

Command = Sequence[str]


def measure(effort: Effort) -> list[Row]:
    """Measure, in the lab."""
    with tempfile.TemporaryDirectory() as directory, Lab.up() as lab:
        recording = Path(directory) / "lab.pcapng"
        targets = [str(target) for target in lab.plan.targets(4)]
        scan = [RAWSCAN, "scan", *targets, "--write-pcap", str(recording)]
        timed(lab.argv("scanner", scan))
        found = {}
        for work, pair in zip(GOALS, _pairs(lab, recording), strict=True):
            programs = _programs(pair)
            alternate(programs, Effort(1, 1))  # so that the disk is not what is measured
            found[work] = alternate(programs, effort)
        return rows(found)


def rows(found: Mapping[str, Mapping[str, Runs]]) -> list[Row]:
    """Times."""
    made = []
    for work, runs in found.items():
        (peer,) = (name for name in runs if name != OURS)
        made.append(row(work, runs[OURS], "{:.3f} s", GOALS[work], (peer, runs[peer])))
    return made


def _pairs(lab: Lab, recording: Path) -> list[tuple[Command, Command]]:
    """Our command and the peer's, in the order of GOALS."""

    def there(*command: str) -> Command:
        return lab.argv("scanner", command)

    closed = str(lab.plan.host("closed").v4)
    everybody = [str(target) for target in lab.plan.targets(4)]
    nmap = ("nmap", "-n", "-Pn", "-sS", "-sU", "-p561")
    conversations = ("tshark", "-n", "-r", str(recording), "-z", "conv,tcp", "-q")
    return [
        ((RAWSCAN, "--help"), ("nmap", "--help")),
        (there(RAWSCAN, "scan", closed), there(*nmap, closed)),
        (there(RAWSCAN, "scan", *everybody), there(*nmap, *everybody)),
        ((RAWSCAN, "pcap", str(recording)), conversations),
    ]


def _programs(pair: tuple[Command, Command]) -> dict[str, Callable[[], float]]:
    ours, theirs = pair
    peer = "tshark" if theirs[0] == "tshark" else "nmap"
    return {OURS: lambda: timed(ours)[0], peer: lambda: timed(theirs)[0]}
