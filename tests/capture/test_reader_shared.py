"""The capture reader against real files: truth.jsonl, and Wireshark's tools beside it."""

from __future__ import annotations

import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from rawscan.capture.reader import CaptureReader, open_capture
from rawscan.model import Frame
from tests.capture import forge

# A double holds the present day to 240 ns; tshark cuts to whole nanoseconds.
NEAR_S = Decimal("121e-9")


def captures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*.pcap*") if p.is_file())


def read(path: Path) -> tuple[list[Frame], CaptureReader]:
    with open_capture(path) as reader:
        return list(reader), reader


def test_packets_are_those_of_the_truth(
    shared_captures: Path, true_packets: dict[str, int]
) -> None:
    for name, packets in true_packets.items():
        frames, reader = read(shared_captures / name)
        cut = name.startswith("variants/trunc_")
        assert (name, len(frames), reader.packets) == (name, packets, packets)
        assert (name, reader.truncated, reader.error is not None) == (name, cut, cut)
        assert (name, reader.format) == (name, name.removesuffix(".gz").rpartition(".")[2])


def test_no_whole_file_is_called_damaged(shared_captures: Path) -> None:
    files = captures(shared_captures)
    assert len(files) > 40
    cut = {path.name for path in files if read(path)[1].error is not None}
    assert cut == {"trunc_mid_header.pcap", "trunc_mid_payload.pcap"}


def test_the_same_packets_in_other_clothes(shared_captures: Path) -> None:
    variants = shared_captures / "variants"
    expected, _ = read(variants / "eth_le_us.pcap")
    for name in ("eth_be_us.pcap", "eth_gz.pcap.gz", "ng_le.pcapng", "ng_be.pcapng"):
        assert read(variants / name)[0] == expected, name
    nano, _ = read(variants / "eth_le_ns.pcap")
    assert [f.data for f in nano] == [f.data for f in expected]
    assert max(abs(a.time_s - b.time_s) for a, b in zip(nano, expected, strict=True)) < 1e-6
    both, reader = read(variants / "ng_two_sections_le_be.pcapng")
    assert both == expected * 2
    assert reader.notes == [None, None]
    simple, _ = read(variants / "ng_spb.pcapng")
    assert [f.data for f in simple] == [f.data for f in expected]
    assert {f.time_s for f in simple} == {0.0}
    assert sorted(read(variants / "ng_multi_if_lt_res.pcapng")[1].linktypes) == [1, 101, 113]


def tshark_rows(path: Path) -> list[list[str]]:
    names = ["frame.time_epoch", "frame.cap_len", "frame.len", "frame.interface_id"]
    fields = [part for name in names for part in ("-e", name)]
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", *fields]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    # Custom blocks are records to Wireshark, but no packets: no interface received them.
    return [row for row in rows if row[3] or path.suffix != ".pcapng"]


@pytest.mark.peer
def test_tshark_reads_the_same_times_and_lengths(shared_captures: Path) -> None:
    for path in captures(shared_captures):
        frames, reader = read(path)
        rows = tshark_rows(path)
        assert (path.name, len(rows)) == (path.name, len(frames))
        for (time, captured, original, _), frame in zip(rows, frames, strict=True):
            assert (int(captured), int(original)) == (len(frame.data), frame.original_bytes)
            assert abs(Decimal(time or 0) - Decimal(frame.time_s)) < NEAR_S, path.name
        assert reader.bytes == sum(int(row[2]) for row in rows)


def capinfos_counts(path: Path) -> int:
    command = ["capinfos", "-c", "-M", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    counts = [line.split()[-1] for line in done.stdout.splitlines() if "Number of packets" in line]
    return int(counts[0])


@pytest.mark.peer
@pytest.mark.parametrize("order", ["<", ">"])
def test_capinfos_counts_the_same_in_a_cut_file(order: str, tmp_path: Path) -> None:
    # Wireshark tries several pcap dialects on the first records; zeros look like all of them.
    packets = [b"\x5a" * number for number in (60, 61, 75)]
    forms = {
        "pcap": [forge.record(order, 1, 0, data) for data in packets],
        "pcapng": [forge.enhanced(order, 1, data, (1, b"note")) for data in packets],
    }
    heads = {
        "pcap": forge.pcap_header(order),
        "pcapng": forge.section(order) + forge.interface(order),
    }
    for form, blocks in forms.items():
        whole = heads[form] + b"".join(blocks)
        for length in range(len(heads[form]), len(whole) + 1, 11):
            path = tmp_path / f"cut.{form}"
            path.write_bytes(whole[:length])
            assert (length, read(path)[1].packets) == (length, capinfos_counts(path))
