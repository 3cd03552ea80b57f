"""A link around another one, for tests that change what comes back. Touches nothing itself."""

from __future__ import annotations

from collections.abc import Callable

from rawscan.net.link import Block, Link, Sent, Stop
from rawscan.targets import TargetSet
from rawscan.wire.addresses import Addresses


class Around:
    """Passes everything on. `clock` is the simulated network's."""

    def __init__(self, link: Link, clock: Callable[[], float]) -> None:
        self.name, self.buffer, self.headroom = link.name, link.buffer, link.headroom
        self.link, self.clock = link, clock

    def prepare(self, targets: TargetSet, rate_pps: float, stop: Stop) -> None:
        self.link.prepare(targets, rate_pps, stop)

    def send(self, count: int, size: int, targets: Addresses) -> Sent:
        return self.link.send(count, size, targets)

    def receive(self, timeout_s: float) -> Block:
        return self.link.receive(timeout_s)

    def drops(self) -> int:
        return self.link.drops()

    def close(self) -> None:
        self.link.close()
