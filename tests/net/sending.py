"""What every sender of frames has to do, for the tests of each. Runs inside `tests.net.wire`."""

from __future__ import annotations

import contextlib
import ctypes
import subprocess
import time
from typing import Any

import numpy as np

from rawscan.errors import LinkError, PrivilegeError
from rawscan.net.framesender import FrameSender
from rawscan.net.rxring import FrameReceiver
from rawscan.net.xdp import XdpSender
from tests.net.wire import belongings, ip, numbered_frames

Sender = FrameSender | XdpSender
WIDTH = 190  # what a slot of 256 bytes holds


def make(kind: str, interface: str = "left", **options: Any) -> Sender:
    if kind == "xdp":
        return XdpSender(interface, **options)
    return FrameSender(interface, **options)


class Tally:
    """Which of the numbered frames have come, and how many were not as they were sent."""

    def __init__(self, total: int) -> None:
        self.seen = np.zeros(total, np.int64)
        self.wrong = 0

    def read(self, receiver: FrameReceiver, timeout_s: float = 0) -> int:
        """Read what there is, waiting for the first only; returns how many."""
        count = 0
        while len(batch := receiver.receive(timeout_s)):
            timeout_s = 0
            numbers = batch.frames[:, 14:18].copy().view(">u4")[:, 0].astype(np.int64)
            first = int(numbers.min())
            frames, lengths = numbered_frames(first, int(numbers.max()) - first + 1, WIDTH)
            expected, length = frames[numbers - first], lengths[numbers - first]
            inside = np.arange(WIDTH) < length[:, None]
            same = ((batch.frames == expected) | ~inside).all(axis=1)
            same &= (batch.original_bytes == length) & (batch.captured_bytes == length)
            self.wrong += int((~same).sum())
            np.add.at(self.seen, numbers, 1)
            count += len(batch)
        return count

    def report(self) -> dict[str, int]:
        once = int((self.seen == 1).sum())
        return {"once": once, "more": int((self.seen > 1).sum()), "wrong": self.wrong}


def fill(sender: Sender, first: int) -> Any:
    """Put numbered frames into the buffer; returns their lengths."""
    frames, lengths = numbered_frames(first, len(sender.buffer), WIDTH)
    sender.buffer[:, :WIDTH] = frames
    return lengths


def exactly_once(kind: str, total: int, batch: int, ring_bytes: int = 256 << 10) -> dict[str, int]:
    """Send many distinct frames, in two portions a batch, and read them at the other end.

    The ring holds 1,024 at first, so it goes round many times.
    """
    tally = Tally(total)
    sent = 0
    receiver = FrameReceiver("right", ring_bytes=ring_bytes)
    sender = make(kind, batch=batch, stride_bytes=256)
    for first in range(0, total, batch):
        lengths = fill(sender, first)
        third = batch // 3
        sent += sender.send(third, lengths[:third])
        sent += sender.send(batch - third, lengths[third:], third)
        sender.buffer[:] = 0xA5  # whatever has not been copied by now would show
        tally.read(receiver)
    tally.read(receiver, 0.2)
    report = {"sent": sent, **tally.report(), "drops": receiver.drops()}
    sender.close()
    receiver.close()
    return report


def one_length(kind: str) -> dict[str, Any]:
    """A single length for all, and rows that are not to be sent."""
    receiver = FrameReceiver("right", ring_bytes=1 << 20)
    sender = make(kind, batch=64, stride_bytes=256)
    sender.buffer[:, 20] = np.arange(64)
    sent = sender.send(10, 60, 5), sender.send(0, 60)
    batch = receiver.receive(0.5)
    return {
        "sent": list(sent),
        "rows": batch.frames[:, 20].tolist(),
        "lengths": sorted(set(batch.original_bytes.tolist())),
    }


def narrow(interface: str, rate: str, limit: int) -> None:
    """Have `interface`, or the cable below it, let little out and hold `limit` bytes back."""
    shape = f"tc qdisc add dev left root tbf rate {rate} burst 2000 limit {limit}"
    subprocess.run(shape.split(), check=True)
    if interface != "left":
        ip(f"link add link left name {interface} type macvlan")
        ip(f"link set {interface} up")


def slow_lane(kind: str, interface: str, limit: int, patience_s: float, **options: Any) -> Any:
    """Send into a queue of `limit` bytes that lets 1 Mbit/s out: thrice, and when it is empty.

    Returns what was said to be sent of each, and what came of it at the other end.
    """
    narrow(interface, "1mbit", limit)
    count, starts = 200, range(0, 800, 200)
    tally = Tally(800)
    receiver = FrameReceiver("right", ring_bytes=1 << 20)
    sender = make(kind, interface, batch=count, stride_bytes=256, patience_s=patience_s, **options)
    sent = []
    started_s, started_cpu_s = time.monotonic(), time.process_time()
    elapsed_s = busy = 0.0
    for first in starts:
        if first == starts[-1]:
            elapsed_s = time.monotonic() - started_s
            busy = (time.process_time() - started_cpu_s) / elapsed_s
            while tally.read(receiver, 0.3):
                pass
        lengths = fill(sender, first)
        sent.append(sender.send(count, lengths))
        sender.buffer[:] = 0xA5  # what the kernel has not copied by now would show
    while tally.read(receiver, 0.3):
        pass
    sender.close()
    seen = tally.seen.reshape(len(starts), count) == 1
    came = seen.sum(axis=1).tolist()
    # Of each batch the first ones and no others:
    in_order = all(bool(row[:n].all()) for row, n in zip(seen, sent, strict=True))
    report = {"sent": sent, "came": came, "in order": in_order, "s": elapsed_s, "busy": busy}
    return report | tally.report()


def stuck(kind: str, interface: str, limit: int, **options: Any) -> list[float]:
    """Send into a queue that all but stands still, waiting for it at most 0.2 s."""
    narrow(interface, "1kbit", limit)
    sender = make(kind, interface, batch=400, patience_s=0.2, **options)
    started_s = time.monotonic()
    return [sender.send(400, 60), time.monotonic() - started_s]


def refusals(kind: str) -> list[str]:
    """What is said about an interface that is not there, is down, or goes down."""
    said = []

    def note(call: Any) -> None:
        try:
            said.append(f"no error: {call()!r}")
        except LinkError as error:
            said.append(str(error))

    note(lambda: make(kind, "nowhere"))
    with_cable = make(kind, batch=4)
    ip("link set left down")
    note(lambda: make(kind))
    note(lambda: with_cable.send(4, 60))
    ip("link set left up")
    receiver = FrameReceiver("right", ring_bytes=1 << 20)
    with_cable.buffer[:, 20] = 1, 2, 3, 4
    sent = [with_cable.send(1, 60, row) for row in range(3)]
    said.append(f"{sent} sent, came: {receiver.receive(0.5).frames[:, 20].tolist()}")
    ip("link delete left")
    note(lambda: with_cable.send(1, 60))
    with_cable.close()
    return said


def refused_in_the_middle() -> list[Any]:
    """The third frame is longer than the interface takes."""
    receiver = FrameReceiver("right", ring_bytes=1 << 20)
    sender = FrameSender("left", batch=4, stride_bytes=2048)
    sender.buffer[:, 20] = 1, 2, 3, 4
    lengths = np.array([60, 60, 1600, 60])
    sent = sender.send(4, lengths)
    try:
        sender.send(2, lengths[2:], 2)
    except LinkError as error:
        return [sent, str(error), receiver.receive(0.2).frames[:, 20].tolist()]
    return ["no error"]


def leaks(kind: str) -> list[dict[str, int]]:
    """What is open before and after many have been made, used and closed twice."""
    make(kind).close()
    before = belongings()
    for _ in range(20):
        sender = make(kind)
        sender.send(10, 60)
        sender.close()
        sender.close()
    for _ in range(5):
        with contextlib.suppress(ValueError):
            make(kind, "lo", batch=0)
        with contextlib.suppress(LinkError):
            make(kind, "nowhere")
    return [before, belongings()]


def drop_privileges() -> None:
    """Give up all capabilities of this process (capset(2), version 3), in user namespaces too."""
    libc = ctypes.CDLL(None)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    assert libc.capset(header, (ctypes.c_uint32 * 6)()) == 0


def without_privilege(kind: str) -> str:
    """What is said to a process that may not open such sockets."""
    drop_privileges()
    try:
        make(kind)
    except PrivilegeError as error:
        return str(error).splitlines()[0]
    return "no error"


def bad_rows(kind: str) -> list[str]:
    """Rows and lengths beyond the buffer, which must never reach the kernel."""
    sender = make(kind, batch=8, stride_bytes=64)
    said = []
    calls: list[tuple[int, Any, int]] = [
        (9, 60, 0),
        (1, 60, 8),
        (-1, 60, 0),
        (1, 60, -1),
        (1, 65, 0),
        (1, 0, 0),
        (2, np.array([60, 65]), 0),
        (2, np.array([0, 60]), 0),
    ]
    for call in calls:
        try:
            said.append(f"sent {sender.send(*call)}")
        except ValueError as error:
            said.append(str(error))
    return said
