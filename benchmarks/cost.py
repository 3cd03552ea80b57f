"""What one probe costs before it reaches the link, and what one port in flight costs in memory.

Opens no socket and sends nothing. The probes are those of the largest scan there is: one port of
every IPv4 address that can be a host's, in the keyed order. `transmit.py` measures the rest of the
way. Times are of one core; the medians say what it takes when nobody disturbs.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from ipaddress import ip_address
from statistics import median

import numpy as np

from rawscan.engine.window import Window
from rawscan.model import ProbeKind
from rawscan.politeness import without_reserved
from rawscan.ports import parse_ports
from rawscan.space import PortSpace
from rawscan.targets import TargetSet
from rawscan.wire.template import Template
from rawscan.wire.token import Token

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
    out = np.zeros((BATCH, 128), np.uint8)
    carried = token.tokens_of(SOURCE, group.targets, group.ports, KIND, numbers)
    return {
        "order: which address comes next": nanoseconds(lambda: list(space.groups(ordinals))),
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


def main() -> None:
    """Print the table."""
    costs = probe_costs()
    for what, cost in costs.items():
        print(f"{what:<40}{cost:8.0f} ns a probe")
    print(f"{'together':<40}{sum(costs.values()):8.0f} ns a probe")
    for tries in (1, 6, TRIES):
        each = window_bytes(tries)
        print(f"{f'{PORTS} ports in flight, tries: {tries}':<40}{each:8.1f} bytes a port")


if __name__ == "__main__":
    main()
