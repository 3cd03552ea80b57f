"""Silence of the asked port is believed where other answers cross the tap, whichever the port."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import pytest

from rawscan.analysis import analyse
from rawscan.hearing import Hearing, listen_again
from rawscan.model import Frame
from rawscan.ports import parse_ports
from rawscan.wire.linklayer import RAW
from rawscan.wire.sieve import Sieve
from tests.capture import forge
from tests.packets import ME, ROUTER, STRANGER, TARGET
from tests.wire.test_sieve import ipv4, ports

P561 = parse_ports("561")
LATE_S = 100


def packet(source: object, destination: object, sport: int, dport: int, flags: int = 2) -> bytes:
    """A TCP segment."""
    body = bytearray(ports(sport, dport))
    body[12:14] = bytes([0x50, flags])
    whole = bytearray(ipv4(6, bytes(body)))
    whole[12:16], whole[16:20] = source.packed, destination.packed  # type: ignore[attr-defined]
    return bytes(whole)


PROBE = packet(ME, TARGET, 40000, 561)
ASK, ANSWER = packet(ME, STRANGER, 50000, 80), packet(STRANGER, ME, 80, 50000, 0x12)
OTHERS = packet(STRANGER, ROUTER, 50000, 80)
STRAY = packet(STRANGER, ME, 80, 50001, 0x12)


def capture(packets: Iterable[bytes]) -> bytes:
    """One a second, and another one much later, so that every silence is long enough."""
    frames = [*packets, OTHERS]
    times = [1000 + n for n in range(len(frames) - 1)] + [1000 + LATE_S]
    packed = (forge.record("<", s, 0, frame) for s, frame in zip(times, frames, strict=True))
    return forge.pcap_header(network=RAW) + b"".join(packed)


STORIES = {
    "answered before": ([ASK, ANSWER, PROBE], "no-response"),
    "answered after": ([PROBE, ASK, ANSWER], "no-response"),
    "asked before and answered after": ([ASK, PROBE, ANSWER], "no-response"),
    "answered before it asked": ([ANSWER, ASK, PROBE], "one-way"),
    "never answered": ([ASK, PROBE, ASK], "one-way"),
    "something else came": ([ASK, PROBE, STRAY], "one-way"),
    "others were answered": ([packet(ROUTER, STRANGER, 80, 50000), OTHERS, PROBE], "one-way"),
    "never heard of": ([PROBE], "one-way"),
}


@pytest.mark.parametrize("name", STORIES)
def test_a_second_look_finds_who_is_answered(name: str, tmp_path: Path) -> None:
    packets, reason = STORIES[name]
    path = tmp_path / "x.pcap"
    path.write_bytes(capture(packets))
    (finding,) = analyse(path, P561).findings
    assert finding.verdict.reason == reason


@pytest.mark.parametrize("name", STORIES)
def test_a_pipe_is_listened_to_while_it_flows(name: str) -> None:
    packets, reason = STORIES[name]
    (finding,) = analyse(io.BytesIO(capture(packets)), P561).findings
    assert finding.verdict.reason == reason


def frames_of(packets: Iterable[bytes]) -> list[Frame]:
    return [Frame(1.0, data, RAW, len(data)) for data in packets]


def test_who_gets_nothing_costs_one_look_and_who_is_found_ends_it() -> None:
    looks: list[list[bytes]] = []

    def look(sieve: Sieve, packets: list[bytes]) -> Iterable[Frame]:
        looks.append([])
        for frame in frames_of(packets):
            looks[-1].append(frame.data)
            yield frame

    assert listen_again([ME], lambda sieve: look(sieve, [ASK, PROBE])) == set()
    assert len(looks) == 1
    looks.clear()
    story = [ASK, ANSWER, ASK, OTHERS]
    assert listen_again([ME, ROUTER], lambda sieve: look(sieve, story)) == {ME}
    # The first look goes to the end; the second has no reason to once everybody is heard.
    assert [len(seen) for seen in looks] == [4, 4]
    looks.clear()
    assert listen_again([ME], lambda sieve: look(sieve, story)) == {ME}
    assert [len(seen) for seen in looks] == [4, 2]


def test_hearing_is_of_the_asker_alone() -> None:
    hearing = Hearing()
    assert len(list(hearing.add_frames(frames_of([ASK, b"no packet", ANSWER])))) == 2
    assert hearing.hears(ME)
    assert not hearing.hears(STRANGER)
