"""Measures rawscan beside nmap, masscan and zmap, and writes `RESULTS.md` beside itself.

    python -m benchmarks.run [--quick] [--only FAMILY]...

`make bench` runs it. Everything happens in namespaces of its own; no packet leaves them. Each
family of rows is a module, and each that is done has its section written at once; the sections of
the others stay. `--quick` prints only.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import closed, cost, lossy, silent, start, transmit, udp
from benchmarks.network import enter
from benchmarks.rows import Effort, Row, table
from rawscan.errors import LabError
from rawscan.lab.tools import require_tools

FAMILIES = {family.NAME: family for family in (transmit, closed, silent, lossy, udp, start, cost)}
FULL, QUICK = Effort(rounds=5, slow=5), Effort(rounds=2, slow=1)
RESULTS = Path(__file__).with_name("RESULTS.md")
HEADER = """# Measured with `make bench`

Rounds alternate: each runs every program once, one after the other. Cells are medians, or every
round where each counts. Ratio: rawscan over the peer in the same round, the median of the rounds.
What holds a missed goal back, what else was tried and what surprised: [NOTES.md](NOTES.md).
`make bench BENCH_ARGS='--only FAMILY'` measures one family again.
"""


def machine() -> str:
    """What this is measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{platform.system()} {platform.release()}, {os.cpu_count()} cores ({processor()}),"
        f" {memory:.0f} GiB, Python {platform.python_version()}"
    )


def processor() -> str:
    """Its model, as the kernel names it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def section(name: str, rows: Sequence[Row], effort: Effort) -> str:
    """One family's part of the results."""
    family = FAMILIES[name]
    slow = f", {effort.slow} of slow peers" if effort.slow < effort.rounds else ""
    where = f"`{name}`: {effort.rounds} rounds{slow}. {machine()}."
    return f"## {family.TITLE}\n\n{family.ABOUT}\n\n{where}\n\n{table(rows)}\n"


def merged(results: str, new: str) -> str:
    """The results with one section in the place of the one of its title; in the families' order."""
    sections = {}
    for text in [*results.split("\n## ")[1:], new.removeprefix("## ")]:
        sections[text.partition("\n")[0]] = text.strip()
    order = [family.TITLE for family in FAMILIES.values()]
    return "\n## ".join([HEADER, *(f"{sections[t]}\n" for t in order if t in sections)])


def main() -> None:
    """Measure, and write the results as they come."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="2 rounds; print, write nothing")
    parser.add_argument("--only", action="append", choices=list(FAMILIES), metavar="FAMILY")
    options = parser.parse_args()
    try:
        require_tools()
    except LabError as error:
        sys.exit(str(error))
    enter("benchmarks.run", sys.argv[1:])
    effort = QUICK if options.quick else FULL
    for name in options.only or FAMILIES:
        text = section(name, FAMILIES[name].measure(effort), effort)
        print(text, flush=True)
        if not options.quick:
            old = RESULTS.read_text() if RESULTS.exists() else ""
            RESULTS.write_text(merged(old, text))


if __name__ == "__main__":
    main()
