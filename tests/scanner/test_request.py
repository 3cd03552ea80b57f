"""What a request is known by: its order, and a digest of what it asks."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from ipaddress import ip_address
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from rawscan.engine import Settings
from rawscan.model import ProbeKind
from rawscan.net.nexthop import LinkKind, Path
from rawscan.ports import parse_ports
from rawscan.scanner import Request, make_token
from rawscan.scanner.request import _wants_ethernet, link_for, make_key
from rawscan.targets import TargetSet


def request(*targets: str, ports: str = "561", **options: Any) -> Request:
    return Request(TargetSet.parse(targets), parse_ports(ports), **options)


def test_the_order_follows_the_seed_and_is_new_without_one() -> None:
    assert request("10.0.0.1", seed=1).order == request("10.0.0.2", seed=1).order
    orders = {request("10.0.0.1", seed=seed).order for seed in (None, None, 1, 2)}
    assert len(orders) == 4
    assert request("10.0.0.1", order=b"given").order == b"given"


def test_the_order_is_not_the_key_of_the_token() -> None:
    key = make_key(561)
    assert request("10.0.0.1", seed=561).order not in {key, make_token(range(16), key).key}


SAME = [
    (["10.0.0.0/30"], ["10.0.0.3", "10.0.0.0-2"]),
    (["10.0.0.1", "fd00::/127"], ["fd00::1", "10.0.0.1", "fd00::"]),
    (["*.*.*.1"], ["0-127.*.*.1", "128-255.*.*.1"]),
    (["0.0.0.0/0"], ["0.0.0.0/1", "128.0.0.0/1"]),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_equal_targets_have_equal_digests(one: list[str], other: list[str]) -> None:
    assert request(*one).digest == request(*other).digest


def test_anything_else_has_another_digest() -> None:
    asked = [
        *(request(*one) for one, _ in SAME),
        request("10.0.0.0/24"), request("10.0.0.0/25"), request("10.0.0.0/31"),
        request("10.0.1.0/24"), request("10.0.0.0/16"), request("0.0.0.0/8"),
        request("1.0.0.0/24"), request("fd00::/64"), request("fd00::/63"), request("fd00::a"),
        request("10.0.0.0/24", ports="562"), request("10.0.0.0/24", ports="T:561"),
        request("10.0.0.0/24", kinds=(ProbeKind.SYN,)), request("10.0.0.0/24", ports="561-562"),
    ]  # fmt: skip
    assert len({each.digest for each in asked}) == len(asked)


def test_the_digest_is_the_same_in_another_process() -> None:
    code = (
        "from tests.scanner.test_request import request\n"
        "print(request('10-20.*.1,3.0-127', 'fd00::/64').digest)"
    )
    command = [sys.executable, "-c", code]
    found = {subprocess.check_output(command, text=True).strip() for _ in range(2)}
    assert found == {request("10-20.*.1,3.0-127", "fd00::/64").digest}


@pytest.mark.parametrize(
    ("targets", "rate_pps", "ethernet", "link"),
    [
        ("10.0.0.0/8", inf, True, "xdp"),
        ("10.0.0.0/16", 100_000.0, True, "xdp"),
        ("10.0.0.0/16", 99_999.0, True, "packet"),  # nothing to gain
        ("10.0.0.0/17", inf, True, "packet"),
        ("10.0.0.0/8", inf, False, "rawip"),
    ],
)
def test_which_link_auto_takes(
    targets: str, rate_pps: float, ethernet: bool, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rawscan.scanner.request._wants_ethernet", lambda _: ethernet)
    asked = request(targets, kinds=(ProbeKind.SYN,), settings=Settings(rate_pps=rate_pps))
    assert link_for(asked) == link
    assert link_for(replace(asked, link="scapy")) == "scapy"


@pytest.mark.parametrize(("neighbours", "ethernet"), [(254, False), (1000, False), (1001, True)])
def test_our_own_address_does_not_keep_auto_from_the_link_that_thousands_need(
    neighbours: int, ethernet: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's neighbour table holds 1,024, and with our own address one way leads to lo."""

    def way(kind: LinkKind) -> Path:
        return Path(kind.name, 1, kind, None, 1500, ip_address("10.0.0.1"), None, False)

    part = SimpleNamespace(targets=SimpleNamespace(count=neighbours))
    ways = [way(LinkKind.ETHERNET), way(LinkKind.LOOPBACK)]
    monkeypatch.setattr("rawscan.net.nexthop.PathFinder", lambda *_: nullcontext())
    monkeypatch.setattr("rawscan.net.onlink.ways_of", lambda *_: ways)
    monkeypatch.setattr("rawscan.net.onlink.on_link", lambda *_: [part])
    assert _wants_ethernet(request("10.0.0.0/21")) is ethernet
