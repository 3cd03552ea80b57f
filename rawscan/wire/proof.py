"""Which replies of a block prove that they answer our probes. Touches nothing.

The same rules as `rawscan.correlate.LiveCorrelator`, for arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawscan.model import Evidence, Flags, Port, ProbeKind, Protocol, ReplyKind
from rawscan.wire.batch import NONE, Replies, addresses_at
from rawscan.wire.token import Token, identifications, is_identification

_QUOTING = (int(ReplyKind.ICMP), int(ReplyKind.ICMP6), int(ReplyKind.NO_NEIGHBOUR))


@dataclass(frozen=True, slots=True, eq=False)
class Proof:
    """One entry for each reply: is it `valid`, and which probe does it answer?

    `kind` is the index of the probe's kind among those asked for, `try_number` counts from 0; both
    are -1 where there is no proof. `misquoted`: an ICMP error about a UDP probe of ours, by its
    ports, that quotes another identification than it bore. A rare frame is never either here.
    """

    kind: NDArray[np.int8]
    try_number: NDArray[np.int8]
    valid: NDArray[np.bool_]
    misquoted: NDArray[np.bool_]


def prove(replies: Replies, token: Token, kinds: Sequence[ProbeKind]) -> Proof:
    """Check the tokens of all replies. Of several kinds that a reply could answer, the first."""
    proof = Proof(
        kind=np.full(len(replies), NONE, np.int8),
        try_number=np.full(len(replies), NONE, np.int8),
        valid=np.zeros(len(replies), np.bool_),
        misquoted=np.zeros(len(replies), np.bool_),
    )
    may_answer = replies.may_answer
    for index, kind in enumerate(kinds):
        of_kind = may_answer & (replies.protocol == kind.protocol.number)
        for version in (4, 6):
            rows = np.flatnonzero(of_kind & ~proof.valid & (replies.version == version))
            if not rows.size:
                continue
            tries, sequences = token.tries_of(
                addresses_at(replies.source, rows, version),
                addresses_at(replies.target, rows, version),
                replies.port[rows],
                kind,
                replies.source_port[rows],
            )
            good = tries >= 0
            if kind.protocol is Protocol.TCP:
                good &= _tcp_proves(kind, replies, rows, sequences)
            else:
                bears = _udp_proves(replies, rows, sequences)
                proof.misquoted[rows] = good & ~bears
                good &= bears
            proven = rows[good]
            proof.valid[proven] = True
            proof.kind[proven] = index
            proof.try_number[proven] = tries[good]
    return proof


def _udp_proves(
    replies: Replies, rows: NDArray[np.intp], sequences: NDArray[np.uint32]
) -> NDArray[np.bool_]:
    """`rawscan.correlate.proves` for UDP probes whose identifications are of `sequences`.

    All rows are of one IP version. A datagram has nothing but its ports.
    """
    version = int(replies.version[rows[0]])
    sent, direct = identifications(version, sequences), replies.kind[rows] == ReplyKind.UDP
    proven: NDArray[np.bool_] = direct | is_identification(version, sent, replies.quoted_id[rows])
    return proven


def _tcp_proves(
    kind: ProbeKind, replies: Replies, rows: NDArray[np.intp], sequences: NDArray[np.uint32]
) -> NDArray[np.bool_]:
    """The same for TCP probes whose sequence numbers were `sequences`."""
    flags, acknowledged = replies.flags[rows], replies.ack[rows]
    reset = (flags & int(Flags.RST)) != 0
    # An ACK probe bears the same number as its acknowledgement number (see `rawscan.wire.craft`).
    if kind is ProbeKind.ACK:
        direct: NDArray[np.bool_] = reset & (replies.seq[rows] == sequences)
    else:
        following = acknowledged == sequences + np.uint32(1)
        direct = np.where(
            reset,
            following | (acknowledged == sequences),
            # A SYN without ACK acknowledges nothing; the ports must do.
            np.where((flags & int(Flags.ACK)) != 0, following, (flags & int(Flags.SYN)) != 0),
        )
    quotes = np.isin(replies.kind[rows], _QUOTING)
    direct[quotes] = (replies.quoted_seq[rows] == sequences)[quotes]
    return direct


def evidence_at(
    replies: Replies, index: int, time_s: float, kind: ProbeKind, try_number: int
) -> tuple[Port, Evidence]:
    """One proven reply as records, as `rawscan.correlate` makes them."""
    target = replies.address(replies.target, index)
    window, options_bytes = int(replies.window[index]), int(replies.options_bytes[index])
    return Port(target, int(replies.port[index]), kind), Evidence(
        signal=replies.signal(index),
        responder=replies.address(replies.responder, index),
        from_target=bool(replies.from_target[index]),
        time_s=time_s,
        try_number=try_number,
        ttl=int(replies.ttl[index]),
        window=None if window == NONE else window,
        options_bytes=None if options_bytes == NONE else options_bytes,
    )
