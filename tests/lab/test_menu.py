"""The labs on the menu do on the wire what their plans say, by the witness of a scan."""

from __future__ import annotations

import pytest

from rawscan.lab.build import Lab
from rawscan.lab.menu import TOPOLOGIES, Topology
from rawscan.lab.recording import claims
from tests.story import rawscan, read_records

OTHERS = [topology for topology in TOPOLOGIES.values() if topology.name != "basic"]


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=lambda each: each.name)
def test_every_host_expects_something_of_everything(topology: Topology) -> None:
    for host in topology.plan.hosts:
        asked = {(each.family, each.protocol.value) for each in host.expected}
        assert asked == {(4, "tcp"), (4, "udp"), (6, "tcp"), (6, "udp")}
        assert host.note
    numbers = [host.v4 for host in topology.plan.hosts]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.netns
@pytest.mark.parametrize("topology", OTHERS, ids=lambda each: each.name)
def test_a_scan_finds_what_the_plan_expects(topology: Topology) -> None:
    with Lab.up(topology.plan) as lab:
        targets = [str(target) for target in topology.plan.targets()]
        done = rawscan(lab, "scan", *targets, "--json", *["--ack"] * topology.ack)
    assert done.returncode == 0, done.stderr
    found = {
        (record["target"], record["probe"]): record
        for record in read_records(done.stdout)
        if record["type"] == "port"
    }
    for claim in claims(topology):
        record = found[claim["target"], claim["probe"]]
        assert {name: record[name] for name in claim} == claim
    hints = {hint for record in found.values() for hint in record["hints"]}
    if topology.name == "syn-proxy":
        assert {"syn-proxy", "rst-and-syn-ack"} <= hints
        assert "admin-prohibited from 10.56.1.44" in hints
