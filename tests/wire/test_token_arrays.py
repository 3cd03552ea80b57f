"""Tokens of many probes at once: the same as one at a time."""

from __future__ import annotations

from ipaddress import ip_address
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawscan.model import IPAddress, Port, ProbeKind
from rawscan.wire.addresses import Addresses
from rawscan.wire.token import MAX_TRIES, Token

WINDOWS = [
    range(40000, 40016),
    range(32768, 61000),
    range(65536),
    range(50000, 50100, 3),
    range(50099, 49999, -3),
]


@st.composite
def asks(draw: st.DrawFn) -> tuple[list[IPAddress], list[IPAddress], list[int], list[int]]:
    """Sources, targets, ports and numbers."""
    version: Literal[4, 6] = draw(st.sampled_from([4, 6]))
    size = draw(st.integers(1, 12))
    addresses = st.lists(st.ip_addresses(v=version), min_size=size, max_size=size)
    ports = st.lists(st.integers(0, 65535), min_size=size, max_size=size)
    numbers = st.lists(st.integers(0, 15), min_size=size, max_size=size)
    return draw(addresses), draw(addresses), draw(ports), draw(numbers)


Asks = tuple[list[IPAddress], list[IPAddress], list[int], list[int]]


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=32),
    st.sampled_from(WINDOWS),
    st.sampled_from(ProbeKind),
    asks(),
    st.booleans(),
)
def test_arrays_are_many_of_one(
    key: bytes, window: range, kind: ProbeKind, given_: Asks, one_source: bool
) -> None:
    token = Token(key, window)
    sources, targets, numbers, tries = given_
    if one_source:
        sources = sources[:1] * len(targets)
    asker = sources[0] if one_source else Addresses.of(sources)
    probes = [
        (source, Port(target, number, kind))
        for source, target, number in zip(sources, targets, numbers, strict=True)
    ]
    batch, ports = Addresses.of(targets), np.array(numbers, np.uint16)
    tried = np.array(tries, np.int8)

    source_ports = token.source_ports_of(asker, batch, ports, kind, tried)
    assert source_ports.dtype == np.uint16
    wanted = [token.source_port(*probe, n) for probe, n in zip(probes, tries, strict=True)]
    assert source_ports.tolist() == wanted

    sequences = token.sequences_of(asker, batch, ports, kind, tried)
    assert sequences.dtype == np.uint32
    assert sequences.tolist() == [
        token.sequence(*probe, n) for probe, n in zip(probes, tries, strict=True)
    ]
    both = token.tokens_of(asker, batch, ports, kind, tried)
    assert [array.tolist() for array in both] == [wanted, sequences.tolist()]

    found, again = token.tries_of(asker, batch, ports, kind, source_ports)
    assert found.dtype == np.int8
    assert found.tolist() == tries
    assert again.tolist() == sequences.tolist()


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("target", ["10.56.1.3", "fd56:1::3"])
def test_every_port_there_is(window: range, target: str) -> None:
    token, port = Token(b"key", window), Port(ip_address(target), 561, ProbeKind.UDP)
    source = ip_address("10.56.1.1" if port.target.version == 4 else "fd56:1::1")
    every = np.arange(65536, dtype=np.uint16)
    found = token.try_numbers_of(
        source,
        Addresses.of([port.target] * 65536),
        np.full(65536, 561, np.uint16),
        port.kind,
        every,
    )
    ours = {int(p): int(found[p]) for p in np.flatnonzero(found >= 0)}
    assert ours == {token.source_port(source, port, n): n for n in range(MAX_TRIES)}
    assert set(found.tolist()) == {-1, *range(MAX_TRIES)}


def test_the_tries_of_a_port_differ_by_more_than_acknowledgements_add() -> None:
    # A RST acknowledges seq or seq + 1: neither may be that of another try.
    token, port = Token(b"key", range(40000, 40016)), Port(ip_address("10.0.0.1"), 1, ProbeKind.SYN)
    numbers = sorted(token.sequence(port.target, port, n) for n in range(MAX_TRIES))
    gaps = [b - a for a, b in pairwise([*numbers, numbers[0] + 2**32])]
    assert min(gaps) > 1 << 20


def test_both_halves_of_the_hash_are_spread_evenly() -> None:
    count, window = 1 << 16, range(40000, 40064)
    targets = Addresses(4, None, np.arange(0x0A000000, 0x0A000000 + count, dtype=np.uint64))
    source_ports, sequences = Token(b"key", window).tokens_of(
        ip_address("10.56.1.1"),
        targets,
        np.full(count, 561, np.uint16),
        ProbeKind.SYN,
        np.zeros(count, np.int8),
    )
    homes = source_ports.astype(np.intp) - window.start
    # Every bit of the sequence number is set in half of them, and so it is in the 64 parts
    # into which the source port divides them (1,024 each, standard deviation 16).
    for bit in range(32):
        is_set = (sequences >> np.uint32(bit)) & np.uint32(1)
        assert abs(int(is_set.sum()) - count // 2) < 5 * count**0.5 / 2
        in_part = np.bincount(homes, weights=is_set, minlength=64)
        assert np.abs(in_part - np.bincount(homes, minlength=64) / 2).max() < 100
    # 32-bit numbers that are drawn 65,536 times repeat in about half a pair (2**32 / 2**33).
    assert len(np.unique(sequences)) > count - 8


def test_nothing_at_all() -> None:
    none = np.empty(0, np.uint16)
    token, source = Token(b"key", range(40000, 40016)), ip_address("10.0.0.1")
    found = token.tokens_of(source, Addresses.of([]), none, ProbeKind.SYN, np.empty(0, np.int8))
    assert [len(array) for array in found] == [0, 0]
    assert len(token.try_numbers_of(source, Addresses.of([]), none, ProbeKind.SYN, none)) == 0


@pytest.mark.parametrize("number", [-1, MAX_TRIES])
def test_a_try_that_cannot_be_told_apart_is_refused(number: int) -> None:
    token, source = Token(b"key", range(40000, 40016)), ip_address("10.0.0.1")
    one = np.ones(2, np.uint16)
    with pytest.raises(ValueError, match="outside"):
        token.source_ports_of(
            source, Addresses.of([source] * 2), one, ProbeKind.SYN, np.array([0, number], np.int8)
        )


def test_versions_do_not_mix() -> None:
    token, one = Token(b"key", range(40000, 40016)), np.ones(1, np.uint16)
    v4, v6 = ip_address("10.0.0.1"), ip_address("fd00::1")
    for source, target in ((v4, v6), (v6, v4), (Addresses.of([v4]), v6)):
        with pytest.raises(ValueError, match=r"IPv\d addresses ask no"):
            token.try_numbers_of(source, Addresses.of([target]), one, ProbeKind.SYN, one)


@pytest.mark.parametrize("window", [range(65530, 65546), range(-1, 20)])
def test_what_is_no_port_is_refused(window: range) -> None:
    with pytest.raises(ValueError, match="within"):
        Token(b"key", window)
