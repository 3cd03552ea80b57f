"""The simulated network keeps its word: delays, losses, copies, and a clock that never waits."""

from __future__ import annotations

import time
from ipaddress import ip_address

import pytest

from rawscan.model import Frame
from rawscan.testing import START_S, Answer, FakeClock, Host, SimulatedLink, Weather
from rawscan.wire.linklayer import RAW

TARGET = ip_address("10.0.0.5")


def echo(*delays_s: float) -> Host:
    def host(packet: bytes, time_s: float) -> list[Answer]:
        return [(delay_s, packet + b"%d" % n) for n, delay_s in enumerate(delays_s)]

    return host


def link_to(host: Host | None, weather: Weather | None = None, seed: int = 0) -> SimulatedLink:
    clock = FakeClock()
    return SimulatedLink(lambda _: host, clock, weather or Weather(), seed)


def test_the_clock_goes_only_forward() -> None:
    clock = FakeClock()
    assert clock() == START_S
    clock.advance(1.5)
    clock.advance(-1)
    assert clock() == clock.now_s == START_S + 1.5


def test_an_answer_arrives_when_it_is_due() -> None:
    clock = FakeClock()
    link = SimulatedLink(lambda _: echo(0.5), clock)
    sent = link.send(b"hi", TARGET)
    assert sent == Frame(START_S, b"hi", RAW, 2)
    assert link.sent == [sent]
    assert link.receive(0.2) == []
    assert clock() == START_S + 0.2
    assert link.receive(10) == [Frame(START_S + 0.5, b"hi0", RAW, 3)]
    assert clock() == START_S + 0.5  # not a moment longer than needed
    assert link.receive(0.3) == []
    assert clock() == pytest.approx(START_S + 0.8)


def test_answers_arrive_in_the_order_of_their_times() -> None:
    link = link_to(echo(0.3, 0.1, 0.1))
    link.send(b"", TARGET)
    assert [[f.data for f in link.receive(1)] for _ in range(2)] == [[b"1", b"2"], [b"0"]]


def test_nobody_is_silent_and_no_loop_stands_still() -> None:
    clock = FakeClock()
    link = SimulatedLink(lambda _: None, clock)
    link.send(b"", TARGET)
    for _ in range(3):
        before = clock()
        assert link.receive(0) == []
        assert clock() > before


def test_hosts_are_asked_for_by_address() -> None:
    asked = []

    def hosts(target: object) -> None:
        asked.append(target)

    link = SimulatedLink(hosts, FakeClock())
    link.send(b"", TARGET)
    assert asked == [TARGET]


def test_what_nobody_asked_for_can_arrive() -> None:
    link = link_to(None)
    link.inject(0.25, b"stray")
    assert [(f.time_s, f.data) for f in link.receive(1)] == [(START_S + 0.25, b"stray")]


def arrived(weather: Weather, seed: int = 1, packets: int = 2000) -> list[Frame]:
    link = link_to(echo(0.01), weather, seed)
    for _ in range(packets):
        link.send(b"", TARGET)
    frames: list[Frame] = []
    while got := link.receive(5):
        frames += got
    return frames


@pytest.mark.parametrize(
    ("weather", "share"),
    [
        (Weather(), 1.0),
        (Weather(loss_out=0.25), 0.75),
        (Weather(loss_back=0.25), 0.75),
        (Weather(loss_out=0.5, loss_back=0.5), 0.25),
        (Weather(duplicate=0.5), 1.5),
        (Weather(loss_out=1), 0.0),
        (Weather(loss_back=1), 0.0),
    ],
)
def test_weather_is_what_was_forecast(weather: Weather, share: float) -> None:
    frames = arrived(weather)
    assert len(frames) / 2000 == pytest.approx(share, abs=0.0 if share in (0, 1) else 0.05)


def test_jitter_delays_and_reorders() -> None:
    times = [frame.time_s - START_S for frame in arrived(Weather(jitter_s=1.0))]
    assert 0.01 <= min(times) < 0.1
    assert 0.9 < max(times) <= 1.01
    assert times == sorted(times)


def test_one_seed_one_story() -> None:
    weather = Weather(0.3, 0.3, 0.3, 0.5)
    assert arrived(weather, seed=7) == arrived(weather, seed=7)
    assert arrived(weather, seed=7) != arrived(weather, seed=8)


def test_it_is_a_link_and_waits_for_nothing() -> None:
    link = link_to(None)
    assert (link.name, link.drops()) == ("simulated", 0)
    link.dropped = 3
    assert link.drops() == 3
    before_s = time.monotonic()
    link.receive(3600)
    link.close()
    assert time.monotonic() - before_s < 1
