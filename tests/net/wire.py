"""A cable to try links on: runs a function in a fresh namespace with the veth pair left-right.

The function is named by its module and called in a process of its own, which is never in the
host's network; what it returns comes back as JSON, what it raises fails the test.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rawscan.lab.tools import may_make_namespaces, search_path

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120

SET_UP = (
    # Without IPv6 the kernel says nothing of its own on the cable.
    "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6 && "
    "ip link add left type veth peer name right && "
    "ip link set lo up && ip link set left up && ip link set right up && "
    'exec "$@"'
)


def inside(function: Callable[..., Any], *arguments: Any, user_namespace: bool = False) -> Any:
    """Call `function` with the cable there, and return what it returns."""
    user = [] if may_make_namespaces() and not user_namespace else ["--user", "--map-root-user"]
    call = ["-m", "tests.net.wire", function.__module__, function.__qualname__]
    call.append(json.dumps(arguments))
    done = subprocess.run(
        ["unshare", *user, "--net", "--", "sh", "-c", SET_UP, "sh", sys.executable, *call],
        env={**os.environ, "PATH": search_path()},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def ip(command: str) -> None:
    """One ip(8) command, in the namespace of this process."""
    subprocess.run(["ip", *command.split()], check=True)


def belongings() -> dict[str, int]:
    """Open files and mappings of this process, but for plain memory: what a leak would add to."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    shared = [line for line in maps if line.split()[1][3] == "s"]
    return {"files": len(list(Path("/proc/self/fd").iterdir())), "shared maps": len(shared)}


def numbered_frames(first: int, count: int, width: int) -> tuple[Any, NDArray[np.int64]]:
    """Distinct Ethernet frames, IPv4 and IPv6 in turn, and their lengths, all from the number.

    Each has its number after the Ethernet header and after that bytes made of number and place, so
    that a byte out of place or from another frame shows.
    """
    number = np.arange(first, first + count, dtype=np.uint64)
    lengths = (60 + number * 37 % (width - 59)).astype(np.int64)
    place = np.arange(width, dtype=np.uint64)
    frames = ((number[:, None] * np.uint64(2654435761) >> place % np.uint64(24)) + place).astype(
        np.uint8
    )
    frames[:, :12] = np.frombuffer(bytes.fromhex("020000000099020000000001"), np.uint8)
    frames[:, 12:14] = np.where(number[:, None] % 2, [0x86, 0xDD], [0x08, 0x00])
    frames[:, 14:18] = number.astype(">u4").view(np.uint8).reshape(-1, 4)
    return frames, lengths


def main() -> None:
    """Be the process in the namespace."""
    module, name, arguments = sys.argv[1:]
    function = getattr(importlib.import_module(module), name)
    print(json.dumps(function(*json.loads(arguments))))


if __name__ == "__main__":
    main()
