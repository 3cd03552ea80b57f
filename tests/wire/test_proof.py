"""Proof of whole blocks against `LiveCorrelator`, and against many forgeries."""

from __future__ import annotations

from ipaddress import ip_address

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scapy.layers.inet import IP, TCP

from rawscan.correlate import LiveCorrelator
from rawscan.errors import DecodeError
from rawscan.model import IPAddress, Port, Probe, ProbeKind
from rawscan.wire import replies as answers
from rawscan.wire.batch import Replies, decode_batch
from rawscan.wire.craft import craft
from rawscan.wire.decode import decode
from rawscan.wire.proof import evidence_at, prove
from rawscan.wire.token import MAX_TRIES, Token

SYN, UDP, ACK = ProbeKind.SYN, ProbeKind.UDP, ProbeKind.ACK
TOKEN = Token(b"a key", range(32768, 61000))
OWN: dict[int, IPAddress] = {4: ip_address("10.56.1.1"), 6: ip_address("fd56:1::1")}
TARGETS: dict[int, list[IPAddress]] = {
    4: [ip_address("10.56.1.3"), ip_address("203.0.113.255")],
    6: [ip_address("fd56:1::3"), ip_address("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")],
}
ROUTER: dict[int, IPAddress] = {4: ip_address("10.56.1.254"), 6: ip_address("fe80::1")}
UNREACHABLE = {4: (3, 1), 6: (1, 3)}
KINDS = st.permutations([SYN, UDP, ACK]).flatmap(
    lambda kinds: st.integers(1, 3).map(lambda count: kinds[:count])
)


def answer(draw: st.DrawFn, probe: bytes, version: int, kind: ProbeKind) -> bytes:
    """One of the answers that there are to a probe."""
    how = draw(st.sampled_from(["direct", "quote", "own", "syn"]))
    if how in ("quote", "own"):
        responder = OWN[version] if how == "own" else draw(st.sampled_from([None, ROUTER[version]]))
        size = draw(st.sampled_from([8, 8, 20, 999]))
        return answers.icmp_error(
            probe, *UNREACHABLE[version], responder=responder, quoted_bytes=size
        )
    if kind is UDP:
        return answers.datagram(probe, draw(st.binary(max_size=3)))
    if how == "syn":
        return answers.syn(probe)
    return draw(st.sampled_from([answers.rst, answers.syn_ack]))(probe)


@st.composite
def replies_to_us(draw: st.DrawFn) -> bytes:
    """An answer to one of our probes, or to one that is almost ours."""
    version, kind = draw(st.sampled_from([4, 6])), draw(st.sampled_from(ProbeKind))
    token = draw(st.sampled_from([TOKEN, TOKEN, TOKEN, Token(b"another", TOKEN.source_ports)]))
    port = Port(
        draw(st.sampled_from(TARGETS[version])), draw(st.sampled_from([561, 0, 65535])), kind
    )
    probe = craft(Probe(port, draw(st.integers(0, 15))), OWN[version], token)
    data = bytearray(answer(draw, probe, version, kind))
    start = (data[0] & 0xF) * 4 if version == 4 else 40
    if draw(st.booleans()):
        # Near misses: the acknowledgement, the sequence number, flags, ports, quoted numbers.
        # ... quoted identifications and flow labels.
        upper = [*range(16), 28, *range(8, 16), *range(28, 36), 8 + 4, 8 + 5, 8 + 1, 8 + 3]
        at = start + draw(st.sampled_from(upper))
        if at < len(data):
            data[at] = (data[at] + draw(st.sampled_from([1, 2, 16, 254, 255]))) % 256
    return bytes(data)


def block_of(packets: list[bytes]) -> Replies:
    rows = np.full((len(packets), max(map(len, packets))), 0xA5, np.uint8)
    for row, data in zip(rows, packets, strict=True):
        row[: len(data)] = np.frombuffer(data, np.uint8)
    return decode_batch(rows, np.array([len(data) for data in packets]))


@settings(max_examples=400, deadline=None)
@given(st.lists(replies_to_us(), min_size=1, max_size=8), KINDS)
def test_it_believes_what_the_correlator_believes(
    packets: list[bytes], kinds: list[ProbeKind]
) -> None:
    replies = block_of(packets)
    proof = prove(replies, TOKEN, kinds)
    correlator = LiveCorrelator(TOKEN, kinds)
    for index, data in enumerate(packets):
        if replies.rare[index]:
            assert not proof.valid[index]
            continue
        try:
            found = correlator.match(decode(data), 7.5)
        except DecodeError:
            found = None
        assert proof.valid[index] == (found is not None)
        if found is None:
            assert (proof.kind[index], proof.try_number[index]) == (-1, -1)
        else:
            kind, number = kinds[proof.kind[index]], int(proof.try_number[index])
            assert evidence_at(replies, index, 7.5, kind, number) == found


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("kind", ProbeKind)
def test_every_try_of_every_kind_is_recognised(version: int, kind: ProbeKind) -> None:
    port = Port(TARGETS[version][0], 561, kind)
    probes = [craft(Probe(port, n), OWN[version], TOKEN) for n in range(MAX_TRIES)]
    direct = answers.datagram if kind is UDP else answers.rst
    quotes = [answers.icmp_error(p, *UNREACHABLE[version], responder=OWN[version]) for p in probes]
    proof = prove(block_of([*map(direct, probes), *quotes]), TOKEN, [SYN, UDP, ACK])
    assert proof.valid.all()
    assert proof.try_number.tolist() == [*range(MAX_TRIES)] * 2
    assert set(proof.kind.tolist()) == {[SYN, UDP, ACK].index(kind)}


@pytest.mark.parametrize(
    ("flags", "believed"), [("RA", {0, 1}), ("R", {0, 1}), ("SA", {1}), ("A", {1}), ("FA", {1})]
)
def test_what_an_answer_to_a_syn_may_acknowledge(flags: str, believed: set[int]) -> None:
    # RFC 9293, section 3.5.2: the number plus one. Of a RST some stacks leave the one out.
    target = TARGETS[4][0]
    port = Port(target, 561, SYN)
    number = TOKEN.sequence(OWN[4], port, 2)
    source_port = TOKEN.source_port(OWN[4], port, 2)
    more = range(-2, 4)
    header = IP(src=str(target), dst=str(OWN[4]))
    packets = [
        bytes(header / TCP(sport=561, dport=source_port, flags=flags, ack=(number + n) % 2**32))
        for n in more
    ]
    valid = prove(block_of(packets), TOKEN, [SYN]).valid
    assert {n for n, good in zip(more, valid.tolist(), strict=True) if good} == believed


@pytest.mark.parametrize("kinds", [[SYN, ACK], [ACK, SYN]])
def test_of_two_kinds_that_it_could_answer_the_first_is_taken(kinds: list[ProbeKind]) -> None:
    # With no more than 16 source ports, each is one of both kinds' tries.
    token, target = Token(b"key", range(40000, 40016)), TARGETS[4][0]
    tried = {kind: token.try_number(OWN[4], Port(target, 561, kind), 40003) for kind in kinds}
    seq = {k: token.sequence(OWN[4], Port(target, 561, k), n or 0) for k, n in tried.items()}
    rst = TCP(sport=561, dport=40003, flags="RA", seq=seq[ACK], ack=(seq[SYN] + 1) % 2**32)
    data = bytes(IP(src=str(target), dst=str(OWN[4])) / rst)
    proof = prove(block_of([data]), token, kinds)
    assert (proof.kind[0], proof.try_number[0]) == (0, tried[kinds[0]])
    found = LiveCorrelator(token, kinds).match(decode(data), 0.0)
    assert found is not None
    assert found[0].kind is kinds[0]


COUNT = 100_000


def named(value: object) -> str | None:
    """Bytes make bad names for tests."""
    return "probe" if isinstance(value, bytes) else None


def forged(packet: bytes, seed: int, **columns: tuple[int, int]) -> Replies:
    """So many copies of one packet, with random bytes in some columns."""
    dice = np.random.default_rng(seed)
    rows = np.tile(np.frombuffer(packet, np.uint8), (COUNT, 1))
    for start, stop in columns.values():
        rows[:, start:stop] = dice.integers(0, 256, (COUNT, stop - start), np.uint8)
    return decode_batch(rows, np.full(COUNT, len(packet)))


def with_source_ports_of_ours(replies: Replies, seed: int) -> Replies:
    """The forger knows from which ports probes come: the worst case."""
    window, dice = TOKEN.source_ports, np.random.default_rng(seed)
    replies.source_port[:] = dice.integers(window.start, window.stop, COUNT)
    return replies


PROBES = [
    (version, kind, craft(Probe(Port(TARGETS[version][0], 561, kind), 0), OWN[version], TOKEN))
    for version in (4, 6)
    for kind in ProbeKind
]
TCP_PROBES = [(version, probe) for version, kind, probe in PROBES if kind is not UDP]
UDP_PROBES = [(version, probe) for version, kind, probe in PROBES if kind is UDP]
# Each try has its source port: who guesses among all of them is right this often.
CHANCE = COUNT * MAX_TRIES / len(TOKEN.source_ports)


def upper(version: int) -> int:
    return 20 if version == 4 else 40


def assert_none(valid: NDArray[np.bool_]) -> None:
    assert valid.shape == (COUNT,)
    assert int(valid.sum()) == 0


@pytest.mark.parametrize("forge", [answers.rst, answers.syn_ack])
@pytest.mark.parametrize(("version", "probe"), TCP_PROBES, ids=named)
def test_forged_segments_are_not_believed(version: int, probe: bytes, forge: object) -> None:
    at, packet = upper(version), forge(probe)  # type: ignore[operator]
    replies = forged(packet, 561, seq_and_ack=(at + 4, at + 12))
    assert replies.may_answer.all()
    # Even if the source port were known: the numbers alone must do.
    assert_none(prove(replies, TOKEN, [SYN, ACK]).valid)
    assert_none(prove(with_source_ports_of_ours(replies, 562), TOKEN, [SYN, ACK]).valid)


@pytest.mark.parametrize(("version", "probe"), TCP_PROBES, ids=named)
def test_forged_errors_about_tcp_are_not_believed(version: int, probe: bytes) -> None:
    packet = answers.icmp_error(probe, *UNREACHABLE[version], responder=ROUTER[version])
    at = upper(version) + 8 + upper(version)
    replies = forged(packet, 563, quoted_seq=(at + 4, at + 8))
    assert replies.may_answer.all()
    assert_none(prove(replies, TOKEN, [SYN, ACK]).valid)
    assert_none(prove(with_source_ports_of_ours(replies, 564), TOKEN, [SYN, ACK]).valid)


# Where the bytes are, in an IP header, that hold the identification or the flow label.
ID_BYTES = {4: (4, 6), 6: (1, 4)}


@pytest.mark.parametrize(("version", "probe"), UDP_PROBES, ids=named)
def test_forged_errors_about_udp_are_not_believed(version: int, probe: bytes) -> None:
    packet = answers.icmp_error(probe, *UNREACHABLE[version])
    at, (start, stop) = upper(version) + 8, ID_BYTES[version]
    replies = forged(packet, 568, quoted_id=(at + start, at + stop))
    assert replies.may_answer.all()
    assert_none(prove(with_source_ports_of_ours(replies, 569), TOKEN, [UDP]).valid)


@pytest.mark.parametrize(("version", "probe"), UDP_PROBES, ids=named)
def test_what_an_error_about_udp_must_quote(version: int, probe: bytes) -> None:
    # All there are, with the right source port: one of IPv4's and its swapped one, one flow label.
    start, stop = ID_BYTES[version]
    sent = int.from_bytes(probe[start:stop], "big")
    packet = answers.icmp_error(probe, *UNREACHABLE[version])
    numbers = np.arange(1 << (16 if version == 4 else 20))
    rows = np.tile(np.frombuffer(packet, np.uint8), (len(numbers), 1))
    for place, shift in zip(reversed(range(start, stop)), (0, 8, 16), strict=False):
        rows[:, upper(version) + 8 + place] = numbers >> shift & 0xFF
    valid = prove(decode_batch(rows, np.full(len(rows), len(packet))), TOKEN, [UDP]).valid
    swapped = int.from_bytes(sent.to_bytes(4, "big")[:1:-1], "big")
    assert set(numbers[valid].tolist()) == ({sent, swapped} if version == 4 else {sent})


@pytest.mark.parametrize(("version", "probe"), UDP_PROBES, ids=named)
def test_forged_datagrams_are_believed_by_chance_alone(version: int, probe: bytes) -> None:
    replies = with_source_ports_of_ours(forged(answers.datagram(probe), 0), 565)
    passed = int(prove(replies, TOKEN, [UDP]).valid.sum())
    # Five standard deviations of a binomial distribution.
    assert abs(passed - CHANCE) < 5 * CHANCE**0.5


def test_a_bare_syn_is_believed_by_chance_alone() -> None:
    # It acknowledges nothing, so that the ports must do, as with UDP.
    version, probe = TCP_PROBES[0]
    at = upper(version)
    replies = forged(answers.syn(probe), 566, seq_and_ack=(at + 4, at + 12))
    passed = int(prove(with_source_ports_of_ours(replies, 567), TOKEN, [SYN]).valid.sum())
    assert abs(passed - CHANCE) < 5 * CHANCE**0.5


@pytest.mark.parametrize(("version", "kind", "probe"), PROBES, ids=named)
def test_another_scans_key_is_no_key(version: int, kind: ProbeKind, probe: bytes) -> None:
    forge = answers.datagram if kind is UDP else answers.rst
    other = Token(b"another key", TOKEN.source_ports)
    replies = block_of([forge(probe)])
    assert prove(replies, TOKEN, [kind]).valid.tolist() == [True]
    assert prove(replies, other, [kind]).valid.tolist() == [False]
