"""The ladder diagram of a case: who sent what to whom, when, and how one follows from the other.

`ladder_of` says what is on it, from the packets and nothing else; `draw` writes it in plain ASCII.
Pure. Pages draw the same ladder in SVG.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Literal

from rawscan.model import Evidence, Icmp, IPAddress, Packet, ProbeKind, ReplyKind, Tcp, Udp
from rawscan.teach.case import Case, Shot
from rawscan.teach.words import PROBES, describe, describe_reply, time_text

ASKER, TARGET = 0, -1
_MOST_OTHERS = 2
_SEQ = 1 << 32

Kind = Literal["probe", "reply", "beside", "silence", "gap"]

FIRST_SHOWN, LAST_SHOWN = 20, 6
"""Of longer exchanges, what stands between these many packets is left out, and said to be."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One party: its name on the ladder and its addresses (several, where parties share a lane)."""

    name: str
    addresses: tuple[IPAddress, ...]


@dataclass(frozen=True, slots=True)
class Rung:
    """One packet, or what was made of none.

    `time_s` counts from the first probe, None if it is not known. `sender` and `receiver` are
    indexes of lanes; `receiver` is None where nothing shows that anybody got the packet. `notes`
    are what follows from its numbers and those of earlier packets.
    """

    kind: Kind
    time_s: float | None
    frame_number: int | None
    sender: int
    receiver: int | None
    label: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ladder:
    """Lanes from left to right, the asker first and the target last, and rungs from the top."""

    lanes: tuple[Lane, ...]
    rungs: tuple[Rung, ...]


def ladder_of(case: Case) -> Ladder:
    """The ladder of a case, from its packets; from its record, where there are none."""
    lanes = _lanes(case)
    rungs = _from_packets(case, lanes) if case.shots else _from_record(case, lanes)
    return Ladder(lanes, tuple(_shortened(rungs, case)))


def _shortened(rungs: list[Rung], case: Case) -> list[Rung]:
    """Leave out the middle of a long exchange, but not the reply that decides."""
    if len(rungs) <= FIRST_SHOWN + LAST_SHOWN:
        return rungs
    decisive = None if case.decisive is None else case.decisive.frame_number
    middle = rungs[FIRST_SHOWN:-LAST_SHOWN]
    kept = [r for r in middle if decisive is not None and r.frame_number == decisive]
    gap = Rung("gap", None, None, ASKER, None, f"{len(middle) - len(kept)} packets left out here")
    return [*rungs[:FIRST_SHOWN], gap, *kept, *rungs[-LAST_SHOWN:]]


def _lanes(case: Case) -> tuple[Lane, ...]:
    target, asker = case.port.target, case.asker
    seen = [shot.packet.source for shot in case.replies]
    if not case.shots and case.verdict.reason_ip is not None:
        seen = [case.verdict.reason_ip]
        if case.rule.reply is ReplyKind.NO_NEIGHBOUR:
            asker = case.verdict.reason_ip  # the asker's own kernel is who says so
    others = tuple(dict.fromkeys(a for a in seen if a not in (target, asker)))
    middle = [Lane("another", (address,)) for address in others]
    if len(others) > _MOST_OTHERS:
        middle = [Lane("others", others)]
    return (
        Lane("asker", () if asker is None else (asker,)),
        *middle,
        Lane("target", (target,)),
    )


def _lane_of(lanes: Sequence[Lane], evidence: Evidence) -> int:
    """Where a reply comes from. The target's lane goes first: asker and target may be one."""
    if evidence.from_target:
        return len(lanes) - 1
    return next((i for i, lane in enumerate(lanes) if evidence.responder in lane.addresses), ASKER)


def _from_packets(case: Case, lanes: Sequence[Lane]) -> list[Rung]:
    times = [shot.time_s for shot in case.probes if shot.time_s]
    start_s = min(times, default=0.0)
    reached = _reached(case, lanes)
    probes = {shot.try_number: shot for shot in case.probes}
    rungs = []
    for shot in case.shots:
        at_s = shot.time_s - start_s if shot.time_s and times else None
        label = describe(shot.packet)
        common = at_s, shot.frame_number
        if shot.try_number is not None:
            receiver = reached.get(shot.try_number)
            rungs.append(Rung("probe", *common, ASKER, receiver, label))
        elif shot.evidence is not None:
            probe = probes.get(shot.evidence.try_number)
            notes = tuple(_notes(case, shot, probe))
            sender = _lane_of(lanes, shot.evidence)
            rungs.append(Rung("reply", *common, sender, ASKER, label, notes))
        else:
            ends = (ASKER, len(lanes) - 1)
            out = shot.packet.source == case.asker and _goes_to_port(shot.packet, case)
            rungs.append(Rung("beside", *common, *(ends if out else ends[::-1]), label))
    if case.silence is not None:
        rungs.append(_silence(case.silence, case.silence.time_s - start_s if times else None))
    return rungs


def _goes_to_port(packet: Packet, case: Case) -> bool:
    return isinstance(packet.body, Tcp) and packet.body.dport == case.port.number


def _reached(case: Case, lanes: Sequence[Lane]) -> dict[int, int]:
    """How far each try got, as far as its answers show."""
    reached: dict[int, int] = {}
    for shot in case.replies:
        evidence = shot.evidence
        if evidence is not None and evidence.try_number is not None:
            lane = _lane_of(lanes, evidence)
            if lane != ASKER:
                reached[evidence.try_number] = max(lane, reached.get(evidence.try_number, 0))
    return reached


def _notes(case: Case, reply: Shot, probe: Shot | None) -> list[str]:
    """How this reply proves that it answers that probe, and who sent it."""
    evidence = reply.evidence
    assert evidence is not None
    notes = []
    if probe is not None:
        notes.append(_proof(case.port.kind, reply.packet, probe))
    if evidence.signal.kind is ReplyKind.NO_NEIGHBOUR:
        notes.append("sent by the asker's own kernel: the probe never left")
    elif isinstance(reply.packet.body, Icmp):
        whose = "the target's own address" if evidence.from_target else "not the target's address"
        notes.append(f"sent from {reply.packet.source}, {whose}")
    return [note for note in notes if note]


def _proof(kind: ProbeKind, reply: Packet, probe: Shot) -> str:
    """The arithmetic by which this packet answers that probe."""
    number = f"#{probe.frame_number}"
    said = ""
    match reply.body, probe.packet.body:
        case Icmp(quoted=Packet(body=Tcp(dport=port, seq=seq))), _ if seq is not None:
            said = f"quotes port {port} and seq {seq}, those of {number}"
        case Icmp(quoted=Packet(body=Udp(sport=sport, dport=port))), _:
            said = f"quotes the ports of {number}, {sport} and {port}"
        case Tcp(seq=seq), Tcp(ack=ack) if kind is ProbeKind.ACK and seq == ack:
            said = f"seq {seq} = the ack of {number}: it answers {number}"
        case Tcp(ack=ack), Tcp(seq=seq) if seq is not None and ack == (seq + 1) % _SEQ:
            said = f"ack {ack} = seq of {number} plus 1: it answers {number}"
        case Tcp(ack=ack), Tcp(seq=seq) if seq is not None and ack == seq:
            said = f"ack {ack} = seq of {number}: it answers {number}"
        case (Tcp(sport=sport, dport=dport), _) | (Udp(sport=sport, dport=dport), _):
            said = f"from {sport} to {dport}: the ports of {number}, swapped"
    return said


def _silence(silence: Evidence, at_s: float | None) -> Rung:
    """What the analysis made of it that no reply decides."""
    label = {
        ReplyKind.SILENCE: "the watch ends; no reply that decides is in this capture",
        ReplyKind.SILENCE_CUT_SHORT: "the capture ends, too soon for silence to mean anything",
        ReplyKind.SILENCE_DROPS: "the watch ends; meanwhile packets were dropped unseen",
        ReplyKind.SILENCE_ONE_WAY: "the capture ends; nothing shows that it would hold an answer",
        ReplyKind.SILENCE_SNAPLEN: "the capture ends; an ICMP error in it is cut off too early "
        "to say which probe it is about",
    }.get(silence.signal.kind, "the watch ends")
    return Rung("silence", at_s, None, ASKER, None, label)


def _from_record(case: Case, lanes: Sequence[Lane]) -> list[Rung]:
    """A record tells how often was asked and what decided, but not when each packet went."""
    verdict, rule = case.verdict, case.rule
    tries = f"{verdict.tries} tries" if verdict.tries != 1 else "1 try"
    label = f"{PROBES[rule.probe]} to port {case.port.number} ({tries})"
    if rule.reply <= ReplyKind.SEND_FAILED and rule.reply is not ReplyKind.NO_NEIGHBOUR:
        return [
            Rung("probe", None, None, ASKER, None, label),
            Rung("silence", None, None, ASKER, None, describe_reply(rule)),
        ]
    sender = ASKER
    if verdict.reason_ip == case.port.target and rule.reply is not ReplyKind.NO_NEIGHBOUR:
        sender = len(lanes) - 1
    elif rule.reply is not ReplyKind.NO_NEIGHBOUR:
        sender = max(len(lanes) - 2, 0)
    says = describe_reply(rule)
    if verdict.reason_ttl is not None:
        says += f" ttl={verdict.reason_ttl}"
    notes: tuple[str, ...] = ()
    if verdict.rtt_s is not None:
        notes = (f"{time_text(verdict.rtt_s)} after the try that it answers",)
    reached = None if sender == ASKER else sender
    return [
        Rung("probe", None, None, ASKER, reached, label),
        Rung("reply", verdict.rtt_s, None, sender, ASKER, says, notes),
    ]


_GUTTER = 18
_MARGIN = 4


def draw(ladder: Ladder, width: int = 72) -> list[str]:
    """Lines of at most `width` (at least 60) columns."""
    first, last = _GUTTER, max(width, 60) - _MARGIN
    count = len(ladder.lanes)
    columns = [first + (last - first) * i // (count - 1) for i in range(count)]
    names = [" "] * (max(width, 60))
    for column, lane in zip(columns, ladder.lanes, strict=True):
        start = min(column - len(lane.name) // 2, len(names) - len(lane.name))
        names[start : start + len(lane.name)] = lane.name
    lines = ["".join(names).rstrip()]
    lines += [_row(columns, "")]
    for rung in ladder.rungs:
        lines += _drawn(rung, columns)
    if any(rung.kind == "probe" and rung.receiver is None for rung in ladder.rungs):
        lines.append("?: nothing here answers this packet")
    for lane in ladder.lanes:
        addresses = ", ".join(map(str, lane.addresses)) or "(not recorded)"
        lines += wrap(f"{lane.name}: {addresses}", width, subsequent_indent="  ")
    return lines


def _row(columns: Sequence[int], gutter: str) -> str:
    row = list(gutter.ljust(columns[-1] + 1))
    for column in columns:
        row[column] = "|"
    return "".join(row).rstrip()


def _drawn(rung: Rung, columns: Sequence[int]) -> list[str]:
    time = "" if rung.time_s is None else time_text(rung.time_s)
    frame = "" if rung.frame_number is None else f"#{rung.frame_number}"
    room = columns[-1] - columns[0] - 3
    lines = []
    for index, text in enumerate(wrap(rung.label, room)):
        row = list(_row(columns, f"{time:>10} {frame:<6}" if not index else ""))
        row += [" "] * (columns[-1] + 1 - len(row))
        start = columns[0] + 2
        row[start : start + len(text) + 1] = f"{text} "
        lines.append("".join(row[: columns[-1]]) + "|")
    if rung.kind not in ("silence", "gap"):
        lines.append(_arrow(rung, columns))
    for note in rung.notes:
        for index, text in enumerate(wrap(note, room - 2)):
            body = ("= " if not index else "  ") + text
            lines.append(" " * columns[0] + "| " + body.ljust(room) + " |")
    return [*lines, _row(columns, "")]


def _arrow(rung: Rung, columns: Sequence[int]) -> str:
    row = list(_row(columns, ""))
    start = columns[rung.sender]
    if rung.receiver is None:
        end = start + (columns[-1] - start) * 2 // 3
        body = "-" * (end - start - 1) + " ?"
        row[start + 1 : start + 1 + len(body)] = body
    elif rung.receiver == rung.sender:
        row[start + 1 : start + 6] = "<---."
    elif rung.receiver > rung.sender:
        end = columns[rung.receiver]
        row[start + 1 : end] = "-" * (end - start - 2) + ">"
    else:
        end = columns[rung.receiver]
        row[end + 1 : start] = "<" + "-" * (start - end - 2)
    return "".join(row).rstrip()
