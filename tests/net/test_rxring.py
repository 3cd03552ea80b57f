"""`FrameReceiver` hands out all that arrives, once, in order, and says what it missed."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any

import numpy as np
import pytest

from rawscan.errors import LinkError, PrivilegeError
from rawscan.net import kernel
from rawscan.net.framesender import FrameSender
from rawscan.net.rxfilter import filter_for
from rawscan.net.rxring import FrameReceiver
from tests.net import sending
from tests.net.wire import belongings, inside, ip, numbered_frames

pytestmark = pytest.mark.netns

UDP = "020000000002 020000000001 0800 4500001c000000004011 0000 0a000001 0a000002 0231 {} 0008 0000"


def udp_to(port: int) -> bytes:
    """An empty datagram from port 561, padded to Ethernet's least."""
    return bytes.fromhex(UDP.format(f"{port:04x}")).ljust(60, b"\0")


def number_of(frames: Any) -> list[int]:
    return [int(value) for value in frames[:, 14:18].copy().view(">u4")[:, 0]]


def put(sender: FrameSender, frames: list[bytes]) -> None:
    """Send frames of 60 bytes."""
    for row, frame in enumerate(frames):
        sender.buffer[row, :60] = np.frombuffer(frame, np.uint8)
    assert sender.send(len(frames), 60) == len(frames)


def overflow() -> Any:
    """Nobody reads: 4,096 bytes are 16 slots; then somebody does."""
    receiver = FrameReceiver("right", ring_bytes=4096)
    sender = FrameSender("left", batch=100, stride_bytes=256)
    sender.buffer[:, :190], lengths = numbered_frames(0, 100, 190)
    sender.send(100, lengths)
    early = [receiver.drops(), receiver.drops()]
    first = number_of(receiver.receive(0.2).frames)
    none = len(receiver.receive(0))  # gives the slots back
    sender.send(10, lengths[50:60], 50)
    second = number_of(receiver.receive(0.2).frames)
    sender.send(40, lengths[:40])
    receiver.close()
    return [early, first, none, second, receiver.drops()]


def test_a_full_ring_keeps_the_first_and_counts_the_rest() -> None:
    early, first, none, second, late = inside(overflow)
    assert early == [84, 84]
    assert first == list(range(16))
    assert none == 0
    assert second == list(range(50, 60))
    assert late == 84 + 34  # of 16 slots 10 were still handed out when the 40 came


def held() -> Any:
    """Frames stay as they are until the next call, though more arrive than there is room for."""
    receiver = FrameReceiver("right", ring_bytes=4096)
    sender = FrameSender("left", batch=16, stride_bytes=256)
    sender.buffer[:, :190], lengths = numbered_frames(0, 16, 190)
    sender.send(16, lengths)
    batch = receiver.receive(0.2, limit=10)
    before = batch.frames.copy()
    sender.buffer[:] = 0xA5
    sender.send(16, 60)
    same = bool((batch.frames == before).all())
    return [len(batch), same, number_of(receiver.receive(0.2).frames), receiver.drops()]


def test_frames_handed_out_stay_as_they_are() -> None:
    assert inside(held) == [10, True, list(range(10, 16)), 16]


def lengths_and_times() -> Any:
    receiver = FrameReceiver("right", ring_bytes=1 << 16, slot_bytes=128)
    sender = FrameSender("left", batch=2, stride_bytes=1024)
    early_s = time.time()
    sender.send(2, np.array([60, 1000]))
    batch = receiver.receive(0.2)
    late_s = time.time()
    timely = bool(((batch.times_s >= early_s - 1e-3) & (batch.times_s <= late_s)).all())
    ordered = bool(batch.times_s[0] <= batch.times_s[1])
    return [batch.captured_bytes.tolist(), batch.original_bytes.tolist(), timely, ordered]


def test_lengths_and_times() -> None:
    # 128 bytes less 66: a header of 52, aligned to 80 before the IP header, 14 of it Ethernet's
    assert inside(lengths_and_times) == [[60, 62], [60, 1000], True, True]


def quiet() -> Any:
    """No frame, then one that comes while we wait."""
    receiver = FrameReceiver("right", ring_bytes=4096)
    sender = FrameSender("left", batch=1, stride_bytes=64)
    started_s = time.monotonic()
    nothing = len(receiver.receive(0.05))
    waited_s = time.monotonic() - started_s
    at_once_s = time.monotonic()
    receiver.receive(0)
    at_once_s = time.monotonic() - at_once_s
    later = threading.Timer(0.05, sender.send, (1, 60))
    later.start()
    started_s = time.monotonic()
    one = len(receiver.receive(10))
    woken_s = time.monotonic() - started_s
    later.join()
    return [nothing, one, waited_s, at_once_s, woken_s]


def test_waits_as_long_as_asked_and_no_longer() -> None:
    nothing, one, waited_s, at_once_s, woken_s = inside(quiet)
    assert (nothing, one) == (0, 1)
    assert 0.045 < waited_s < 1
    assert at_once_s < 0.05
    assert woken_s < 5


def leaving(show: bool) -> Any:
    """Frames that leave and frames that arrive on one interface; with `show`, the kernel's own
    help (PACKET_IGNORE_OUTGOING) is off, as on kernels that have none.
    """
    receiver = FrameReceiver("left", ring_bytes=1 << 16)
    if show:
        with socket.socket(fileno=socket.dup(receiver.fileno())) as same:
            same.setsockopt(kernel.SOL_PACKET, kernel.PACKET_IGNORE_OUTGOING, 0)
    out = FrameSender("left", batch=8, stride_bytes=64)
    back = FrameSender("right", batch=8, stride_bytes=64)
    for sender, number in ((out, 1), (back, 2), (out, 3), (back, 4)):
        sender.buffer[:, 17] = number
        sender.send(2, 60)
    only_out = number_of(receiver.receive(0.1).frames)
    out.send(4, 60)
    return [only_out, len(receiver.receive(0.05)), receiver.drops()]


@pytest.mark.parametrize("show", [False, True], ids=["kernel helps", "alone"])
def test_what_leaves_is_not_received(show: bool) -> None:
    assert inside(leaving, show) == [[2, 2, 4, 4], 0, 0]


def odd_headers() -> Any:
    """Frames that do not all begin at the same place in their slots, as the kernel may have it."""
    receiver = FrameReceiver("right", ring_bytes=4096)
    sender = FrameSender("left", batch=5, stride_bytes=64)
    sender.buffer[:] = np.arange(5)[:, None]
    sender.send(5, 60)
    receiver._columns["mac"][2:4] += 4
    batches = [receiver.receive(0.1).frames for _ in range(4)]
    return [[frames.shape[1], frames[:, 0].tolist()] for frames in batches]


def test_a_batch_ends_where_frames_begin_elsewhere() -> None:
    assert inside(odd_headers) == [[190, [0, 1]], [186, [2, 3]], [190, [4]], [256, []]]


def sieve(ports: list[int]) -> Any:
    """What a filter lets through of datagrams to these ports."""
    receiver = FrameReceiver("right", filter_for(range(40_000, 40_010)), ring_bytes=1 << 16)
    sender = FrameSender("left", batch=len(ports), stride_bytes=64)
    put(sender, [udp_to(port) for port in ports])
    frames = receiver.receive(0.2).frames
    return [int(port) for port in frames[:, 36:38].copy().view(">u2")[:, 0]]


def test_only_what_the_filter_accepts() -> None:
    assert inside(sieve, [39_999, 40_000, 561, 40_009, 40_010]) == [40_000, 40_009]


def refusals() -> list[str]:
    said = []

    def note(call: Any) -> None:
        try:
            said.append(f"no error: {call()!r}")
        except (LinkError, ValueError) as error:
            said.append(str(error))

    note(lambda: FrameReceiver("nowhere"))
    note(lambda: FrameReceiver("right", ring_bytes=5000))
    note(lambda: FrameReceiver("right", slot_bytes=64))
    note(lambda: FrameReceiver("right", b"\0" * 8, ring_bytes=4096))
    receiver = FrameReceiver("right", ring_bytes=1 << 16)
    FrameSender("left", batch=3, stride_bytes=64).send(3, 60)
    ip("link set right down")
    said.append(f"{len(receiver.receive(0.1))} frames from before")
    note(lambda: receiver.receive(0.1))
    note(lambda: FrameReceiver("right"))
    ip("tuntap add dev plain mode tun")
    ip("link set plain up")
    note(lambda: FrameReceiver("plain", ring_bytes=4096))
    return said


def test_what_is_said_when_it_cannot_receive() -> None:
    assert inside(refusals) == [
        "there is no interface 'nowhere'",
        "5000 is not a power of two, 4096 or more",
        "64 is not a power of two, 128 or more",
        "cannot receive on interface 'right': Invalid argument",
        "3 frames from before",
        "interface 'right' is down",
        "interface 'right' is down",
        "interface 'plain' has no Ethernet header",
    ]


def leaks() -> Any:
    FrameReceiver("right", ring_bytes=1 << 20).close()
    before = belongings()
    for _ in range(20):
        with FrameReceiver("right", ring_bytes=1 << 20) as receiver:
            FrameSender("left", batch=2, stride_bytes=64).send(2, 60)
            receiver.receive(0.1)
        receiver.close()
    with contextlib.suppress(LinkError):
        FrameReceiver("right", b"\0" * 8, ring_bytes=4096)
    with FrameReceiver("right", ring_bytes=1 << 20) as receiver:
        FrameSender("left", batch=2, stride_bytes=64).send(2, 60)
        batch = receiver.receive(0.1)
    still = int(batch.frames[:, :60].sum()), belongings()["shared maps"]
    del batch
    return [before, belongings(), still]


def test_closing_gives_everything_back_and_never_pulls_memory_away() -> None:
    before, after, still = inside(leaks)
    assert after == before
    assert still == [0, before["shared maps"] + 1]


def unprivileged() -> str:
    sending.drop_privileges()
    try:
        FrameReceiver("right")
    except PrivilegeError as error:
        return str(error)
    return "no error"


def test_without_privilege() -> None:
    assert "CAP_NET_RAW" in inside(unprivileged)
