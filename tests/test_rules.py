"""The rule table, every cell of it, against the table of the design written out by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from rawscan.model import ProbeKind, ReplyKind, Signal, State
from rawscan.rules import (
    BY_ID,
    LOOKUP,
    RULES,
    Rule,
    cell,
    fill,
    rule_for,
    rules_for_state,
    rules_for_word,
    strength,
)

OPEN, CLOSED, FILTERED, UNFILTERED = State.OPEN, State.CLOSED, State.FILTERED, State.UNFILTERED
OPEN_FILTERED, UNKNOWN = State.OPEN_FILTERED, State.UNKNOWN
Meaning = tuple[State | None, str]
Key = tuple[ReplyKind, int, int]

# What a TCP or UDP answer means, if it is the target's. From anybody else it means nothing.
ANSWERS: dict[ProbeKind, dict[ReplyKind, Meaning]] = {
    ProbeKind.SYN: {
        ReplyKind.SYN_ACK: (OPEN, "syn-ack"),
        ReplyKind.SYN: (OPEN, "split-handshake-syn"),
        ReplyKind.RST: (CLOSED, "reset"),
    },
    ProbeKind.UDP: {ReplyKind.UDP: (OPEN, "udp-response")},
    ProbeKind.ACK: {ReplyKind.RST: (UNFILTERED, "reset")},
}

# ICMP type 3 by code, for every probe and sender; 3/3 stands apart.
UNREACHABLE: dict[int, Meaning] = {
    0: (FILTERED, "net-unreach"),
    1: (FILTERED, "host-unreach"),
    2: (FILTERED, "proto-unreach"),
    4: (None, "frag-needed"),
    5: (FILTERED, "source-route-failed"),
    6: (FILTERED, "net-unknown"),
    7: (FILTERED, "host-unknown"),
    8: (FILTERED, "source-host-isolated"),
    9: (FILTERED, "net-prohibited"),
    10: (FILTERED, "host-prohibited"),
    11: (FILTERED, "net-tos-unreach"),
    12: (FILTERED, "host-tos-unreach"),
    13: (FILTERED, "admin-prohibited"),
    14: (FILTERED, "precedence-violation"),
    15: (FILTERED, "precedence-cutoff"),
}
# The other ICMP types that a row speaks of, whatever the code.
OTHER_TYPES: dict[int, Meaning] = {
    4: (None, "source-quench"),
    5: (None, "redirect"),
    11: (FILTERED, "time-exceeded"),
    12: (None, "param-problem"),
}
# ICMPv6 type 1 by code; 1/4 stands apart.
UNREACHABLE6: dict[int, Meaning] = {
    0: (FILTERED, "no-route"),
    1: (FILTERED, "admin-prohibited"),
    2: (FILTERED, "beyond-scope"),
    3: (FILTERED, "host-unreach"),
    5: (FILTERED, "policy-fail"),
    6: (FILTERED, "reject-route"),
}
OTHER_TYPES6: dict[int, Meaning] = {2: (None, "too-big"), 3: (FILTERED, "time-exceeded")}
# ICMPv6 type 4 by code.
PARAMETER6: dict[int, Meaning] = {
    0: (None, "header-field"),
    1: (FILTERED, "param-problem"),
    2: (None, "option"),
}
SILENCES: dict[ReplyKind, Meaning] = {
    ReplyKind.SILENCE_CUT_SHORT: (UNKNOWN, "cut-short"),
    ReplyKind.SILENCE_DROPS: (UNKNOWN, "kernel-drops"),
    ReplyKind.SILENCE_ONE_WAY: (UNKNOWN, "one-way"),
    ReplyKind.SILENCE_SNAPLEN: (UNKNOWN, "snaplen"),
    ReplyKind.NO_NEIGHBOUR: (UNKNOWN, "no-arp-response"),
    ReplyKind.SEND_FAILED: (UNKNOWN, "send-failed"),
}
HONEST_SILENCE: dict[ProbeKind, Meaning] = {
    ProbeKind.SYN: (FILTERED, "no-response"),
    ProbeKind.UDP: (OPEN_FILTERED, "no-response"),
    ProbeKind.ACK: (FILTERED, "no-response"),
}


def expected(probe: ProbeKind, from_target: bool) -> dict[Key, Meaning]:
    """The design's table for one probe kind and sender; what is not in it means nothing."""
    table: dict[Key, Meaning] = {}
    if from_target:
        table |= {(kind, 0, 0): meaning for kind, meaning in ANSWERS[probe].items()}
    table |= {(kind, 0, 0): meaning for kind, meaning in SILENCES.items()}
    table[ReplyKind.SILENCE, 0, 0] = HONEST_SILENCE[probe]
    # Nobody saw it, so it has no sender to ask for.
    if probe is ProbeKind.SYN:
        table[ReplyKind.SYN_ACK_UNSEEN, 0, 0] = (OPEN, "syn-ack-unseen")
    table |= {(ReplyKind.ICMP, 3, code): meaning for code, meaning in UNREACHABLE.items()}
    table |= {(ReplyKind.ICMP6, 1, code): meaning for code, meaning in UNREACHABLE6.items()}
    table |= {(ReplyKind.ICMP6, 4, code): meaning for code, meaning in PARAMETER6.items()}
    for kind, types in ((ReplyKind.ICMP, OTHER_TYPES), (ReplyKind.ICMP6, OTHER_TYPES6)):
        for type_, meaning in types.items():
            table |= {(kind, type_, code): meaning for code in range(256)}
    # Only the target knows its own ports, and only UDP's closed is said by ICMP.
    closed = probe is ProbeKind.UDP and from_target
    refused = (CLOSED if closed else FILTERED, "port-unreach")
    table[ReplyKind.ICMP, 3, 3] = table[ReplyKind.ICMP6, 1, 4] = refused
    return table


ICMPS = (ReplyKind.ICMP, ReplyKind.ICMP6)
PLAIN: list[ReplyKind] = [kind for kind in ReplyKind if kind not in ICMPS]


@pytest.mark.parametrize("from_target", [False, True])
@pytest.mark.parametrize("probe", ProbeKind)
def test_every_cell(probe: ProbeKind, from_target: bool) -> None:
    table, walked = expected(probe, from_target), set()

    def check(kind: ReplyKind, type_: int, code: int) -> None:
        signal = Signal(kind, type_, code)
        number = cell(probe, signal, from_target)
        walked.add(number)
        row = RULES[LOOKUP[number] - 1] if LOOKUP[number] else None
        found = (row.state, row.reason) if row else None
        assert found == table.get((kind, type_, code)), f"{probe} {signal} {from_target}"
        if row is not None:
            assert row.probe is probe
            assert rule_for(probe, signal, from_target) is row

    for plain in PLAIN:
        check(plain, 0, 0)
    for kind in (ReplyKind.ICMP, ReplyKind.ICMP6):
        for type_ in range(256):
            for code in range(256):
                check(kind, type_, code)
    # Every cell was this table's, but for the 4 that are left over for more plain kinds.
    first = min(walked)
    unused = set(range(first, first + 16 + 2 * 65536)) - walked
    assert unused == set(range(first + len(PLAIN), first + 16))
    assert not any(LOOKUP[number] for number in unused)


def test_the_cells_are_three_probes_by_two_senders() -> None:
    assert len(LOOKUP) == 3 * 2 * 131088
    firsts = [
        cell(probe, Signal(ReplyKind.SILENCE), sender)
        for probe in ProbeKind
        for sender in (False, True)
    ]
    assert sorted(firsts) == [number * 131088 for number in range(6)]


def test_ids_are_unique_and_every_row_has_a_cell() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert {BY_ID[rule.id] for rule in RULES} == set(RULES)
    assert set(LOOKUP) == set(range(len(RULES) + 1))


@pytest.mark.parametrize(
    ("id_", "change"),
    [
        ("syn-rst", {}),
        ("syn-rst", {"from_target": None}),  # either is also the target
        ("syn-admin-prohibited", {"codes": (12, 13)}),
        ("syn-admin-prohibited", {"codes": None}),
        ("syn-time-exceeded", {"type": None, "codes": (0,)}),
        ("udp-port-unreach", {"from_target": None}),
    ],
)
def test_two_rows_on_one_cell_are_an_error(id_: str, change: dict[str, object]) -> None:
    twin = replace(BY_ID[id_], id="twin", **change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"match one cell"):
        fill((*RULES, twin))


def test_two_rows_with_one_id_are_an_error() -> None:
    with pytest.raises(ValueError, match="same id"):
        fill((*RULES, replace(BY_ID["syn-rst"], reply=ReplyKind.TCP_OTHER)))


def test_a_row_for_a_free_cell_is_none() -> None:
    extra = replace(BY_ID["syn-rst"], id="extra", reply=ReplyKind.TCP_OTHER)
    table = fill((*RULES, extra))
    changed = [number for number, row in enumerate(table) if row != LOOKUP[number]]
    assert changed == [cell(ProbeKind.SYN, Signal(ReplyKind.TCP_OTHER), True)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_row_explains_itself(rule: object) -> None:
    row = BY_ID[rule.id]  # type: ignore[attr-defined]
    assert row.why[0].isupper()
    assert row.why.endswith(".")
    assert not row.why.endswith("..")
    assert bool(row.rfc) == bool(row.section)
    assert row.rfc == "" or row.rfc.startswith("RFC ")
    assert row.id.startswith(row.probe.value + "-")
    assert row.reason
    assert row.reason == row.reason.lower()


def test_strength_is_the_order_of_the_design() -> None:
    ids = ["syn-syn-ack", "syn-rst", "ack-rst", "syn-no-response", "udp-no-response", "syn-one-way"]
    states = [OPEN, CLOSED, UNFILTERED, FILTERED, OPEN_FILTERED, UNKNOWN]
    assert [BY_ID[id_].state for id_ in ids] == states
    ranks = [strength(BY_ID[id_]) for id_ in ids]
    assert ranks == sorted(ranks, reverse=True)
    assert len(set(ranks)) == len(ranks)
    hint = BY_ID["syn-frag-needed"]
    assert hint.state is None
    assert strength(hint) == strength(None) < min(ranks)
    for one, other in permutations([rule for rule in RULES if not rule.inferred], 2):
        if one.state is other.state and _is_silence(one) is _is_silence(other):
            assert strength(one) == strength(other)


def test_a_reply_outranks_silence_of_the_same_state_only() -> None:
    """Silence may be believed too early; a reply of a weaker state still does not win."""
    silent, refused = BY_ID["syn-no-response"], BY_ID["syn-admin-prohibited"]
    assert silent.state is refused.state is FILTERED
    assert strength(BY_ID["ack-rst"]) > strength(refused) > strength(silent)
    assert strength(silent) > strength(BY_ID["udp-no-response"])


def test_what_is_inferred_yields_to_a_reset_and_to_nothing_weaker() -> None:
    inferred = [rule for rule in RULES if rule.inferred]
    assert [(rule.id, rule.state) for rule in inferred] == [("syn-hung-up", OPEN)]
    closed, unfiltered = BY_ID["syn-rst"], BY_ID["ack-rst"]
    assert strength(closed) > strength(inferred[0]) > strength(unfiltered)


def _is_silence(rule: Rule) -> bool:
    return ReplyKind(rule.reply).name.startswith("SILENCE")


def test_signal_and_matches_round_trip() -> None:
    for rule in RULES:
        assert rule.matches(rule.signal.partition(":")[0])
        if rule.reply < ReplyKind.ICMP:
            assert rule.signal == str(Signal(rule.reply))
            assert rule.matches(rule.signal)
            continue
        codes = rule.codes if rule.codes is not None else (0, 1, 255)
        assert rule.type is not None
        for code in codes:
            text = str(Signal(rule.reply, rule.type, code))
            assert rule.matches(text)
            assert rule.matches(text.upper())
        assert rule.matches(f"{rule.reply.name}:{rule.type}")
        assert not rule.matches(f"{rule.reply.name}:{rule.type ^ 1}")
        assert not rule.matches(f"{rule.reply.name}:{rule.type ^ 1}/{codes[0]}")


def test_matches_says_what_the_lookup_says() -> None:
    for kind in (ReplyKind.ICMP, ReplyKind.ICMP6):
        for type_ in (0, 1, 2, 3, 4, 5, 11, 12, 13, 33, 255):
            for code in (0, 1, 3, 4, 5, 13, 15, 16, 33, 255):
                signal = Signal(kind, type_, code)
                looked_up = {
                    rule_for(probe, signal, sender)
                    for probe in ProbeKind
                    for sender in (False, True)
                }
                matching = {rule for rule in RULES if rule.matches(str(signal))}
                assert matching == looked_up - {None}, signal


@pytest.mark.parametrize(
    ("id_", "signal"),
    [
        ("syn-rst", "rst"),
        ("syn-syn-ack", "syn-ack"),
        ("syn-admin-prohibited", "icmp:3/13"),
        ("syn-time-exceeded", "icmp:11/*"),
        ("syn-time-exceeded-v6", "icmp6:3/*"),
        ("udp-kernel-drops", "silence-drops"),
    ],
)
def test_signals_in_words(id_: str, signal: str) -> None:
    assert BY_ID[id_].signal == signal


@pytest.mark.parametrize("reply", ["", "rs", "rst:", "icmp:3/1", "icmp6:3/13", "icmp:13/3", "x"])
def test_other_replies_do_not_match(reply: str) -> None:
    assert not BY_ID["syn-admin-prohibited"].matches(reply)


def test_rows_by_state_and_by_word() -> None:
    assert {rule.id for rule in rules_for_state(OPEN)} == {
        "syn-syn-ack",
        "syn-split-handshake",
        "syn-hung-up",
        "udp-response",
    }
    assert {rule.id for rule in rules_for_word("reset")} == {"syn-rst", "ack-rst"}
    assert rules_for_word("nonsense") == []
