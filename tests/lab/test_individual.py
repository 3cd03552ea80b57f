"""A student's own lab: the word decides it, and its names give nothing away."""

from __future__ import annotations

import pytest

from rawscan.lab.build import Lab
from rawscan.lab.individual import individual
from rawscan.lab.plan import BASIC
from tests.story import rawscan, read_records


def shape(word: str) -> list[tuple[str, object]]:
    return [(str(host.v4), host.behaviour) for host in individual(word).hosts]


def test_the_word_decides() -> None:
    assert shape("2b/ada") == shape("2b/ada") != shape("2b/bob")
    dealt = [[behaviour for _, behaviour in shape(word)] for word in ("2b/ada", "2b/bob")]
    assert dealt[0] != dealt[1]  # not the addresses alone


def test_every_behaviour_is_there_once_and_no_name_gives_it_away() -> None:
    plan = individual("2b/ada")
    there = [host.behaviour for host in BASIC.hosts if host.has_namespace]
    assert all(behaviour in [host.behaviour for host in plan.hosts] for behaviour in there)
    for host in plan.hosts:
        assert host.name == f"host-{int(host.v4) & 0xFF}"
        assert host.note == ""
    assert len({host.v4 for host in plan.hosts}) == len(plan.hosts)


@pytest.mark.netns
def test_it_does_what_its_plan_says() -> None:
    plan = individual("2b/ada")
    with Lab.up(plan) as lab:
        done = rawscan(lab, "scan", *map(str, plan.targets()), "--json")
    assert done.returncode == 0, done.stderr
    found = {
        (r["target"], r["protocol"]): (r["state"], r["reason"])
        for r in read_records(done.stdout)
        if r["type"] == "port"
    }
    for _, target, expected in plan.claims():
        wanted = expected.state.value, expected.reason
        assert found[str(target), expected.protocol.value] == wanted
