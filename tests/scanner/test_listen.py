"""What is recorded, decided for whole blocks, against what each frame says for itself."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawscan.correlate import LiveCorrelator
from rawscan.errors import DecodeError
from rawscan.model import Frame, Port, Probe, ProbeKind
from rawscan.net.link import block_of
from rawscan.scanner import make_token, recordable
from rawscan.scanner.listen import is_own_probe
from rawscan.wire import replies
from rawscan.wire.craft import craft
from rawscan.wire.decode import decode_frame
from rawscan.wire.linklayer import RAW

KINDS = (ProbeKind.SYN, ProbeKind.UDP, ProbeKind.ACK)
TOKEN = make_token(range(16384, 32768), b"561")
OTHER = make_token(range(40_000, 40_064), b"somebody else's")
US = {4: ip_address("10.0.0.1"), 6: ip_address("fd00::1")}
THEM = {4: ip_address("10.0.0.5"), 6: ip_address("fd00::5")}


def is_ours(frame: Frame) -> bool:
    """The same question, one frame at a time and without NumPy."""
    try:
        packet = decode_frame(frame)
    except DecodeError:
        return False
    correlator = LiveCorrelator(TOKEN, KINDS)
    return correlator.is_ours(packet) and not is_own_probe(TOKEN, KINDS, packet)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Answers to probes of ours and others', those probes themselves, and odd things."""
    version = draw(st.sampled_from([4, 6]))
    kind = draw(st.sampled_from(KINDS))
    # A target port within our own source ports: its answers look like probes of ours.
    port = Port(THEM[version], draw(st.sampled_from([561, 20_000, 31_999])), kind)
    token = draw(st.sampled_from([TOKEN, OTHER]))
    probe = craft(Probe(port, draw(st.integers(0, 15))), US[version], token)
    closed = replies.datagram if kind is ProbeKind.UDP else replies.rst
    unreachable = (3, 3) if version == 4 else (1, 4)
    packet = draw(
        st.sampled_from(
            [probe, closed(probe), replies.icmp_error(probe, *unreachable), b"\x45", b"odd"]
        )
    )
    return packet[: draw(st.sampled_from([len(packet), 60, 30, 28]))]


@settings(max_examples=200, deadline=None)
@given(st.lists(frames(), min_size=1, max_size=8))
def test_a_block_is_recorded_as_its_frames_would_be(packets: list[bytes]) -> None:
    arrived = [Frame(1.0, packet, RAW, len(packet)) for packet in packets]
    found = recordable(TOKEN, KINDS)(block_of(arrived))
    assert found.tolist() == [is_ours(frame) for frame in arrived]


@pytest.mark.parametrize("version", [4, 6])
def test_answers_are_recorded_and_our_own_probes_are_not(version: int) -> None:
    probe = craft(Probe(Port(THEM[version], 20_000, ProbeKind.SYN), 0), US[version], TOKEN)
    packets = [probe, replies.rst(probe), replies.syn_ack(probe)]
    block = block_of([Frame(1.0, packet, RAW, len(packet)) for packet in packets])
    assert recordable(TOKEN, KINDS)(block).tolist() == [False, True, True]
