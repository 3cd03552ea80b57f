"""Makes these cases: one small capture for each row of the rule table, and `expected.jsonl`.

The probes are rawscan's own, the replies those of `rawscan.wire.replies`, on documentation
addresses and at chosen times, so that the files come out the same every time. Run it from anywhere.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from rawscan.capture.writer import PcapngWriter
from rawscan.model import (
    Evidence,
    Frame,
    IPAddress,
    Port,
    Probe,
    ProbeKind,
    ReplyKind,
    Signal,
    State,
)
from rawscan.output.records import port_record
from rawscan.rules import RULES, Rule
from rawscan.testing import START_S
from rawscan.verdict import judge
from rawscan.wire import replies
from rawscan.wire.craft import craft
from rawscan.wire.linklayer import RAW
from rawscan.wire.token import Token

HERE = Path(__file__).parent
TOKEN = Token(b"captures", range(16384, 32768))
TRIES = 6
BETWEEN_TRIES_S = 0.5
HONEST_S = 4.0
"""How long after the first probe the recorder went on watching."""
SNAPLEN_SHOWS = 12
"""How many bytes of the quoted packet the short snaplen leaves: not even its addresses."""

Timed = tuple[float, bytes, Literal["in", "out"]]


@dataclass(frozen=True, slots=True)
class Cast:
    """Who takes part, for one IP version."""

    asker: IPAddress
    target: IPAddress
    router: IPAddress


CASTS = (
    Cast(*map(ip_address, ("192.0.2.2", "198.51.100.5", "192.0.2.1"))),
    Cast(*map(ip_address, ("2001:db8::2", "2001:db8:1::5", "2001:db8::1"))),
)
_FROM_TARGET = ("port-unreach", "proto-unreach", "param-problem", "header-field", "option")
"""Reasons of rows that take any sender, and here come from the target's own address."""


def casts(rule: Rule) -> Sequence[Cast]:
    """An ICMP row speaks of one IP version, every other row of both."""
    if rule.reply is ReplyKind.ICMP:
        return CASTS[:1]
    return CASTS[1:] if rule.reply is ReplyKind.ICMP6 else CASTS


def responder(rule: Rule, cast: Cast) -> IPAddress | None:
    """Who answers; None: nobody."""
    if rule.reply is ReplyKind.NO_NEIGHBOUR:
        return cast.asker
    if rule.reply <= ReplyKind.SEND_FAILED or rule.reply is ReplyKind.SYN_ACK_UNSEEN:
        return None
    if rule.from_target is None:
        return cast.target if rule.reason in _FROM_TARGET else cast.router
    return cast.target if rule.from_target else cast.router


def answer(rule: Rule, cast: Cast, probe: bytes) -> bytes:
    """The reply that this row is about."""
    ttl = 64 if responder(rule, cast) == cast.router else 57
    if rule.reply is ReplyKind.NO_NEIGHBOUR:
        type_, code = (3, 1) if cast.asker.version == 4 else (1, 3)
        return replies.icmp_error(probe, type_, code, responder=cast.asker)
    plain = {
        ReplyKind.SYN_ACK: replies.syn_ack,
        ReplyKind.SYN: replies.syn,
        ReplyKind.RST: replies.rst,
        ReplyKind.UDP: replies.datagram,
    }
    if rule.reply in plain:
        return plain[rule.reply](probe, ttl=ttl)
    code = rule.codes[0] if rule.codes else 0
    assert rule.type is not None
    sender = responder(rule, cast)
    return replies.icmp_error(probe, rule.type, code, responder=sender, ttl=ttl)


def frames(rule: Rule, cast: Cast, start_s: float) -> Iterator[Timed]:
    """The packets of one exchange."""
    if rule.reply is ReplyKind.SYN_ACK_UNSEEN:
        yield from _answered_unseen(cast, start_s)
        return
    port = Port(cast.target, 561, rule.probe)
    silent = rule.reply < ReplyKind.NO_NEIGHBOUR
    if _is_lone_ack(rule) and rule.reply is ReplyKind.SILENCE_ONE_WAY:
        yield from _answered_unseen(cast, start_s)
    for number in range(TRIES if silent or rule.state is None else 1):
        at_s = start_s + number * BETWEEN_TRIES_S
        probe = craft(Probe(port, number), cast.asker, TOKEN)
        yield at_s, probe, "out"
        if number:
            continue
        if _is_lone_ack(rule) and rule.reply is ReplyKind.SILENCE_ONE_WAY:
            type_, code = (3, 4) if cast.asker.version == 4 else (2, 0)
            yield at_s + 0.0008, replies.icmp_error(probe, type_, code, responder=cast.router), "in"
        elif rule.reply is ReplyKind.SILENCE_SNAPLEN:
            type_, code = (3, 3) if cast.asker.version == 4 else (1, 4)
            yield at_s + 0.0008, replies.icmp_error(probe, type_, code), "in"
        elif not silent:
            late_s = 3.07 if rule.reply is ReplyKind.NO_NEIGHBOUR else 0.0008
            yield at_s + late_s, answer(rule, cast, probe), "in"


def _is_lone_ack(rule: Rule) -> bool:
    """In a capture of others an ACK that nothing is known of is mostly no probe, and not told."""
    return rule.probe is ProbeKind.ACK


def _answered_unseen(cast: Cast, start_s: float) -> Iterator[Timed]:
    """A SYN, and the asker's own kernel hanging up on the answer, which is not in the capture.

    So this host's answers take a way past the tap, those to its ACKs as well.
    """
    probe = craft(Probe(Port(cast.target, 561, ProbeKind.SYN), 0), cast.asker, TOKEN)
    answered = replies.syn_ack(probe)
    yield start_s + 0.01, probe, "out"
    yield start_s + 0.012, replies.rst(answered), "out"


def cut(packet: bytes) -> bytes:
    """A reply as a short snaplen leaves it."""
    header = 20 if packet[0] >> 4 == 4 else 40
    return packet[: header + 8 + SNAPLEN_SHOWS]


def write(rule: Rule, timed: Sequence[Timed]) -> str:
    """Write the capture and give its name."""
    snaplen = ReplyKind.SILENCE_SNAPLEN
    one_way = rule.reply in (ReplyKind.SILENCE_ONE_WAY, ReplyKind.SYN_ACK_UNSEEN)
    if one_way or (rule.reply is snaplen and not _is_lone_ack(rule)):
        return _write_foreign(rule, timed)
    path = HERE / f"{rule.id}.pcapng"
    writer = PcapngWriter(path, linktype=RAW, interface="example", now_s=START_S, ports="561")
    for at_s, packet, direction in timed:
        data = cut(packet) if direction == "in" and rule.reply is snaplen else packet
        writer.write(Frame(START_S + at_s, data, RAW, len(packet)), direction)
    last_s = timed[-1][0]
    if rule.reply is ReplyKind.SILENCE_CUT_SHORT:
        writer.close(START_S + last_s + 0.1)
    elif rule.reply is ReplyKind.SILENCE_DROPS:
        dropped_s = START_S + 0.2
        writer.close(START_S + last_s + HONEST_S, complete=True, drops=17, dropped_s=dropped_s)
    else:
        writer.close(START_S + last_s + HONEST_S, complete=True)
    return path.name


def _write_foreign(rule: Rule, timed: Sequence[Timed]) -> str:
    """Write a pcap as others do, that says nothing of both directions; replies are cut off."""
    path = HERE / f"{rule.id}.pcap"
    # Magic number for microseconds, version 2.4, zone, accuracy, snaplen, link type.
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, RAW)
    for at_s, packet, direction in timed:
        short = direction == "in" and rule.reply is ReplyKind.SILENCE_SNAPLEN
        kept = cut(packet) if short else packet
        seconds, micro = int(START_S + at_s), round(at_s % 1 * 1e6)
        data += struct.pack("<IIII", seconds, micro, len(kept), len(packet)) + kept
    path.write_bytes(data)
    return path.name


def _unsent(rule: Rule, cast: Cast) -> str:
    """The scan's record of a probe that never left, and so is in no capture."""
    port = Port(cast.target, 561, rule.probe)
    silence = Evidence(Signal(rule.reply), None, from_target=False, time_s=START_S)
    verdict = judge(port, [silence], tries=1, confidence=0.0, time_s=START_S)
    return json.dumps(port_record(verdict)) + "\n"


def expected(rule: Rule, cast: Cast, capture: str) -> str:
    """What must be found, by the rule table and by who was made to answer."""
    state, reason = rule.state, rule.reason
    sender = responder(rule, cast)
    if state is None:  # a hint, beside the silence that makes the verdict
        udp = rule.probe is ProbeKind.UDP
        state = State.OPEN_FILTERED if udp else State.FILTERED
        reason, hint, sender = "no-response", f"{rule.reason} from {sender}", None
    elif _is_lone_ack(rule) and rule.reply is ReplyKind.SILENCE_ONE_WAY:
        hint = f"{'frag-needed' if cast.target.version == 4 else 'too-big'} from {cast.router}"
    else:
        hint = "inferred" if rule.reply is ReplyKind.SYN_ACK_UNSEEN else None
    record = {
        "type": "port",
        "capture": capture,
        "row": rule.id,
        "target": str(cast.target),
        "port": 561,
        "protocol": rule.probe.protocol.value,
        "probe": rule.probe.value,
        "state": state.value,
        "reason": reason,
        "reason_ip": None if sender is None else str(sender),
        "hints": [hint] if hint else [],
    }
    return json.dumps(record) + "\n"


def main() -> None:
    """Write every capture, `unsent.jsonl` and `expected.jsonl`."""
    lines, unsent = [], []
    for rule in RULES:
        name = "unsent.jsonl"
        if rule.reply is ReplyKind.SEND_FAILED:
            unsent += [_unsent(rule, cast) for cast in casts(rule)]
        else:
            timed = [
                packet
                for number, cast in enumerate(casts(rule))
                for packet in frames(rule, cast, 0.1 * number)
            ]
            name = write(rule, sorted(timed))
        lines += [expected(rule, cast, name) for cast in casts(rule)]
    (HERE / "unsent.jsonl").write_text("".join(unsent))
    (HERE / "expected.jsonl").write_text("".join(lines))


if __name__ == "__main__":
    main()
