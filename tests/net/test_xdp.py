"""`XdpSender` does as `FrameSender` does, and says in one line where it cannot."""

from __future__ import annotations

import mmap
import platform
import resource
from typing import Any

import numpy as np
import pytest

from rawscan.errors import LinkError
from rawscan.net import kernel
from rawscan.net.rxring import FrameReceiver
from rawscan.net.xdp import XdpSender, _Ring
from tests.net import sending
from tests.net.wire import belongings, inside

pytestmark = pytest.mark.netns


def said_by(**options: Any) -> str:
    """What refuses, or nothing."""
    try:
        XdpSender("left", **options).close()
    except LinkError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def works() -> None:
    """Skips where the kernel has no AF_XDP; `test_a_refusal_is_one_line` looks at what it says."""
    refusal = inside(said_by)
    if refusal:
        pytest.skip(refusal)


def refusals() -> list[Any]:
    """Nothing wrong, no such queue, a queue that is taken, no driver, no memory, no x86."""
    before = belongings()
    said = [said_by(), said_by(queue=99)]
    with_queue = None if said[0] else XdpSender("left")
    said.append(said_by())
    if with_queue:
        with_queue.close()
    said.append(said_by(zero_copy=True))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    said.append(said_by())
    platform.machine = lambda: "riscv64"
    said.append(said_by())
    return [said, before == belongings()]


def test_a_refusal_is_one_line() -> None:
    said, nothing_left = inside(refusals, user_namespace=True)  # only there memory is counted
    assert nothing_left
    no_kernel, no_queue, taken, no_driver, no_memory, machine = said
    assert machine == "AF_XDP relies on the memory order of x86; this machine is riscv64"
    if no_kernel:
        assert no_kernel.startswith(("no AF_XDP socket on", "AF_XDP refused on"))
        assert "\n" not in no_kernel
        return
    assert no_queue == "AF_XDP refused on interface 'left': Invalid argument"
    assert taken == "AF_XDP refused on interface 'left': Device or resource busy"
    assert no_driver == ""  # a veth cannot do zero copy alone, and copies
    assert no_memory == "AF_XDP refused on interface 'left': No buffer space available"


def test_a_stride_that_would_cross_chunks() -> None:
    for stride_bytes in (96, 4096, 0):
        with pytest.raises(ValueError, match="stride_bytes"):
            XdpSender("lo", stride_bytes=stride_bytes)


def zero_copy() -> list[Any]:
    receiver = FrameReceiver("right", ring_bytes=1 << 16)
    with_wish = XdpSender("left", zero_copy=True, batch=8)
    sent = with_wish.send(8, 60)
    return [with_wish.zero_copy, sent, len(receiver.receive(0.5))]


@pytest.mark.usefixtures("works")
def test_zero_copy_that_the_driver_has_not_is_copy() -> None:
    assert inside(zero_copy) == [False, 8, 8]


def test_counters_go_round_after_four_thousand_million_entries() -> None:
    shared = mmap.mmap(-1, 4096)
    words = np.frombuffer(shared, np.uint32)
    offsets = kernel.RingOffset(producer=0, consumer=64, entries=256, flags=128)
    ring = _Ring(shared, offsets, 8, np.dtype([("address", np.uint64)]))
    words[[0, 16]] = 0xFFFFFFFD  # as after that many
    ring.entries["address"] = range(8)
    assert ring.produced == ring.consumed == 0xFFFFFFFD
    ring.publish(5)
    assert words[0] == 2
    assert ring.produced == 0x1_0000_0002
    assert ring.take()["address"].tolist() == [5, 6, 7, 0, 1]
    assert words[16] == 2
    assert ring.produced == ring.consumed == 0x1_0000_0002
    del words
    ring.close()
    assert shared.closed


@pytest.mark.usefixtures("works")
def test_every_frame_arrives_once_and_unmodified() -> None:
    report = inside(sending.exactly_once, "xdp", 100_000, 500)
    assert report == {"sent": 100_000, "once": 100_000, "more": 0, "wrong": 0, "drops": 0}


@pytest.mark.usefixtures("works")
def test_an_ordinary_user_may_in_a_namespace_of_their_own() -> None:
    report = inside(sending.exactly_once, "xdp", 2_000, 500, user_namespace=True)
    assert report == {"sent": 2_000, "once": 2_000, "more": 0, "wrong": 0, "drops": 0}


@pytest.mark.usefixtures("works")
def test_one_length_and_the_rows_asked_for() -> None:
    report = inside(sending.one_length, "xdp")
    assert report == {"sent": [10, 0], "rows": list(range(5, 15)), "lengths": [60]}


def xdp_lane(patience_s: float) -> object:
    """Through a macvlan, since AF_XDP passes by the queue of the interface that it is bound to."""
    return sending.slow_lane("xdp", "over", 10_000_000, patience_s)


@pytest.mark.usefixtures("works")
def test_memory_is_not_used_again_before_the_frames_have_left() -> None:
    report = inside(xdp_lane, 2.0)
    assert report["sent"] == report["came"] == [200] * 4
    assert report["wrong"] == 0


@pytest.mark.usefixtures("works")
def test_a_queue_that_stays_full_ends_in_a_true_count_and_what_was_withdrawn_never_leaves() -> None:
    report = inside(xdp_lane, 0.0)
    assert any(0 < sent < 200 for sent in report["sent"])
    assert report["sent"][3] > 0
    assert report["came"] == report["sent"]
    assert report["in order"]
    assert report["wrong"] == report["more"] == 0
    assert report["s"] < 1


def three_batches() -> list[int]:
    """Through a queue that lets ten frames out and then all but stands still."""
    sending.narrow("over", "1kbit", 10_000_000)
    sender = XdpSender("over", batch=20, stride_bytes=256, patience_s=0)
    return [sender.send(20, 190) for _ in range(3)]


@pytest.mark.usefixtures("works")
def test_a_third_batch_waits_until_the_first_has_left() -> None:
    assert inside(three_batches) == [20, 20, 0]  # there is memory for two


@pytest.mark.usefixtures("works")
def test_patience_has_an_end() -> None:
    sent, elapsed_s = inside(sending.stuck, "xdp", "over", 10_000_000)
    assert 0 < sent < 400
    assert 0.2 <= elapsed_s < 2


@pytest.mark.usefixtures("works")
def test_what_is_said_when_the_interface_will_not() -> None:
    said = inside(sending.refusals, "xdp")
    assert said == [
        "there is no interface 'nowhere'",
        "interface 'left' is down",
        "cannot send on interface 'left': Network is down",
        "[1, 1, 1] sent, came: [1, 2, 3]",
        "cannot send on interface 'left': No such device or address",
    ]


@pytest.mark.usefixtures("works")
def test_closing_gives_everything_back() -> None:
    before, after = inside(sending.leaks, "xdp")
    assert after == before


@pytest.mark.usefixtures("works")
def test_without_privilege() -> None:
    assert "CAP_NET_RAW" in inside(sending.without_privilege, "xdp")


@pytest.mark.usefixtures("works")
def test_nothing_beyond_the_buffer_is_sent() -> None:
    said = inside(sending.bad_rows, "xdp")
    assert said[:4] == [
        "rows 0 to 9 of 8",
        "rows 8 to 9 of 8",
        "rows 0 to -1 of 8",
        "rows -1 to 0 of 8",
    ]
    assert said[4:] == ["frames are 1 to 64 bytes long"] * 4
