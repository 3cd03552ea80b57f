"""Cases out of captures: the packets that they show are those that were judged."""

from __future__ import annotations

from pathlib import Path

from scapy.layers.inet import IP
from scapy.layers.l2 import GRE

from rawscan.teach.case import cases_in
from rawscan.wire.decode import decode
from tests.tape import Tape


def test_a_packet_of_a_tunnel_is_shown_without_the_tunnel(tmp_path: Path) -> None:
    tape = Tape()
    probe = tape.probe(0.0)
    tunnel = IP(src="192.0.2.1", dst="192.0.2.2") / GRE() / IP(probe)
    tape.frames = [(0.0, bytes(tunnel), "out")]
    (case,) = cases_in(tape.foreign(tmp_path / "x.pcap"))
    (shot,) = case.shots
    assert (shot.data, shot.packet) == (probe, decode(probe))
