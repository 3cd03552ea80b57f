"""What a plan and a port in flight cost in memory, and a probe in time before it reaches the link.

Sends nothing. The probes are those of the largest scan there is: one port of every IPv4 address
that can be a host's, in the keyed order. `transmit` measures the rest of the way. Times are of one
core; the medians say what it takes when nobody disturbs.
"""

from __future__ import annotations

import itertools
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from statistics import median

import numpy as np

from benchmarks.network import wire
from benchmarks.rows import OURS, Effort, Goal, Row, Runs, alternate, row
from benchmarks.scanners import RAWSCAN, timed
from rawscan.engine.window import Window
from rawscan.model import ProbeKind
from rawscan.politeness import without_reserved
from rawscan.ports import parse_ports
from rawscan.space import PortSpace
from rawscan.targets import TargetSet
from rawscan.wire.template import Template
from rawscan.wire.token import Token

NAME, TITLE = "cost", "Memory, and the time of a probe"
ABOUT = (
    "Peak resident memory of `rawscan scan 10.0.0.0/8 --dry-run` (16.7 million targets), the"
    " engine's memory for a port in flight, of 1,048,576 in flight, and the work on a probe before"
    " it reaches the link. No other program does the same."
)
PLAN = [RAWSCAN, "scan", "10.0.0.0/8", "--dry-run"]
METER = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=2);"
    " print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)
BATCH, ROUNDS = 4096, 101
KIND, SOURCE = ProbeKind.SYN, ip_address("192.0.2.1")
PORTS, TRIES = 1 << 20, 11  # the defaults: Settings.max_window, and one try and ten retries


def nanoseconds(call: Callable[[], object]) -> float:
    """Median time of a call, for each probe of its batch."""
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter_ns()
        call()
        found.append((time.perf_counter_ns() - started) / BATCH)
    return median(found)


def probe_costs() -> dict[str, float]:
    """Nanoseconds a probe, by what is done."""
    targets = without_reserved(TargetSet.parse(["0.0.0.0/0"]))
    space = PortSpace(targets, parse_ports("561"), (KIND,), b"order")
    token, template = Token(b"token", range(16_384, 32_768)), Template.of(KIND, SOURCE)
    ordinals, numbers = np.arange(BATCH, dtype=np.int64), np.zeros(BATCH, np.int8)
    (group,) = space.groups(ordinals)
    batches = itertools.count(1)
    out = np.zeros((BATCH, 128), np.uint8)
    carried = token.tokens_of(SOURCE, group.targets, group.ports, KIND, numbers)
    return {
        # Others each time, as the space remembers what it was asked last.
        "order: which address comes next": nanoseconds(
            lambda: list(space.groups(ordinals + next(batches) * BATCH))
        ),
        "token: source port and sequence number": nanoseconds(
            lambda: token.tokens_of(SOURCE, group.targets, group.ports, KIND, numbers)
        ),
        "template: copy, patch, checksums": nanoseconds(
            lambda: template.fill(out, group.targets, group.ports, *carried)
        ),
    }


def window_bytes(tries: int) -> float:
    """Bytes that the engine's window holds for each port, when each was tried so often."""
    tracemalloc.start()
    window = Window(0.0)
    for first in range(0, PORTS, BATCH):
        window.admit(min(BATCH, PORTS - first))
    every = np.arange(PORTS, dtype=np.int64)
    for number in range(tries):
        window.sent(every, number, np.zeros(PORTS))
    del every
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / PORTS


def plan_mb() -> float:
    """Peak resident memory of the dry run, in megabytes. A small parent, as children count it."""
    _, peak_kib = timed([sys.executable, "-ISc", METER, *PLAN])
    return int(peak_kib) * 1024 / 1e6


def measure(effort: Effort) -> list[Row]:
    """Measure; the plan needs a way to its targets, hence the network."""
    with wire():
        plans = alternate({OURS: plan_mb}, effort)[OURS]
    held = {tries: [window_bytes(tries)] for tries in (1, 6, TRIES)}
    return rows(plans, held, {work: [cost] for work, cost in probe_costs().items()})


def rows(plans: Runs, held: Mapping[int, Runs], costs: Mapping[str, Sequence[float]]) -> list[Row]:
    """The plan, then ports, then probes and their sum."""
    together = [sum(cost for (cost,) in costs.values())]
    return [
        row("dry run over 10.0.0.0/8", plans, "{:.0f} MB", Goal("median", 300, unit=" MB")),
        *(row(f"port in flight, tries: {n}", b, "{:.1f} bytes") for n, b in held.items()),
        *(row(f"probe, {work}", cost, "{:.0f} ns") for work, cost in costs.items()),
        row("probe, together", together, "{:.0f} ns"),
    ]
