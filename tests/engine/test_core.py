"""The engine as a ladder: what goes in at which time, and what comes out. Nothing sleeps."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from rawscan.engine import Decided, Engine, Send, Settings
from rawscan.model import Evidence, Port, Probe, ProbeKind, ReplyKind, Signal
from rawscan.silence import OWN

TARGET = ip_address("10.0.0.5")
PORT = Port(TARGET, 561, ProbeKind.SYN)
UDP_PORT = Port(TARGET, 561, ProbeKind.UDP)


def reply(
    kind: ReplyKind, time_s: float, number: int = 0, type_: int = 0, code: int = 0
) -> Evidence:
    return Evidence(Signal(kind, type_, code), TARGET, True, time_s, try_number=number, ttl=64)


def drive(engine: Engine, until_s: float, start_s: float = 0.0) -> Iterator[tuple[float, object]]:
    """Let the engine run by itself; every command with the time at which it came."""
    now_s = start_s
    for _ in range(100_000):
        for command in engine.poll(now_s):
            yield now_s, command
        wake_s = engine.wake_s(now_s)
        if wake_s is None or wake_s > until_s:
            return
        now_s = max(wake_s, now_s)
    raise AssertionError("the engine never rests")


def test_silence_is_retried_with_backoff_and_then_decided() -> None:
    engine = Engine([PORT], Settings())
    commands = list(drive(engine, 60.0))
    sends = [(t, c.probe.number) for t, c in commands if isinstance(c, Send)]
    # 0.2 ** 6 < 1e-4: six tries; 0.5 s doubled, but never more than 1 s apart.
    assert sends == [(0.0, 0), (0.5, 1), (1.5, 2), (2.5, 3), (3.5, 4), (4.5, 5)]
    (end_s, decided), *rest = [(t, c) for t, c in commands if isinstance(c, Decided)]
    assert not rest
    assert end_s == 4.5 + OWN.after_last_s
    assert decided.tries == 6
    assert decided.confidence == pytest.approx(1 - 0.2**6)
    assert [e.signal.kind for e in decided.evidence] == [ReplyKind.SILENCE]
    assert engine.finished
    assert engine.wake_s(end_s) is None


def test_retry_cap_is_kept() -> None:
    engine = Engine([PORT], Settings(max_retries=1))
    commands = list(drive(engine, 60.0))
    assert sum(isinstance(c, Send) for _, c in commands) == 2
    decided = commands[-1][1]
    assert isinstance(decided, Decided)
    assert decided.confidence == pytest.approx(1 - 0.2**2)


def test_an_answer_ends_the_retries() -> None:
    engine = Engine([PORT], Settings())
    assert engine.poll(0.0) == [Send(Probe(PORT, 0))]
    assert engine.receive(PORT, reply(ReplyKind.RST, 0.01), 0.01) == []
    commands = list(drive(engine, 60.0, 0.01))
    assert [type(c) for _, c in commands] == [Decided]
    time_s, decided = commands[0]
    assert time_s == pytest.approx(0.01 + 0.1)
    assert isinstance(decided, Decided)
    assert decided.evidence[0].rtt_s == pytest.approx(0.01)
    assert decided.confidence == 1.0


def test_a_stronger_reply_within_the_linger_joins_the_evidence() -> None:
    engine = Engine([PORT], Settings())
    engine.poll(0.0)
    engine.receive(PORT, reply(ReplyKind.RST, 0.01), 0.01)
    engine.receive(PORT, reply(ReplyKind.SYN_ACK, 0.02), 0.02)
    decided = [c for _, c in drive(engine, 60.0, 0.02)]
    assert len(decided) == 1
    assert isinstance(decided[0], Decided)
    assert [e.signal.kind for e in decided[0].evidence] == [ReplyKind.RST, ReplyKind.SYN_ACK]


def test_a_late_stronger_reply_revises_and_a_late_weaker_one_does_not() -> None:
    other = Port(TARGET, 562, ProbeKind.SYN)
    engine = Engine([PORT, other], Settings())
    engine.poll(0.0)
    engine.receive(PORT, reply(ReplyKind.RST, 0.01), 0.01)
    list(drive(engine, 0.5, 0.01))
    assert engine.receive(PORT, reply(ReplyKind.RST, 0.6), 0.6) == []
    revised = engine.receive(PORT, reply(ReplyKind.SYN_ACK, 0.7), 0.7)
    assert [d.revised for d in revised] == [True]
    assert revised[0].evidence[-1].signal.kind is ReplyKind.SYN_ACK
    assert engine.receive(PORT, reply(ReplyKind.SYN_ACK, 0.8), 0.8) == []


def test_a_hint_does_not_end_the_asking() -> None:
    engine = Engine([PORT], Settings())
    engine.poll(0.0)
    engine.receive(PORT, reply(ReplyKind.ICMP, 0.01, type_=3, code=4), 0.01)
    commands = list(drive(engine, 60.0, 0.01))
    assert sum(isinstance(c, Send) for _, c in commands) == 5
    decided = commands[-1][1]
    assert isinstance(decided, Decided)
    assert [e.signal.kind for e in decided.evidence] == [ReplyKind.ICMP, ReplyKind.SILENCE]


def test_losses_on_other_ports_make_the_silent_one_be_asked_more_often() -> None:
    lossy = [Port(TARGET, n, ProbeKind.SYN) for n in range(1, 40)]
    engine = Engine([*lossy, PORT], Settings())
    for port in [c.probe.port for c in engine.poll(0.0) if isinstance(c, Send)]:
        if port != PORT:
            engine.receive(port, reply(ReplyKind.RST, 0.01, number=3), 0.01)
    commands = list(drive(engine, 120.0, 0.01))
    tries = sum(isinstance(c, Send) and c.probe.port == PORT for _, c in commands)
    assert tries == 11  # the cap: with three of four lost, 1e-4 would take 32


def test_rate_is_kept() -> None:
    ports = [Port(TARGET, n, ProbeKind.SYN) for n in range(1, 501)]
    engine = Engine(ports, Settings(rate_pps=100.0, max_retries=0))
    times = [t for t, c in drive(engine, 60.0) if isinstance(c, Send)]
    assert len(times) == 500
    assert times[-1] >= 4.98
    assert all(sum(t <= x < t + 1.0 for x in times) <= 102 for t in times[::50])


def test_memory_is_bounded_by_max_in_flight() -> None:
    ports = (Port(TARGET, n, ProbeKind.SYN) for n in range(1, 60_000))
    engine = Engine(ports, Settings(rate_pps=1e6, max_in_flight=100, max_retries=0))
    now_s = 0.0
    for _ in range(50):
        engine.poll(now_s)
        assert engine.in_flight <= 100
        now_s += 0.1


def test_stop_before_patience_is_over_is_no_verdict() -> None:
    engine = Engine([PORT, UDP_PORT], Settings())
    engine.poll(0.0)
    engine.receive(UDP_PORT, reply(ReplyKind.UDP, 0.1), 0.1)
    decided = {d.port: d for d in engine.stop(3.4)}
    assert decided[PORT].evidence[-1].signal.kind is ReplyKind.SILENCE_CUT_SHORT
    assert decided[UDP_PORT].evidence[-1].signal.kind is ReplyKind.UDP
    assert engine.in_flight == 0


def test_silence_after_dropped_packets_is_no_verdict() -> None:
    engine = Engine([PORT], Settings())
    engine.poll(0.0)
    engine.dropped(1.0)
    decided = [c for _, c in drive(engine, 60.0) if isinstance(c, Decided)]
    assert decided[0].evidence[-1].signal.kind is ReplyKind.SILENCE_DROPS


def test_a_probe_that_cannot_be_sent_is_no_silence() -> None:
    engine = Engine([PORT], Settings())
    engine.poll(0.0)
    engine.send_failed(Probe(PORT, 0), ReplyKind.SEND_FAILED, 0.0)
    decided = [c for _, c in drive(engine, 60.0) if isinstance(c, Decided)]
    assert [e.signal.kind for e in decided[0].evidence] == [ReplyKind.SEND_FAILED]


def test_the_time_of_sending_is_what_the_link_says() -> None:
    engine = Engine([PORT], Settings())
    engine.poll(0.0)
    engine.sent(Probe(PORT, 0), 0.2)
    engine.receive(PORT, reply(ReplyKind.RST, 0.25), 0.3)
    (decided,) = [c for _, c in drive(engine, 60.0, 0.3) if isinstance(c, Decided)]
    assert decided.evidence[0].rtt_s == pytest.approx(0.05)
