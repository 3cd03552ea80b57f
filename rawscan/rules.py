"""The rule table: what each reply says about a port, and why. Touches nothing.

One row is one `Rule`. The live scan, the offline analysis, `rawscan explain` and the documentation
all read these rows; `LOOKUP` is filled from them when this module is imported, one byte a cell.
To change what a reply means, change its row. To add a probe kind, see CONTRIBUTING.md: its rows are
one place of several.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rawscan.model import ProbeKind, ReplyKind, Signal, State


@dataclass(frozen=True, slots=True)
class Rule:
    """One row.

    `type` and `codes` choose ICMP cells: None means every type or every code. `from_target` says
    who must have sent the reply: True the target, False anybody else, None either. `state` is None
    where the reply gives no verdict and is only kept as a hint. `reason` is nmap's word where nmap
    has one of its own, `why` is one plain sentence, `rfc` and `section` say where that stands.
    `inferred`: nobody saw the reply, but something that follows from it.
    """

    id: str
    probe: ProbeKind
    reply: ReplyKind
    state: State | None
    reason: str
    why: str
    rfc: str
    section: str
    from_target: bool | None = None
    type: int | None = None
    codes: tuple[int, ...] | None = None
    inferred: bool = False

    @property
    def signal(self) -> str:
        """The reply in words, as `explain` takes it: `rst`, `icmp:3/13`, `icmp6:3/*`."""
        name = self.reply.name.lower().replace("_", "-")
        if self.reply not in (ReplyKind.ICMP, ReplyKind.ICMP6):
            return name
        codes = "*" if self.codes is None else ",".join(map(str, self.codes))
        return f"{name}:{'*' if self.type is None else self.type}/{codes}"

    def matches(self, reply: str) -> bool:
        """Does this row speak of `reply`, as `signal` writes it (`icmp:3/13`, `icmp:3`, `rst`)?"""
        name, _, numbers = reply.lower().partition(":")
        if name != self.signal.partition(":")[0]:
            return False
        type_, _, code = numbers.partition("/")
        return type_ in ("", "*", str(self.type)) and (
            code in ("", "*") or self.codes is None or code in map(str, self.codes)
        )


SYN, UDP, ACK = ProbeKind.SYN, ProbeKind.UDP, ProbeKind.ACK
PROBES = (SYN, UDP, ACK)
RFC_TCP, RFC_UDP, RFC_HOST, RFC_ROUTER = "RFC 9293", "RFC 768", "RFC 1122", "RFC 1812"
RFC_ICMP6 = "RFC 4443"


def _answers() -> Iterator[Rule]:
    """Rows for replies that come from the probed port itself."""
    yield Rule(
        "syn-syn-ack", SYN, ReplyKind.SYN_ACK, State.OPEN, "syn-ack",
        "A program listens: the target's TCP accepted the SYN and acknowledges its number plus 1.",
        RFC_TCP, "3.10.7.2", from_target=True,
    )  # fmt: skip
    yield Rule(
        "syn-split-handshake", SYN, ReplyKind.SYN, State.OPEN, "split-handshake-syn",
        "The target answers the SYN with a SYN of its own, as TCP allows for simultaneous opening.",
        RFC_TCP, "3.5", from_target=True,
    )  # fmt: skip
    yield Rule(
        "syn-rst", SYN, ReplyKind.RST, State.CLOSED, "reset",
        "No program listens: TCP rejects a SYN that matches no connection by a RST.",
        RFC_TCP, "3.5.2", from_target=True,
    )  # fmt: skip
    yield Rule(
        "syn-hung-up", SYN, ReplyKind.SYN_ACK_UNSEEN, State.OPEN, "syn-ack-unseen",
        "By inference: the capture holds no answer, but the asker's system then reset a connection"
        " with the number that a SYN+ACK would have asked for, so one must have come another way.",
        RFC_TCP, "3.5.2", inferred=True,
    )  # fmt: skip
    yield Rule(
        "ack-rst", ACK, ReplyKind.RST, State.UNFILTERED, "reset",
        "A stray ACK is answered by a RST whether a program listens or not: the segment got through"
        " to the target's TCP, and that is all it says.",
        RFC_TCP, "3.5.2", from_target=True,
    )  # fmt: skip
    yield Rule(
        "udp-response", UDP, ReplyKind.UDP, State.OPEN, "udp-response",
        "A datagram came back from the probed port, so a program there sent it, even an empty one.",
        RFC_UDP, "Fields", from_target=True,
    )  # fmt: skip
    for reply, id_, type_, code, rfc, section in (
        (ReplyKind.ICMP, "udp-port-unreach", 3, 3, RFC_HOST, "4.1.3.1"),
        (ReplyKind.ICMP6, "udp-port-unreach-v6", 1, 4, RFC_ICMP6, "3.1"),
    ):
        yield Rule(
            id_, UDP, reply, State.CLOSED, "port-unreach",
            "The target itself says that no program has this UDP port: that is UDP's closed.",
            rfc, section, from_target=True, type=type_, codes=(code,),
        )  # fmt: skip
        yield Rule(
            f"{id_}-other", UDP, reply, State.FILTERED, "port-unreach",
            "Somebody else than the target's address says port unreachable; only the target can"
            " know its own ports, so take it for a firewall on the way.",
            rfc, section, from_target=False, type=type_, codes=(code,),
        )  # fmt: skip
    for probe in (SYN, ACK):
        for reply, suffix, type_, code, rfc, section in (
            (ReplyKind.ICMP, "", 3, 3, RFC_HOST, "3.2.2.1"),
            (ReplyKind.ICMP6, "-v6", 1, 4, RFC_ICMP6, "3.1"),
        ):
            yield Rule(
                f"{probe.value}-port-unreach{suffix}", probe, reply, State.FILTERED, "port-unreach",
                "TCP says no with a RST and has no use for ICMP port unreachable, so take it for a"
                " firewall's, even if it comes from the target's address.",
                rfc, section, type=type_, codes=(code,),
            )  # fmt: skip


# code, reason, why, RFC, section: ICMP destination unreachable (type 3), any probe, any sender.
_UNREACHABLE = (
    (0, "net-unreach", "A router has no route to the target's network.", RFC_ROUTER, "5.2.7.1"),
    (1, "host-unreach", "The last router cannot reach the target host on its link; the port was"
     " never asked.", RFC_ROUTER, "5.2.7.1"),
    (2, "proto-unreach", "The probe was refused for its protocol, which is what a firewall says"
     " for hosts that do speak it.", RFC_HOST, "3.2.2.1"),
    (5, "source-route-failed", "A router could not follow the source route.",
     RFC_ROUTER, "5.2.7.1"),
    (6, "net-unknown", "A router says that the target's network is unknown.", RFC_HOST, "3.2.2.1"),
    (7, "host-unknown", "A router says that the target host is unknown.", RFC_HOST, "3.2.2.1"),
    (8, "source-host-isolated", "A router says that the sender is cut off.", RFC_HOST, "3.2.2.1"),
    (9, "net-prohibited", "An administrator forbids traffic to the target's network.",
     RFC_HOST, "3.2.2.1"),
    (10, "host-prohibited", "An administrator forbids traffic to the target host.",
     RFC_HOST, "3.2.2.1"),
    (11, "net-tos-unreach", "The target's network cannot be reached for this type of service.",
     RFC_HOST, "3.2.2.1"),
    (12, "host-tos-unreach", "The target host cannot be reached for this type of service.",
     RFC_HOST, "3.2.2.1"),
    (13, "admin-prohibited", "A packet filter refuses the probe and says so.",
     RFC_ROUTER, "5.2.7.1"),
    (14, "precedence-violation", "A router does not permit the probe's precedence.",
     RFC_ROUTER, "5.2.7.1"),
    (15, "precedence-cutoff", "The network's operators demand a higher precedence.",
     RFC_ROUTER, "5.2.7.1"),
)  # fmt: skip

# The same for ICMPv6 destination unreachable (type 1).
_UNREACHABLE6 = (
    (0, "no-route", "A router has no route to the target."),
    (1, "admin-prohibited", "A packet filter refuses the probe and says so."),
    (2, "beyond-scope", "The source address does not reach as far as the target's scope."),
    (3, "host-unreach", "Somebody cannot deliver to the target's address, mostly because nobody on"
     " the last link has it; the port was never asked."),
    (5, "policy-fail", "The source address fails the way's ingress or egress policy."),
    (6, "reject-route", "The route to the target is one that rejects."),
)  # fmt: skip

# reply, type, codes, id, why, RFC, section: messages about the way, which say nothing of the port.
_HINTS = (
    (ReplyKind.ICMP, 3, (4,), "frag-needed", "The packet was too big for a link; nothing is said"
     " about the port.", "RFC 1191", "4"),
    (ReplyKind.ICMP, 4, None, "source-quench", "An obsolete request to send more slowly.",
     "RFC 6633", "3"),
    (ReplyKind.ICMP, 5, None, "redirect", "A router names a better first hop and has passed the"
     " probe on.", RFC_HOST, "3.3.1.2"),
    (ReplyKind.ICMP, 12, None, "param-problem", "Somebody could not read the probe's IP header;"
     " nothing is said about the port.", RFC_HOST, "3.2.2.5"),
    (ReplyKind.ICMP6, 2, None, "too-big-v6", "The packet was too big for a link; nothing is said"
     " about the port.", RFC_ICMP6, "3.2"),
    (ReplyKind.ICMP6, 4, (0,), "header-field-v6", "Somebody could not read a field of the probe's"
     " header; that does not make the port open.", RFC_ICMP6, "3.4"),
    (ReplyKind.ICMP6, 4, (2,), "option-v6", "Somebody did not know an IPv6 option; nothing is said"
     " about the port.", RFC_ICMP6, "3.4"),
)  # fmt: skip


def _errors(probe: ProbeKind) -> Iterator[Rule]:
    """Rows for ICMP errors that mean the same for every probe and from every sender."""
    name, filtered = probe.value, State.FILTERED
    for code, reason, why, rfc, section in _UNREACHABLE:
        yield Rule(
            f"{name}-{reason}", probe, ReplyKind.ICMP, filtered, reason, why, rfc, section,
            type=3, codes=(code,),
        )  # fmt: skip
    for code, reason, why in _UNREACHABLE6:
        yield Rule(
            f"{name}-{reason}-v6", probe, ReplyKind.ICMP6, filtered, reason, why, RFC_ICMP6, "3.1",
            type=1, codes=(code,),
        )  # fmt: skip
    why = "The probe ran out of hops, or of time to be put together, so the port was never asked."
    yield Rule(
        f"{name}-time-exceeded", probe, ReplyKind.ICMP, filtered, "time-exceeded", why,
        RFC_HOST, "3.2.2.4", type=11,
    )  # fmt: skip
    yield Rule(
        f"{name}-time-exceeded-v6", probe, ReplyKind.ICMP6, filtered, "time-exceeded", why,
        RFC_ICMP6, "3.3", type=3,
    )  # fmt: skip
    yield Rule(
        f"{name}-param-problem-v6", probe, ReplyKind.ICMP6, filtered, "param-problem",
        "Somebody refuses the probe's next header, which is what a firewall says for hosts that do"
        " speak TCP and UDP.",
        RFC_ICMP6, "3.4", type=4, codes=(1,),
    )  # fmt: skip
    for reply, type_, codes, hint, why, rfc, section in _HINTS:
        yield Rule(
            f"{name}-{hint}", probe, reply, None, hint.removesuffix("-v6"), why, rfc, section,
            type=type_, codes=codes,
        )  # fmt: skip


def _silences(probe: ProbeKind) -> Iterator[Rule]:
    """Rows for no reply at all: honest silence, and the ways in which silence proves nothing."""
    if probe is UDP:
        yield Rule(
            "udp-no-response", UDP, ReplyKind.SILENCE, State.OPEN_FILTERED, "no-response",
            "A UDP program need not answer, and a firewall does not: silence cannot tell them"
            " apart.",
            RFC_HOST, "4.1.1",
        )  # fmt: skip
    else:
        yield Rule(
            f"{probe.value}-no-response", probe, ReplyKind.SILENCE, State.FILTERED, "no-response",
            "A TCP answers this segment whether a program listens or not; silence after enough"
            " tries means that something swallowed the probe or the answer.",
            RFC_TCP, "3.10.7",
        )  # fmt: skip
    # The observer's own troubles; where no RFC speaks of one, its columns are empty.
    for reply, reason, why, rfc, section in (
        (ReplyKind.SILENCE_CUT_SHORT, "cut-short",
         "The watching ended before an answer had the time to come.", "RFC 6298", "2"),
        (ReplyKind.SILENCE_DROPS, "kernel-drops",
         "Our own kernel threw packets away while we listened; the answer may be among them.",
         "", ""),
        (ReplyKind.SILENCE_ONE_WAY, "one-way",
         "Nothing shows that this capture could have seen an answer: it may hold one direction"
         " only.", "", ""),
        (ReplyKind.SILENCE_SNAPLEN, "snaplen",
         "An ICMP error came to the asker, but the capture cut it off before it says which probe it"
         " is about; it may be the answer.", "", ""),
        (ReplyKind.NO_NEIGHBOUR, "no-arp-response",
         "Nobody on our own link answers to this address by ARP (for IPv6: neighbour discovery), so"
         " no probe ever left, and nothing can be said of the port.", "RFC 4861", "7.2.2"),
        (ReplyKind.SEND_FAILED, "send-failed",
         "Our own system would not send the probe: no route, or a local firewall.", "", ""),
    ):  # fmt: skip
        yield Rule(
            f"{probe.value}-{reason}", probe, reply, State.UNKNOWN, reason, why, rfc, section
        )


SURE_BY_INFERENCE = 0.9
"""At most. A firewall that resets both ends in the asker's name looks the same from one side."""

# What is worth more when replies contradict each other; nmap takes the first to arrive instead.
_STRENGTH = (
    State.UNKNOWN,
    State.OPEN_FILTERED,
    State.CLOSED_FILTERED,
    State.FILTERED,
    State.UNFILTERED,
    State.CLOSED,
    State.OPEN,
)


def strength(rule: Rule | None) -> int:
    """Rank a row: open > closed > unfiltered > filtered > open|filtered > unknown; a hint is -1.

    Of equal states a reply outranks silence: it may come after silence was believed, and offline,
    where it is in the file, there was no silence to believe. What is inferred ranks after a reply
    that was seen to say closed, and before all that is weaker than that.
    """
    if rule is None or rule.state is None:
        return -1
    if rule.inferred:
        return 2 * _STRENGTH.index(State.CLOSED)
    return 2 * _STRENGTH.index(rule.state) + (rule.reply > ReplyKind.SILENCE_SNAPLEN)


RULES: tuple[Rule, ...] = (
    *_answers(),
    *(row for probe in PROBES for row in _errors(probe)),
    *(row for probe in PROBES for row in _silences(probe)),
)

# Cells of one probe kind and one sender: 16 for plain replies, then type * 256 + code, twice.
_PLAIN = 16
_CELLS = _PLAIN + 2 * 65536


def cell(probe: ProbeKind, signal: Signal, from_target: bool) -> int:
    """Index into `LOOKUP`. It is linear in each part, so arrays can be looked up at once."""
    index = int(signal.kind)
    if signal.kind >= ReplyKind.ICMP:
        index = _PLAIN + (signal.kind - ReplyKind.ICMP) * 65536 + signal.type * 256 + signal.code
    return (PROBES.index(probe) * 2 + from_target) * _CELLS + index


def cells(probes: Any, kinds: Any, types: Any, codes: Any, from_target: Any) -> Any:
    """`cell` for arrays of numbers: indexes into `PROBES`, parts of signals, 0 or 1."""
    icmp = kinds >= int(ReplyKind.ICMP)
    index = kinds * ~icmp
    index += icmp * (_PLAIN + (kinds - int(ReplyKind.ICMP)) * 65536 + types * 256 + codes)
    return (probes * 2 + from_target) * _CELLS + index


def _cells(rule: Rule) -> Iterator[range]:
    """The cells that a rule covers, as ranges."""
    senders = (False, True) if rule.from_target is None else (rule.from_target,)
    for sender in senders:
        if rule.reply < ReplyKind.ICMP:
            first = cell(rule.probe, Signal(rule.reply), sender)
            yield range(first, first + 1)
            continue
        types = range(256) if rule.type is None else (rule.type,)
        for type_ in types:
            first = cell(rule.probe, Signal(rule.reply, type_, 0), sender)
            if rule.codes is None:
                yield range(first, first + 256)
            else:
                yield from (range(first + code, first + code + 1) for code in rule.codes)


def fill(rules: tuple[Rule, ...]) -> bytes:
    """Make the lookup array of a table: one byte a cell, the row's index + 1, or 0 for no row.

    Raises `ValueError` for two rows with one id, or that match one cell.
    """
    if len({rule.id for rule in rules}) != len(rules):
        raise ValueError("two rules have the same id")
    table = bytearray(len(PROBES) * 2 * _CELLS)
    for number, rule in enumerate(rules, start=1):
        for cells in _cells(rule):
            taken = max(table[cells.start : cells.stop])
            if taken:
                raise ValueError(f"{rule.id} and {rules[taken - 1].id} match one cell")
            table[cells.start : cells.stop] = bytes([number]) * len(cells)
    return bytes(table)


LOOKUP: bytes = fill(RULES)
BY_ID: dict[str, Rule] = {rule.id: rule for rule in RULES}


def rules_for_state(state: State) -> list[Rule]:
    """Every row that gives this state."""
    return [rule for rule in RULES if rule.state is state]


def rules_for_word(word: str) -> list[Rule]:
    """Every row with this reason."""
    return [rule for rule in RULES if rule.reason == word]


def rule_for(probe: ProbeKind, signal: Signal, from_target: bool) -> Rule | None:
    """Look a reply up. None: no row speaks of it, so it is kept as a hint and no more."""
    number = LOOKUP[cell(probe, signal, from_target)]
    return RULES[number - 1] if number else None
