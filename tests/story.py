"""One scan of the whole lab and what came of it, for every test that looks at it from its side."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rawscan.lab.build import Lab
from rawscan.lab.tools import may_make_namespaces, search_path

RAWSCAN = [sys.executable, "-m", "rawscan"]

Key = tuple[str, str]
Claim = tuple[str, str, str | None]


@dataclass(frozen=True, slots=True)
class Story:
    """The live records, the recording, and the records read from it. Keys: (target, protocol)."""

    live: dict[Key, dict[str, Any]]
    offline: dict[Key, dict[str, Any]]
    summary: dict[str, Any]
    capture: dict[str, Any]
    recording: Path


def claim(record: dict[str, Any]) -> Claim:
    """State, reason and responder of a record."""
    return record["state"], record["reason"], record["reason_ip"]


def read_records(text: str) -> list[dict[str, Any]]:
    """JSON Lines to records."""
    return [json.loads(line) for line in text.splitlines()]


def ports_of(records: list[dict[str, Any]]) -> dict[Key, dict[str, Any]]:
    """The `port` records by key; two for one key are a mistake."""
    ports = [record for record in records if record["type"] == "port"]
    by_key = {(record["target"], record["protocol"]): record for record in ports}
    assert len(by_key) == len(ports)
    return by_key


def apart(command: Sequence[str]) -> list[str]:
    """The command line that runs `command` in a fresh network namespace with nothing but loopback.

    Whatever a test gets wrong, no packet can leave from there. The process stays the same one, so
    signals reach it.
    """
    user = [] if may_make_namespaces() else ["--user", "--map-root-user"]
    loopback = f'PATH="$PATH:{search_path()}"; ip link set lo up && exec "$@"'
    return ["unshare", *user, "--net", "--", "sh", "-c", loopback, "sh", *command]


def rawscan(lab: Lab | None, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run rawscan: in the lab's scanner namespace, or without a lab with loopback alone.

    Output as text. Never outside of a namespace, so that no scan can reach a real host.
    """
    command = [*RAWSCAN, *arguments]
    options = {"capture_output": True, "text": True, "timeout": 120, **options}
    if lab is not None:
        return lab.run(command, **options)
    return subprocess.run(apart(command), check=False, **options)


def tell(lab: Lab, directory: Path) -> Story:
    """Scan every host of the plan, IPv4 and IPv6 mixed, and read the recording back."""
    recording = directory / "lab.pcapng"
    targets = [str(target) for target in lab.plan.targets()]
    scanned = rawscan(lab, "scan", *targets, "--json", "--write-pcap", str(recording))
    assert scanned.returncode == 0, scanned.stderr
    live = read_records(scanned.stdout)
    read = rawscan(None, "pcap", str(recording), "--json")
    assert read.returncode == 0, read.stderr
    offline = read_records(read.stdout)
    return Story(ports_of(live), ports_of(offline), live[-1], offline[0], recording)
