"""Captures, offline: what happened on these ports, by the rules of the live scan. Reads files.

    capture file -> frame -> Reply -> correlate -> Evidence -> RULES -> Verdict

Silence needs proof that the capture could have held an answer. rawscan's own recordings bring it
in their section note, which is believed as long as not one packet is missing; of any other capture
it is asked that an answer to the prober was seen, that nothing tells of an answer that was not, and
that the capture goes on long enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rawscan.capture.annotate import Annotator
from rawscan.capture.find import sources
from rawscan.capture.note import SectionNote
from rawscan.capture.reader import CaptureReader, open_capture
from rawscan.capture.source import NO_TIME_S
from rawscan.correlate import CaptureCorrelator, Exchange, ask_of
from rawscan.engine import LossModel
from rawscan.errors import CaptureError, DecodeError, UsageError
from rawscan.findings import Analysis, Finding, Spell
from rawscan.model import (
    DEFAULT_PORT,
    Counts,
    Evidence,
    Flags,
    Frame,
    Icmp,
    IPAddress,
    Other,
    Packet,
    ProbeKind,
    Protocol,
    ReplyKind,
    Signal,
    Tcp,
    Udp,
)
from rawscan.ports import PortSpec, parse_ports
from rawscan.portstates import history, spells, spells_of_one, with_common_histories
from rawscan.rules import rule_for, strength
from rawscan.silence import FOREIGN, OWN, Patience, judge_silence
from rawscan.traffic import TrafficObserver, contacts_of
from rawscan.verdict import TtlBook, judge
from rawscan.wire.decode import ICMP_ERRORS, decode_frame

_TUNNELS = {4: "IPIP", 41: "6in4", 47: "GRE"}
"""IP protocols that carry packets which are not looked at."""
_VXLAN_PORT = 4789
_FRAGMENTED = frozenset({1, 6, 17, 58})
"""What is always decoded, unless it is a fragment that is not the first."""
_SERVICE_PORTS = range(1, 1024)
_MOST_LOST = 127


@dataclass(frozen=True, slots=True)
class _Watch:
    """How long, and how well, the capture watched.

    Packets were dropped by the times `drops_s`, and perhaps at any time from `unsure_s` on. Fewer
    tries than `least_tries` are no silence.
    """

    until_s: float
    drops_s: tuple[float, ...]
    unsure_s: float | None
    patience: Patience
    both_ways: bool
    legible: bool
    least_tries: int = 1
    own: bool = False


def analyse(
    source: Path | BinaryIO,
    ports: PortSpec | None = None,
    *,
    silence_wait_s: float | None = None,
    stop: Callable[[], bool] | None = None,
    dissect: bool = False,
    keep: Callable[[Frame], None] | None = None,
) -> Analysis:
    """Read one capture and judge every port of `ports` that was probed in it.

    Without `ports`, those that a recording of rawscan's says it asked, and else port 561.
    `silence_wait_s` is for how long a foreign capture must go on after the last probe for silence
    to be a verdict (default 20 s); reading ends early when `stop()` is true, even on a quiet pipe.
    `dissect` has tshark look at the frames that have to do with the ports; `keep` is given each.
    Raises `CaptureError` if the file is no capture at all.
    """
    with open_capture(source, stop=stop) as reader:
        if ports is None:
            ports = _recorded_ports(reader.notes)
        stop = stop or (lambda: False)
        one_pass = _Pass(reader, ports, silence_wait_s)
        if keep is not None:
            one_pass.keepers.append(lambda frame, _: keep(frame))
        if not dissect:
            return one_pass.run(stop)
        with closing(Annotator()) as annotator:
            one_pass.keepers.append(annotator.keep)
            return annotator.annotate(one_pass.run(stop), stop)


def analyse_all(
    names: Iterable[str | Path], ports: PortSpec | None = None, **how: Any
) -> Iterator[Analysis]:
    """Analyse files, directories of captures and patterns such as `logs/*.pcap`, one by one.

    `how` is what `analyse` takes beside. Raises `CaptureError` at the one that cannot be read.
    """
    for source in sources(list(map(str, names))):
        if isinstance(source, CaptureError):
            raise source
        yield analyse(source, ports, **how)


def _recorded_ports(notes: Sequence[SectionNote | None]) -> PortSpec:
    """The ports that the first section's note names."""
    note = notes[0] if notes else None
    try:
        return parse_ports(note.ports if note and note.ports else str(DEFAULT_PORT))
    except UsageError:  # a later version's grammar, or a hand's
        return parse_ports(str(DEFAULT_PORT))


class _Pass:
    """One pass over one file."""

    def __init__(
        self, reader: CaptureReader, ports: PortSpec, silence_wait_s: float | None
    ) -> None:
        self._reader = reader
        self._ports = ports
        # Our recordings are judged as the scan was. In others a router beyond the tap may have
        # changed what errors quote, and there is no scan whose verdicts could be forged.
        self._correlator = CaptureCorrelator(ports, strict=any(reader.notes))
        self.keepers: list[Callable[[Frame, int], None]] = []
        self._traffic = TrafficObserver(ports)
        self._counts = Counts()
        self._undecoded: Counter[str] = Counter()
        self._matched = 0
        self._stopped = False
        # Who was sent something that the snaplen made illegible: it may be an answer.
        self._cut_off: set[IPAddress] = set()
        self._first_s: float | None = None
        self._last_s: float | None = None
        self._foreign = (
            FOREIGN if silence_wait_s is None else Patience(silence_wait_s, silence_wait_s)
        )

    def run(self, stop: Callable[[], bool]) -> Analysis:
        for number, frame in enumerate(self._reader, start=1):
            if stop():
                self._stopped = True
                break
            self._note_time(frame.time_s)
            try:
                packet = decode_frame(frame)
            except DecodeError as error:
                self._undecoded[error.cause] += 1
                continue
            self._notice_hidden(packet)
            if len(frame.data) < frame.original_bytes and _says_too_little(packet, self._ports):
                self._cut_off.add(packet.destination)
            if _count(self._counts, packet, self._ports):
                self._matched += 1
                self._traffic.add(packet, frame.time_s, number)
                for keep in self.keepers:
                    keep(frame, number)
            self._correlator.add(packet, frame.time_s, number)
        self._stopped |= self._reader.stopped
        reader, own = self._reader, self._own_note()
        findings = with_common_histories(list(self._findings(own)))
        return Analysis(
            path=reader.name,
            format=reader.format,
            linktypes=tuple(reader.linktypes),
            packets=reader.packets,
            bytes=reader.bytes,
            matched=self._matched,
            first_s=self._first_s,
            last_s=self._last_s,
            truncated=reader.truncated,
            error=None if reader.error is None else str(reader.error),
            error_offset=None if reader.error is None else reader.error.offset,
            counts=self._counts,
            undecoded=self._undecoded,
            findings=tuple(findings),
            own=own is not None,
            ports=str(self._ports),
            traffic=self._traffic.finish(contacts_of(findings)),
        )

    def _note_time(self, time_s: float) -> None:
        if time_s == NO_TIME_S:  # a Simple Packet Block bears no time
            return
        self._first_s = min(time_s, time_s if self._first_s is None else self._first_s)
        self._last_s = max(time_s, time_s if self._last_s is None else self._last_s)

    def _notice_hidden(self, packet: Packet) -> None:
        """Count what may carry packets of the ports, and is not looked into."""
        match packet.body:
            case Other(protocol) if protocol in _TUNNELS:
                self._undecoded[f"tunnel: {_TUNNELS[protocol]}"] += 1
            case Other(protocol) if protocol in _FRAGMENTED:
                self._undecoded["fragment"] += 1
            case Udp(dport=port) if port == _VXLAN_PORT:
                self._undecoded["tunnel: VXLAN"] += 1

    def _own_note(self) -> SectionNote | None:
        """The note of our own recording, if no packet was taken out of it since."""
        notes, packets = self._reader.notes, self._reader.packets
        one = notes[0] if len(notes) == 1 else None
        if one is None or one.directions != "both":
            return None
        # None: the recorder died, and so promised nothing about an end.
        if one.packets is None or one.packets == packets:
            return one
        return one if packets < one.packets and not self._whole else None

    @property
    def _whole(self) -> bool:
        """Was the file read to its end, and does it have one?"""
        return self._reader.error is None and not self._stopped

    def _findings(self, note: SectionNote | None) -> Iterator[Finding]:
        exchanges = list(self._correlator.exchanges)
        losses = _learn_losses(exchanges)
        ttls = TtlBook()
        # Answers of one host to another take one way: where one passed unseen, others may have.
        missed = {(e.source, e.port.target) for e in exchanges if e.unseen}
        for exchange in exchanges:
            watch = self._watch(note, exchange.source)
            if note is None:
                # A recording is in the order in which the scan saw it, and judged it by.
                exchange.evidence.sort(key=lambda e: e.time_s)
            if note is None and not exchange.evidence and _is_doubtful(exchange):
                continue
            if note is None and (exchange.source, exchange.port.target) in missed:
                watch = replace(watch, both_ways=False)
            yield _finding(exchange, watch, losses[exchange.port.protocol], ttls)

    def _watch(self, note: SectionNote | None, source: IPAddress) -> _Watch:
        last_s = self._last_s or 0.0
        legible = source not in self._cut_off
        if note is None:
            return _Watch(last_s, (), None, self._foreign, self._correlator.hears(source), legible)
        # What the note promises is worth nothing if the file's end is missing.
        until_s = note.until_s if self._whole and note.until_s is not None else last_s
        unsure_s = None if self._drops_are_told(note) else note.dropped_s
        # A scan that came to its end asked as often as it meant to.
        least = 1 if note.complete else note.least_tries or 1
        return _Watch(until_s, self._drops_s, unsure_s, OWN, True, legible, least, own=True)

    @cached_property
    def _drops_s(self) -> tuple[float, ...]:
        """When drops were noticed, in order. Not before the whole file is read."""
        return tuple(sorted(time_s for time_s, _ in self._reader.drops))

    def _drops_are_told(self, note: SectionNote) -> bool:
        """Does the file say when drops were noticed, each time?

        The note has the first time and the number of them all. Recordings of older versions have
        nothing but that, and tools may have lost the rest.
        """
        drops = self._reader.drops
        if not drops or drops[0][0] != note.dropped_s:
            return False
        return drops[-1][1] == note.drops or not self._whole


def _is_doubtful(exchange: Exchange) -> bool:
    """Could what was not answered be no probe at all, in a capture that others made?

    A lone ACK is seldom one. A datagram from a service's port is rather an answer of that service
    to a client that happens to use the asked port, and whose question the capture came too late
    for.
    """
    port = exchange.port
    if port.kind is ProbeKind.ACK:
        return True
    return port.kind is ProbeKind.UDP and all(
        probe.source_port in _SERVICE_PORTS and probe.source_port != port.number
        for probe in exchange.probes
    )


def _count(counts: Counts, packet: Packet, ports: PortSpec) -> bool:
    """Count a packet; True if it has to do with the ports."""
    match packet.body:
        case Tcp() as tcp:
            return _count_tcp(counts, tcp, tcp.dport in ports.tcp, tcp.sport in ports.tcp)
        case Udp(sport=sport, dport=dport):
            to, from_ = dport in ports.udp, sport in ports.udp
            counts.udp_to += to
            counts.udp_from += from_
            return to or from_
        case Icmp() as icmp:
            ask = ask_of(packet)
            if ask is None or ask.port not in ports.of(ask.protocol):
                return False
            counter = counts.icmp if icmp.version == 4 else counts.icmp6
            counter[f"{icmp.type}/{icmp.code}"] += 1
            return True
    return False


def _count_tcp(counts: Counts, tcp: Tcp, to: bool, from_: bool) -> bool:
    counts.tcp_to += to
    counts.tcp_from += from_
    if tcp.flags is not None:
        syn, ack = bool(tcp.flags & Flags.SYN), bool(tcp.flags & Flags.ACK)
        counts.syn += to and syn and not ack
        counts.syn_ack += from_ and syn and ack
        counts.rst += from_ and bool(tcp.flags & Flags.RST)
    return to or from_


def _learn_losses(exchanges: Sequence[Exchange]) -> dict[Protocol, LossModel]:
    """What the answered probes say of the path, as the engine learns it during a scan."""
    losses = {protocol: LossModel() for protocol in Protocol}
    for exchange in exchanges:
        model = losses[exchange.port.protocol]
        model.asked += 1
        model.replied += any(_has_verdict(exchange, e) for e in exchange.evidence)
        for e in exchange.evidence:
            if e.from_target and e.try_number is not None and _has_verdict(exchange, e):
                # A conversation in UDP may have any number of "tries" before the first answer.
                lost = min(e.try_number, _MOST_LOST)
                model.add(_host(exchange), np.array([lost], np.int8))
                break
    return losses


def _host(exchange: Exchange) -> NDArray[np.uint64]:
    """The target as the loss model knows hosts: by a number."""
    return np.array([int(exchange.port.target) & 0xFFFF_FFFF_FFFF_FFFF], np.uint64)


def _has_verdict(exchange: Exchange, evidence: Evidence) -> bool:
    rule = rule_for(exchange.port.kind, evidence.signal, evidence.from_target)
    return strength(rule) >= 0


def _finding(exchange: Exchange, watch: _Watch, losses: LossModel, ttls: TtlBook) -> Finding:
    evidence, sure, tries = [*exchange.evidence], 1.0, len(exchange.probes)
    if not watch.own:
        # The live scan saw no such thing, and a recording must say what it said.
        evidence += exchange.unseen
    told = () if tries == 1 else _history(exchange, evidence, watch, losses)
    if not any(_has_verdict(exchange, e) for e in evidence):
        times_s = [probe.time_s for probe in exchange.probes]
        evidence.append(_silence(times_s, watch, tries))
        (sure,) = losses.confidence(_host(exchange), np.array([tries])).tolist()
    last_s = max(
        [p.time_s for p in exchange.probes] + [e.time_s for e in evidence if e.frame_number]
    )
    verdict = judge(exchange.port, evidence, tries=tries, confidence=sure, time_s=last_s)
    hint = ttls.hint(verdict)
    return Finding(
        verdict=replace(verdict, hints=(*verdict.hints, hint)) if hint else verdict,
        source=exchange.source,
        first_seen_s=min(probe.time_s for probe in exchange.probes),
        last_seen_s=last_s,
        probe_frames=tuple(probe.frame_number for probe in exchange.probes),
        history=told or spells_of_one(exchange, verdict),
    )


def _history(
    exchange: Exchange, evidence: Sequence[Evidence], watch: _Watch, losses: LossModel
) -> tuple[Spell, ...]:
    """What the port's state was over time, as this source saw it.

    A port that has answered before is as likely to have changed as to be unlucky: no odds here.
    """
    (loss,) = losses.loss(_host(exchange)).tolist()
    return history(
        spells(
            exchange,
            evidence,
            watch.patience.in_all_s,
            lambda first_s, last_s: _silence((first_s, last_s), watch, len(exchange.probes)),
            lambda tries: 1.0 - loss**tries,
        )
    )


def _says_too_little(packet: Packet, ports: PortSpec) -> bool:
    """Is this a reply without its flags, or an error that does not come to the probe's port?"""
    match packet.body:
        case Tcp(sport=sport, flags=None):
            return sport in ports.tcp
        case Icmp(quoted=None) as icmp:
            return icmp.type in ICMP_ERRORS if icmp.version == 4 else icmp.type < 128
        case Icmp(quoted=Packet(body=Tcp(seq=None))):
            return True
    return False


def _silence(times_s: Sequence[float], watch: _Watch, tries: int) -> Evidence:
    """What it means that nothing came for probes sent at these times, of so many in all."""
    if not watch.legible:
        kind = ReplyKind.SILENCE_SNAPLEN
    elif not watch.both_ways:
        kind = ReplyKind.SILENCE_ONE_WAY
    elif NO_TIME_S in times_s or tries < watch.least_tries:
        kind = ReplyKind.SILENCE_CUT_SHORT  # for all that is known
    else:
        span_s = min(times_s), max(times_s)
        kind = judge_silence(*span_s, watch.until_s, watch.drops_s, watch.patience)
        unsure = watch.unsure_s is not None and watch.patience.enough_at(*span_s) >= watch.unsure_s
        if unsure and kind is ReplyKind.SILENCE:
            kind = ReplyKind.SILENCE_DROPS
    return Evidence(Signal(kind), None, from_target=False, time_s=watch.until_s)
