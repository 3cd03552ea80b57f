"""The engine as a ladder: what goes in at which time, and what comes out. Nothing sleeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf

import numpy as np
import pytest
from numpy.typing import NDArray

from rawscan.engine import NOBODY, TARGET, Decided, Engine, Send, Settings
from rawscan.engine.timers import TICK_S
from rawscan.engine.window import Ints
from rawscan.model import ProbeKind, ReplyKind
from rawscan.rules import PROBES, RULES
from rawscan.silence import OWN
from tests.engine.arrivals import reply


@dataclass
class FakeBook:
    """So many ports, by default each on a host of its own."""

    count: int
    kind: ProbeKind = ProbeKind.SYN
    ports_each: int = 1

    @property
    def hosts(self) -> int:
        return -(-self.count // self.ports_each)

    def identify(self, ordinals: Ints) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
        kinds = np.full(len(ordinals), PROBES.index(self.kind), np.uint8)
        return kinds, (ordinals // self.ports_each).astype(np.uint64)


def drive(
    engine: Engine, until_s: float, start_s: float = 0.0
) -> Iterator[tuple[float, Send | Decided]]:
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


def decisions(engine: Engine, until_s: float = 120.0, start_s: float = 0.0) -> list[Decided]:
    return [c for _, c in drive(engine, until_s, start_s) if isinstance(c, Decided)]


def rules_by_port(found: list[Decided]) -> dict[int, str]:
    """The row that each port was decided by; none may come twice."""
    pairs = [
        (ordinal, rule)
        for decided in found
        for ordinal, rule in zip(decided.ordinals.tolist(), rule_ids(decided), strict=True)
    ]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def rule_ids(decided: Decided) -> list[str]:
    return [RULES[number].id for number in decided.rule]


def test_silence_is_retried_with_backoff_and_then_decided() -> None:
    engine = Engine(FakeBook(1), Settings())
    commands = list(drive(engine, 60.0))
    sends = [(t, c.number) for t, c in commands if isinstance(c, Send)]
    # 0.2 ** 6 < 1e-4: six tries; 0.5 s doubled, but never more than 0.6 s apart.
    assert [number for _, number in sends] == [0, 1, 2, 3, 4, 5]
    expected_s = [0.0, 0.5, 1.1, 1.7, 2.3, 2.9]
    assert [t for t, _ in sends] == pytest.approx(expected_s, abs=5 * TICK_S)
    ((end_s, decided),) = [(t, c) for t, c in commands if isinstance(c, Decided)]
    assert end_s == pytest.approx(2.9 + OWN.after_last_s, abs=6 * TICK_S)
    assert rule_ids(decided) == ["syn-no-response"]
    assert decided.tries.tolist() == [6]
    assert decided.confidence.tolist() == pytest.approx([1 - 0.2**6])
    assert decided.responder.tolist() == [NOBODY]
    assert engine.finished
    assert engine.wake_s(end_s) is None


def test_retry_cap_is_kept() -> None:
    engine = Engine(FakeBook(1), Settings(max_retries=1))
    commands = list(drive(engine, 60.0))
    assert sum(isinstance(c, Send) for _, c in commands) == 2
    decided = commands[-1][1]
    assert isinstance(decided, Decided)
    assert decided.confidence.tolist() == pytest.approx([1 - 0.2**2])


def test_an_answer_ends_the_retries() -> None:
    engine = Engine(FakeBook(1), Settings())
    (send,) = engine.poll(0.0)
    assert isinstance(send, Send)
    assert (send.ordinals.tolist(), send.number) == ([0], 0)
    assert engine.receive(reply(ReplyKind.RST, 0.01, 0), 0.01) == []
    ((time_s, decided),) = drive(engine, 60.0, 0.01)
    # Smoothed 10 ms, and four times a variation of as much (RFC 6298, section 2.2, nmap's start).
    assert time_s == pytest.approx(0.01 + 0.05, abs=TICK_S)
    assert isinstance(decided, Decided)
    assert rule_ids(decided) == ["syn-rst"]
    assert decided.rtt_s.tolist() == pytest.approx([0.01], abs=1e-6)
    assert decided.confidence.tolist() == [1.0]
    assert decided.extras == {}


def test_a_stronger_reply_within_the_linger_wins_and_both_are_kept() -> None:
    engine = Engine(FakeBook(1), Settings())
    engine.poll(0.0)
    engine.receive(reply(ReplyKind.RST, 0.01, 0), 0.01)
    engine.receive(reply(ReplyKind.SYN_ACK, 0.02, 0), 0.02)
    (decided,) = decisions(engine, start_s=0.02)
    assert rule_ids(decided) == ["syn-syn-ack"]
    assert [a.kind for a in decided.extras[0]] == [ReplyKind.RST, ReplyKind.SYN_ACK]


def test_both_in_one_block_are_the_same() -> None:
    engine = Engine(FakeBook(1), Settings())
    engine.poll(0.0)
    both = reply(ReplyKind.RST, 0.01, 0, 0)
    both.kind[1] = ReplyKind.SYN_ACK
    engine.receive(both, 0.01)
    (decided,) = decisions(engine, start_s=0.02)
    assert rule_ids(decided) == ["syn-syn-ack"]
    assert [a.kind for a in decided.extras[0]] == [ReplyKind.RST, ReplyKind.SYN_ACK]


def test_the_same_again_is_nothing_new() -> None:
    engine = Engine(FakeBook(1), Settings())
    engine.poll(0.0)
    engine.receive(reply(ReplyKind.RST, 0.01, 0, 0, 0), 0.01)
    (decided,) = decisions(engine, start_s=0.02)
    assert decided.extras == {}
    assert engine.losses[0].answered == 1


def test_a_late_stronger_reply_revises_and_a_late_weaker_one_does_not() -> None:
    engine = Engine(FakeBook(2), Settings())  # the silent second keeps the scan going
    engine.poll(0.0)
    engine.receive(reply(ReplyKind.RST, 0.01, 0), 0.01)
    list(drive(engine, 0.5, 0.01))
    assert engine.receive(reply(ReplyKind.RST, 0.6, 0), 0.6) == []
    (revised,) = engine.receive(reply(ReplyKind.SYN_ACK, 0.7, 0), 0.7)
    assert revised.revised is not None
    assert [RULES[number].id for number in revised.revised] == ["syn-rst"]
    assert rule_ids(revised) == ["syn-syn-ack"]
    assert [a.kind for a in revised.extras[0]] == [ReplyKind.RST, ReplyKind.SYN_ACK]
    assert engine.receive(reply(ReplyKind.SYN_ACK, 0.8, 0), 0.8) == []


def test_an_answer_that_comes_after_silence_was_believed_revises_it() -> None:
    engine = Engine(FakeBook(2), Settings(max_retries=0))
    engine.poll(0.0)
    (decided,) = decisions(engine, until_s=3.6)
    assert rule_ids(decided) == ["syn-no-response"] * 2
    (revised,) = engine.receive(reply(ReplyKind.RST, 17.0, 1), 17.0)
    assert revised.revised is not None
    assert [RULES[number].id for number in revised.revised] == ["syn-no-response"]
    assert rule_ids(revised) == ["syn-rst"]
    assert revised.responder.tolist() == [TARGET]


def test_a_hint_does_not_end_the_asking() -> None:
    engine = Engine(FakeBook(1), Settings())
    engine.poll(0.0)
    engine.receive(reply(ReplyKind.ICMP, 0.01, 0, signal=(3, 4)), 0.01)
    commands = list(drive(engine, 60.0, 0.01))
    assert sum(isinstance(c, Send) for _, c in commands) == 5
    decided = commands[-1][1]
    assert isinstance(decided, Decided)
    assert rule_ids(decided) == ["syn-no-response"]
    assert [(a.kind, a.type, a.code) for a in decided.extras[0]] == [(ReplyKind.ICMP, 3, 4)]


def test_a_syn_proxys_answer_is_kept_in_full() -> None:
    engine = Engine(FakeBook(1), Settings())
    engine.poll(0.0)
    engine.receive(reply(ReplyKind.SYN_ACK, 0.01, 0, window=0), 0.01)
    (decided,) = decisions(engine, start_s=0.02)
    assert [(a.window, a.options_bytes) for a in decided.extras[0]] == [(0, 0)]


def test_losses_on_other_ports_make_the_silent_one_be_asked_more_often() -> None:
    engine = Engine(FakeBook(40), Settings(rate_pps=1e6))
    engine.poll(0.0)
    for retry_s in (0.5, 1.5, 2.5):
        engine.poll(retry_s)
    engine.receive(reply(ReplyKind.RST, 2.6, *range(39), number=3), 2.6)
    sent = [c for _, c in drive(engine, 120.0, 2.6) if isinstance(c, Send)]
    assert {ordinal for send in sent for ordinal in send.ordinals.tolist()} == {39}
    assert sent[-1].number == 10  # the cap: with three of four lost, 1e-4 would take 32


def test_only_the_targets_own_answers_teach() -> None:
    engine = Engine(FakeBook(1), Settings())
    engine.poll(0.0)
    engine.receive(reply(ReplyKind.ICMP, 3.0, 0, signal=(3, 1), responder=0), 3.0)
    assert engine.losses[0].answered == 0
    assert engine.rtt.smoothed_s is None


def test_rate_is_kept() -> None:
    engine = Engine(FakeBook(500), Settings(rate_pps=100.0, max_retries=0))
    times = [
        t for t, c in drive(engine, 60.0) if isinstance(c, Send) for _ in range(len(c.ordinals))
    ]
    assert len(times) == 500
    assert times[-1] >= 4.98
    assert all(sum(t <= x < t + 1.0 for x in times) <= 102 for t in times[::50])


def test_every_port_is_asked_once_and_decided_once() -> None:
    engine = Engine(FakeBook(10_000), Settings(rate_pps=1e6, max_retries=0, max_window=1000))
    asked: list[int] = []
    decided: list[int] = []
    for _, command in drive(engine, 1e6):
        (asked if isinstance(command, Send) else decided).extend(command.ordinals.tolist())
        assert len(engine.window) <= 1000
    assert sorted(asked) == sorted(decided) == list(range(10_000))
    assert engine.finished


def test_answered_ports_leave_the_window_while_silent_ones_wait() -> None:
    engine = Engine(FakeBook(100_000), Settings(rate_pps=1e6, max_window=4096, max_retries=0))
    now_s = 0.0
    while not engine.finished and now_s < 600:
        for command in engine.poll(now_s):
            if isinstance(command, Send):
                answered = command.ordinals[command.ordinals % 500 != 0]
                engine.receive(reply(ReplyKind.RST, now_s, *answered.tolist()), now_s)
        now_s += 0.01
    assert engine.finished
    assert engine.losses[0].answered == 100_000 - 200


def test_stop_before_patience_is_over_is_no_verdict() -> None:
    engine = Engine(FakeBook(2), Settings())
    engine.poll(0.0)
    engine.receive(reply(ReplyKind.RST, 0.1, 1), 0.1)
    assert rules_by_port(engine.stop(3.4)) == {0: "syn-cut-short", 1: "syn-rst"}
    assert engine.undecided == 0


def test_stop_before_the_last_try_is_no_verdict_however_long_it_took() -> None:
    """Two of six tries, and a long silence: whoever goes on with this scan has to ask again."""
    engine = Engine(FakeBook(1), Settings())
    engine.poll(0.0)
    engine.poll(0.5)
    assert rules_by_port(engine.stop(100.0)) == {0: "syn-cut-short"}


def test_stop_after_the_last_try_and_its_wait_is_a_verdict() -> None:
    engine = Engine(FakeBook(1), Settings())
    list(drive(engine, 3.85))
    assert engine.undecided == 1
    assert rules_by_port(engine.stop(3.95)) == {0: "syn-no-response"}


def test_tries_before_a_drop_are_made_again() -> None:
    engine = Engine(FakeBook(1), Settings())
    sent = [c for _, c in drive(engine, 1.5) if isinstance(c, Send)]
    assert len(sent) == 3  # at 0, 0.5 and 1.1 s
    engine.dropped(1.5)
    commands = [c for _, c in drive(engine, 60.0, 1.5)]
    sent += [c for c in commands if isinstance(c, Send)]
    assert len(sent) == 3 + 6
    decided = commands[-1]
    assert isinstance(decided, Decided)
    assert rule_ids(decided) == ["syn-no-response"]
    assert decided.tries.tolist() == [9]
    assert decided.confidence.tolist() == pytest.approx([1 - 0.2**6])


def test_silence_is_no_verdict_where_drops_never_end() -> None:
    engine = Engine(FakeBook(1), Settings())
    found: list[Decided] = []
    for step in range(400):
        found += [c for c in engine.poll(step / 10) if isinstance(c, Decided)]
        engine.dropped(step / 10)
    assert rules_by_port(found) == {0: "syn-kernel-drops"}
    assert found[0].tries.tolist() == [16]


def test_what_is_done_is_not_asked_and_not_reported() -> None:
    done = np.array([0, 1, 2, 5, 6, 9], np.int64)
    engine = Engine(FakeBook(10), Settings(max_retries=0), done=done)
    commands = [c for _, c in drive(engine, 60.0)]
    asked = [o for c in commands if isinstance(c, Send) for o in c.ordinals.tolist()]
    decided = [o for c in commands if isinstance(c, Decided) for o in c.ordinals.tolist()]
    assert asked == decided == [3, 4, 7, 8]
    assert engine.finished
    # The key of a repeated scan makes answers to the earlier run look like ours.
    assert engine.receive(reply(ReplyKind.SYN_ACK, 60.0, 5), 60.0) == []


def test_a_scan_of_which_all_is_done_is_finished() -> None:
    engine = Engine(FakeBook(7), Settings(), done=np.arange(7, dtype=np.int64))
    assert list(drive(engine, 60.0)) == []
    assert engine.finished


def test_passing_over_what_is_done_takes_no_time() -> None:
    done = np.concatenate([np.arange(1, 50_000), [50_001]]).astype(np.int64)
    engine = Engine(FakeBook(50_002), Settings(rate_pps=10.0, max_retries=0), done=done)
    sent = {c.ordinals[0]: t for t, c in drive(engine, 1.0) if isinstance(c, Send)}
    assert sent == {0: 0.0, 50_000: pytest.approx(0.1)}


def test_a_host_gets_no_more_than_its_share() -> None:
    settings = Settings(rate_pps=inf, max_retries=0, host_rate_pps=100.0)
    engine = Engine(FakeBook(600, ports_each=300), settings)
    times = [
        (t, ordinal // 300)
        for t, c in drive(engine, 60.0)
        if isinstance(c, Send)
        for ordinal in c.ordinals.tolist()
    ]
    assert len(times) == 600
    for host in (0, 1):
        mine = [t for t, h in times if h == host]
        assert all(sum(t <= x < t + 1.0 for x in mine) <= 102 for t in mine[::20])


def limited_host(burst: int, per_s: float) -> Callable[[float], bool]:
    """A token bucket as a Linux host has it: may it answer a probe that comes at this time?"""
    tokens, at_s = float(burst), 0.0

    def may_answer(now_s: float) -> bool:
        nonlocal tokens, at_s
        tokens, at_s = min(tokens + (now_s - at_s) * per_s, burst), now_s
        if tokens < 1:
            return False
        tokens -= 1
        return True

    return may_answer


def scan_limited(ports: int, closed: int, burst: int, per_s: float) -> tuple[float, list[Decided]]:
    """Scan the UDP ports of one host, the first of which are closed; the rest say nothing."""
    engine = Engine(FakeBook(ports, ProbeKind.UDP, ports), Settings())
    may_answer, now_s, found = limited_host(burst, per_s), 0.0, list[Decided]()
    for _ in range(1_000_000):
        for command in engine.poll(now_s):
            if isinstance(command, Decided):
                found.append(command)
                continue
            told = [o for o in command.ordinals.tolist() if o < closed and may_answer(now_s)]
            unreachable = reply(ReplyKind.ICMP, now_s, *told, number=command.number, signal=(3, 3))
            engine.receive(unreachable, now_s)
        if engine.finished:
            return now_s, found
        wake_s = engine.wake_s(now_s)
        assert wake_s is not None
        now_s = max(wake_s, now_s)
    raise AssertionError("the engine never rests")


def test_a_host_that_limits_its_errors_is_asked_as_it_can_answer() -> None:
    """60 closed ports of a Linux host: a burst of 6, then 54 s for the others, and no less."""
    took_s, found = scan_limited(60, 60, burst=6, per_s=1.0)
    assert set(rules_by_port(found).values()) == {"udp-port-unreach"}
    assert len(rules_by_port(found)) == 60
    assert 54 <= took_s <= 54 * 1.06


def test_silent_ports_of_such_a_host_are_not_waited_for_by_the_second() -> None:
    """A probe that is not answered costs no token: six silent ports can be asked in a row."""
    took_s, found = scan_limited(60, 20, burst=6, per_s=1.0)
    rules = rules_by_port(found)
    assert {rules[o] for o in range(20)} == {"udp-port-unreach"}
    assert {rules[o] for o in range(20, 60)} == {"udp-no-response"}
    assert took_s < 60


def test_a_host_that_is_faster_than_that_is_found_out() -> None:
    for per_s in (3.0, 4.0, 5.0, 20.0):
        took_s, found = scan_limited(300, 300, burst=6, per_s=per_s)
        assert set(rules_by_port(found).values()) == {"udp-port-unreach"}
        assert took_s < 200  # 294 s at one a second


def test_a_limited_host_is_no_lossy_path() -> None:
    engine = Engine(FakeBook(60, ProbeKind.UDP, 60), Settings())
    engine.poll(0.0)
    engine.receive(reply(ReplyKind.ICMP, 0.0, *range(6), signal=(3, 3)), 0.0)
    list(drive(engine, 1.5))
    engine.receive(reply(ReplyKind.ICMP, 1.5, 10, number=1, signal=(3, 3)), 1.5)
    assert engine.losses[1].lost == 0


@pytest.mark.parametrize("why", [ReplyKind.SEND_FAILED, ReplyKind.NO_NEIGHBOUR])
def test_a_probe_that_cannot_be_sent_is_no_silence(why: ReplyKind) -> None:
    engine = Engine(FakeBook(3), Settings())
    engine.poll(0.0)
    engine.send_failed(np.array([1]), why, 0.0)
    first = decisions(engine, until_s=0.1)
    assert [d.ordinals.tolist() for d in first] == [[1]]
    assert rule_ids(first[0]) == [
        "syn-send-failed" if why is ReplyKind.SEND_FAILED else "syn-no-arp-response"
    ]
    assert first[0].responder.tolist() == [NOBODY]


@pytest.mark.parametrize("max_retries", [0, 10])
@pytest.mark.parametrize(("refusals", "rule"), [(4, "syn-no-response"), (5, "syn-send-failed")])
def test_a_first_try_that_finds_no_room_is_made_again_a_few_times(
    max_retries: int, refusals: int, rule: str
) -> None:
    engine = Engine(FakeBook(1), Settings(max_retries=max_retries))
    left, found, sent = refusals, [], 0
    for now_s, command in drive(engine, 60.0):
        if isinstance(command, Decided):
            found.append(command)
        elif left:
            left -= 1
            assert command.number == 0
            engine.send_failed(command.ordinals, ReplyKind.SEND_FAILED, now_s, passing=True)
        else:
            assert command.number == sent
            sent += 1
    assert rules_by_port(found) == {0: rule}
    assert sent == found[0].tries[0] == (0 if refusals == 5 else min(6, max_retries + 1))
    assert engine.finished


def test_tries_that_found_no_room_are_no_reason_to_believe_in_silence() -> None:
    engine, left, found = Engine(FakeBook(1), Settings()), 2, []
    for now_s, command in drive(engine, 60.0):
        if isinstance(command, Decided):
            found.append(command)
        elif command.number == 3 and left:
            left -= 1
            engine.send_failed(command.ordinals, ReplyKind.SEND_FAILED, now_s, passing=True)
    assert rules_by_port(found) == {0: "syn-no-response"}
    assert found[0].tries.tolist() == [6]


def test_the_time_of_sending_is_what_the_link_says() -> None:
    engine = Engine(FakeBook(1), Settings())
    engine.poll(0.0)
    engine.sent(np.array([0]), 0, np.array([0.2]))
    engine.receive(reply(ReplyKind.RST, 0.25, 0), 0.3)
    (decided,) = decisions(engine, start_s=0.3)
    assert decided.rtt_s.tolist() == pytest.approx([0.05], abs=1e-6)


def test_a_probe_that_left_late_is_waited_for_from_then_on() -> None:
    """Sending may take longer than the answer is waited for: the link says when it was done."""
    engine = Engine(FakeBook(1), Settings())
    engine.poll(0.0)
    engine.sent(np.array([0]), 0, np.array([0.45]))
    retries = [t for t, c in drive(engine, 2.0, 0.45) if isinstance(c, Send)]
    assert retries[0] == pytest.approx(0.95, abs=TICK_S)


def test_thousands_of_silent_ports_stay_in_batches() -> None:
    """Each has a deadline of its own, down to the microsecond at which its probe left."""
    engine, now_s, polls = Engine(FakeBook(5000), Settings(rate_pps=inf)), 0.0, 0
    while not engine.finished:
        polls += 1
        for command in engine.poll(now_s):
            if isinstance(command, Send):
                spread = now_s + np.linspace(0, 0.1, len(command.ordinals))
                engine.sent(command.ordinals, command.number, spread)
        wake_s = engine.wake_s(now_s)
        now_s = max(wake_s or now_s, now_s)
    assert polls < 1000


def test_an_answer_to_a_try_that_was_not_made_is_no_answer() -> None:
    engine = Engine(FakeBook(1), Settings())
    engine.poll(0.0)
    engine.receive(reply(ReplyKind.UDP, 0.1, 0, number=1), 0.1)
    assert rules_by_port(decisions(engine)) == {0: "syn-no-response"}


def test_a_reply_about_nothing_that_was_asked_is_ignored() -> None:
    engine = Engine(FakeBook(10), Settings(rate_pps=1.0))
    engine.poll(0.0)
    assert engine.receive(reply(ReplyKind.RST, 0.1, 5), 0.1) == []
    assert engine.losses[0].answered == 0
