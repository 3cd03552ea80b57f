"""A closed /16: 65,536 addresses that answer a SYN with RST at once, beside nmap and masscan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.network import BEHIND, wire
from benchmarks.rows import OURS, Effort, Goal, Row, Runs, alternate, row
from benchmarks.scanners import Scan, masscan, nmap, ports, rawscan, times

NAME, TITLE = "closed", "A closed /16, one port"
ABOUT = (
    "The whole command, SYN to port 561 of 65,536 addresses that all answer. `nmap -T4`; masscan"
    " with `--rate 1000000 --wait 1`, killed after 40 s."
)
PORTS = 65_536
NMAP, MASSCAN = "nmap -T4", "masscan --wait 1"


def measure(effort: Effort) -> list[Row]:
    """Measure, in a network that is made for it."""
    with wire() as far:
        programs = {
            OURS: lambda: rawscan(BEHIND, "--no-udp", "--rate", "max"),
            NMAP: lambda: nmap("-sS", "-p561", "-T4", BEHIND),
            MASSCAN: lambda: masscan(far, BEHIND, 561, patience_s=40.0),
        }
        return rows(alternate(programs, effort))


def rows(found: Mapping[str, Sequence[Scan | str]]) -> list[Row]:
    """Times, and how many ports each program got right."""
    all_right = Goal("each", PORTS, least=True)
    goals = {NMAP: Goal("ratio", 1 / 6), MASSCAN: Goal("ratio", 1 / 2)}
    ours = found[OURS]
    return [
        *(
            row("time", times(ours), "{:.2f} s", goal, (peer, times(found[peer])))
            for peer, goal in goals.items()
        ),
        *(
            row("right, of 65,536", right(ours), "{:.0f}", all_right, (peer, right(found[peer])))
            for peer in goals
        ),
    ]


def right(scans: Sequence[Scan | str]) -> Runs:
    """How many ports each called closed."""
    return ports(scans, "closed")
