"""History: what is a change, what is none, and how it is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from time import process_time

import pytest

from rawscan.analysis import analyse
from rawscan.findings import Finding, Spell
from rawscan.model import IPAddress, Port, ProbeKind, State, Verdict
from rawscan.portstates import history, in_words, with_common_histories
from rawscan.testing import START_S
from rawscan.wire import replies
from tests.tape import ROUTER, SYN, TARGET, UDP, Tape
from tests.test_analysis import P561

OPEN, CLOSED, FILTERED, UNKNOWN = State.OPEN, State.CLOSED, State.FILTERED, State.UNKNOWN
REASONS = {OPEN: "syn-ack", CLOSED: "reset", FILTERED: "no-response", UNKNOWN: "cut-short",
           State.OPEN_FILTERED: "no-response"}  # fmt: skip
A, B = ip_address("10.0.0.5"), ip_address("10.0.0.1")


def spell(
    state: State, since_s: float, until_s: float | None = None, ip: IPAddress | None = None
) -> Spell:
    until_s = since_s if until_s is None else until_s
    return Spell(state, REASONS[state], ip, since_s, until_s, (int(since_s),))


def told(spells: Sequence[Spell]) -> list[tuple[str, float, float]]:
    return [(s.state.value, s.since_s, s.until_s) for s in spells]


def test_the_same_answer_again_is_one_spell() -> None:
    (one,) = history([spell(CLOSED, 1), spell(CLOSED, 2), spell(CLOSED, 5)])
    assert (one.since_s, one.until_s, one.frames) == (1, 5, (1, 2, 5))


def test_another_answer_or_another_responder_is_a_change() -> None:
    changes = history([spell(CLOSED, 1), spell(OPEN, 2), spell(CLOSED, 3)])
    assert told(changes) == [("closed", 1, 1), ("open", 2, 2), ("closed", 3, 3)]
    assert len(history([spell(FILTERED, 1, ip=A), spell(FILTERED, 2, ip=B)])) == 2


def test_the_unknown_ends_nothing() -> None:
    spells = [spell(UNKNOWN, 0), spell(CLOSED, 1), spell(UNKNOWN, 2), spell(CLOSED, 3)]
    assert told(history(spells)) == [("closed", 1, 3)]
    assert told(history([spell(UNKNOWN, 0), spell(UNKNOWN, 4)])) == [("unknown", 0, 0)]


@pytest.mark.parametrize("order", [1, -1])
def test_open_or_filtered_is_no_change_from_either(order: int) -> None:
    states = [OPEN, State.OPEN_FILTERED][::order]
    assert told(history([spell(states[0], 1), spell(states[1], 2)])) == [("open", 1, 2)]
    apart = history([spell(OPEN, 1), spell(State.OPEN_FILTERED, 2), spell(CLOSED, 3)])
    assert told(apart) == [("open", 1, 2), ("closed", 3, 3)]


def test_a_port_that_flaps_is_not_told_of_for_ever() -> None:
    spells = history([spell(OPEN if n % 2 else CLOSED, n) for n in range(1000)])
    assert len(spells) == 64
    assert len(history([spell(CLOSED, n) for n in range(1000)])[0].frames) == 32


def day(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ("2019-03-02 23:59:59", "2019-03-05", "closed until 2019-03-02, then open"),
        ("2019-03-02 10:00:00", "2019-03-02 10:00:05", "closed until 2019-03-02 10:00:00, then"),
        ("2019-03-02 10:00:00.2", "2019-03-02 10:00:00.7",
         "closed until 2019-03-02 10:00:00.200000, then"),
    ],
)  # fmt: skip
def test_times_are_told_as_closely_as_they_must(first: str, second: str, text: str) -> None:
    assert in_words([spell(CLOSED, day(first)), spell(OPEN, day(second))]).startswith(text)


def test_reasons_are_told_where_they_add_something() -> None:
    refused = Spell(FILTERED, "admin-prohibited", B, day("2019-03-05"), day("2019-03-09"), ())
    words = in_words([spell(CLOSED, day("2019-03-02"), ip=A), refused])
    assert words == "closed until 2019-03-02, then filtered (admin-prohibited from 10.0.0.1)"
    assert in_words([spell(FILTERED, 1)]) == "filtered (no-response)"
    assert in_words([]) == ""


def finding(*spells: Spell, source: IPAddress = B) -> Finding:
    verdict = Verdict(Port(A, 561, ProbeKind.SYN), CLOSED, "reset", "syn-rst", 1, 1.0, 0.0)
    return Finding(verdict, source, 0, 0, (), spells)


def test_what_one_source_saw_after_the_other_is_one_history() -> None:
    earlier, later = finding(spell(CLOSED, 1, 2)), finding(spell(FILTERED, 8, 9), source=A)
    for found in with_common_histories([later, earlier]):
        assert told(found.history) == [("closed", 1, 2), ("filtered", 8, 9)]
        assert found.verdict.hints == ()


def test_who_is_treated_differently_at_the_same_time_has_a_history_of_his_own() -> None:
    welcome, shut_out = finding(spell(OPEN, 1, 9)), finding(spell(FILTERED, 5, 6), source=A)
    one, other = with_common_histories([welcome, shut_out])
    assert (told(one.history), told(other.history)) == ([("open", 1, 9)], [("filtered", 5, 6)])
    assert one.verdict.hints == other.verdict.hints == ("differs-by-source",)
    # Who knows nothing contradicts nobody.
    one, other = with_common_histories([welcome, finding(spell(UNKNOWN, 5, 6), source=A)])
    assert told(one.history) == told(other.history) == [("open", 1, 9)]


# From captures


def words(tape: Tape, tmp_path: Path) -> str:
    (found,) = [
        f for f in analyse(tape.foreign(tmp_path / "x.pcap"), P561).findings
        if f.verdict.port.target == TARGET
    ]  # fmt: skip
    return in_words(found.history).replace(str(START_S), "")


OTHER = ip_address("10.0.0.77")


def reset(tape: Tape, at_s: float, number: int, target: IPAddress = TARGET) -> None:
    tape.reply(at_s + 0.1, replies.rst(tape.probe(at_s, target=target, number=number)))


def test_retries_of_one_asking_are_no_change(tmp_path: Path) -> None:
    tape = Tape()
    tape.probe(0)
    tape.probe(1, number=1)
    reset(tape, 3, 2)
    reset(tape, 500, 3, OTHER)
    assert words(tape, tmp_path) == "closed"


def test_another_answer_soon_after_is_a_change(tmp_path: Path) -> None:
    tape = Tape()
    reset(tape, 0, 0)
    tape.reply(5.1, replies.syn_ack(tape.probe(5, number=1)))
    text = "closed until 2023-11-14 22:13:20, then open"
    assert words(tape, tmp_path) == text


def test_files_that_were_merged_out_of_order(tmp_path: Path) -> None:
    tape = Tape()
    tape.reply(86400.1, replies.syn_ack(tape.probe(86400, number=1)))
    reset(tape, 0, 0)
    assert words(tape, tmp_path) == "closed until 2023-11-14, then open"


def test_a_long_conversation_is_judged_in_time(tmp_path: Path) -> None:
    """Ten thousand answered questions: each is looked at once, not once for each other."""
    tape = Tape()
    ask = Tape().probe(0, UDP)
    answer = replies.datagram(ask, b"x")
    for number in range(10_000):
        tape.frames += [(number * 0.01, ask, "out"), (number * 0.01 + 0.001, answer, "in")]
    started_s = process_time()
    assert words(tape, tmp_path) == "open"
    assert process_time() - started_s < 10  # squared, it would be minutes


def test_silence_after_an_answer_is_a_change_if_it_is_sure_enough(tmp_path: Path) -> None:
    tape = Tape()
    reset(tape, 0, 0)
    tape.probe(100, number=1)
    reset(tape, 500, 3, OTHER)
    assert words(tape, tmp_path) == "closed"  # one packet is soon lost
    tape.probe(600, number=2)
    reset(tape, 900, 4, OTHER)
    text = "closed until 2023-11-14 22:13:20, then filtered (no-response)"
    assert words(tape, tmp_path) == text


def test_a_forged_error_beside_the_answer_changes_nothing(tmp_path: Path) -> None:
    tape = Tape()
    for number, second in enumerate((0, 100, 200)):
        packet = tape.probe(second, number=number)
        if number == 1:
            tape.reply(second + 0.05, replies.icmp_error(packet, 3, 13, responder=ROUTER))
        tape.reply(second + 0.1, replies.syn_ack(packet))
    assert words(tape, tmp_path) == "open"


def test_a_conversation_in_udp_is_no_change_when_it_pauses(tmp_path: Path) -> None:
    tape = Tape()
    tape.reply(0.1, replies.datagram(tape.probe(0, UDP), b"x"))
    tape.probe(1, UDP)
    tape.probe(2, UDP)
    reset(tape, 500, 3, OTHER)
    assert words(tape, tmp_path) == "open"


def test_inferred_answers_have_a_history_too(tmp_path: Path) -> None:
    from tests.test_analysis_silence import hang_up

    tape = Tape()
    reset(tape, 0, 0)
    tape.frames.append((100.1, hang_up(tape.probe(100, SYN, number=1)), "out"))
    assert words(tape, tmp_path).endswith("then open (syn-ack-unseen)")
