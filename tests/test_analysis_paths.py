"""Two ways through a capture, one story: frame by frame, and sifted in arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rawscan.analysis import analyse
from rawscan.capture import reader
from rawscan.capture.batch import Chosen, Frames, Sift, Tally
from rawscan.capture.reader import CaptureReader
from rawscan.findings import Analysis
from rawscan.ports import parse_ports
from rawscan.wire.sieve import PortCheck, Sieve
from tests.test_analysis import ROWS, SHARED

OWN = Path(__file__).parents[1] / "captures"


def one_by_one(self: CaptureReader, sift: Sift, jobs: int = 1) -> Iterator[Chosen]:
    """Every frame alone, and none left out: what `CaptureReader.chosen` must come down to."""
    for frame in self:
        tally = Tally(1, frame.original_bytes)
        tally.note_time(frame.time_s)
        one = Frames(
            numbers=np.array([self.packets]),
            time_s=np.array([frame.time_s]),
            linktype=np.array([frame.linktype]),
            original=np.array([frame.original_bytes]),
            ends=np.array([len(frame.data)]),
            data=frame.data,
        )
        yield Chosen(tally, one)


def both(path: Path, ports: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Analysis, Analysis]:
    spec = parse_ports(ports)
    sifted = analyse(path, spec, silence_wait_s=0.01)
    with monkeypatch.context() as patch:
        patch.setattr(reader.CaptureReader, "chosen", one_by_one)
        return sifted, analyse(path, spec, silence_wait_s=0.01)


FILES = sorted({SHARED / row["path"] for row in ROWS}) + sorted(OWN.glob("*/capture.*"))
PORTS = ("561", "80,443", "U:53,4789", "1-65535")


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_every_capture(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for ports in PORTS:
        sifted, slow = both(path, ports, monkeypatch)
        assert sifted == slow


def test_a_capture_that_has_one_of_everything_left_something_out() -> None:
    """Else the comparison would be of nothing."""
    seen = Counter[str]()
    for path in FILES:
        with reader.open_capture(path) as capture:
            for chosen in capture.chosen(Sieve(PortCheck(parse_ports("561")))):
                seen["all"] += chosen.tally.packets
                seen["kept"] += len(chosen.frames)
    assert 0 < seen["kept"] < seen["all"] * 0.7
