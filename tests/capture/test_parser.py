"""After damage: what was lost is named, and reading goes on where records follow each other."""

from __future__ import annotations

import random
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawscan.analysis import analyse
from rawscan.capture.batch import Chosen
from rawscan.capture.reader import CaptureReader
from rawscan.model import Frame
from rawscan.ports import parse_ports
from tests.capture import forge
from tests.capture.forged import S, opened
from tests.tape import SCANNER, TARGET

FORMATS = pytest.mark.parametrize("form", ["pcap<", "pcap>", "pcapng<", "pcapng>"])

MARK = 0xA500_0000
"""No number that stands in the wrong place looks like a sensible length."""


def records(form: str, count: int, first: int = 0) -> list[bytes]:
    """Packets that tell their number."""
    order = form[-1]
    bodies = [b"\x45" + (MARK + number).to_bytes(4, "big") + b"\xee" * (number % 50) for number in
              range(first, first + count)]  # fmt: skip
    if form.startswith("pcapng"):
        return [forge.enhanced(order, (S + n) * 10**6, body) for n, body in enumerate(bodies)]
    return [forge.record(order, S + n, 7, body) for n, body in enumerate(bodies)]


def head(form: str) -> bytes:
    order = form[-1]
    if form.startswith("pcapng"):
        return forge.section(order) + forge.interface(order, linktype=101)
    return forge.pcap_header(order, network=101)


def numbers(frames: list[Frame]) -> list[int]:
    return [int.from_bytes(frame.data[1:5], "big") - MARK for frame in frames]


class Everything:
    """A sieve without a bottom."""

    def __call__(
        self, data: bytearray, at: Any, captured: Any, linktype: int
    ) -> tuple[Any, Counter[str]]:
        return np.arange(len(at)), Counter()

    def notes(self) -> bytes:
        return b""

    def add_notes(self, notes: bytes) -> None: ...


def sifted(reader: CaptureReader) -> list[Frame]:
    """The same by way of arrays."""
    parts: list[Chosen] = list(reader.chosen(Everything()))
    return [frame for part in parts for _, frame in part.frames]


def absurd(form: str) -> bytes:
    """A record that claims to be 4 GB long."""
    if form.startswith("pcapng"):
        return struct.pack(f"{form[-1]}III", 6, 0xFFFF_FFF0, 0) + b"\x99" * 30
    return struct.pack(f"{form[-1]}IIII", S, 0, 0xFFFF_FFF0, 0xFFFF_FFF0) + b"\x99" * 30


@FORMATS
def test_reading_goes_on_after_absurd_lengths(form: str) -> None:
    front = head(form) + b"".join(records(form, 9))
    bad = absurd(form)
    data = front + bad + b"".join(records(form, 9, 100))
    for read in (list, sifted):
        reader = opened(data)
        assert numbers(read(reader)) == [*range(9), *range(100, 109)]
        assert reader.error is not None
        assert f"damaged at byte {len(front)}: " in str(reader.error)
        assert str(reader.error).endswith(f"; resynchronised at byte {len(front + bad)}")
        assert (reader.error.offset, reader.truncated) == (len(front), False)


@FORMATS
def test_a_hole_in_the_file(form: str) -> None:
    """Some bytes are missing: a record goes on into others. Two of these are lost, at most."""
    whole = records(form, 40)
    at = len(head(form)) + sum(map(len, whole[:15])) + 20
    data = head(form) + b"".join(whole)
    for read in (list, sifted):
        reader = opened(data[:at] + data[at + 9 :])
        found = numbers(read(reader))
        assert found[:15] == [*range(15)]
        assert found[-20:] == [*range(20, 40)]
        assert "resynchronised at byte" in str(reader.error)


@FORMATS
def test_damage_again_and_again(form: str) -> None:
    parts = [b"".join(records(form, 5, number * 5)) for number in range(8)]
    reader = opened(head(form) + absurd(form).join(parts))
    assert numbers(list(reader)) == [*range(40)]
    error = str(reader.error)
    assert error.count("damaged at byte") == 4
    assert "3 more of that kind" in error


@FORMATS
def test_nothing_behind_the_damage_is_no_place_to_go_on(form: str) -> None:
    front = head(form) + b"".join(records(form, 3))
    reader = opened(front + absurd(form) + random.Random(1).randbytes(5000))
    assert numbers(list(reader)) == [0, 1, 2]
    assert "resynchronised" not in str(reader.error)
    assert reader.error is not None
    assert reader.error.offset == len(front)


def test_a_packet_of_an_interface_that_nobody_described_is_passed_over() -> None:
    stray = forge.enhanced("<", 0, b"stray", number=7)
    front = head("pcapng<") + b"".join(records("pcapng<", 2))
    reader = opened(front + stray + b"".join(records("pcapng<", 3, 50)))
    assert numbers(list(reader)) == [0, 1, 50, 51, 52]
    assert str(reader.error).endswith(f"resynchronised at byte {len(front + stray)}")


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8),
       st.sampled_from(["pcap<", "pcap>", "pcapng<", "pcapng>"]))  # fmt: skip
def test_both_ways_lose_the_same(flips: list[tuple[int, int]], form: str) -> None:
    data = bytearray(head(form) + b"".join(records(form, 60)))
    start = len(head(form))
    for place, value in flips:
        data[start + place % (len(data) - start)] = value
    slow, fast = opened(bytes(data)), opened(bytes(data))
    assert list(slow) == sifted(fast)
    assert (slow.packets, slow.bytes, str(slow.error)) == (
        fast.packets,
        fast.bytes,
        str(fast.error),
    )


def test_empty_blocks_without_end_are_passed_over() -> None:
    data = head("pcapng<") + forge.block("<", 0xBAD, b"") * 100_000 + records("pcapng<", 1)[0]
    reader = opened(data)
    assert numbers(sifted(reader)) == [0]
    assert reader.error is None


def test_results_stand_and_the_exit_is_told(tmp_path: Path) -> None:
    """Time goes backwards, and there is damage between a probe and its answer."""
    from rawscan.wire import replies
    from tests.tape import Tape

    tape = Tape()
    probe = tape.probe(0)
    rest = [forge.record("<", S - n, 0, replies.rst(probe)) for n in range(3)]
    path = tmp_path / "bad.pcap"
    first = forge.record("<", S - 9, 0, probe)
    path.write_bytes(forge.pcap_header(network=101) + first + absurd("pcap<") + b"".join(rest))
    found = analyse(path, parse_ports("561"))
    assert (found.packets, found.first_s, found.last_s) == (4, S - 9, S)
    assert found.error is not None
    assert found.error_offset == 24 + len(first)
    (finding,) = found.findings
    assert (finding.source, finding.verdict.port.target) == (SCANNER, TARGET)
    assert finding.verdict.state.value == "closed"
