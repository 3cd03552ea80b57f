"""Captures, offline: what happened on these ports, by the rules of the live scan. Reads files.

    capture file -> frame -> Reply -> correlate -> Evidence -> RULES -> Verdict

Silence needs proof that the capture could have held an answer. rawscan's own recordings bring it
in their section note, which is believed as long as not one packet is missing; of any other capture
it is asked that an answer to the prober was seen, that nothing tells of an answer that was not, and
that the capture goes on long enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO

from rawscan.ask import ask_of
from rawscan.capture.annotate import Annotator
from rawscan.capture.batch import Chosen, Tally, choose
from rawscan.capture.find import sources
from rawscan.capture.note import SectionNote
from rawscan.capture.reader import CaptureReader, open_capture
from rawscan.correlate import CaptureCorrelator, Exchange
from rawscan.errors import CaptureError, DecodeError, UsageError
from rawscan.findings import Analysis, Finding
from rawscan.hearing import listen_again
from rawscan.judging import Watch, finding_of, has_verdict, learn_losses
from rawscan.model import (
    DEFAULT_PORT,
    Counts,
    Flags,
    Frame,
    Icmp,
    IPAddress,
    Other,
    Packet,
    ProbeKind,
    Tcp,
    Udp,
)
from rawscan.ports import PortSpec, parse_ports
from rawscan.portstates import with_common_histories
from rawscan.silence import FOREIGN, OWN, Patience
from rawscan.traffic import TrafficObserver, contacts_of
from rawscan.verdict import TtlBook
from rawscan.wire.decode import ICMP_ERRORS, TUNNELS, VXLAN_PORT, decode_frame
from rawscan.wire.sieve import AddressCheck, PortCheck, Sieve

_MOST_DATAGRAMS = 1 << 12
"""Fragmented datagrams that are remembered, the oldest go first."""
_FRAGMENTED = frozenset({1, 6, 17, 58})
"""What is always decoded, unless it is a fragment that is not the first."""
_SERVICE_PORTS = range(1, 1024)
_SYN_OR_ACK = int(Flags.SYN | Flags.ACK)


def analyse(
    source: Path | BinaryIO,
    ports: PortSpec | None = None,
    *,
    silence_wait_s: float | None = None,
    jobs: int = 1,
    stop: Callable[[], bool] | None = None,
    dissect: bool = False,
    keep: Callable[[Frame], None] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Analysis:
    """Read one capture and judge every port of `ports` that was probed in it.

    Without `ports`, those that a recording of rawscan's says it asked, and else port 561.
    `silence_wait_s` is for how long a foreign capture must go on after the last probe for silence
    to be a verdict (default 20 s). `jobs` processes read a large file. Reading ends early when
    `stop()` is true, even on a quiet pipe. `dissect` has tshark look at the frames that have to do
    with the ports; `keep` is given each. `progress` is called with the bytes read and, if that is
    known, of how many.
    Raises `CaptureError` if the file is no capture at all.
    """
    with open_capture(source, stop=stop) as reader:
        if ports is None:
            ports = _recorded_ports(reader.notes)
        stop, progress = stop or (lambda: False), progress or (lambda done, of: None)
        one_pass = _Pass(reader, ports, silence_wait_s, jobs)
        if keep is not None:
            one_pass.keepers.append(lambda frame, _: keep(frame))
        if not dissect:
            return one_pass.run(stop, progress)
        with closing(Annotator()) as annotator:
            one_pass.keepers.append(annotator.keep)
            return annotator.annotate(one_pass.run(stop, progress), stop)


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
        self, reader: CaptureReader, ports: PortSpec, silence_wait_s: float | None, jobs: int
    ) -> None:
        self._reader = reader
        self._ports = ports
        self._jobs = jobs
        self._check = PortCheck(ports)
        # Our recordings are judged as the scan was. In others a router beyond the tap may have
        # changed what errors quote, and there is no scan whose verdicts could be forged.
        self._correlator = CaptureCorrelator(ports, strict=any(reader.notes))
        self.keepers: list[Callable[[Frame, int], None]] = []
        self._traffic = TrafficObserver(ports)
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
        findings = with_common_histories(list(self._findings(own)))
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
            findings=tuple(findings),
            own=own is not None,
            ports=str(self._ports),
            traffic=self._traffic.finish(contacts_of(findings)),
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
        if matched if packet.piece_of is None else self._join(packet, matched):
            self._matched += 1
            self._traffic.add(packet, frame.time_s, number)
            for keep in self.keepers:
                keep(frame, number)
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
        # Silence may be the verdict, or a part of the history.
        silent = (
            e
            for e in exchanges
            if len(e.probes) > 1 or not any(has_verdict(e, one) for one in e.evidence)
        )
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
        losses = learn_losses(exchanges)
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
            yield finding_of(exchange, watch, losses[exchange.port.protocol], ttls)

    def _watch(self, note: SectionNote | None, source: IPAddress) -> Watch:
        last_s = self._tally.last_s or 0.0
        legible = source not in self._cut_off
        if note is None:
            hears = self._correlator.hearing.hears(source)
            return Watch(last_s, (), None, self._foreign, hears, legible)
        # What the note promises is worth nothing if the file's end is missing.
        until_s = note.until_s if self._whole and note.until_s is not None else last_s
        unsure_s = None if self._drops_are_told(note) else note.dropped_s
        # A scan that came to its end asked as often as it meant to.
        least = 1 if note.complete else note.least_tries or 1
        return Watch(until_s, self._drops_s, unsure_s, OWN, True, legible, least, own=True)

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
        flags = int(tcp.flags)
        counts.syn += to and flags & _SYN_OR_ACK == Flags.SYN.value
        counts.syn_ack += from_ and flags & _SYN_OR_ACK == _SYN_OR_ACK
        counts.rst += from_ and bool(flags & Flags.RST.value)
    return to or from_


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
