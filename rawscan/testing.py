"""Networks that are not there: a clock that never sleeps and a link with simulated hosts behind it.

Public, for anybody who tests against rawscan: seeded, so that the same test sees the same packets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random

from rawscan.model import Frame, IPAddress
from rawscan.wire.linklayer import RAW

Answer = tuple[float, bytes]
"""Delay in seconds, and the IP packet that arrives after it."""

Host = Callable[[bytes, float], Iterable[Answer]]
"""What a host, or the network in its place, answers to an IP packet that arrives at a time."""

START_S = 1_700_000_000.0

_QUEUE_S = 0.01


class FakeClock:
    """A clock that stands still until it is told to go on. Call it for the time."""

    def __init__(self, now_s: float = START_S) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        """The time."""
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += max(seconds, 0.0)


@dataclass(frozen=True, slots=True)
class Weather:
    """What the path does to packets: chances from 0 to 1, each way, and jitter in seconds.

    `capacity_pps` is what gets through on the way out; what is more than that, and than a queue of
    10 ms holds, is lost.
    """

    loss_out: float = 0.0
    loss_back: float = 0.0
    duplicate: float = 0.0
    jitter_s: float = 0.0
    capacity_pps: float = inf


CLEAR = Weather()


class SimulatedLink:
    """A `Link` with simulated hosts behind it. Receiving lets the clock run; nothing ever waits.

    `hosts` gives the host of an address; an address without one is silent.
    """

    name = "simulated"

    def __init__(
        self,
        hosts: Callable[[IPAddress], Host | None],
        clock: FakeClock,
        weather: Weather = CLEAR,
        seed: int = 0,
    ) -> None:
        self.sent: list[Frame] = []
        self.dropped = 0
        self._hosts = hosts
        self._clock = clock
        self._weather = weather
        self._random = Random(seed)
        self._arriving: list[tuple[float, int, bytes]] = []
        self._serial = count()
        self._queue_ends_s = clock()

    def send(self, packet: bytes, target: IPAddress) -> Frame:
        """Hand the packet to the target's host, if it gets there."""
        frame = Frame(self._clock(), packet, RAW, len(packet))
        self.sent.append(frame)
        host = self._hosts(target)
        arrives = self._fits(frame.time_s) and self._random.random() >= self._weather.loss_out
        if host is not None and arrives:
            for delay_s, answer in host(packet, frame.time_s):
                self._return(frame.time_s + delay_s, answer)
        return frame

    def inject(self, delay_s: float, packet: bytes) -> None:
        """Let a packet arrive that nobody asked for."""
        heappush(self._arriving, (self._clock() + delay_s, next(self._serial), packet))

    def receive(self, timeout_s: float) -> Sequence[Frame]:
        """What arrives within `timeout_s`: the clock goes on to the first arrival, or to the end.

        At least a microsecond passes, so that no loop can stand still.
        """
        timeout_s = max(timeout_s, 1e-6)
        until_s = self._clock() + timeout_s
        if self._arriving and self._arriving[0][0] <= until_s:
            self._clock.advance(self._arriving[0][0] - self._clock())
        else:
            self._clock.advance(timeout_s)
        frames = []
        while self._arriving and self._arriving[0][0] <= self._clock():
            time_s, _, packet = heappop(self._arriving)
            frames.append(Frame(time_s, packet, RAW, len(packet)))
        return frames

    def drops(self) -> int:
        """What the test has set `dropped` to."""
        return self.dropped

    def close(self) -> None:
        """Nothing to give back."""

    def _fits(self, now_s: float) -> bool:
        """Is there room for one more packet in the queue before the bottleneck?"""
        self._queue_ends_s = max(self._queue_ends_s, now_s)
        if self._queue_ends_s > now_s + _QUEUE_S:
            return False
        self._queue_ends_s += 1 / self._weather.capacity_pps
        return True

    def _return(self, time_s: float, answer: bytes) -> None:
        weather, random = self._weather, self._random
        copies = 2 if random.random() < weather.duplicate else 1
        for _ in range(copies):
            if random.random() >= weather.loss_back:
                late_s = random.random() * weather.jitter_s
                heappush(self._arriving, (time_s + late_s, next(self._serial), answer))
