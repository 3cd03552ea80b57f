"""Zeek's words for TCP, against its own script written out, and scripts of segments."""

from __future__ import annotations

import re
from itertools import product

import pytest

from rawscan.connstate import (
    ACK,
    FIN,
    RST,
    SYN,
    End,
    Side,
    advance,
    conn_state,
    letter_of,
    udp_state,
)

BITS = {"S": SYN, "A": ACK, "F": FIN, "R": RST, "P": 0x08}


def play(script: str) -> tuple[str, str]:
    """Zeek's word and history for segments such as `>S <SA >A`; a digit is payload in bytes."""
    client, server = Side(), Side()
    letters = ""
    for number, segment in enumerate(script.split()):
        up, flags = segment[0] == ">", sum(BITS[c] for c in segment[1:] if c in BITS)
        payload = int("0" + "".join(c for c in segment if c.isdigit()))
        me, peer = (client, server) if up else (server, client)
        letter = letter_of(flags, payload)
        if letter and me.notes(letter, number):
            letters += letter if up else letter.lower()
        me.count(100, flags, payload)
        advance(me, peer, flags, payload, up)
    return conn_state(client, server, letters), letters


@pytest.mark.parametrize(
    ("script", "word"),
    [
        # The normal ends.
        (">S <SA >A >FA <A <FA >A", "SF"),
        (">S <SA >A <FA >A >FA <A", "SF"),
        # A RST of who has closed already ends nothing that both have ended.
        (">S <SA >A >FA <FA >R", "SF"),
        # A FIN, a RST, and then the other one's FIN: normal again.
        (">S <SA >A >FA >R <FA", "SF"),
        (">S <SA >A >FA >R", "RSTO"),
        (">S <SA >R", "RSTO"),
        (">S <SA >A9 <A <R", "RSTR"),
        # The server says no, at once or after the client's number was acknowledged.
        (">S <RA", "REJ"),
        (">S <A <RA", "REJ"),
        (">SA <R", "REJ"),
        # Some acknowledge a SYN before they answer it.
        (">S <A <SA >A", "S1"),
        # The middle of something, and then a beginning.
        (">A >S", "S0"),
        # Simultaneous opening.
        (">S <S >SA <SA", "S1"),
        # The SYN itself was missed.
        ("<SA >A", "S1"),
        ("<SA", "OTH"),
        (">A9 <A9", "OTH"),
        (">A9 <RA", "RSTRH"),
        (">A >R", "OTH"),
        (">S >A >R", "OTH"),  # not RSTOS0: something of weight came between
        (">S >S >R", "RSTOS0"),
        (">F", "SH"),  # a FIN scan, unanswered
        (">F <RA", "RSTR"),
        ("> <RA", "RSTRH"),  # a NULL scan
        (">S >FA", "SH"),
        (">FSA", "SH"),
        (">S <SA <FA >R", "RSTO"),
    ],
)
def test_scripts(script: str, word: str) -> None:
    assert play(script)[0] == word


def zeeks_own(ours: End, theirs: End, sizes: tuple[int, int], history: str) -> str:
    """`conn_state` of Zeek's base/protocols/conn/main.zeek, branch by branch."""
    o_inactive = ours in (End.INACTIVE, End.PARTIAL)
    r_inactive = theirs in (End.INACTIVE, End.PARTIAL)
    attempted = ours in (End.SYN_SENT, End.SYN_ACK_SENT)
    if theirs == End.RESET:
        rejected = attempted or (ours == End.RESET and sizes == (0, 0))
        return "REJ" if rejected else "RSTRH" if o_inactive else "RSTR"
    if ours == End.RESET:
        reset = re.fullmatch(r"\^?S[^HAFGIQ]*R.*", history)
        return "RSTO" if not r_inactive else "RSTOS0" if reset else "OTH"
    if End.CLOSED in (ours, theirs):
        if ours == theirs:
            return "SF"
        halves = ("SH", "S2") if ours == End.CLOSED else ("SHR", "S3")
        return halves[not (r_inactive if ours == End.CLOSED else o_inactive)]
    established = ours == End.ESTABLISHED and theirs == End.ESTABLISHED
    waiting = ours == End.SYN_SENT and theirs == End.INACTIVE
    return "S0" if waiting else "S1" if established else "OTH"


HISTORIES = ["", "S", "SR", "SaR", "SAR", "ShR", "SFR", "R", "AR", "SQR", "SIR", "SDR", "SrR"]


def test_every_pair_of_states() -> None:
    sizes = [(0, 0), (1, 0), (0, 1)]
    for ours, theirs, size, history in product(End, End, sizes, HISTORIES):
        client, server = Side(), Side()
        client.state, server.state = ours, theirs
        client.size, server.size = size
        expected = zeeks_own(ours, theirs, size, history)
        assert conn_state(client, server, history) == expected, (ours, theirs, size, history)


def test_history_letters() -> None:
    assert play(">S <SA >A >PA9 <A >A9 <PA9 >FA <FA >A")[1] == "ShADadFf"
    # Control segments with a new number are news, the rest is told once.
    assert play(">S >S <SA >A >A")[1] == "SShA"
    assert play(">SF <FR")[1] == "Qi"


def test_a_flood_between_the_same_ports_is_not_told_letter_by_letter() -> None:
    assert play(">S " * 5000)[1] == "S" * 32


def test_bytes_by_sequence_numbers() -> None:
    side = Side()
    side.count(0xFFFF_FFFE, SYN, 0)
    side.count(0xFFFF_FFFF, ACK, 3)  # over the end of the numbers
    side.count(0xFFFF_FFFF, ACK, 3)  # again
    side.count(12, ACK, 5)  # ten are missing in between, and were sent
    side.count(2, ACK, 10)  # now they come, out of order
    side.count(17, ACK | FIN, 0)
    side.count(18, RST | ACK, 40)  # words of farewell are no payload
    side.count(0x7000_0000, ACK, 9)  # out of any window
    assert side.size == 3 + 15


@pytest.mark.parametrize(
    ("up", "down", "word"), [(1, 1, "SF"), (2, 0, "S0"), (0, 1, "SHR"), (0, 0, "OTH")]
)
def test_udp(up: int, down: int, word: str) -> None:
    assert udp_state(up, down) == word
