"""A closed /20 behind a path that loses packets both ways: how many ports are called filtered?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.network import wire
from benchmarks.rows import OURS, Effort, Goal, Row, Runs, alternate, each, row
from benchmarks.scanners import Scan, nmap, rawscan, times

NAME, TITLE = "lossy", "A closed /20, one port, with loss each way"
ABOUT = (
    "The whole command, SYN to port 561 of 4,096 addresses that all answer, `rawscan --rate max`;"
    " `nmap -n -Pn`. False: ports that are not called closed."
)
TARGETS, PORTS, NMAP = "10.99.0.0/20", 4096, "nmap"
PERCENT = (10, 20)


def measure(effort: Effort) -> list[Row]:
    """Measure, in a network that is made for it."""
    found = {}
    with wire() as far:
        programs = {
            OURS: lambda: rawscan(TARGETS, "--no-udp", "--rate", "max"),
            NMAP: lambda: nmap("-sS", "-p561", TARGETS),
        }
        for percent in PERCENT:
            far.lose(percent)
            found[percent] = alternate(programs, effort, slow=[NMAP])
    return rows(found)


def rows(found: Mapping[int, Mapping[str, Sequence[Scan | str]]]) -> list[Row]:
    """For each share the false verdicts, and the time."""
    made = []
    for percent, programs in found.items():
        ours, theirs = programs[OURS], programs[NMAP]
        where = f"{percent} % lost each way"
        no_slower, few = Goal("ratio", 1.0), Goal("each", 1)
        made += [
            row(f"{where}, time", times(ours), "{:.2f} s", no_slower, (NMAP, times(theirs))),
            row(f"{where}, false", false(ours), "{:.0f}", few, (NMAP, false(theirs))),
        ]
    return made


def false(scans: Sequence[Scan | str]) -> Runs:
    """Ports that each did not call closed, whatever it called them."""
    return each(scans, lambda scan: PORTS - scan.states.get("closed", 0))
