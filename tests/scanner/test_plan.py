"""The plan: durations by hand, samples that the real scan would send, memory that does not grow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from math import inf
from typing import Any

import pytest

from rawscan.engine import Settings
from rawscan.model import ProbeKind
from rawscan.permute import Shard
from rawscan.ports import parse_ports
from rawscan.scanner.plan import durations_of
from rawscan.scanner.request import Request
from rawscan.targets import TargetSet
from tests.net.apart import run
from tests.story import RAWSCAN, apart

UDP, SYN = (ProbeKind.UDP,), (ProbeKind.SYN,)


def times(targets: str, ports: str = "561", **options: Any) -> tuple[float | None, ...]:
    settings = {k: v for k, v in options.items() if k in Settings.__slots__}
    rest = {k: v for k, v in options.items() if k not in settings}
    request = Request(
        TargetSet.parse([targets]), parse_ports(ports), settings=Settings(**settings), **rest
    )
    found = durations_of(request)
    return found.least_s, found.silent_s, found.udp_floor_s, found.tries


# 0.2 ** 6 is below one in ten thousand, 0.2 ** 5 is not: six tries. Silence lasts 3.5 s more.
@pytest.mark.parametrize(
    ("arguments", "options", "expected"),
    [
        (["10.0.0.0/24"], {"kinds": SYN}, (0.256, 0.256 * 6 + 3.5, 0, 6)),
        (["10.0.0.0/24"], {}, (0.512, 0.512 * 6 + 3.5, 0, 6)),
        (["10.0.0.0/24"], {"kinds": SYN, "max_retries": 2}, (0.256, 0.256 * 3 + 3.5, 0, 3)),
        (["10.0.0.1", "1-60"], {"kinds": UDP}, (54, 0.06 * 6 + 3.5, 54, 6)),
        (["10.0.0.1", "1-60"], {"kinds": SYN}, (0.06, 0.06 * 6 + 3.5, 0, 6)),
        (["10.0.0.1", "T:1-60,U:1-6"], {}, (0.066, 0.066 * 6 + 3.5, 0, 6)),
        (["fd00::1", "1-22"], {"kinds": UDP}, (1, 0.022 * 6 + 3.5, 1, 6)),
        (
            ["10.0.0.1", "1-1000"],
            {"kinds": SYN, "host_rate_pps": 10.0},
            (100, 100 * 6 + 3.5, 0, 6),
        ),
        (["10.0.0.0/24"], {"kinds": SYN, "rate_pps": inf}, (0.001, None, 0, 6)),
        (
            ["10.0.0.0/24"],
            {"kinds": SYN, "rate_pps": inf, "host_rate_pps": inf},
            (None, None, 0, 6),
        ),
        (["10.0.0.1", "1-60"], {"kinds": UDP, "rate_pps": inf}, (54, None, 54, 6)),
        # Half of each host's ports: 30, of which 6 are free.
        (
            ["10.0.0.1", "1-60"],
            {"kinds": UDP, "shard": Shard(1, 2), "seed": 1},
            (24, 0.03 * 6 + 3.5, 24, 6),
        ),
    ],
)
def test_durations(
    arguments: list[str], options: dict[str, Any], expected: tuple[float | None, ...]
) -> None:
    assert times(*arguments, **options) == pytest.approx(expected)


@pytest.mark.netns
def test_ways_are_counted_by_the_kernels_routes() -> None:
    found = run("""
from rawscan.ports import parse_ports
from rawscan.scanner.admission import admit
from rawscan.scanner.plan import plan_of
from rawscan.scanner.request import Request
from rawscan.targets import TargetSet
device()
for line in ("route add default via 10.9.0.9", "route add blackhole 10.64.0.0/12"):
    subprocess.run(["ip", *line.split()], check=True)
admitted = admit(TargetSet.parse(["10.0.0.0/8", "fd09::/64", "2001:db8::1"]))
plan = plan_of(Request(admitted.targets, parse_ports("561")), admitted)
print(json.dumps([
    admitted.left_out,
    [(way.targets, getattr(way.path, "interface", str(way.path)),
      str(getattr(way.path, "gateway", None))) for way in plan.ways]]))
""")
    # Of our /24, the broadcast address is left out, and our own address stays in the machine.
    blackhole, gateway = 1 << 20, (1 << 24) - (1 << 20) - 256
    assert found == [
        1,
        [
            [gateway, "d0", "10.9.0.9"],
            [blackhole, "the routes discard it (blackhole)", "None"],
            [254, "d0", "None"],
            [1, "lo", "None"],
            [(1 << 64) - 1, "d0", "None"],
            [1, "there is no route", "None"],
            [1, "lo", "None"],
        ],
    ]


@pytest.mark.netns
@pytest.mark.parametrize("link", ["auto", "rawip", "packet", "xdp"])
def test_ten_slash_eight_is_planned_in_little_memory(link: str) -> None:
    wire = (
        "ip link add d0 type veth peer name d1; ip link set d1 up; ip link set d0 up;"
        "ip addr add 10.9.0.1/24 dev d0; ip route add default via 10.9.0.9;"
    )
    plan = [*RAWSCAN, "scan", "10.0.0.0/8", "--link", link, "--dry-run", "--json"]
    meter = (
        "import json, resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True, check=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "cpu_s = used.ru_utime + used.ru_stime\n"
        "print(json.dumps([used.ru_maxrss, cpu_s, json.loads(done.stdout)]))\n"
    )
    command = apart(["sh", "-c", wire + 'exec "$@"', "sh", sys.executable, "-c", meter, *plan])
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    peak_kib, cpu_s, record = json.loads(done.stdout)
    # All but the broadcast address of our own /24.
    assert (record["targets"], record["left_out"]) == ((1 << 24) - 1, 1)
    assert record["gateway"] == "10.9.0.9"
    assert peak_kib < 300 * 1024
    assert cpu_s < 5
