"""The way back: from what the link received to arrivals for the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rawscan.ask import ask_of
from rawscan.correlate import LiveCorrelator
from rawscan.engine import TARGET, Answer, Arrivals
from rawscan.errors import DecodeError
from rawscan.model import (
    Evidence,
    Frame,
    IPAddress,
    Packet,
    Port,
    ProbeKind,
    ReplyKind,
    Signal,
    Tcp,
    Udp,
)
from rawscan.net.link import Block
from rawscan.rules import PROBES
from rawscan.space import Ints, PortSpace
from rawscan.wire.addresses import Addresses
from rawscan.wire.batch import NONE, Replies, addresses_at, decode_batch
from rawscan.wire.decode import decode_frame
from rawscan.wire.proof import Proof, prove
from rawscan.wire.token import Token

_VERSIONS: tuple[Literal[4, 6], ...] = (4, 6)


class Listener:
    """Decodes blocks, checks tokens, and finds the port that each reply is about.

    `unmatched` counts packets that came to our source ports and proved nothing, `misquoted` those
    of them that were ICMP errors about UDP probes and quoted another identification. `responders`
    are those who answered for others, by the numbers that the engine knows them by.
    """

    def __init__(self, space: PortSpace, token: Token, kinds: Sequence[ProbeKind]) -> None:
        self.unmatched = 0
        self.misquoted = 0
        self._space = space
        self._token = token
        self._kinds = tuple(kinds)
        self._kind_numbers = np.array([PROBES.index(kind) for kind in kinds], np.uint8)
        self._is_ours = _mask(token.source_ports)
        self._correlator = LiveCorrelator(token, kinds)
        self.responders: list[IPAddress] = []
        self._responder_of: dict[IPAddress, int] = {}

    def hear(self, block: Block) -> Iterator[Arrivals]:
        """Every reply in the block that is about a port of this scan."""
        replies = decode_batch(block.frames, block.lengths, block.offset)
        proof = prove(replies, self._token, self._kinds)
        self._forget_own_probes(block, replies, proof)
        ours = self._is_ours[replies.source_port] & replies.may_answer
        self.unmatched += int((ours & ~proof.valid).sum())
        self.misquoted += int(proof.misquoted.sum())
        for version in _VERSIONS:
            rows = np.flatnonzero(proof.valid & (replies.version == version))
            if not len(rows):
                continue
            kinds = self._kind_numbers[proof.kind[rows]]
            targets = addresses_at(replies.target, rows, version)
            ordinals = self._space.ordinals(kinds, targets, replies.port[rows])
            asked = ordinals >= 0
            rows, ordinals = rows[asked], ordinals[asked]
            if len(rows):
                yield self._arrivals(replies, rows, ordinals, proof.try_number, block.times_s)
        for index in np.flatnonzero(replies.rare).tolist():
            yield from self._hear_rare(block.packet(index))

    def _forget_own_probes(self, block: Block, replies: Replies, proof: Proof) -> None:
        """Our own probes arrive where we scan ourselves; none of them is a reply.

        Only one that goes to a port of our own window can be taken for one, and by chance.
        """
        suspects = proof.valid & self._is_ours[replies.port]
        for index in np.flatnonzero(suspects).tolist():
            if is_own_probe(self._token, self._kinds, decode_frame(block.packet(index))):
                proof.valid[index] = False

    def evidence(self, answer: Answer, target: IPAddress) -> Evidence:
        """An answer as the record that the rules judge."""
        return Evidence(
            signal=Signal(ReplyKind(answer.kind), answer.type, answer.code),
            responder=self.responder(answer.responder, target),
            from_target=answer.from_target,
            time_s=answer.time_s,
            try_number=None if answer.try_number == NONE else answer.try_number,
            ttl=answer.ttl,
            rtt_s=None if np.isnan(answer.rtt_s) else answer.rtt_s,
            window=None if answer.window == NONE else answer.window,
            options_bytes=None if answer.options_bytes == NONE else answer.options_bytes,
        )

    def responder(self, number: int, target: IPAddress) -> IPAddress:
        """Who it was that the engine knows by this number."""
        return target if number == TARGET else self.responders[number]

    def _arrivals(
        self,
        replies: Replies,
        rows: np.ndarray[tuple[int], np.dtype[np.intp]],
        ordinals: Ints,
        tries: np.ndarray[tuple[int], np.dtype[np.int8]],
        times_s: np.ndarray[tuple[int], np.dtype[np.float64]],
    ) -> Arrivals:
        from_target = replies.from_target[rows]
        responders = np.full(len(rows), TARGET, np.int32)
        others = np.flatnonzero(~from_target)
        if len(others):
            senders = replies.responder[rows[others]]
            _, first, which = np.unique(senders, axis=0, return_index=True, return_inverse=True)
            examples = rows[others[first]].tolist()
            numbers = [self._number(replies.address(replies.responder, row)) for row in examples]
            responders[others] = np.array(numbers, np.int32)[which.reshape(-1)]
        own = replies.own[rows]
        return Arrivals(
            ordinals=ordinals,
            kind=np.where(own, np.uint8(ReplyKind.NO_NEIGHBOUR), replies.kind[rows]),
            type=np.where(own, np.uint8(0), replies.type[rows]),
            code=np.where(own, np.uint8(0), replies.code[rows]),
            from_target=from_target,
            try_number=tries[rows],
            ttl=replies.ttl[rows],
            responder=responders,
            time_s=times_s[rows],
            window=replies.window[rows],
            options_bytes=replies.options_bytes[rows],
        )

    def _number(self, responder: IPAddress) -> int:
        number = self._responder_of.setdefault(responder, len(self.responders))
        if number == len(self.responders):
            self.responders.append(responder)
        return number

    def _hear_rare(self, frame: Frame) -> Iterator[Arrivals]:
        """One frame of an uncommon shape, by the way that reads every shape."""
        try:
            packet = decode_frame(frame)
        except DecodeError:
            return  # Somebody else's packet: ours are answered in ways that can be read.
        match = self._correlator.match(packet, frame.time_s)
        if match is None or is_own_probe(self._token, self._kinds, packet):
            self.unmatched += self._correlator.is_ours(packet)
            return
        port, evidence = match
        arrivals = self._single(port, evidence)
        if arrivals.ordinals[0] >= 0:
            yield arrivals

    def _single(self, port: Port, evidence: Evidence) -> Arrivals:
        kind = np.array([PROBES.index(port.kind)], np.uint8)
        number = np.array([port.number], np.uint16)
        responder = TARGET
        if not evidence.from_target and evidence.responder is not None:
            responder = self._number(evidence.responder)
        return Arrivals(
            ordinals=self._space.ordinals(kind, Addresses.of([port.target]), number),
            kind=np.array([evidence.signal.kind], np.uint8),
            type=np.array([evidence.signal.type], np.uint8),
            code=np.array([evidence.signal.code], np.uint8),
            from_target=np.array([evidence.from_target]),
            try_number=np.array([_or_none(evidence.try_number)], np.int8),
            ttl=np.array([evidence.ttl or 0], np.uint8),
            responder=np.array([responder], np.int32),
            time_s=np.array([evidence.time_s]),
            window=np.array([_or_none(evidence.window)], np.int32),
            options_bytes=np.array([_or_none(evidence.options_bytes)], np.int16),
        )


def _or_none(value: int | None) -> int:
    return NONE if value is None else value


def is_own_probe(token: Token, kinds: Sequence[ProbeKind], packet: Packet) -> bool:
    """Is this packet one that we sent? Its own ports, and sequence number, bear our token then."""
    ask, body = ask_of(packet), packet.body
    if ask is None or not isinstance(body, Tcp | Udp):
        return False
    for kind in kinds:
        port = Port(ask.target, ask.port, kind)
        number = token.try_number(ask.source, port, ask.source_port)
        if kind.protocol is not ask.protocol or number is None:
            continue
        if isinstance(body, Udp) or body.seq == token.sequence(ask.source, port, number):
            return True
    return False


def recordable(token: Token, kinds: Sequence[ProbeKind]) -> Callable[[Block], NDArray[np.bool_]]:
    """What belongs into a recording: frames that go to, or quote, one of our source ports.

    Our own probes that come back to us do not: they were recorded when they went.
    """
    correlator, our_ports = LiveCorrelator(token, kinds), _mask(token.source_ports)

    def is_ours(frame: Frame) -> bool:
        try:
            packet = decode_frame(frame)
        except DecodeError:
            return False
        return correlator.is_ours(packet) and not is_own_probe(token, kinds, packet)

    def are_ours(block: Block) -> NDArray[np.bool_]:
        replies = decode_batch(block.frames, block.lengths, block.offset)
        ours = our_ports[replies.source_port] & replies.may_answer
        # A frame from one of our ports may be a probe of ours; only a whole look tells.
        for index in np.flatnonzero(replies.rare | (ours & our_ports[replies.port])).tolist():
            ours[index] = is_ours(block.packet(index))
        return ours

    return are_ours


def _mask(ports: range) -> NDArray[np.bool_]:
    """True at these port numbers."""
    mask = np.zeros(1 << 16, np.bool_)
    mask[np.array(ports)] = True
    return mask
