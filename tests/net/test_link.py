"""`RecordingLink`: what passes through it is what a recording holds, and nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from rawscan.errors import LinkError
from rawscan.model import Frame, IPAddress
from rawscan.net.link import RecordingLink

TARGET = ip_address("10.0.0.5")


def frame(data: bytes) -> Frame:
    return Frame(1.5, data, 101, len(data))


class FakeLink:
    """Answers with `arriving`; refuses to send what is empty."""

    name = "fake"

    def __init__(self, arriving: Sequence[Frame] = ()) -> None:
        self.arriving = arriving
        self.calls: list[object] = []

    def send(self, packet: bytes, target: IPAddress) -> Frame:
        self.calls.append(("send", packet, target))
        if not packet:
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
        self.written: list[tuple[Frame, str]] = []

    def write(self, frame: Frame, direction: str, /) -> None:
        self.written.append((frame, direction))


def test_what_is_sent_is_written_as_it_went_out() -> None:
    inner, sink = FakeLink(), FakeSink()
    link = RecordingLink(inner, sink, lambda _: False)
    assert link.send(b"probe", TARGET) == frame(b"probe")
    assert inner.calls == [("send", b"probe", TARGET)]
    assert sink.written == [(frame(b"probe"), "out")]


def test_what_could_not_be_sent_is_not_written() -> None:
    sink = FakeSink()
    with pytest.raises(LinkError, match="no way"):
        RecordingLink(FakeLink(), sink, lambda _: True).send(b"", TARGET)
    assert sink.written == []


def test_what_concerns_us_is_written_and_all_of_it_handed_on() -> None:
    arriving = [frame(b"ours"), frame(b"theirs"), frame(b"ours too")]
    inner, sink = FakeLink(arriving), FakeSink()
    link = RecordingLink(inner, sink, lambda each: each.data.startswith(b"ours"))
    assert link.receive(0.25) == arriving
    assert inner.calls == [("receive", 0.25)]
    assert sink.written == [(arriving[0], "in"), (arriving[2], "in")]


def test_the_rest_is_the_links_own() -> None:
    inner = FakeLink()
    link = RecordingLink(inner, FakeSink(), lambda _: True)
    assert (link.name, link.drops()) == ("fake", 7)
    link.close()
    assert inner.calls == ["close"]
