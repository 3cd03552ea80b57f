"""TCP as an onlooker sees it: the state of both ends, and Zeek's word for it. Touches nothing.

The states and the order of the tests are Zeek's (`TCPSessionAdapter.cc` and `conn_state` in
`base/protocols/conn/main.zeek`), so that its users read the same words here.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
_SEQ = 1 << 32
_LARGEST_GAP = 1 << 30
"""No window is larger (RFC 7323, section 2.3): a number further on is not of this connection."""


class End(IntEnum):
    """What one end of a connection has done."""

    INACTIVE = 0
    SYN_SENT = 1
    SYN_ACK_SENT = 2
    PARTIAL = 3
    ESTABLISHED = 4
    CLOSED = 5
    RESET = 6


_INACTIVE, _PARTIAL, _ESTABLISHED = End.INACTIVE, End.PARTIAL, End.ESTABLISHED
_CLOSED, _RESET = End.CLOSED, End.RESET
_ONCE = frozenset("ADIQ")
_MOST_LETTERS = 32
"""A flood of SYNs with new numbers between the same ports is not told of letter by letter."""
_SYNS = (End.SYN_SENT, End.SYN_ACK_SENT)
_SILENT = (End.INACTIVE, End.PARTIAL)


class Side:
    """One end: its state, and what it sent. `size` is payload in bytes, by sequence numbers."""

    __slots__ = ("before", "first", "packets", "said", "seen", "size", "state", "top")

    def __init__(self) -> None:
        self.state = _INACTIVE
        self.before = _INACTIVE
        self.packets = 0
        self.size = 0
        self.said = b""
        self.top: int | None = None  # the next sequence number that is expected
        self.seen: tuple[tuple[str, int], ...] = ()  # history letters, with segment numbers
        self.first = 0  # which of the flow's packets was the first with payload; 0: none yet

    def become(self, state: End) -> None:
        """Change the state, and remember the one before."""
        self.before, self.state = self.state, state

    def notes(self, letter: str, number: int) -> bool:
        """Is this letter news? Each once, and those of control bits again with a new number."""
        entry = (letter, 0 if letter in _ONCE else number)
        if len(self.seen) >= _MOST_LETTERS or entry in self.seen:
            return False
        self.seen += (entry,)
        return True

    def count(self, seq: int, flags: int, payload_bytes: int) -> None:
        """Count payload by its sequence numbers: what is sent again counts once."""
        if flags & RST:
            return  # RFC 9293, section 3.5.2: its payload is none of the stream's
        end = seq + payload_bytes + (flags & SYN > 0)
        if self.top is None or flags & SYN:
            self.size += payload_bytes
            self.top = (end + (flags & FIN)) % _SEQ
            return
        ahead = (end - self.top) % _SEQ
        if payload_bytes and 0 < ahead < _LARGEST_GAP:
            self.size += ahead
            self.top = end % _SEQ


def advance(me: Side, peer: Side, flags: int, payload_bytes: int, is_client: bool) -> None:
    """Let `me` send a segment with these flags."""
    state = me.state
    if state is _INACTIVE:
        _leave_inactive(me, peer, flags, payload_bytes, is_client)
    elif state in _SYNS:
        if flags & FIN:
            me.become(_CLOSED)
        if flags & RST:
            me.become(_RESET)
    elif state is _ESTABLISHED or state is _PARTIAL:
        _leave_established(me, peer, flags)
    elif state is _CLOSED and flags & RST and peer.state is not _CLOSED:
        me.become(_RESET)


def _leave_inactive(me: Side, peer: Side, flags: int, payload_bytes: int, is_client: bool) -> None:
    if flags & SYN and is_client:
        me.become(End.SYN_ACK_SENT if flags & ACK else End.SYN_SENT)
    elif flags & SYN:
        if peer.state is End.SYN_SENT:
            peer.become(_ESTABLISHED)
        me.become(_ESTABLISHED)
    if flags & FIN:
        me.become(_CLOSED)
    if flags & RST:
        me.become(_RESET)
    if me.state is not _INACTIVE:
        return
    if not is_client and not payload_bytes and peer.state is End.SYN_SENT:
        return  # some acknowledge a SYN before they answer it
    # A SYN+ACK was seen and now its acknowledgement: only the SYN itself was missed.
    met = flags & ACK and peer.state is _ESTABLISHED
    me.become(_ESTABLISHED if met else _PARTIAL)


def _leave_established(me: Side, peer: Side, flags: int) -> None:
    lone = flags & SYN and not flags & ACK
    if lone and me.state is _PARTIAL and peer.state is _INACTIVE:
        me.become(End.SYN_SENT)
    if flags & FIN and not flags & RST:
        me.become(_CLOSED)
        if peer.state is _RESET and peer.before is _CLOSED:
            peer.become(_CLOSED)  # a FIN and then a RST is a normal end, once the other side ends
    if flags & RST:
        me.become(_RESET)


def letter_of(flags: int, payload_bytes: int) -> str:
    """Zeek's history letter for a segment, as the client's; "" for one that says nothing."""
    control = flags & (SYN | FIN | RST)
    if control & (control - 1):
        return "I" if control & FIN and control & RST else "Q"
    if control == SYN:
        return "H" if flags & ACK else "S"
    if control:
        return "F" if control == FIN else "R"
    return "D" if payload_bytes else "A" if flags & ACK else ""


def conn_state(client: Side, server: Side, letters: str) -> str:
    """Zeek's `conn_state` of a TCP connection, by its tests in their order.

    `letters` is the history so far, the client's in capitals.
    """
    sizeless = not client.size and not server.size
    abandoned = client.state is _RESET and _reset_after_syn(letters)
    return _word(client.state, server.state, sizeless, abandoned)


@cache
def _word(ours: End, theirs: End, sizeless: bool, abandoned: bool) -> str:
    asked, answered = ours not in _SILENT, theirs not in _SILENT
    rejected = ours in _SYNS or (ours is _RESET and sizeless)
    tests = (
        (theirs is _RESET and rejected, "REJ"),
        (theirs is _RESET, "RSTR" if asked else "RSTRH"),
        (ours is _RESET and answered, "RSTO"),
        (ours is _RESET, "RSTOS0" if abandoned else "OTH"),
        (ours is _CLOSED and theirs is _CLOSED, "SF"),
        (ours is _CLOSED, "S2" if answered else "SH"),
        (theirs is _CLOSED, "S3" if asked else "SHR"),
        (ours is End.SYN_SENT and theirs is _INACTIVE, "S0"),
        (ours is _ESTABLISHED and theirs is _ESTABLISHED, "S1"),
    )
    return next((word for holds, word in tests if holds), "OTH")


def _reset_after_syn(letters: str) -> bool:
    """Zeek's `/^S[^HAFGIQ]*R/`: a bare SYN and then a RST, with nothing of weight between."""
    head, found, _ = letters.partition("R")
    return bool(found) and head.startswith("S") and not set(head) & set("HAFGIQ")


def udp_state(from_client: int, from_server: int) -> str:
    """The same for UDP, by the number of datagrams each way."""
    if from_client:
        return "SF" if from_server else "S0"
    return "SHR" if from_server else "OTH"
