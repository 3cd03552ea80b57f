"""`FrameSender` puts every frame on the wire once, as it is, and says truly how many."""

from __future__ import annotations

import pytest

from rawscan.net.framesender import FrameSender
from rawscan.net.rxring import FrameReceiver
from tests.net import sending
from tests.net.wire import inside

pytestmark = pytest.mark.netns


def test_every_frame_arrives_once_and_unmodified() -> None:
    report = inside(sending.exactly_once, "packet", 100_000, 500)
    assert report == {"sent": 100_000, "once": 100_000, "more": 0, "wrong": 0, "drops": 0}


def test_an_ordinary_user_may_in_a_namespace_of_their_own() -> None:
    report = inside(sending.exactly_once, "packet", 2_000, 500, user_namespace=True)
    assert report == {"sent": 2_000, "once": 2_000, "more": 0, "wrong": 0, "drops": 0}


def past_the_queue() -> object:
    """A queue that holds everything back, and a sender that passes by it."""
    sending.narrow("left", "1kbit", 10_000_000)
    with FrameReceiver("right", ring_bytes=1 << 16) as receiver:
        sender = FrameSender("left", batch=200, stride_bytes=64, bypass_qdisc=True)
        return [sender.send(200, 60), len(receiver.receive(0.2))]


def test_traffic_control_can_be_passed_by() -> None:
    assert inside(past_the_queue) == [200, 200]


def test_batches_larger_than_one_system_call_takes() -> None:
    report = inside(sending.exactly_once, "packet", 9_000, 3_000, 2 << 20)  # UIO_MAXIOV is 1,024
    assert report == {"sent": 9_000, "once": 9_000, "more": 0, "wrong": 0, "drops": 0}


def test_one_length_and_the_rows_asked_for() -> None:
    report = inside(sending.one_length, "packet")
    assert report == {"sent": [10, 0], "rows": list(range(5, 15)), "lengths": [60]}


def packet_lane(limit: int, patience_s: float) -> object:
    return sending.slow_lane("packet", "left", limit, patience_s)


@pytest.mark.parametrize("limit", [5_000, 10_000_000], ids=["ENOBUFS", "EAGAIN"])
def test_a_full_queue_is_waited_for(limit: int) -> None:
    report = inside(packet_lane, limit, 2.0)
    assert report["sent"] == report["came"] == [200] * 4
    assert report["wrong"] == 0
    assert report["busy"] < 0.5  # waited, not asked again and again


@pytest.mark.parametrize("limit", [5_000, 10_000_000], ids=["ENOBUFS", "EAGAIN"])
def test_a_queue_that_stays_full_ends_in_a_true_count(limit: int) -> None:
    report = inside(packet_lane, limit, 0.0)
    assert any(0 < sent < 200 for sent in report["sent"])
    assert report["sent"][3] > 0
    assert report["came"] == report["sent"]
    assert report["in order"]
    assert report["wrong"] == report["more"] == 0
    assert report["s"] < 1


def packet_stuck(limit: int) -> object:
    return sending.stuck("packet", "left", limit)


@pytest.mark.parametrize("limit", [5_000, 10_000_000], ids=["ENOBUFS", "EAGAIN"])
def test_patience_has_an_end(limit: int) -> None:
    sent, elapsed_s = inside(packet_stuck, limit)
    assert 0 < sent < 400
    assert 0.2 <= elapsed_s < 2


def test_a_refusal_in_the_middle() -> None:
    assert inside(sending.refused_in_the_middle) == [
        2,
        "cannot send on interface 'left': Message too long",
        [1, 2],
    ]


def test_what_is_said_when_the_interface_will_not() -> None:
    said = inside(sending.refusals, "packet")
    assert said == [
        "there is no interface 'nowhere'",
        "interface 'left' is down",
        "cannot send on interface 'left': Network is down",
        "[1, 1, 1] sent, came: [1, 2, 3]",
        "cannot send on interface 'left': No such device or address",
    ]


def test_closing_gives_everything_back() -> None:
    before, after = inside(sending.leaks, "packet")
    assert after == before


def test_without_privilege() -> None:
    assert "CAP_NET_RAW" in inside(sending.without_privilege, "packet")


def test_nothing_beyond_the_buffer_is_sent() -> None:
    said = inside(sending.bad_rows, "packet")
    assert said[:4] == [
        "rows 0 to 9 of 8",
        "rows 8 to 9 of 8",
        "rows 0 to -1 of 8",
        "rows -1 to 0 of 8",
    ]
    assert said[4:] == ["frames are 1 to 64 bytes long"] * 4
