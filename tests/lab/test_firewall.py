"""The plan as nftables rules, `ip` lines and kernel settings. No network."""

from __future__ import annotations

import pytest

from rawscan.lab import wiring
from rawscan.lab.firewall import host_rules, router_rules
from rawscan.lab.plan import BASIC, LOSS_PERCENT


def rules(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def test_a_host_without_firewall_has_no_rules() -> None:
    assert host_rules(BASIC.host("closed")) == ""


def test_a_whole_rule_set() -> None:
    assert host_rules(BASIC.host("reset")) == (
        "table inet lab {\n"
        "\tchain input {\n"
        "\t\ttype filter hook input priority filter; policy accept;\n"
        "\t\tmeta nfproto ipv4 meta l4proto tcp reject with tcp reset\n"
        "\t\tmeta nfproto ipv4 meta l4proto udp drop\n"
        "\t\tmeta nfproto ipv6 meta l4proto tcp reject with tcp reset\n"
        "\t\tmeta nfproto ipv6 meta l4proto udp drop\n"
        "\t}\n"
        "}\n"
    )


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_icmp_codes_go_to_their_family(protocol: str) -> None:
    lines = rules(host_rules(BASIC.host("net-unreachable")))
    match = f"meta l4proto {protocol} reject with"
    assert f"meta nfproto ipv4 {match} icmp type net-unreachable" in lines
    assert f"meta nfproto ipv6 {match} icmpv6 type no-route" in lines


def test_the_router_answers_only_in_place_of_the_hosts_that_the_plan_names() -> None:
    lines = rules(router_rules(BASIC))
    host = BASIC.host("router-port-unreach")
    reject = "meta l4proto udp reject with"
    assert f"ip daddr {host.v4} {reject} icmp type port-unreachable" in lines
    assert f"ip6 daddr {host.v6} {reject} icmpv6 type port-unreachable" in lines
    matched = {line.split()[2] for line in lines if line.startswith("ip")}
    in_its_place = ("router-prohibited", "router-port-unreach", "router-reset", "expired", "lossy")
    named = [BASIC.host(name) for name in in_its_place]
    assert matched == {str(host.v4) for host in named} | {str(host.v6) for host in named}


def test_loss_goes_both_ways() -> None:
    lines = rules(router_rules(BASIC))
    host = BASIC.host("lossy")
    drop = f"numgen random mod 100 < {LOSS_PERCENT} drop"
    for match in (f"ip daddr {host.v4}", f"ip saddr {host.v4}"):
        assert f"{match} {drop}" in lines
    for match in (f"ip6 daddr {host.v6}", f"ip6 saddr {host.v6}"):
        assert f"{match} {drop}" in lines


def test_expiry_is_set_before_routing() -> None:
    host = BASIC.host("expired")
    _, _, prerouting = router_rules(BASIC).partition("chain prerouting")
    assert f"ip daddr {host.v4} ip ttl set 1" in rules(prerouting)
    assert f"ip6 daddr {host.v6} ip6 hoplimit set 1" in rules(prerouting)


def test_one_cable_for_each_living_host() -> None:
    batch = wiring.router_batch(BASIC, lambda name: f"/ns/{name}")
    for host in BASIC.hosts:
        assert (f"peer name eth0 netns /ns/{host.name}\n" in batch) == host.has_namespace
    assert "peer name eth0 netns /ns/scanner\n" in batch
    names = [line.split()[2] for line in batch.splitlines() if " type veth " in line]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) < 16  # IFNAMSIZ


def test_a_host_knows_its_addresses_and_its_router() -> None:
    lines = wiring.host_batch(BASIC, BASIC.host("open")).splitlines()
    assert "addr add 10.56.1.10/24 dev eth0" in lines
    assert "addr add fd56:1::10/64 dev eth0 nodad" in lines
    assert lines[-2:] == [
        "route add default via 10.56.1.1 dev eth0",
        "route add default via fd56:1::1 dev eth0",
    ]


def test_only_one_host_keeps_the_kernels_icmp_limit_and_only_the_router_forwards() -> None:
    found = {name: wiring.settings(BASIC, name) for name in BASIC.namespaces()}
    limited = [name for name, each in found.items() if "ipv4/icmp_ratelimit" not in each]
    assert limited == ["rate-limited"]
    assert "ipv6/icmp/ratelimit" not in found["rate-limited"]
    forwarding = [name for name, each in found.items() if "ipv4/ip_forward" in each]
    assert forwarding == ["router"]
    assert all(each["ipv6/conf/all/accept_dad"] == "0" for each in found.values())
