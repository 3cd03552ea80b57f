"""Records a scan of a lab, and writes what its plan says must be found. Writes two files.

The folders `captures/lab-*` are made by it, and their `make.py` says of which topology.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rawscan.lab.build import Lab
from rawscan.lab.menu import STATELESS, TOPOLOGIES, Topology
from rawscan.lab.records import Expected, Host
from rawscan.model import IPAddress, Protocol, State


def record(name: str, folder: Path) -> None:
    """Scan every host of a topology; write `capture.pcapng` and `expected.jsonl` to `folder`."""
    topology = TOPOLOGIES[name]
    with Lab.up(topology.plan) as lab:
        targets = [str(target) for target in topology.plan.targets()]
        command = [sys.executable, "-m", "rawscan", "scan", *targets, "-p", topology.ports]
        command += ["--ack"] * topology.ack
        lab.run([*command, "--write-pcap", str(folder / "capture.pcapng")], check=True)
    lines = [json.dumps(claim) + "\n" for claim in claims(topology)]
    (folder / "expected.jsonl").write_text("".join(lines))


def claims(topology: Topology) -> Iterator[dict[str, Any]]:
    """What the plan says, as the fields of records."""
    plan = topology.plan
    for host, target, expected in plan.claims():
        yield _claim(topology, target, expected, expected.protocol.value)
        if topology.ack and expected.protocol is Protocol.TCP:
            yield _claim(topology, target, _for_ack(host, expected), "ack")


def _for_ack(host: Host, syn: Expected) -> Expected:
    """Who answers a SYN with RST or SYN+ACK answers a lone ACK with RST (RFC 9293, 3.5.2).

    A firewall that looks at the SYN flag alone lets the ACK pass; every other one in the lab treats
    both alike.
    """
    if syn.state in (State.OPEN, State.CLOSED) or host.name == STATELESS.name:
        return Expected(syn.family, syn.protocol, State.UNFILTERED, "reset", "target")
    return syn


def _claim(topology: Topology, target: IPAddress, expected: Expected, word: str) -> dict[str, Any]:
    responder = topology.plan.responder(target, expected)
    return {
        "type": "port",
        "target": str(target),
        "port": topology.plan.port,
        "protocol": expected.protocol.value,
        "probe": "syn" if word == "tcp" else word,
        "state": expected.state.value,
        "reason": expected.reason,
        "reason_ip": None if responder is None else str(responder),
    }
