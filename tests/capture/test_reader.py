"""The capture reader against forged files: every form it reads, from files, pipes and gzip."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from rawscan.capture.reader import open_capture
from rawscan.model import Frame
from tests.capture import forge
from tests.capture.forged import (
    DATA,
    FORGED,
    LATER,
    NOTE,
    S,
    frames_of,
    opened,
    pcap_parts,
    pcapng_parts,
)

ORDERS = pytest.mark.parametrize("order", ["<", ">"])


@ORDERS
@pytest.mark.parametrize(("ns", "ticks"), [(False, 10**6), (True, 10**9)])
def test_pcap(order: str, ns: bool, ticks: int) -> None:
    reader = opened(b"".join(pcap_parts(order, ns)))
    assert list(reader) == [
        Frame(((S + i) * ticks + i * 1001) / ticks, data, 1, len(data))
        for i, data in enumerate(DATA)
    ]
    assert (reader.format, reader.linktypes, reader.notes) == ("pcap", [1], [])
    assert (reader.packets, reader.bytes) == (4, 64)
    assert (reader.truncated, reader.error) == (False, None)


@ORDERS
def test_pcap_lengths_on_the_wire(order: str) -> None:
    # Some programs write an original length of 0; a frame is never longer than itself.
    records = forge.record(order, S, 0, b"abc", 1500) + forge.record(order, S, 0, b"abc", 0)
    reader = opened(forge.pcap_header(order) + records)
    assert [frame.original_bytes for frame in reader] == [1500, 3]
    assert reader.bytes == 1503


def test_pcap_linktype_without_what_stands_above_it() -> None:
    assert opened(forge.pcap_header(network=0x5400_0093)).linktypes == [0x93]
    assert opened(forge.pcap_header(network=0x0224_0001)).linktypes == [0x0224_0001]


@ORDERS
def test_pcapng(order: str) -> None:
    reader = opened(b"".join(pcapng_parts(order)))
    assert list(reader) == [
        Frame((S * 10**9 + 5) / 10**9, DATA[1], 1, 1),
        Frame(0.0, DATA[3][:50], 1, 60),
        Frame(float(S), DATA[2], 1, 3),
        Frame(float(S), DATA[3], 101, 60),
    ]
    assert (reader.format, reader.linktypes) == ("pcapng", [1, 101])
    assert reader.notes == [NOTE, None]
    assert (reader.packets, reader.bytes) == (4, 124)
    assert (reader.truncated, reader.error) == (False, None)


@ORDERS
def test_drops_are_read_from_sections_with_a_note_alone(order: str) -> None:
    fields = [(1, b"a comment"), (4, bytes(8)), (5, struct.pack(f"{order}Q", 7))]
    parts = forge.interface(order) + forge.statistics(order, 5_000_000, *fields)
    parts += forge.statistics(order, 6_000_000) + forge.statistics(order, 7_000_000, (5, b"short"))
    reader = opened(
        forge.section(order, (1, NOTE.to_bytes())) + parts + forge.section(order) + parts
    )
    assert list(reader) == []
    assert reader.drops == [(5.0, 7)]
    assert reader.error is None


def test_the_first_comment_that_is_a_note_counts() -> None:
    reader = opened(
        forge.section("<", (1, b"foreign"), (1, NOTE.to_bytes()), (1, LATER.to_bytes()))
    )
    assert list(reader) == []
    assert reader.notes == [NOTE]


@ORDERS
@pytest.mark.parametrize(
    ("options", "ticks", "time_s"),
    [
        ([], 1_500_000, 1.5),
        ([(9, b"\x00")], 7, 7.0),
        ([(9, b"\x03")], 1500, 1.5),
        ([(9, b"\x09")], S * 10**9 + 123456789, S + 0.123456789),
        ([(9, b"\x81")], 3, 1.5),
        ([(9, b"\x8a")], 3 << 9, 1.5),
        ([(9, b"\xff")], 2**63, 2.0**-64),
        ([(9, b"\x7f")], 10**18, 1e-109),
        ([(14, 100)], 1_500_000, 101.5),
        ([(9, b"\x03"), (14, S)], 500, S + 0.5),
        ([(14, -1)], 1_500_000, 0.5),
        ([(0, b""), (9, b"\x09")], 1_500_000, 1.5),
        # No calendar has these.
        ([(14, -2)], 1_500_000, 0.0),
        ([(9, b"\x00")], 2**64 - 1, 0.0),
    ],
)
def test_pcapng_time(
    order: str, options: list[tuple[int, bytes | int]], ticks: int, time_s: float
) -> None:
    packed = [
        (code, struct.pack(f"{order}q", value) if isinstance(value, int) else value)
        for code, value in options
    ]
    blocks = forge.interface(order, *packed) + forge.enhanced(order, ticks, b"x")
    (frame,) = frames_of(forge.section(order) + blocks)
    assert frame.time_s == time_s


@ORDERS
def test_each_packet_belongs_to_its_interface(order: str) -> None:
    links = [1, 113, 1, 101]
    data = forge.section(order) + b"".join(forge.interface(order, linktype=x) for x in links)
    for number in (3, 1, 0):
        data += forge.enhanced(order, 0, b"x", number=number)
    reader = opened(data + forge.obsolete(order, 0, b"y", number=1))
    assert [frame.linktype for frame in reader] == [101, 113, 1, 113]
    assert reader.linktypes == [1, 113, 101]


def test_a_new_section_forgets_the_interfaces_of_the_last() -> None:
    data = b"".join(pcapng_parts("<")[:3]) + forge.section("<") + forge.enhanced("<", 0, b"x")
    reader = opened(data)
    assert len(list(reader)) == 1
    assert "a packet of interface 0, but 0 are described" in str(reader.error)


@pytest.mark.parametrize(("snaplen", "kept"), [(0, 6), (4, 4), (9, 6)])
def test_a_simple_packet_is_as_long_as_snaplen_lets_it(snaplen: int, kept: int) -> None:
    head = forge.section("<") + forge.interface("<", snaplen=snaplen)
    (frame,) = frames_of(head + forge.simple("<", b"abcdef"[:kept], original=6))
    assert (frame.data, frame.original_bytes) == (b"abcdef"[:kept], 6)


class Dribble(io.RawIOBase):
    """A stream that gives one byte at a time and cannot seek, as a slow pipe."""

    def __init__(self, data: bytes) -> None:
        self.rest = iter(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        for byte in self.rest:
            buffer[0] = byte
            return 1
        return 0


@pytest.mark.parametrize("name", FORGED)
def test_byte_by_byte(name: str) -> None:
    whole = b"".join(FORGED[name])
    for data in (whole, gzip.compress(whole)):
        reader = open_capture(Dribble(data))  # type: ignore[arg-type]
        assert list(reader) == frames_of(whole)
        assert reader.error is None


def test_packets_come_out_of_a_pipe_while_it_is_open() -> None:
    parts = pcap_parts("<", ns=False)
    outlet, inlet = os.pipe()
    with open(outlet, "rb") as stream, open(inlet, "wb", buffering=0) as live:  # noqa: PTH123
        live.write(parts[0] + parts[1])
        with open_capture(stream) as reader:
            assert next(iter(reader)).data == DATA[0]
            live.write(parts[2])
            assert next(iter(reader)).data == DATA[1]
        assert not stream.closed, "only its owner closes a stream"


def test_a_gzip_of_several_members_is_one_file() -> None:
    whole = b"".join(FORGED["pcapng<"])
    packed = gzip.compress(whole[:100]) + gzip.compress(whole[100:])
    assert frames_of(packed) == frames_of(whole)


def test_memory_stays_flat() -> None:
    record = forge.record("<", S, 0, bytes(1400))
    section = forge.section("<") + forge.interface("<")

    class Endless(io.RawIOBase):
        def __init__(self, head: bytes, body: bytes) -> None:
            self.pieces = self.cut(head, body)

        def cut(self, head: bytes, body: bytes) -> Iterator[bytes]:
            yield head
            for _ in range(64):
                yield body * (2**20 // len(body))

        def read(self, size: int = -1) -> bytes:
            return next(self.pieces, b"")

    for head, body in [
        (forge.pcap_header(), record),
        (section, forge.enhanced("<", 0, bytes(1400))),
        (section, forge.enhanced("<", 0, b"") + forge.block("<", 0xBAD, bytes(1400))),
    ]:
        tracemalloc.start()
        reader = open_capture(Endless(head, body))  # type: ignore[arg-type]
        for _ in reader:
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert reader.packets == 64 * (2**20 // len(body))
        assert peak < 8 << 20, "64 MiB went through"


def test_a_second_loop_goes_on_and_closing_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(b"".join(FORGED["pcap<us"]))
    reader = open_capture(path)
    for frame in reader:
        assert frame.data == DATA[0]
        break
    assert [frame.data for frame in reader] == DATA[1:]
    assert reader.packets == 4
    reader.close()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with open_capture(path) as reader:
        next(iter(reader))
        assert len(os.listdir("/proc/self/fd")) == before + 1  # noqa: PTH208
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert list(reader) == []
