"""Where a lesson's packets come from: the lab, built for it, or a recording of the same lab.

Builds namespaces, runs rawscan in them, writes one temporary capture. Without namespaces it reads
`captures/`, and says so.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from rawscan.errors import LabError
from rawscan.lab.build import Lab
from rawscan.lab.menu import TOPOLOGIES
from rawscan.lab.records import Family, Plan
from rawscan.model import DEFAULT_PORT, IPAddress, Port, ProbeKind
from rawscan.ports import parse_ports
from rawscan.teach.case import Case, cases_in
from rawscan.teach.lesson import Run
from rawscan.teach.shelf import recording

_PATIENCE_S = 120.0


class Stage(Protocol):
    """Gives the cases of a run, in the order of its hosts and probes."""

    live: bool

    def cases(self, run: Run) -> list[Case]:
        """Scan, or read what a scan has recorded."""
        ...


class LabStage:
    """Scans a lab that is up."""

    live = True

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def cases(self, run: Run) -> list[Case]:
        """Scan the hosts from the lab's scanner, record it, and read the recording."""
        targets = targets_of(self._lab.plan, run)
        with TemporaryDirectory(prefix="rawscan-lesson-") as folder:
            path = Path(folder) / "lesson.pcapng"
            command = [sys.executable, "-P", "-m", "rawscan", *scan_arguments(targets, run)]
            done = self._lab.run(
                [*command, "--json", "--write-pcap", str(path)],
                capture_output=True,
                text=True,
                timeout=_PATIENCE_S,
            )
            if done.returncode:
                raise LabError(f"the scan in the lab failed: {done.stderr.strip()}")
            return _chosen(path, self._lab.plan, run)


class ShelfStage:
    """Reads the recording of a scan of the same lab."""

    live = False

    def __init__(self, topology: str) -> None:
        self._topology = topology
        self._plan = TOPOLOGIES[topology].plan

    def cases(self, run: Run) -> list[Case]:
        """What the recording has of these hosts and probes."""
        path = recording(self._topology)
        if path is None:
            raise LabError(
                f"there is no recording of the lab {self._topology!r} to fall back on; "
                "lessons need user namespaces, or a checkout with captures/"
            )
        return _chosen(path, self._plan, run)


@contextlib.contextmanager
def open_stage(topology: str, recorded: bool, say: Callable[[str], None]) -> Iterator[Stage]:
    """Build the lab and take it down again; fall back on a recording where it cannot be built."""
    if recorded:
        yield ShelfStage(topology)
        return
    try:
        lab = Lab.up(TOPOLOGIES[topology].plan)
    except LabError as error:
        say(f"{error}\nThis lesson goes on with a recording of the same lab instead.")
        yield ShelfStage(topology)
        return
    with lab:
        yield LabStage(lab)


def targets_of(plan: Plan, run: Run) -> list[IPAddress]:
    """The addresses of the run's hosts."""
    family: Family = 6 if run.family == 6 else 4
    return [plan.host(name).address(family) for name in run.hosts]


def scan_arguments(targets: Sequence[IPAddress], run: Run) -> list[str]:
    """The arguments of `rawscan` that ask just this."""
    kinds = run.probes
    arguments = ["scan", *map(str, targets)]
    arguments += ["-p", run.ports] if run.ports != str(DEFAULT_PORT) else []
    arguments += ["--no-syn"] if ProbeKind.SYN not in kinds else []
    arguments += ["--no-udp"] if ProbeKind.UDP not in kinds else []
    return [*arguments, *(["--ack"] if ProbeKind.ACK in kinds else [])]


def _chosen(path: Path, plan: Plan, run: Run) -> list[Case]:
    ports = parse_ports(run.ports)
    found = {case.port: case for case in cases_in(path, ports)}
    wanted = [
        Port(target, number, kind)
        for target in targets_of(plan, run)
        for kind in run.probes
        for number in sorted(ports.of(kind.protocol))
    ]
    missing = [f"{port.target} {port.number}" for port in wanted if port not in found]
    if missing:
        raise LabError(f"{path.name} has no verdict on {', '.join(missing)}")
    return [found[port] for port in wanted]
