"""Extracted frames, read back by rawscan and by tshark."""

from __future__ import annotations

import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from rawscan.analysis import analyse
from rawscan.capture.extract import FrameWriter
from rawscan.capture.reader import open_capture
from rawscan.errors import CaptureError
from rawscan.findings import Analysis
from rawscan.model import Frame
from rawscan.ports import parse_ports

CASES = Path(__file__).parents[2] / "captures"
P561 = parse_ports("561")


def frames_of(path: Path) -> list[Frame]:
    with open_capture(path) as reader:
        found = list(reader)
        assert reader.error is None
        return found


def extracted(path: Path, out: Path) -> Analysis:
    with closing(FrameWriter(out)) as writer:
        found = analyse(path, P561, keep=writer.write)
        assert writer.frames == found.matched
    return found


def test_frames_come_back_as_they_were(tmp_path: Path) -> None:
    frames = [
        Frame(1_700_000_000.123456, b"\x45" + bytes(19), 101, 20),
        Frame(4_000_000_000.0, b"x" * 61, 1, 1500),  # cut by a snaplen, on another link
        Frame(0.0, b"", 101, 0),  # no time, no bytes
        Frame(1_700_000_001.5, b"y" * 63, 1, 63),
    ]
    with closing(FrameWriter(tmp_path / "x.pcapng")) as writer:
        for frame in frames:
            writer.write(frame)
    assert frames_of(tmp_path / "x.pcapng") == frames


def test_only_what_has_to_do_with_the_ports(tmp_path: Path) -> None:
    path, out = CASES / "one-way" / "capture.pcap", tmp_path / "x.pcapng"
    found = extracted(path, out)
    assert (found.packets, found.matched) == (16, 4)
    assert frames_of(out) == [frames_of(path)[n] for n in (0, 2, 3, 4)]


def test_what_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="cannot be written: No such file"):
        FrameWriter(tmp_path / "missing" / "x.pcapng")
    writer = FrameWriter(Path("/dev/full"))
    with pytest.raises(CaptureError, match="cannot be written any further: No space"):
        writer.write(Frame(1.0, bytes(1 << 20), 101, 1 << 20))
    with pytest.raises(CaptureError, match="No space"):
        writer.close()


def tshark_counts(path: Path) -> tuple[int, int]:
    """Segments and datagrams to and from port 561 that are not inside an ICMP error."""
    plain = ["-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"]
    counts = []
    for port in ("tcp.port==561", "udp.port==561"):
        command = ["tshark", "-n", *plain, "-r", str(path), "-Y", f"{port}&&!(icmp||icmpv6)"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        counts.append(len(done.stdout.splitlines()))
    return counts[0], counts[1]


def tshark_later_fragments(path: Path) -> int:
    """Later fragments of datagrams whose first one goes to or comes from port 561."""
    plain = ["-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"]
    ports = ["tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport"]
    names = ["ip.src", "ip.dst", "ip.id", "ip.frag_offset", "ipv6.src", "ipv6.dst",
             "ipv6.fraghdr.ident", "ipv6.fraghdr.offset", *ports]  # fmt: skip
    fields = [option for name in names for option in ("-e", name)]
    pieces = "(ip.flags.mf==1||ip.frag_offset>0||ipv6.fraghdr)&&!(icmp||icmpv6)"
    command = ["tshark", "-n", *plain, "-r", str(path), "-Y", pieces, "-T", "fields",
               "-E", "separator=,", *fields]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    rows = [line.split(",") for line in done.stdout.splitlines()]
    wanted = {(*row[:3], *row[4:7]) for row in rows if "561" in row[8:]}
    return sum(
        (*row[:3], *row[4:7]) in wanted for row in rows if (row[3] or row[7]) not in ("0", "")
    )


SAMPLES = ["scans/nmap_sV.pcap", "scans/any_sll.pcap", "scans/telescope_synack.pcap",
           "variants/vlan.pcap", "variants/ng_multi_if_lt_res.pcapng",
           "variants/eth_snap64.pcap"]  # fmt: skip


@pytest.mark.peer
@pytest.mark.parametrize("name", SAMPLES)
def test_tshark_counts_the_same(name: str, tmp_path: Path, shared_captures: Path) -> None:
    found = extracted(shared_captures / name, tmp_path / "x.pcapng")
    counts = tshark_counts(tmp_path / "x.pcapng")
    assert counts == tshark_counts(shared_captures / name)
    later = tshark_later_fragments(tmp_path / "x.pcapng")
    assert later == tshark_later_fragments(shared_captures / name)
    errors = sum(found.counts.icmp.values()) + sum(found.counts.icmp6.values())
    assert sum(counts) + later + errors == found.matched
    again = analyse(tmp_path / "x.pcapng", P561)
    assert again.counts == found.counts
