"""A silent /24: 256 addresses from which nothing ever comes, beside nmap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.network import wire
from benchmarks.rows import OURS, Effort, Goal, Row, alternate, row
from benchmarks.scanners import Scan, nmap, ports, rawscan, times

NAME, TITLE = "silent", "A silent /24, one port"
ABOUT = "The whole command at its defaults, 256 addresses that swallow everything; `nmap -n -Pn`."
TARGETS, PORTS, NMAP = "10.99.0.0/24", 256, "nmap"
TRUTHS = {"SYN": "filtered", "UDP": "open|filtered"}


def measure(effort: Effort) -> list[Row]:
    """Measure, in a network that is made for it."""
    with wire() as far:
        far.lose(100)
        syn = {
            OURS: lambda: rawscan(TARGETS, "--no-udp"),
            NMAP: lambda: nmap("-sS", "-p561", TARGETS),
        }
        udp = {
            OURS: lambda: rawscan(TARGETS, "--no-syn"),
            NMAP: lambda: nmap("-sU", "-p561", TARGETS),
        }
        found = {
            kind: alternate(programs, effort, slow=[NMAP])
            for kind, programs in (("SYN", syn), ("UDP", udp))
        }
    return rows(found)


def rows(found: Mapping[str, Mapping[str, Sequence[Scan | str]]]) -> list[Row]:
    """For each kind of probe the time, and the verdicts."""
    made = []
    for kind, truth in TRUTHS.items():
        ours, theirs = found[kind][OURS], found[kind][NMAP]
        state = truth.replace("|", "\\|")
        same = Goal("each", PORTS, least=True)
        made += [
            row(
                f"{kind}, time", times(ours), "{:.2f} s", Goal("ratio", 0.1), (NMAP, times(theirs))
            ),
            row(
                f"{kind}, `{state}`, of 256",
                ports(ours, truth),
                "{:.0f}",
                same,
                (NMAP, ports(theirs, truth)),
            ),
        ]
    return made
