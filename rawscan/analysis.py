"""Captures, offline: what happened on these ports, by the rules of the live scan. Reads files.

    capture file -> frame -> Reply -> correlate -> Evidence -> RULES -> Verdict

Silence needs proof that the capture could have held an answer. rawscan's own recordings bring it
in their section note, which is believed as long as not one packet is missing; of any other capture
it is asked that an answer to the prober was seen, that nothing tells of an answer that was not, and
that the capture goes on long enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from rawscan.ask import ask_of
from rawscan.capture.batch import Chosen, Tally, choose
from rawscan.capture.note import SectionNote
from rawscan.capture.reader import CaptureReader, open_capture
from rawscan.capture.source import NO_TIME_S
from rawscan.correlate import CaptureCorrelator, Exchange
from rawscan.engine import LossModel, confidence
from rawscan.errors import DecodeError, UsageError
from rawscan.hearing import listen_again
from rawscan.model import (
    DEFAULT_PORT,
    Analysis,
    Counts,
    Evidence,
    Finding,
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
from rawscan.rules import rule_for, strength
from rawscan.silence import FOREIGN, OWN, Patience, judge_silence
from rawscan.verdict import TtlBook, judge
from rawscan.wire.decode import ICMP_ERRORS, TUNNELS, VXLAN_PORT, decode_frame
from rawscan.wire.sieve import AddressCheck, PortCheck, Sieve

_MOST_DATAGRAMS = 1 << 12
"""Fragmented datagrams that are remembered, the oldest go first."""
_FRAGMENTED = frozenset({1, 6, 17, 58})
"""What is always decoded, unless it is a fragment that is not the first."""
_SERVICE_PORTS = range(1, 1024)
_MOST_LOST = 127
_SYN_OR_ACK = int(Flags.SYN | Flags.ACK)


@dataclass(frozen=True, slots=True)
class _Watch:
    """How long, and how well, the capture watched."""

    until_s: float
    dropped_s: float | None
    patience: Patience
    both_ways: bool
    legible: bool


def analyse(
    source: Path | BinaryIO,
    ports: PortSpec | None = None,
    *,
    silence_wait_s: float | None = None,
    jobs: int = 1,
    stop: Callable[[], bool] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Analysis:
    """Read one capture and judge every port of `ports` that was probed in it.

    Without `ports`, those that a recording of rawscan's says it asked, and else port 561.
    `silence_wait_s` is for how long a foreign capture must go on after the last probe for silence
    to be a verdict (default 20 s). `jobs` processes read a large file. Reading ends early when
    `stop()` is true, even on a quiet pipe. `progress` is called with the bytes read and, if that is
    known, of how many.
    Raises `CaptureError` if the file is no capture at all.
    """
    with open_capture(source, stop=stop) as reader:
        if ports is None:
            ports = _recorded_ports(reader.notes)
        return _Pass(reader, ports, silence_wait_s, jobs).run(
            stop or (lambda: False), progress or (lambda done, of: None)
        )


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
        self, reader: CaptureReader, ports: PortSpec, silence_wait_s: float | None, jobs: int
    ) -> None:
        self._reader = reader
        self._ports = ports
        self._jobs = jobs
        self._check = PortCheck(ports)
        self._correlator = CaptureCorrelator(ports)
        self._counts = Counts()
        self._tally = Tally()
        self._matched = 0
        self._stopped = False
        self._receivers: set[IPAddress] = set()
        # Whose first fragment had to do with the ports: by addresses and identification.
        self._datagrams: dict[tuple[IPAddress, IPAddress, int | None], bool] = {}
        # Who was sent something that the snaplen made illegible: it may be an answer.
        self._cut_off: set[IPAddress] = set()
        self._foreign = (
            FOREIGN if silence_wait_s is None else Patience(silence_wait_s, silence_wait_s)
        )

    def run(
        self, stop: Callable[[], bool], progress: Callable[[int, int | None], None]
    ) -> Analysis:
        for chosen in self._reader.chosen(Sieve(self._check), self._jobs):
            for number, frame in chosen.frames:
                self._take(frame, number)
            if self._reader.path is None:
                self._overhear(chosen)
            self._tally.add(chosen.tally)
            progress(*self._reader.how_far())
            if stop():
                self._stopped = True
                break
        self._stopped |= self._reader.stopped
        reader, own = self._reader, self._own_note()
        return Analysis(
            path=reader.name,
            format=reader.format,
            linktypes=tuple(reader.linktypes),
            packets=reader.packets,
            bytes=reader.bytes,
            matched=self._matched,
            first_s=self._tally.first_s,
            last_s=self._tally.last_s,
            truncated=reader.truncated,
            error=None if reader.error is None else str(reader.error),
            error_offset=None if reader.error is None else reader.error.offset,
            counts=self._counts,
            undecoded=self._tally.undecoded,
            findings=tuple(self._findings(own)),
            own=own is not None,
            ports=str(self._ports),
        )

    def _take(self, frame: Frame, number: int) -> None:
        """Take one frame into account, as far as its packets and times are not counted already."""
        try:
            packet = decode_frame(frame)
        except DecodeError as error:
            self._tally.undecoded[error.cause] += 1
            return
        self._notice_hidden(packet)
        self._receivers.add(packet.destination)
        if len(frame.data) < frame.original_bytes and _says_too_little(packet, self._ports):
            self._cut_off.add(packet.destination)
        matched = _count(self._counts, packet, self._ports)
        self._matched += matched if packet.piece_of is None else self._join(packet, matched)
        self._correlator.add(packet, frame.time_s, number)

    def _overhear(self, chosen: Chosen) -> None:
        """Of a stream that cannot be read again, listen at once to those not heard so far."""
        hearing = self._correlator.hearing
        mute = {e.source for e in self._correlator.exchanges if not hearing.hears(e.source)}
        if mute and chosen.batch is not None:
            theirs = choose(chosen.batch, Sieve(AddressCheck(to=mute, from_=mute)))
            for _ in hearing.add_frames(frame for _, frame in theirs.frames):
                pass

    def _listen_again(self, exchanges: Sequence[Exchange]) -> None:
        """Look for answers to those whose silence would mean something, were they heard."""
        hearing = self._correlator.hearing
        silent = (e for e in exchanges if not any(_has_verdict(e, one) for one in e.evidence))
        mute = {e.source for e in silent if not hearing.hears(e.source)}
        # Of the frames that were left out, the check knows who got any; of the rest, the set.
        mute = {a for a in mute if a in self._receivers or self._check.may_have_received(a)}
        if mute and self._reader.path is not None:
            look = partial(self._reader.again, jobs=self._jobs)
            for source in listen_again(mute, look):
                hearing.note(source)

    def _notice_hidden(self, packet: Packet) -> None:
        """Count what may carry packets of the ports, and could not be looked into."""
        match packet.body:
            case Other(protocol) if protocol in TUNNELS:
                self._tally.undecoded[f"tunnel: {TUNNELS[protocol]}"] += 1
            case Udp(dport=port) if port == VXLAN_PORT:
                self._tally.undecoded["tunnel: VXLAN"] += 1

    def _join(self, packet: Packet, matched: bool) -> bool:
        """Has this fragment to do with the ports? A later one if the first one has."""
        key = (packet.source, packet.destination, packet.piece_of)
        if isinstance(packet.body, Other) and packet.body.protocol in _FRAGMENTED:
            if key not in self._datagrams:
                self._tally.undecoded["fragment"] += 1
            return self._datagrams.get(key, False)
        self._datagrams[key] = matched
        if len(self._datagrams) > _MOST_DATAGRAMS:
            del self._datagrams[next(iter(self._datagrams))]
        return matched

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
        if note is None:
            self._listen_again(exchanges)
        losses = _learn_losses(exchanges)
        ttls = TtlBook()
        # Answers of one host to another take one way: where one passed unseen, others may have.
        missed = {(e.source, e.port.target) for e in exchanges if e.missed_an_answer}
        for exchange in exchanges:
            watch = self._watch(note, exchange.source)
            if note is None:
                # A recording is in the order in which the scan saw it, and judged it by.
                exchange.evidence.sort(key=lambda e: e.time_s)
            if note is None and not exchange.evidence and _is_doubtful(exchange):
                continue
            if note is None and (exchange.source, exchange.port.target) in missed:
                watch = replace(watch, both_ways=False)
            (loss,) = losses[exchange.port.protocol].loss(_host(exchange)).tolist()
            yield _finding(exchange, watch, loss, ttls)

    def _watch(self, note: SectionNote | None, source: IPAddress) -> _Watch:
        last_s = self._tally.last_s or 0.0
        legible = source not in self._cut_off
        if note is None:
            return _Watch(
                last_s, None, self._foreign, self._correlator.hearing.hears(source), legible
            )
        # What the note promises is worth nothing if the file's end is missing.
        until_s = note.until_s if self._whole and note.until_s is not None else last_s
        return _Watch(until_s, note.dropped_s, OWN, both_ways=True, legible=legible)


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
        flags = int(tcp.flags)
        counts.syn += to and flags & _SYN_OR_ACK == Flags.SYN.value
        counts.syn_ack += from_ and flags & _SYN_OR_ACK == _SYN_OR_ACK
        counts.rst += from_ and bool(flags & Flags.RST.value)
    return to or from_


def _learn_losses(exchanges: Sequence[Exchange]) -> dict[Protocol, LossModel]:
    """What the answered probes say of the path, as the engine learns it during a scan."""
    losses = {protocol: LossModel() for protocol in Protocol}
    for exchange in exchanges:
        for e in exchange.evidence:
            if e.from_target and e.try_number is not None and _has_verdict(exchange, e):
                # A conversation in UDP may have any number of "tries" before the first answer.
                lost = min(e.try_number, _MOST_LOST)
                losses[exchange.port.protocol].add(_host(exchange), np.array([lost], np.int8))
                break
    return losses


def _host(exchange: Exchange) -> NDArray[np.uint64]:
    """The target as the loss model knows hosts: by a number."""
    return np.array([int(exchange.port.target) & 0xFFFF_FFFF_FFFF_FFFF], np.uint64)


def _has_verdict(exchange: Exchange, evidence: Evidence) -> bool:
    rule = rule_for(exchange.port.kind, evidence.signal, evidence.from_target)
    return strength(rule) >= 0


def _finding(exchange: Exchange, watch: _Watch, loss: float, ttls: TtlBook) -> Finding:
    evidence, sure, tries = list(exchange.evidence), 1.0, len(exchange.probes)
    if not any(_has_verdict(exchange, e) for e in evidence):
        evidence.append(_silence(exchange, watch))
        sure = confidence(loss, tries)
    last_s = max([p.time_s for p in exchange.probes] + [e.time_s for e in exchange.evidence])
    verdict = judge(exchange.port, evidence, tries=tries, confidence=sure, time_s=last_s)
    hint = ttls.hint(verdict)
    return Finding(
        verdict=replace(verdict, hints=(*verdict.hints, hint)) if hint else verdict,
        source=exchange.source,
        first_seen_s=min(probe.time_s for probe in exchange.probes),
        last_seen_s=last_s,
        probe_frames=tuple(probe.frame_number for probe in exchange.probes),
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


def _silence(exchange: Exchange, watch: _Watch) -> Evidence:
    times_s = [probe.time_s for probe in exchange.probes]
    if not watch.legible:
        kind = ReplyKind.SILENCE_SNAPLEN
    elif not watch.both_ways:
        kind = ReplyKind.SILENCE_ONE_WAY
    elif NO_TIME_S in times_s:
        kind = ReplyKind.SILENCE_CUT_SHORT  # for all that is known
    else:
        span_s = min(times_s), max(times_s)
        kind = judge_silence(*span_s, watch.until_s, watch.dropped_s, watch.patience)
    return Evidence(Signal(kind), None, from_target=False, time_s=watch.until_s)
