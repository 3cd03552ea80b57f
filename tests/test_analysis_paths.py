"""Two ways through a capture, one story: frame by frame, and sifted in arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP, TCP

from rawscan.analysis import analyse
from rawscan.capture import reader
from rawscan.capture.batch import Chosen, Frames, Sift, Tally
from rawscan.capture.reader import CaptureReader
from rawscan.findings import Analysis
from rawscan.ports import parse_ports
from rawscan.wire.linklayer import RAW
from rawscan.wire.sieve import PortCheck, Sieve
from tests.capture import forge
from tests.capture.forged import S
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


def test_silence_after_a_verdict_is_listened_for_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The asker's own kernel answers once, and crosses no wire; that answers do, 443 tells."""
    me, target, other = "10.0.0.1", "10.0.0.5", "10.0.0.9"
    probe = IP(src=me, dst=target) / TCP(sport=40000, dport=561, seq=7, flags="S")
    packets = {
        **dict.fromkeys(range(5), probe),
        5: IP(src=me, dst=me) / ICMP(type=3, code=1) / bytes(probe),
        6: IP(src=me, dst=other) / TCP(sport=40000, dport=443, seq=7, flags="S"),
        7: IP(src=other, dst=me) / TCP(sport=443, dport=40000, ack=8, flags="SA"),
        **dict.fromkeys(range(500, 505), probe),
        900: IP(src=other, dst=me) / TCP(sport=443, dport=40000, ack=8, flags="A"),
    }
    records = [forge.record("<", S + at_s, 0, bytes(packet)) for at_s, packet in packets.items()]
    path = tmp_path / "x.pcap"
    path.write_bytes(forge.pcap_header(network=RAW) + b"".join(records))
    sifted, slow = both(path, "561", monkeypatch)
    assert sifted == slow
    (finding,) = sifted.findings
    assert finding.verdict.reason == "no-arp-response"
    assert finding.history[-1].reason == "no-response"


def test_a_capture_that_has_one_of_everything_left_something_out() -> None:
    """Else the comparison would be of nothing."""
    seen = Counter[str]()
    for path in FILES:
        with reader.open_capture(path) as capture:
            for chosen in capture.chosen(Sieve(PortCheck(parse_ports("561")))):
                seen["all"] += chosen.tally.packets
                seen["kept"] += len(chosen.frames)
    assert 0 < seen["kept"] < seen["all"] * 0.7
