"""Recordings: rawscan, Wireshark's tools and a crash all leave or find a whole file."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from io import FileIO
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rawscan.capture.note import SectionNote
from rawscan.capture.reader import open_capture
from rawscan.capture.writer import Direction, PcapngWriter
from rawscan.errors import CaptureError
from rawscan.model import Frame

NOW_S = 1795415451.713036
ETHERNET = bytes(12) + b"\x08\x00"
FRAMES: list[tuple[Frame, Direction]] = [
    (
        Frame(NOW_S + number / 7, ETHERNET + bytes(20 + number), 1, 34 + number),
        "in" if number % 3 else "out",
    )
    for number in range(9)
]


def recorder(path: Path, **changes: object) -> PcapngWriter:
    kwargs: dict[str, object] = {"linktype": 1, "interface": "veth0", "now_s": NOW_S} | changes
    return PcapngWriter(path, **kwargs)  # type: ignore[arg-type]


def record_all(path: Path, **changes: object) -> Path:
    with recorder(path, ports="561", probes=["syn", "udp"], **changes) as writer:
        for frame, direction in FRAMES:
            writer.write(frame, direction)
        writer.close(NOW_S + 10, complete=True, drops=2)
    return path


def read(path: Path) -> tuple[list[Frame], list[SectionNote | None]]:
    with open_capture(path) as reader:
        frames = list(reader)
        assert reader.error is None
        return frames, reader.notes


def test_round_trip(tmp_path: Path) -> None:
    frames, notes = read(record_all(tmp_path / "scan.pcapng"))
    assert frames == [frame for frame, _ in FRAMES]
    (note,) = notes
    assert note is not None
    assert (note.since_s, note.until_s) == (NOW_S, NOW_S + 10)
    assert (note.complete, note.drops, note.directions) == (True, 2, "both")
    assert (note.ports, note.probes) == ("561", ("syn", "udp"))
    assert note.packets == len(FRAMES)


def test_the_note_promises_nothing_until_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "scan.pcapng"
    with recorder(path) as writer:
        (first,) = read(path)[1]
        writer.write(*FRAMES[0])
        assert read(path)[0] == []
        writer.mark(NOW_S + 5, drops=1)
        assert len(read(path)[0]) == 1, "the note went ahead of the packets"
        (second,) = read(path)[1]
    (last,) = read(path)[1]
    assert first is not None
    assert second is not None
    assert (first.until_s, first.complete, first.packets) == (None, False, None)
    assert (second.until_s, second.complete, second.drops) == (NOW_S + 5, False, 1)
    assert second.packets == 1
    assert last == second


def test_leaving_by_an_exception_keeps_packets_and_claims_nothing(tmp_path: Path) -> None:
    path = tmp_path / "scan.pcapng"

    def interrupted() -> None:
        with recorder(path) as writer:
            writer.write(*FRAMES[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    frames, (note,) = read(path)
    assert len(frames) == 1
    assert note is not None
    assert (note.until_s, note.complete) == (None, False)


def test_a_killed_process_leaves_whole_packets(tmp_path: Path) -> None:
    path = tmp_path / "scan.pcapng"
    program = f"""
import os, signal
from pathlib import Path
from rawscan.capture.writer import PcapngWriter
from rawscan.model import Frame
writer = PcapngWriter(Path({str(path)!r}), linktype=1, interface="x", now_s=1.0)
for _ in range(10_000):
    writer.write(Frame(1.0, bytes(61), 1, 61), "in")
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    frames, (note,) = read(path)  # read() asserts that the end is clean
    assert 9_000 < len(frames) < 10_000
    assert note is not None
    assert not note.complete
    assert (note.until_s, note.packets) == (None, None)


def test_a_full_disk_is_said_and_leaves_whole_packets(tmp_path: Path) -> None:
    path = tmp_path / "scan.pcapng"
    program = f"""
import resource
from pathlib import Path
from rawscan.capture.writer import PcapngWriter
from rawscan.errors import CaptureError
from rawscan.model import Frame
resource.setrlimit(resource.RLIMIT_FSIZE, (100_001, 100_001))
try:
    with PcapngWriter(Path({str(path)!r}), linktype=1, interface="x", now_s=1.0) as writer:
        for _ in range(10_000):
            writer.write(Frame(1.0, bytes(61), 1, 61), "in")
except CaptureError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert "scan.pcapng: cannot be written any further: File too large" in done.stdout
    assert len(read(path)[0]) > 500


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"absent/scan\.pcapng: cannot be written: No such"):
        recorder(tmp_path / "absent" / "scan.pcapng")
    with pytest.raises(CaptureError, match="/dev/full: cannot be written any further: No space"):
        recorder(Path("/dev/full"))


def test_a_pipe_keeps_its_first_note_and_stays_valid(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        written = pool.submit(record_all, pipe)
        frames, (note,) = read(pipe)
        written.result()
    assert frames == [frame for frame, _ in FRAMES]
    assert note is not None
    assert (note.until_s, note.complete) == (None, False)


@pytest.mark.parametrize(("snaplen", "kept"), [(48, 48), (65535, 65535), (0, 70_000)])
def test_snaplen_cuts_the_data_and_keeps_the_length(
    tmp_path: Path, snaplen: int, kept: int
) -> None:
    path = tmp_path / "scan.pcapng"
    with recorder(path, snaplen=snaplen) as writer:
        writer.write(Frame(NOW_S, bytes(70_000), 1, 70_000), "in")
    (frame,) = read(path)[0]
    assert (len(frame.data), frame.original_bytes) == (kept, 70_000)


def test_a_frame_of_another_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scan.pcapng"
    with recorder(path, linktype=101) as writer, pytest.raises(ValueError, match="linktype 1 in"):
        writer.write(*FRAMES[0])
    assert read(path)[0] == []


def test_closing_twice_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "scan.pcapng"
    with recorder(path) as writer:
        writer.close(NOW_S + 10, complete=True, drops=2)
        before = path.read_bytes()
        writer.close()
        writer.close(NOW_S)
    assert path.read_bytes() == before


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "damaged" not in done.stdout + done.stderr
    assert "cut short" not in done.stdout + done.stderr
    return done.stdout


@pytest.mark.peer
def test_tshark_reads_times_lengths_and_directions(tmp_path: Path) -> None:
    path = record_all(tmp_path / "scan.pcapng")
    names = ["frame.time_epoch", "frame.cap_len", "frame.len", "frame.packet_flags_direction"]
    fields = [part for name in names for part in ("-e", name)]
    rows = [
        line.split("\t")
        for line in run("tshark", "-n", "-r", path, "-T", "fields", *fields).splitlines()
    ]
    assert len(rows) == len(FRAMES)
    for (time, captured, original, flags), (frame, direction) in zip(rows, FRAMES, strict=True):
        assert Decimal(time) == Decimal(frame.time_s).quantize(Decimal("1e-9"))
        assert (int(captured), int(original)) == (len(frame.data), frame.original_bytes)
        assert int(flags, 0) == {"in": 1, "out": 2}[direction]


@pytest.mark.peer
def test_capinfos_reads_the_header(tmp_path: Path) -> None:
    text = run("capinfos", "-M", record_all(tmp_path / "scan.pcapng"))
    assert f"Number of packets:   {len(FRAMES)}" in text
    assert "File timestamp precision:  nanoseconds (9)" in text
    assert "Name = veth0" in text
    assert "Capture length = 65535" in text
    assert "Capture application: rawscan" in text
    assert '{"rawscan":' in text
    assert '"complete":true' in text


@pytest.mark.peer
def test_the_note_outlives_editcap(tmp_path: Path) -> None:
    path = record_all(tmp_path / "scan.pcapng")
    run("editcap", path, tmp_path / "edited.pcapng")
    frames, notes = read(tmp_path / "edited.pcapng")
    assert notes == read(path)[1]
    assert notes != [None]
    assert frames == [frame for frame, _ in FRAMES]


@pytest.mark.peer
def test_tcpdump_reads_it(tmp_path: Path) -> None:
    path = record_all(tmp_path / "scan.pcapng")
    assert len(run("tcpdump", "-n", "-tt", "-r", path).splitlines()) >= len(FRAMES)


DROPS = [(NOW_S + 0.5, 3), (NOW_S + 0.75, 2**40)]


def record_drops(path: Path) -> Path:
    """Drops are noticed among the frames."""
    with recorder(path) as writer:
        for frame, direction in FRAMES:
            writer.write(frame, direction)
            if frame is FRAMES[4][0]:
                writer.drops(*DROPS[0])
        writer.drops(*DROPS[1])
        writer.close(NOW_S + 10, complete=True, drops=DROPS[1][1], dropped_s=DROPS[0][0])
    return path


def drops_in(path: Path) -> list[tuple[float, int]]:
    with open_capture(path) as reader:
        assert list(reader) == [frame for frame, _ in FRAMES]
        assert reader.error is None
        return reader.drops


def test_drops_are_read_back(tmp_path: Path) -> None:
    assert drops_in(record_drops(tmp_path / "scan.pcapng")) == DROPS


@pytest.mark.peer
def test_wiresharks_tools_read_drops(tmp_path: Path) -> None:
    path = record_drops(tmp_path / "scan.pcapng")
    text = run("capinfos", "-M", path)
    assert f"Number of packets:   {len(FRAMES)}" in text
    assert f"Number of stat entries = {len(DROPS)}" in text
    # The file itself, block by block.
    blocks = run("tshark", "-n", "-r", path, "-X", "read_format:MIME Files Format", "-V")
    for _, total in DROPS:
        assert f"Option: Number of Dropped Packets = {total}" in blocks
    run("tshark", "-n", "-r", path)


@pytest.mark.peer
def test_a_copy_has_all_drops_or_none(tmp_path: Path) -> None:
    # Wireshark 4.0 passes statistics over; the note still says that there were drops.
    path, copy = record_drops(tmp_path / "scan.pcapng"), tmp_path / "copy.pcapng"
    run("editcap", path, copy)
    assert drops_in(copy) in (DROPS, [])
    assert read(copy)[1] == read(path)[1]


class Pieces:
    """A file that remembers where each write(2) began and ended."""

    def __init__(self, file: FileIO) -> None:
        self.ends = [0]
        self.closed = False
        self._file = file

    def write(self, data: bytes) -> int:
        done = self._file.write(data)
        self.ends.append(self.ends[-1] + done)
        return done

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self.closed = True
        self._file.close()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(1, 4100) | st.sampled_from([40, 44, 4036, 4040, 9000]), max_size=120))
def test_every_write_stays_in_a_page_and_ends_a_block(tmp_path: Path, sizes: list[int]) -> None:
    """So a kill at any moment leaves whole blocks: every prefix of the writes is a whole file."""
    path = tmp_path / "pages.pcapng"
    writer = recorder(path)
    pieces = Pieces(writer._file)
    pieces.ends = [writer._written_bytes]
    writer._file = pieces  # type: ignore[assignment]
    for number, size in enumerate(sizes):
        writer.write(Frame(NOW_S + number, bytes(size), 1, size), "in")
        if number % 7 == 0:
            writer.flush()
    writer.drops(NOW_S + 1000, 3)
    writer.close()
    large = any(size > 4096 - 44 - 16 for size in sizes)
    written, cut = path.read_bytes(), tmp_path / "cut.pcapng"
    for start, end in pairwise(pieces.ends):
        assert start // 4096 == (end - 1) // 4096
        cut.write_bytes(written[:end])
        assert large or len(read(cut)[0]) <= len(sizes)
    frames, _ = read(path)
    assert [len(frame.data) for frame in frames] == sizes


@pytest.mark.peer
def test_wiresharks_tools_pass_over_what_fills_a_page(tmp_path: Path) -> None:
    path = tmp_path / "many.pcapng"
    with recorder(path) as writer:
        for number in range(1000):
            writer.write(Frame(NOW_S + number, ETHERNET + bytes(46), 1, 60), "in")
    data, offset, kinds = path.read_bytes(), 0, set()
    while offset < len(data):
        kind, size = struct.unpack_from("<II", data, offset)
        kinds.add(kind)
        offset += size
    assert kinds == {0x0A0D0D0A, 1, 4, 6}

    def said(*command: str) -> str:
        return subprocess.run(
            [*command, str(path)], capture_output=True, text=True, check=True
        ).stdout

    assert len(said("tshark", "-n", "-r").splitlines()) == 1000
    assert said("capinfos", "-cM").split()[-1] == "1000"
    assert len(said("tcpdump", "-nr").splitlines()) == 1000
