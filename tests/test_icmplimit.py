"""The floor of UDP scans, worked out by hand from Linux's defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from rawscan.icmplimit import PEER_INTERVAL_S, floor_s


@pytest.mark.parametrize(
    ("ports", "seconds"),
    [(0, 0), (1, 0), (6, 0), (7, 1), (60, 54), (1000, 994), (65_536, 65_530)],
)
def test_the_first_six_are_free_and_then_each_takes_a_second(ports: int, seconds: int) -> None:
    assert floor_s(ports) == seconds


def test_ipv6_waits_a_sixteenth_at_the_least() -> None:
    # 1000 ms >> ((128 - 0) >> 5), as net/ipv6/icmp.c has it for a default route: 62.5 ms.
    assert floor_s(22, version=6) == pytest.approx((22 - 6) * (1000 >> 0) / 16 / 1000)
    assert floor_s(6, version=6) == 0


def test_this_kernels_defaults_are_these() -> None:
    """A fresh network namespace would have them; so has a machine whose owner left them alone."""
    path = Path("/proc/sys/net/ipv4/icmp_ratelimit")
    if not path.exists():
        pytest.skip("no Linux, or a container that hides these")
    found_ms = int(path.read_text())
    if found_ms != 1000:
        pytest.skip("this machine's owner has set another limit")
    assert found_ms / 1000 == PEER_INTERVAL_S
