"""The menu of labs: each a plan, by name, with what it is good for. Touches nothing."""

from __future__ import annotations

from dataclasses import dataclass

from rawscan.lab.plan import BASIC
from rawscan.lab.records import Plan


@dataclass(frozen=True, slots=True)
class Topology:
    """A lab that can be had by name."""

    name: str
    about: str
    plan: Plan


def _of_basic(*names: str) -> Plan:
    return Plan(tuple(host for host in BASIC.hosts if host.name in names))


TOPOLOGIES: dict[str, Topology] = {
    topology.name: topology
    for topology in (
        Topology("basic", "every answer that port 561 can get, from twenty hosts", BASIC),
    )
}
