"""Which ranges are local and which are no host's, against the registries and against Python's."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawscan.politeness import LOCAL, RESERVED, outside, without_reserved
from rawscan.targets import TargetSet

# IANA IPv4 and IPv6 Special-Purpose Address Registries, copied by hand: globally reachable or not.
NOT_GLOBAL = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/29",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "::1/128",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001:2::/48",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
]
GLOBAL = [
    "192.0.0.9/32",
    "192.0.0.10/32",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.175.48.0/24",
    "64:ff9b::/96",
    "2001:1::1/128",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:20::/28",
    "2620:4f:8000::/48",
]
# "Multicast" in the registries of RFC 5771 and RFC 4291; the rest as above, "Destination" false.
NOBODYS = ["0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "::/128", "::ffff:0:0/96", "ff00::/8"]


def ends(prefix: str) -> list[str]:
    """First and last address inside, and the neighbours outside."""
    network = ip_network(prefix)
    return [str(network[0]), str(network[-1])]


def beyond(prefix: str) -> list[str]:
    network = ip_network(prefix)
    numbers = (int(network[0]) - 1, int(network[-1]) + 1)
    make = type(network[0])
    return [str(make(n)) for n in numbers if 0 <= n < 1 << network.max_prefixlen]


def in_any(text: str, prefixes: list[str]) -> bool:
    return any(ip_address(text) in ip_network(p) for p in prefixes if (":" in p) == (":" in text))


@pytest.mark.parametrize("prefix", NOT_GLOBAL)
def test_local_ranges_are_not_outside_to_the_last_address(prefix: str) -> None:
    assert not outside(TargetSet.parse([prefix]))
    for neighbour in beyond(prefix):
        expected = not in_any(neighbour, NOT_GLOBAL)
        assert bool(outside(TargetSet.parse([neighbour]))) is expected, neighbour


@pytest.mark.parametrize("prefix", GLOBAL)
def test_globally_reachable_special_ranges_are_outside(prefix: str) -> None:
    targets = TargetSet.parse([prefix])
    assert outside(targets) == targets == without_reserved(targets)


@pytest.mark.parametrize("prefix", NOBODYS)
def test_what_is_no_hosts_address_is_left_out_to_the_last(prefix: str) -> None:
    assert not without_reserved(TargetSet.parse([prefix]))
    for neighbour in beyond(prefix):
        expected = not in_any(neighbour, NOBODYS)
        assert bool(without_reserved(TargetSet.parse([neighbour]))) is expected, neighbour


def test_the_tables_are_these_and_each_says_its_source() -> None:
    assert [each.prefix for each in LOCAL] == NOT_GLOBAL
    assert [each.prefix for each in RESERVED] == NOBODYS
    assert all(each.source.startswith("RFC ") and each.name for each in (*LOCAL, *RESERVED))


@given(st.integers(0, 2**32 - 1))
def test_pythons_own_registry_agrees_on_ipv4(number: int) -> None:
    address = ip_address(number)
    targets = TargetSet.parse([str(address)])
    is_strange = bool(outside(without_reserved(targets)))
    if address in ip_network("192.0.0.0/24"):
        return  # IETF protocol assignments, of which Python's versions think differently
    shared = address in ip_network("100.64.0.0/10")  # which Python calls neither
    assert is_strange is not (address.is_private or address.is_multicast or shared)


def test_the_whole_internet_is_counted_and_not_written_out() -> None:
    everything = TargetSet.parse(["0.0.0.0/0"])
    left = without_reserved(everything)
    # 256 blocks of /8, less 0, less 224 to 255: 223 of them.
    assert left.count == 223 << 24
    local = (1 << 24) * 2 + (1 << 22) + (1 << 20) + (1 << 16) * 2 + (1 << 17) + 3 * 256 + 8
    assert outside(left).count == left.count - local
    assert outside(TargetSet.parse(["::/0"])).count > 1 << 127
    pattern = TargetSet.parse(["*.*.*.255"])
    assert without_reserved(pattern).count == 223 << 16


def test_further_specs_are_left_out_as_well() -> None:
    left = without_reserved(TargetSet.parse(["10.9.0.0/30"]), ["10.9.0.3"])
    assert list(map(str, left)) == ["10.9.0.0", "10.9.0.1", "10.9.0.2"]
