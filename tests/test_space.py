"""Ordinals to ports and back: every port exactly once, over shards, keys and IP versions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawscan.model import Port, ProbeKind
from rawscan.permute import Shard
from rawscan.ports import parse_ports
from rawscan.rules import PROBES
from rawscan.space import PortSpace
from rawscan.targets import TargetSet
from rawscan.wire.addresses import Addresses

SYN, UDP, ACK = ProbeKind.SYN, ProbeKind.UDP, ProbeKind.ACK
KEY = b"a key of any length"


def space_of(
    *specs: str, ports: str = "561", kinds: tuple[ProbeKind, ...] = (SYN, UDP), shard: str = "1/1"
) -> PortSpace:
    return PortSpace(TargetSet.parse(specs), parse_ports(ports), kinds, KEY, Shard.parse(shard))


def everything(space: PortSpace) -> list[Port]:
    return space.ports(np.arange(space.count, dtype=np.int64))


def back(space: PortSpace, ordinals: np.ndarray[tuple[int], np.dtype[np.int64]]) -> bool:
    """Does every ordinal lead to a port that leads to the ordinal?"""
    for group in space.groups(ordinals):
        kinds = np.full(len(group.ordinals), PROBES.index(group.kind), np.uint8)
        if (space.ordinals(kinds, group.targets, group.ports) != group.ordinals).any():
            return False
    return True


@settings(max_examples=40, deadline=None)
@given(
    specs=st.lists(
        st.sampled_from(["10.0.0.0/28", "10.0.*.7", "192.0.2.1,9", "fd00::/124", "fd00:1::5"]),
        min_size=1,
        max_size=4,
    ),
    ports=st.sampled_from(["561", "80,561", "T:1-3,U:53", "U:53"]),
    kinds=st.sampled_from([(SYN, UDP), (SYN,), (UDP,), (SYN, UDP, ACK)]),
    shards=st.integers(1, 5),
)
def test_the_union_of_shards_is_every_port_once(
    specs: list[str], ports: str, kinds: tuple[ProbeKind, ...], shards: int
) -> None:
    spec = parse_ports(ports)
    wanted = {
        Port(target, number, kind)
        for target in TargetSet.parse(specs)
        for kind in kinds
        for number in spec.of(kind.protocol)
    }
    found: list[Port] = []
    for index in range(1, shards + 1):
        space = space_of(*specs, ports=ports, kinds=kinds, shard=f"{index}/{shards}")
        part = everything(space)
        assert len(part) == space.count
        assert back(space, np.arange(space.count, dtype=np.int64))
        found += part
    assert len(found) == len(wanted)
    assert set(found) == wanted


@pytest.mark.parametrize("specs", [("2000::/3",), ("::/0", "0.0.0.0/0"), ("0.0.0.0/0",)])
def test_spaces_beyond_all_counting(specs: tuple[str, ...]) -> None:
    space = space_of(*specs, ports="1-65535", shard="2/3")
    ordinals = np.array([0, 1, 2, 1000, 2**40], np.int64)
    if space.count > 2**40:
        assert back(space, ordinals)
    assert len(set(space.ports(ordinals[:4]))) == 4


def test_many_lone_addresses_are_not_written_out() -> None:
    space = space_of("*.*.*.1")  # 16 million spans
    assert space.total == 2 * 2**24
    assert back(space, np.arange(50, dtype=np.int64))


def test_what_is_not_asked_has_no_ordinal() -> None:
    space = space_of("10.0.0.0/30", ports="T:80,U:53")
    targets = Addresses.of(TargetSet.parse(["10.0.0.1", "10.0.0.9"]))
    syn, udp = (np.full(2, PROBES.index(kind), np.uint8) for kind in (SYN, UDP))
    found = space.ordinals(syn, targets, np.array([80, 80], np.uint16))
    assert found[0] >= 0
    assert found[1] == -1
    assert space.ordinals(udp, targets, np.array([80, 80], np.uint16)).tolist() == [-1, -1]


def test_a_port_of_another_shard_has_no_ordinal_here() -> None:
    whole, part = space_of("10.0.0.0/28"), space_of("10.0.0.0/28", shard="1/2")
    for group in whole.groups(np.arange(whole.count, dtype=np.int64)):
        kinds = np.full(len(group.ordinals), PROBES.index(group.kind), np.uint8)
        found = part.ordinals(kinds, group.targets, group.ports)
        assert (found >= 0).sum() == (group.ordinals % 2 == 0).sum()


def test_equal_hosts_have_equal_numbers_and_others_not() -> None:
    space = space_of("10.0.0.0/29", "fd00::/125", ports="80,561")
    ordinals = np.arange(space.count, dtype=np.int64)
    by_number: dict[int, set[object]] = {}
    for port, number in zip(
        space.ports(ordinals), space.identify(ordinals)[1].tolist(), strict=True
    ):
        by_number.setdefault(number, set()).add(port.target)
    assert len(by_number) == 16
    assert all(len(targets) == 1 for targets in by_number.values())


def test_order_depends_on_the_key_alone() -> None:
    targets, ports = TargetSet.parse(["10.0.0.0/24"]), parse_ports("561")
    orders = [everything(PortSpace(targets, ports, (SYN,), key)) for key in (b"1", b"1", b"2")]
    assert orders[0] == orders[1] != orders[2]
