"""How each scanner is run as a whole command, and how many ports it found in which state.

Packets go to the namespaces of `network` only. Output goes to files: a reader of a pipe would take
part in the race, and masscan hangs writing to one.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.network import FAR_MAC, SOURCE, SOURCE_MAC, Wire
from benchmarks.rows import RunError, Runs, each

RAWSCAN = str(Path(sys.executable).with_name("rawscan"))
PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True)
class Scan:
    """Seconds from start to exit, and ports by state."""

    took_s: float
    states: Mapping[str, int]


def times(scans: Sequence[Scan | str]) -> Runs:
    """Their seconds."""
    return each(scans, lambda scan: scan.took_s)


def ports(scans: Sequence[Scan | str], state: str) -> Runs:
    """How many ports each called so."""
    return each(scans, lambda scan: scan.states.get(state, 0))


def timed(command: Sequence[str], patience_s: float = PATIENCE_S) -> tuple[float, str]:
    """Seconds and standard output of a command that must succeed.

    Raises RunError with its last words if it fails, TimeoutExpired if it is not done in time.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started_s = time.perf_counter()
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            timeout=patience_s,
            check=False,
        )
        took_s = time.perf_counter() - started_s
        output.seek(0)
        errors.seek(0)
        if done.returncode != 0:
            said = errors.read().strip().splitlines() or ["no word"]
            raise RunError(f"exit code {done.returncode}: {said[-1]}")
        return took_s, output.read()


def rawscan(*arguments: str) -> Scan:
    """`rawscan scan`, with what it says as JSON Lines."""
    took_s, output = timed([RAWSCAN, "scan", *arguments, "--json"])
    return Scan(took_s, json.loads(output.splitlines()[-1])["states"])


def nmap(*arguments: str) -> Scan:
    """`nmap -n -Pn`, with what it says in its greppable form."""
    took_s, output = timed(["nmap", "-n", "-Pn", "-oG", "-", *arguments])
    return Scan(took_s, nmap_states(output))


def nmap_states(output: str) -> Counter[str]:
    """Ports by state; many of one host in one state are an `Ignored State` and a number."""
    states = Counter(re.findall(r"\d+/([a-z|]+)/(?:tcp|udp)/", output))
    for state, count in re.findall(r"Ignored State: (\S+) \((\d+)\)", output):
        states[state] += int(count)
    return states


def masscan(wire: Wire, targets: str, port: int, patience_s: float) -> Scan:
    """`masscan --wait 1` at the most it can; it says closed only if asked to.

    When its wait is over, its receiving thread still sits in a poll that returns with the next
    packet only, so on a network where nothing happens it never ends. Hence the murmur.
    """
    with tempfile.NamedTemporaryFile() as output, wire.murmur():
        command = [
            "masscan", targets, f"-p{port}", "--rate", "1000000", "--wait", "1", "-e", "left",
            "--adapter-ip", SOURCE, "--adapter-mac", SOURCE_MAC, "--router-mac", FAR_MAC,
            "--show", "closed", "-oL", output.name,
        ]  # fmt: skip
        took_s, _ = timed(command, patience_s)
        return Scan(took_s, masscan_states(Path(output.name).read_text()))


def masscan_states(output: str) -> Counter[str]:
    """Ports by state, of masscan's list (state, protocol, port, address, time); each once."""
    lines = (line.split() for line in output.splitlines() if not line.startswith("#"))
    return Counter(state for state, *_ in {tuple(words[:4]) for words in lines})
