"""What an explanation says stands in the evidence: over every case of every capture there is.

The packets are decoded once more here, by Scapy, which shares no code with what is tested.
"""

from __future__ import annotations

import io
import re
from dataclasses import replace
from functools import cache
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from rawscan.model import ReplyKind, State
from rawscan.rules import BY_ID, RULES, Rule
from rawscan.teach.case import Case, Shot, case_of_record, example_of
from rawscan.teach.departures import DEPARTURES
from rawscan.teach.explanation import Explanation, explain_case, explain_rule
from rawscan.teach.text import write_explanation
from tests.teach.shared import SHARED, all_cases


def text_of(explanation: Explanation, width: int = 72) -> str:
    stream = io.StringIO()
    write_explanation(explanation, stream, width)
    return stream.getvalue()


@cache
def _explained(case: Case) -> Explanation:
    return explain_case(case)


def test_there_is_something_to_explain() -> None:
    assert len(all_cases()) > 400
    if SHARED.is_dir():
        assert {case.rule.id for case in all_cases()} >= {"ack-admin-prohibited", "syn-rst"}


def test_every_case_can_be_explained_and_says_its_verdict() -> None:
    for case in all_cases():
        explanation = _explained(case)
        text = " ".join(text_of(explanation).split())
        state = case.verdict.state.value
        assert f"{case.port.number}/{case.port.protocol.value}" in text
        assert f"{state} {case.verdict.reason}" in text
        assert " ".join(case.rule.why.split()) in text
        assert all(
            " ".join(hint.split()) in text or " from " in hint for hint in case.verdict.hints
        )


def test_every_field_is_in_the_packet_at_that_place() -> None:
    seen = 0
    for case in all_cases():
        for shot, fields in _explained(case).read:
            assert shot in case.shots
            for field in fields:
                assert shot.data[field.offset : field.offset + len(field.data)] == field.data
                seen += 1
    assert seen > 2000


def test_the_bytes_are_the_value_that_is_told() -> None:
    for case in all_cases():
        for _, fields in _explained(case).read:
            for field in fields:
                if "." in field.value or ":" in field.value:
                    assert ip_address(field.data) == ip_address(field.value), field
                else:
                    base = 2 if field.name == "flags" else 10
                    assert int.from_bytes(field.data) == int(field.value, base), field


def test_field_values_are_what_scapy_reads() -> None:
    for case in all_cases():
        for shot, fields in _explained(case).read:
            values = {field.name: field.value for field in fields}
            ip = IP(shot.data) if shot.data[0] >> 4 == 4 else IPv6(shot.data)
            if "source" in values:
                assert ip_address(values["source"]) == ip_address(ip.src)
            if "TTL" in values:
                assert int(values["TTL"]) == ip.ttl
            for layer in (TCP, UDP):
                if layer in ip and "source port" in values:
                    assert int(values["source port"]) == ip[layer].sport
                    assert int(values["destination port"]) == ip[layer].dport
            if TCP in ip and "flags" in values:
                assert int(values["flags"], 2) == int(ip[TCP].flags)
            if TCP in ip and "acknowledgement" in values:
                assert int(values["acknowledgement"]) == ip[TCP].ack


def test_every_packet_on_the_ladder_is_in_the_capture_and_goes_that_way() -> None:
    for case in all_cases():
        explanation = _explained(case)
        assert explanation.ladder is not None
        lanes = explanation.ladder.lanes
        by_number = {shot.frame_number: shot for shot in case.shots}
        for rung in explanation.ladder.rungs:
            if rung.frame_number is None:
                assert rung.kind in ("silence", "gap")
                continue
            packet = by_number[rung.frame_number].packet
            assert packet.source in lanes[rung.sender].addresses
            if rung.receiver is not None and rung.kind != "probe":
                assert packet.destination in lanes[rung.receiver].addresses


def _answers(case: Case, shot: Shot) -> bool:
    return any(
        reply.evidence is not None
        and reply.evidence.try_number == shot.try_number
        and reply.evidence.signal.kind is not ReplyKind.NO_NEIGHBOUR
        for reply in case.replies
    )


def test_a_probe_is_drawn_as_received_only_if_somebody_answers_it() -> None:
    """And as far as the target only if the target's own address does."""
    for case in all_cases():
        ladder = _explained(case).ladder
        assert ladder is not None
        tries = {shot.frame_number: shot for shot in case.probes}
        for rung in ladder.rungs:
            if rung.kind != "probe":
                continue
            assert rung.frame_number is not None
            shot = tries[rung.frame_number]
            assert (rung.receiver is not None) == _answers(case, shot)
            if rung.receiver == len(ladder.lanes) - 1:
                number = shot.try_number
                replies = [r.evidence for r in case.replies if r.evidence]
                assert any(e.from_target and e.try_number == number for e in replies)


def test_the_arithmetic_is_right() -> None:
    """Every `A = seq of #N plus 1` is computed again from the packets themselves."""
    checked = 0
    for case in all_cases():
        ladder = _explained(case).ladder
        assert ladder is not None
        seqs = {shot.frame_number: _seq(shot.data) for shot in case.probes}
        for rung in ladder.rungs:
            for note in rung.notes:
                plus = re.fullmatch(r"ack (\d+) = seq of #(\d+) plus 1: it answers #\2", note)
                if plus:
                    seq = seqs[int(plus[2])]
                    assert seq is not None
                    assert int(plus[1]) == (seq + 1) % 2**32
                    checked += 1
    assert checked > 100


def _seq(data: bytes) -> int | None:
    """The sequence number, as Scapy reads it; short snaplens are filled up for it."""
    ip = IP(data.ljust(80, b"\0")) if data[0] >> 4 == 4 else IPv6(data.ljust(80, b"\0"))
    return int(ip[TCP].seq) if TCP in ip else None


def test_silence_is_told_by_its_kind_and_no_answer_is_made_up() -> None:
    for case in all_cases():
        ladder = _explained(case).ladder
        assert ladder is not None
        silent = [rung for rung in ladder.rungs if rung.kind == "silence"]
        assert bool(silent) == (case.rule.reply < ReplyKind.NO_NEIGHBOUR)
        if case.verdict.state is State.UNKNOWN:
            assert "no verdict" in " ".join(explain_case(case).sure)


@pytest.mark.parametrize("width", [60, 72, 100])
def test_lines_fit(width: int) -> None:
    for case in all_cases():
        for line in text_of(explain_case(case), width).splitlines():
            assert len(line) <= width, line


def test_confidence_is_the_arithmetic_of_the_record() -> None:
    case = example_of(BY_ID["syn-no-response"])
    assert case is not None
    (text,) = explain_case(case).sure
    # By hand: six tries, the least loss assumed is one in five: 0.2 ** 6 = 0.000064.
    assert "Asked 6 times" in text
    assert "0.20 ** 6 = 6.4e-05; so it is sure to 99.9936 %" in text


def test_silence_is_never_certain() -> None:
    for confidence in (1.0, 0.999999999):
        told = record(BY_ID["syn-no-response"], confidence=confidence)
        (text,) = explain_case(case_of_record(told, "x")).sure
        assert "sure to 99.9999 %" in text.lower()


def test_what_proves_an_answer_to_an_ack_is_its_acknowledgement_number() -> None:
    case = example_of(BY_ID["ack-rst"], 4)
    assert case is not None
    (_, probe), (_, reply) = explain_case(case).read
    repeated = {field.name: field.value for field in probe}["acknowledgement"]
    assert {field.name: field.value for field in reply}["sequence number"] == repeated


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_can_be_explained(rule: Rule) -> None:
    explanation = explain_rule(rule, example_of(rule))
    text = " ".join(text_of(explanation).split())
    assert " ".join(rule.why.split()) in text
    assert rule.rfc in text
    assert "What would have changed it" in text
    for departure in DEPARTURES:
        assert (f"{departure.tool} {departure.version} says {departure.says}" in text) or (
            departure.rule != rule.id
        )


def record(rule: Rule, /, **changes: object) -> dict[str, object]:
    answered = rule.reply > ReplyKind.SILENCE_SNAPLEN and rule.reply is not ReplyKind.SEND_FAILED
    fields: dict[str, object] = {
        "type": "port", "target": "10.0.0.5", "port": 561, "probe": rule.probe.value,
        "state": rule.state.value if rule.state else None, "reason": rule.reason,
        "reason_ip": "10.0.0.1" if answered else None, "reason_ttl": 60 if answered else None,
        "rtt_ms": 0.5 if answered else None, "tries": 3, "confidence": 0.99, "rule": rule.id,
        "hints": ["a-hint-of-tomorrow"],
    }  # fmt: skip
    return fields | changes


@pytest.mark.parametrize("rule", [r for r in RULES if r.state], ids=lambda rule: rule.id)
def test_a_record_alone_is_explained_without_packets(rule: Rule) -> None:
    text = text_of(explain_case(case_of_record(record(rule), "results.jsonl")))
    assert "#1" not in text
    assert "bytes from its IP header" not in text
    assert "a-hint-of-tomorrow" in text
    assert "3 tries" in text


def test_a_reply_of_another_than_the_target_is_never_drawn_from_the_target() -> None:
    rule = BY_ID["udp-port-unreach-other"]
    ladder = explain_case(case_of_record(record(rule), "x")).ladder
    assert ladder is not None
    assert ladder.lanes[ladder.rungs[-1].sender].addresses == (ip_address("10.0.0.1"),)
    closed = BY_ID["udp-port-unreach"]
    ladder = explain_case(case_of_record(record(closed, reason_ip="10.0.0.5"), "x")).ladder
    assert ladder is not None
    assert ladder.rungs[-1].sender == len(ladder.lanes) - 1


def test_a_long_exchange_is_cut_in_the_middle_and_says_so() -> None:
    case = example_of(BY_ID["udp-response"])
    assert case is not None
    probe, reply = case.shots
    many = [replace(probe, frame_number=n, time_s=probe.time_s + n) for n in range(1, 101)]
    last = replace(reply, frame_number=50, time_s=probe.time_s + 50.5)
    shots = sorted([*many, last], key=lambda shot: shot.time_s)
    ladder = explain_case(replace(case, shots=tuple(shots))).ladder
    assert ladder is not None
    kinds = [rung.kind for rung in ladder.rungs]
    assert kinds.count("gap") == 1
    (gap,) = (rung for rung in ladder.rungs if rung.kind == "gap")
    shown = sum(rung.frame_number is not None for rung in ladder.rungs)
    assert gap.label == f"{101 - shown} packets left out here"
    assert "reply" in kinds  # what decides is not cut away
