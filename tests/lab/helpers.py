"""What the tests of the lab share: plain sockets inside it, and a look at what holds it open."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawscan.lab.build import Lab
from rawscan.lab.records import Family

ROOT = Path(__file__).parents[2]
WITNESS = [sys.executable, str(Path(__file__).with_name("witness.py"))]

SCRIPT = """
import json, os, sys, time
from rawscan.lab.build import Lab

with Lab.up() as lab:
    sleeper = lab.popen(["sleep", "600"])
    inodes = [lab.namespace(name).stat().st_ino for name in lab.plan.namespaces()]
    child = os.fork() if "fork" in sys.argv else 0
    if "fork" in sys.argv and not child:
        time.sleep(600)
    uid = lab.run(["id", "-u"], capture_output=True, text=True).stdout.strip()
    tcp = lab.run(sys.argv[1:3] + ["checksum", "10.56.1.10", "561"], capture_output=True, text=True)
    try:
        print(json.dumps({"keeper": lab.pid, "inodes": inodes, "child": child, "inside": uid,
                          "outside": os.getuid(), "checksum": tcp.stdout.strip() + tcp.stderr}))
        sys.stdout.flush()
        time.sleep(600 if "stay" in sys.argv else 0)
    except KeyboardInterrupt:
        time.sleep(0.3)
        print(lab.run(["echo", "still up"], capture_output=True, text=True).stdout)
"""


def inodes_of(lab: Lab) -> set[int]:
    return {lab.namespace(name).stat().st_ino for name in lab.plan.namespaces()}


def holders(inodes: set[int]) -> set[int]:
    """Every process that is in one of these network namespaces or holds it open."""
    links = {f"net:[{inode}]" for inode in inodes}
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for link in [process / "ns/net", *(process / "fd").iterdir()]:
                with contextlib.suppress(OSError):
                    if str(link.readlink()) in links:
                        found.add(int(process.name))
    return found


def until(check: Callable[[], bool], seconds: float = 3) -> bool:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def errors_from(lab: Lab, name: str, family: Family, datagrams: int) -> int:
    address = str(lab.plan.host(name).address(family))
    command = [*WITNESS, "count", address, str(lab.plan.port), str(datagrams)]
    return int(lab.run(command, capture_output=True, check=True, timeout=60).stdout)


@contextlib.contextmanager
def script(*arguments: str, prefix: tuple[str, ...] = (sys.executable,), root: Path = ROOT) -> Any:
    """Run SCRIPT in a process of its own; give it and what it reported."""
    witness = [prefix[-1], str(root / "tests/lab/witness.py")]
    process = subprocess.Popen(
        [*prefix, "-c", SCRIPT, *witness, *arguments],
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        yield process, json.loads(line) if line else pytest.fail(process.stderr.read())
    finally:
        process.kill()
        process.communicate()
