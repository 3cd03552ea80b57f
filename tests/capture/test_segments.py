"""Several processes read one file, and find what one finds: nothing twice, nothing lost."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rawscan.analysis import analyse
from rawscan.capture import segments
from rawscan.capture.batch import Batch, Chosen, Sift, choose
from rawscan.capture.reader import open_capture
from rawscan.findings import Analysis
from rawscan.model import Frame
from rawscan.ports import parse_ports
from rawscan.wire.sieve import PortCheck, Sieve
from tests.capture import forge
from tests.capture.forged import NOTE, S
from tests.tape import Tape
from tests.wire.test_sieve import ethernet, ipv4, ports

P561 = parse_ports("561")


def traffic(count: int) -> list[bytes]:
    """Frames of sizes that never repeat in step, some of port 561."""
    frames = []
    for number in range(count):
        port = 561 if number % 17 == 0 else 443
        body = ports(40000 + number % 999, port) + bytes(number * 7919 % 1400)
        frames.append(ethernet(0x0800, ipv4(6, body)))
    return frames


def pcap(frames: list[bytes], order: str = "<") -> bytes:
    packets = [forge.record(order, S + n // 9, n % 9, data) for n, data in enumerate(frames)]
    return forge.pcap_header(order, network=1) + b"".join(packets)


def pcapng(frames: list[bytes], order: str = "<", middle: bytes = b"") -> bytes:
    packets = [forge.enhanced(order, (S + n) * 10**6, data) for n, data in enumerate(frames)]
    packets[len(packets) // 2 : len(packets) // 2] = [middle]
    return forge.section(order) + forge.interface(order) + b"".join(packets)


FRAMES = traffic(1500)
OTHER_SECTION = forge.section(">") + forge.interface(">", linktype=101)
FILES: dict[str, Callable[[], bytes]] = {
    "pcap": lambda: pcap(FRAMES),
    "pcap, the other byte order": lambda: pcap(FRAMES, ">"),
    "pcapng": lambda: pcapng(FRAMES),
    "pcapng, the other byte order": lambda: pcapng(FRAMES, ">"),
    "an interface more": lambda: pcapng(FRAMES, middle=forge.interface("<", linktype=113)),
    "cut short": lambda: pcap(FRAMES)[:-9],
    "damaged": lambda: pcap(FRAMES[:700]) + b"\xff" * 99 + pcap(FRAMES[700:])[24:],
    "one packet as long as three segments": lambda: pcap(
        [*FRAMES[:300], bytes(12) + b"\x08\0" + bytes(100_000), *FRAMES[300:]]
    ),
    "zeros": lambda: pcap([ethernet(0x0800, ipv4(17, ports(1, 2) + bytes(1400)))] * 900),
    "captures in packets": lambda: pcap(
        [*FRAMES[:600], ethernet(0x0800, ipv4(6, ports(1, 2) + pcap(FRAMES[:80]))), *FRAMES[600:]]
    ),
}


def found(path: Path, jobs: int) -> Analysis:
    return replace(analyse(path, P561, silence_wait_s=1, jobs=jobs), path="")


@pytest.mark.parametrize("name", FILES)
def test_they_find_what_one_finds(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(FILES[name]())
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 33_333)
    alone = found(path, 1)
    assert alone.packets > 800
    for jobs in (2, 5):
        assert found(path, jobs) == alone
    assert not children()


def children() -> str:
    """The processes that this one has still to wait for."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


def test_segments_are_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would show only that one process can read a file."""
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap(FRAMES))
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 33_333)
    here: list[object] = []

    def noted(*arguments: Any) -> Chosen:
        here.append(arguments)
        return choose(*arguments)

    monkeypatch.setattr(segments, "choose", noted)
    assert found(path, 2).packets == len(FRAMES)
    assert not here, "this process only puts together"


def test_a_process_that_dies_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap(FRAMES))
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 33_333)
    whole = found(path, 1)
    monkeypatch.setattr(segments, "_segment", lambda *_: os._exit(9))
    assert found(path, 2) == whole


def test_stopping_ends_the_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap(FRAMES))
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 33_333)
    stopped = analyse(path, P561, jobs=2, stop=lambda: True)
    assert 0 < stopped.packets < len(FRAMES)
    assert not children()


def test_a_small_file_is_not_worth_it() -> None:
    assert not segments.can_share(2 * segments.SEGMENT_BYTES - 1, 8)
    assert segments.can_share(2 * segments.SEGMENT_BYTES, 2)
    assert not segments.can_share(1 << 40, 1)


def test_a_recording_of_ones_own_keeps_its_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = Tape()
    for number in range(900):
        tape.probe(number / 100, number=number % 3)
    path = tape.own(tmp_path / "own.pcapng", 60.0)
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 9_999)
    assert found(path, 2) == found(path, 1)
    assert found(path, 2).own


def test_what_is_kept_comes_in_the_order_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap(FRAMES))
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 33_333)
    kept: list[Frame] = []
    analyse(path, P561, jobs=3, keep=kept.append)
    assert [frame.data for frame in kept] == FRAMES[::17]


def test_drops_are_told_in_order_and_cost_their_segments_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [forge.enhanced("<", (S + n) * 10**6, data) for n, data in enumerate(FRAMES)]
    for place, total in ((900, 9), (400, 2)):
        dropped = (5, struct.pack("<Q", total))
        parts[place:place] = [forge.statistics("<", (S + place) * 10**6, dropped)]
    path = tmp_path / "x.pcapng"
    path.write_bytes(
        forge.section("<", (1, NOTE.to_bytes())) + forge.interface("<") + b"".join(parts)
    )
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 33_333)
    here = 0

    def counted(batch: Batch, sift: Sift) -> Chosen:
        nonlocal here
        here += len(batch)
        return choose(batch, sift)

    monkeypatch.setattr(segments, "choose", counted)
    with open_capture(path) as reader:
        numbers = [
            number
            for chosen in reader.chosen(Sieve(PortCheck(P561)), jobs=2)
            for number, _ in chosen.frames
        ]
    assert reader.drops == [(S + 400, 2), (S + 900, 9)]
    assert (reader.packets, reader.error) == (len(FRAMES), None)
    assert numbers == list(range(1, len(FRAMES) + 1, 17))
    assert 0 < here < len(FRAMES) / 4
