"""Batches: the same frames and times, many at once; a tally of them all, copies of the chosen."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from rawscan.capture.batch import Frames, Tally
from tests.capture import forge
from tests.capture.forged import FORGED, S, frames_of, opened
from tests.capture.test_parser import Everything, sifted


@pytest.mark.parametrize("name", FORGED)
def test_batches_hold_what_a_loop_gives(name: str) -> None:
    data = b"".join(FORGED[name])
    reader = opened(data)
    assert sifted(reader) == frames_of(data)
    assert reader.error is None


TIMES = [
    (b"\x06", [], [5_000_000, 3_000_001, 4_000_000]),
    (b"\x09", [], [S * 10**9 + 5, S * 10**9 + 4, S * 10**9 + 999]),
    (b"\x8a", [], [7, 9, 8]),
    (b"\x06", [(14, (-4).to_bytes(8, "little", signed=True))], [3_999_999, 5_000_000, 9_000_000]),
    (b"\x06", [], [0, 2_000_000]),
    (b"\x00", [], [2**64 - 1, 2**63]),
]


@pytest.mark.parametrize(("resolution", "options", "ticks"), TIMES)
def test_the_span_is_that_of_the_times(
    resolution: bytes, options: list[tuple[int, bytes]], ticks: list[int]
) -> None:
    head = forge.section("<") + forge.interface("<", (9, resolution), *options)
    data = head + b"".join(forge.enhanced("<", tick, b"x") for tick in ticks)
    times = [frame.time_s for frame in frames_of(data) if frame.time_s]
    tally = Tally()
    for chosen in opened(data).chosen(Everything()):
        tally.add(chosen.tally)
    expected = (min(times), max(times)) if times else (None, None)
    assert (tally.first_s, tally.last_s) == expected


@pytest.mark.parametrize("records", [
    [(5, 10), (3, 999_999), (4, 0), (3, 7)],
    [(5, 10), (5, 4_000_000_000), (90, 0)],  # a fraction that is none
    [(0, 0), (0, 5)],
    [(0, 0)],
])  # fmt: skip
def test_the_span_of_records(records: list[tuple[int, int]]) -> None:
    data = forge.pcap_header("<") + b"".join(forge.record("<", s, f, b"x") for s, f in records)
    (chosen,) = opened(data).chosen(Everything())
    times = [s + f / 10**6 for s, f in records if s or f]
    expected = (min(times), max(times)) if times else (None, None)
    assert (chosen.tally.first_s, chosen.tally.last_s) == expected


class Odd(Everything):
    """Lets every second frame of Ethernet through, and calls the others names."""

    def __call__(
        self, data: bytearray, at: Any, captured: Any, linktype: int
    ) -> tuple[Any, Counter[str]]:
        rows = np.arange(0, len(at), 2) if linktype == 1 else np.arange(len(at))
        return rows, Counter({"left out": len(at) - len(rows)})


def test_of_several_link_types_the_order_of_the_file_is_kept() -> None:
    head = forge.section("<") + forge.interface("<") + forge.interface("<", linktype=101)
    numbers = [0, 1, 0, 0, 1, 0]
    data = head + b"".join(
        forge.enhanced("<", n, bytes([n]), number=number) for n, number in enumerate(numbers)
    )
    (chosen,) = opened(data).chosen(Odd())
    found = [(number, frame.data[0], frame.linktype) for number, frame in chosen.frames]
    assert found == [(1, 0, 1), (2, 1, 101), (4, 3, 1), (5, 4, 101)]
    assert (chosen.tally.packets, chosen.tally.undecoded) == (6, Counter({"left out": 2}))


def test_frames_are_joined_and_numbered_on() -> None:
    data = forge.pcap_header() + b"".join(forge.record("<", S, n, bytes(n + 1)) for n in range(3))
    (chosen,) = opened(data).chosen(Everything())
    joined = Frames.joined([Frames.none(), chosen.frames, chosen.frames.after(3)])
    assert [number for number, _ in joined] == [1, 2, 3, 4, 5, 6]
    assert [len(frame.data) for _, frame in joined] == [1, 2, 3, 1, 2, 3]
    assert not list(Frames.none())
