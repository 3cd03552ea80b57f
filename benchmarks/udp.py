"""Closed UDP ports of Linux hosts, which say so six times at once and then once a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.network import FAR_END, hosts, wire
from benchmarks.rows import OURS, Effort, Goal, Row, Runs, alternate, row
from benchmarks.scanners import Scan, nmap, ports, rawscan, times

NAME, TITLE = "udp", "Closed UDP ports behind the kernel's limit"
ABOUT = (
    "The whole command; `nmap -n -Pn -sU`. Every host is a Linux with its default limits:"
    " a bucket of six ICMP errors for each peer, one more a second. 7 s of rest before each run"
    " let the buckets fill up again. 1,536 ports at the default 1,000 packets/s take 1.54 s at"
    " the very least; the goal is 1.5 times that."
)
BUCKET_S = 7.0
ONE_HOST, MANY_HOSTS, EACH = 60, 256, 6
DEFAULT_PPS = 1000
NMAP, UNBOUND = "nmap", "rawscan --rate max"


def measure(effort: Effort) -> list[Row]:
    """Measure, in networks that are made for it."""
    with wire():
        arguments = _ports(ONE_HOST), FAR_END
        one = {
            OURS: lambda: rawscan("--no-syn", *arguments),
            NMAP: lambda: nmap("-sU", *arguments),
        }
        found_one = alternate(one, effort, slow=[NMAP], rest_s=BUCKET_S)
    with hosts(MANY_HOSTS) as addresses:
        many = {
            OURS: lambda: rawscan("--no-syn", _ports(EACH), *addresses),
            UNBOUND: lambda: rawscan("--no-syn", _ports(EACH), "--rate", "max", *addresses),
            NMAP: lambda: nmap("-sU", _ports(EACH), *addresses),
        }
        found_many = alternate(many, effort, rest_s=BUCKET_S)
    return rows(found_one, found_many)


def rows(
    one: Mapping[str, Sequence[Scan | str]], many: Mapping[str, Sequence[Scan | str]]
) -> list[Row]:
    """Times, and how many are called closed."""
    work, shape = f"{MANY_HOSTS} hosts, {EACH} ports each", "{:.2f} s"
    every = MANY_HOSTS * EACH
    floor = Goal("median", 1.5 * every / DEFAULT_PPS, unit=" s")
    no_slower, nmap_time = Goal("ratio", 1.1), (NMAP, times(one[NMAP]))
    beside = NMAP, times(many[NMAP])
    return [
        row(f"one host, {ONE_HOST} ports, time", times(one[OURS]), shape, no_slower, nmap_time),
        _closed(f"one host, closed, of {ONE_HOST}", one[OURS], one[NMAP], ONE_HOST),
        row(f"{work}, time", times(many[OURS]), shape, floor, beside),
        row(f"{work}, `--rate max`, time", times(many[UNBOUND]), shape, None, beside),
        _closed(f"{MANY_HOSTS} hosts, closed, of {every:,}", many[OURS], many[NMAP], every),
        _closed("the same, `--rate max`", many[UNBOUND], many[NMAP], every),
    ]


def _closed(work: str, ours: Sequence[Scan | str], theirs: Sequence[Scan | str], every: int) -> Row:
    def closed(scans: Sequence[Scan | str]) -> Runs:
        return ports(scans, "closed")

    goal = Goal("each", every, least=True)
    return row(work, closed(ours), "{:.0f}", goal, (NMAP, closed(theirs)))


def _ports(count: int) -> str:
    return f"-p1000-{999 + count}"
