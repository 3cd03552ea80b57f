"""The same over real kernels: a neighbour injects forgeries while a real scan runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from ipaddress import ip_address
from pathlib import Path
from socket import AF_PACKET, SOCK_RAW, socket
from typing import Any

import pytest

from rawscan.analysis import analyse
from rawscan.model import IPAddress, ProbeKind, State
from rawscan.net.localports import source_ports
from rawscan.ports import parse_ports
from rawscan.scanner.request import Request, open_scan
from rawscan.targets import TargetSet
from tests.net.cable import Peer, call, ip
from tests.scanner.test_forgeries import (
    CLOSED,
    NUMBERS,
    OPEN,
    SILENT,
    Forger,
    outcome,
    ports_of,
)

SYN, UDP = ProbeKind.SYN, ProbeKind.UDP
OWN: dict[int, IPAddress] = {4: ip_address("10.77.0.1"), 6: ip_address("fd77::1")}
TARGET: dict[int, IPAddress] = {4: ip_address("10.77.0.2"), 6: ip_address("fd77::2")}
ROUTER: dict[int, IPAddress] = {4: ip_address("10.77.0.3"), 6: ip_address("fd77::3")}
SEED, LEAST = 561, 5000

SERVE = f"""
import socket
tcp = socket.create_server(("::", {OPEN}), family=socket.AF_INET6, dualstack_ipv6=True)
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(("::", {OPEN}))
print("ready", flush=True)
while True:
    udp.sendto(b"yes", udp.recvfrom(100)[1])
"""
FIRE = "import sys; from tests.scanner.test_forgeries_live import fire; fire(*sys.argv[1:])"


def fire(mac: str, first: str, last: str) -> None:
    """Send forgeries to this Ethernet address until killed, so slowly that none is lost."""
    forger = Forger(SEED, OWN, TARGET, ROUTER, range(int(first), int(last) + 1))
    with socket(AF_PACKET, SOCK_RAW) as out:
        out.bind(("far", 0))
        print("ready", flush=True)
        while True:
            for forged in forger.block(40):
                ethertype = "0800" if forged[0] >> 4 == 4 else "86dd"
                out.send(bytes.fromhex(mac + "020000000001" + ethertype) + forged.tobytes())
            time.sleep(0.01)


def started(prefix: list[str], code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [*prefix, sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def under_fire(path: str) -> dict[str, Any]:
    """In a namespace of its own: one cable to the target, another to the forger."""
    spec = ",".join(map(str, NUMBERS))
    window = source_ports(set(NUMBERS))
    with Peer("near") as target, Peer("side") as forger:
        ip("addr add 10.77.0.1/24 dev near", "-6 addr add fd77::1/64 dev near nodad")
        target.ip("addr add 10.77.0.2/24 dev far", "-6 addr add fd77::2/64 dev far nodad")
        for transport in ("tcp", "udp"):
            rule = f"add rule inet t c {transport} dport {SILENT} drop"
            hook = "{ type filter hook input priority 0; }"
            lines = f"add table inet t\nadd chain inet t c {hook}\n{rule}\n"
            subprocess.run([*target.prefix, "nft", "-f", "-"], input=lines, text=True, check=True)
        show = ["ip", "-j", "link", "show", "side"]
        side = json.loads(subprocess.run(show, capture_output=True, check=True).stdout)[0]
        mac = side["address"].replace(":", "")
        server = started(target.prefix, SERVE)
        firing = started(forger.prefix, FIRE, mac, str(window[0]), str(window[-1]))
        try:
            request = Request(
                TargetSet.parse(map(str, TARGET.values())),
                parse_ports(spec),
                link="rawip",
                record_to=Path(path),
            )
            with open_scan(request) as scan:
                verdicts = list(scan.run())
        finally:
            firing.kill()
            server.kill()
    offline = [finding.verdict for finding in analyse(Path(path)).findings]
    return {
        "live": outcome(verdicts),
        "offline": outcome(offline),
        "states": [[str(v.port), v.state.value] for v in verdicts],
        "unmatched": scan.listener.unmatched,
        "drops": scan.counters.drops,
    }


@pytest.mark.netns
def test_forgeries_from_a_neighbour_change_no_verdict(tmp_path: Path) -> None:
    found = call(under_fire, str(tmp_path / "scan.pcapng"))
    assert found["unmatched"] > LEAST
    assert found["drops"] == 0
    truth = {(OPEN, SYN): State.OPEN, (OPEN, UDP): State.OPEN, (SILENT, SYN): State.FILTERED}
    truth |= {(CLOSED, SYN): State.CLOSED, (CLOSED, UDP): State.CLOSED}
    wanted = {
        str(port): truth.get((port.number, port.kind), State.OPEN_FILTERED).value
        for port in ports_of(TARGET)
    }
    assert dict(found["states"]) == wanted
    assert len(found["states"]) == len(wanted)  # and none was ever revised
    assert found["offline"] == found["live"]
    assert not any(hints for *_, hints in found["live"])
