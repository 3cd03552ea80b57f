"""Batches, recordings and single packets: nothing is lost or changed on the way between them."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import numpy as np
from numpy.typing import NDArray

from rawscan.errors import LinkError
from rawscan.model import Frame, IPAddress
from rawscan.net.link import Batched, Block, RecordingLink, Stop, block_of
from rawscan.targets import TargetSet
from rawscan.wire.addresses import Addresses

TARGETS = Addresses.of([ip_address(f"10.0.0.{n}") for n in (5, 6, 7)])


def frame(data: bytes, original_bytes: int = 0) -> Frame:
    return Frame(1.5, data, 101, original_bytes or len(data))


class FakePackets:
    """Answers with `arriving`; refuses to send to 10.0.0.6."""

    name = "fake"

    def __init__(self, arriving: Sequence[Frame] = ()) -> None:
        self.arriving = arriving
        self.calls: list[object] = []

    def send(self, packet: bytes, target: IPAddress) -> Frame:
        self.calls.append(("send", packet, str(target)))
        if str(target) == "10.0.0.6":
            raise LinkError("no way")
        return frame(packet)

    def receive(self, timeout_s: float) -> Sequence[Frame]:
        self.calls.append(("receive", timeout_s))
        return self.arriving

    def drops(self) -> int:
        return 7

    def close(self) -> None:
        self.calls.append("close")


class FakeSink:
    def __init__(self) -> None:
        self.written: list[tuple[bytes, str, float]] = []

    def write(self, frame: Frame, direction: str, /) -> None:
        self.written.append((frame.data, direction, frame.time_s))

    def flush(self) -> None:
        self.flushed = len(self.written)


def all_of(block: Block) -> NDArray[np.bool_]:
    return np.ones(len(block), np.bool_)


def fill(link: Batched | RecordingLink, *packets: bytes) -> None:
    for row, packet in zip(link.buffer, packets, strict=False):
        row[: len(packet)] = np.frombuffer(packet, np.uint8)


def test_rows_are_sent_one_by_one_and_refusals_are_told() -> None:
    inner = FakePackets()
    link = Batched(inner, rows=4)
    fill(link, b"aaaaX", b"bbbbX", b"ccccX")
    sent = link.send(3, 4, TARGETS)
    assert inner.calls == [
        ("send", b"aaaa", "10.0.0.5"),
        ("send", b"bbbb", "10.0.0.6"),
        ("send", b"cccc", "10.0.0.7"),
    ]
    assert [(index, str(error)) for index, error in sent.refused] == [(1, "no way")]
    assert sent.times_s[[0, 2]].tolist() == [1.5, 1.5]


def test_packets_become_a_block_and_come_out_again() -> None:
    frames = [frame(b"short"), frame(b"a longer one"), frame(b"cut", original_bytes=900)]
    block = block_of(frames)
    assert [block.packet(index) for index in range(3)] == frames
    assert len(block_of([])) == 0


def test_the_link_layer_is_left_out_of_a_packet() -> None:
    frames = np.frombuffer(b"ETHERNETHEADERpacket..", np.uint8).reshape(1, -1)
    lengths, times_s = np.array([20]), np.array([2.0])
    block = Block(frames, lengths, np.array([120]), times_s, offset=14)
    assert block.packet(0) == Frame(2.0, b"packet", 101, 106)


def test_what_is_sent_is_written_as_it_went_out_and_refusals_are_not() -> None:
    sink = FakeSink()
    link = RecordingLink(Batched(FakePackets()), sink, all_of)
    fill(link, b"aaaa", b"bbbb", b"cccc")
    assert len(link.send(3, 4, TARGETS).refused) == 1
    assert sink.written == [(b"aaaa", "out", 1.5), (b"cccc", "out", 1.5)]


def test_what_concerns_us_is_written_and_all_of_it_handed_on() -> None:
    arriving = [frame(b"ours"), frame(b"theirs"), frame(b"ours too")]
    inner, sink = FakePackets(arriving), FakeSink()
    link = RecordingLink(Batched(inner), sink, lambda block: block.frames[:, 0] == ord("o"))
    block = link.receive(0.25)
    assert [block.packet(index) for index in range(3)] == arriving
    assert inner.calls == [("receive", 0.25)]
    assert sink.written == [(b"ours", "in", 1.5), (b"ours too", "in", 1.5)]
    link.receive(0.0)
    assert sink.flushed == 2


class Prepared(Batched):
    """Remembers what it was asked to prepare."""

    def prepare(self, targets: TargetSet, rate_pps: float, stop: Stop) -> None:
        self.prepared = targets, rate_pps, stop


def test_the_rest_is_the_links_own() -> None:
    inner = FakePackets()
    batched = Prepared(inner)
    link = RecordingLink(batched, FakeSink(), all_of)
    asked, stop = TargetSet.parse(["10.0.0.5-7"]), bool
    link.prepare(asked, 5.0, stop)
    assert batched.prepared == (asked, 5.0, stop)
    assert (link.name, link.drops(), link.headroom) == ("fake", 7, 0)
    link.close()
    assert inner.calls == ["close"]
