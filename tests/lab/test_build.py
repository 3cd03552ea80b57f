"""The lab's kernels do what the plan says."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from typing import Any

import pytest

from rawscan.errors import LabError
from rawscan.lab.build import Lab
from rawscan.lab.plan import BASIC, LOSS_PERCENT, REJECT_REASONS, Expected
from rawscan.lab.records import FAMILIES, Family
from rawscan.model import IPAddress
from tests.lab.helpers import WITNESS, errors_from

pytestmark = pytest.mark.netns

HEARD: dict[Family, dict[str, tuple[int, int]]] = {
    4: {
        "net-unreach": (3, 0),
        "host-unreach": (3, 1),
        "no-arp-response": (3, 1),
        "proto-unreach": (3, 2),
        "port-unreach": (3, 3),
        "net-prohibited": (3, 9),
        "host-prohibited": (3, 10),
        "admin-prohibited": (3, 13),
        "time-exceeded": (11, 0),
    },
    6: {
        "no-route": (1, 0),
        "admin-prohibited": (1, 1),
        "host-unreach": (1, 3),
        "no-arp-response": (1, 3),
        "port-unreach": (1, 4),
        "policy-fail": (1, 5),
        "reject-route": (1, 6),
        "time-exceeded": (3, 0),
    },
}
"""ICMP type and code on the wire for each reason (RFC 792, RFC 1812, RFC 4443)."""


def heard(target: IPAddress, expected: Expected) -> list[Any] | str:
    """What plain sockets hear when the host behaves as the plan says."""
    said = {"syn-ack": "connected", "udp-response": "data", "no-response": "silence"}
    if expected.reason in said:
        return said[expected.reason]
    if expected.reason == "reset":
        return "refused"
    sender = BASIC.responder(target, expected)
    return [*HEARD[expected.family][expected.reason], str(sender)]


def test_every_host_does_on_the_wire_what_the_plan_says(lab: Lab) -> None:
    claims = list(lab.plan.claims())
    questions = [(str(target), lab.plan.port, each.protocol.value) for _, target, each in claims]
    asked = lab.run(
        [*WITNESS, "verdicts"],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found = {
        (host.name, each.family, each.protocol.value): answer
        for (host, _, each), answer in zip(claims, json.loads(asked.stdout), strict=True)
    }
    planned = {
        (host.name, each.family, each.protocol.value): heard(target, each)
        for host, target, each in claims
    }
    # It does arrive, and only for UDP does the kernel show it; to a scan it says nothing.
    frag_needed = BASIC.host("frag-needed")
    planned["frag-needed", 4, "udp"] = [3, 4, str(frag_needed.v4)]
    assert found == planned


@pytest.mark.parametrize("family", FAMILIES)
def test_the_plan_has_every_code_that_nft_can_send(lab: Lab, family: Family) -> None:
    kind = {4: "icmp_code", 6: "icmpv6_code"}[family]
    described = lab.run(["nft", "describe", kind], capture_output=True, text=True, check=True)
    words = [line.split() for line in described.stdout.splitlines() if line.startswith("\t")]
    known = {name for name, number in words if number.isdecimal()}
    assert len(known) >= 6
    assert known == set(REJECT_REASONS[family]) | ({"frag-needed"} if family == 4 else set())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_lossy_path_loses_the_set_share_each_way(lab: Lab, family: Family) -> None:
    sent, kept = 600, (1 - LOSS_PERCENT / 100) ** 2
    six_sigma = 6 * (sent * kept * (1 - kept)) ** 0.5
    assert abs(errors_from(lab, "lossy", family, sent) - sent * kept) < six_sigma


@pytest.mark.parametrize("family", FAMILIES)
def test_only_one_host_limits_its_icmp_errors(lab: Lab, family: Family) -> None:
    assert errors_from(lab, "closed", family, 100) == 100
    assert errors_from(lab, "router-port-unreach", family, 100) == 100
    assert 1 <= errors_from(lab, "rate-limited", family, 100) < 30


def test_checksums_on_the_wire_are_right(lab: Lab) -> None:
    address = str(lab.plan.host("open").v4)
    command = [*WITNESS, "checksum", address, str(lab.plan.port)]
    assert lab.run(command, capture_output=True, check=True, timeout=10).stdout == b"0\n"


def test_commands_run_on_the_host_they_are_sent_to(lab: Lab) -> None:
    for name, interface in (("scanner", "eth0"), ("router", "uplink"), ("drop", "eth0")):
        command = ["ip", "-4", "-json", "addr", "show", "dev", interface]
        shown = lab.run(command, host=name, capture_output=True, check=True)
        address = json.loads(shown.stdout)[0]["addr_info"][0]["local"]
        plan = lab.plan
        own = {"scanner": plan.scanner(4), "router": plan.router(4), "drop": plan.host("drop").v4}
        assert IPv4Address(address) == own[name]


def test_hosts_that_are_not_there_are_named(lab: Lab) -> None:
    for name in ("nobody", "dead-routed", "dead-onlink"):
        with pytest.raises(LabError, match=f"no namespace for '{name}'.*scanner, router, open"):
            lab.argv(name, ["true"])
