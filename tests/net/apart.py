"""Runs a piece of Python in a network namespace of its own, with a device that leads nowhere."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.story import apart

PRELUDE = """
import json, os, socket, subprocess, sys, time
from ipaddress import ip_address
from rawscan.errors import LinkError, NeighbourError, PrivilegeError, UsageError
from rawscan.model import Port, Probe, ProbeKind
from rawscan.wire.craft import craft
from rawscan.wire.decode import decode_frame
from rawscan.wire.token import Token

TOKEN = Token(b"net", range(16384, 32768))

def device():
    # Its other end takes every packet and gives none back.
    for line in ("link add d0 type veth peer name d1", "link set d1 up",
                 "addr add 10.9.0.1/24 dev d0", "addr add fd09::1/64 dev d0 nodad",
                 "link set d0 up"):
        subprocess.run(["ip", *line.split()], check=True)

def probe(target, kind=ProbeKind.SYN, source=None):
    target = ip_address(target)
    source = ip_address(source) if source else target
    return craft(Probe(Port(target, 561, kind), 0), source, TOKEN), target

def wait(link, wanted, seconds=3):
    end = time.monotonic() + seconds
    found = []
    while len(found) < wanted and time.monotonic() < end:
        # What has ports, or quotes some: kernels chat of neighbours and groups besides.
        found += [f for f in link.receive(0.05) if "sport" in str(decode_frame(f).body)]
    return found

def error_of(call, *arguments):
    try:
        return call(*arguments) and None
    except Exception as error:
        return [type(error).__name__, str(error)]
"""


def run(code: str, *prefix: str) -> Any:
    """Run `code` behind the prelude; it prints one JSON value, which is given back."""
    done = subprocess.run(
        apart([*prefix, sys.executable, "-c", PRELUDE + code]),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
