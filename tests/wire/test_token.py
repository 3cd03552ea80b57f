"""The token: what it tells apart, what it recovers, and how seldom chance passes for it."""

from __future__ import annotations

import random
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawscan.model import IPAddress, Port, ProbeKind
from rawscan.wire.token import MAX_TRIES, Token

WINDOWS = [range(40000, 40016), range(32768, 61000), range(1, 65536), range(50000, 50100, 3)]
SOURCE = ip_address("10.56.1.1")
PORT = Port(ip_address("10.56.1.3"), 561, ProbeKind.SYN)

addresses = st.ip_addresses()
ports = st.builds(Port, addresses, st.integers(0, 65535), st.sampled_from(ProbeKind))


@given(st.binary(max_size=32), st.sampled_from(WINDOWS), addresses, ports)
def test_every_try_is_recovered(key: bytes, window: range, source: IPAddress, port: Port) -> None:
    token = Token(key, window)
    used = [token.source_port(source, port, number) for number in range(16)]
    assert len(set(used)) == 16
    assert set(used) <= set(window)
    found = [token.try_number(source, port, source_port) for source_port in used]
    assert found == list(range(16))


@pytest.mark.parametrize("window", WINDOWS)
def test_no_port_but_the_sixteen_is_a_try(window: range) -> None:
    token = Token(b"key", window)
    found = [token.try_number(SOURCE, PORT, port) for port in range(65536)]
    assert sorted(number for number in found if number is not None) == list(range(16))
    for outside in (window.start - 1, window.stop, -1, 65536, 561000):
        assert token.try_number(SOURCE, PORT, outside) is None


def test_a_step_between_source_ports_leaves_the_others_out() -> None:
    token = Token(b"key", range(50000, 50100, 3))
    tries = (token.try_number(SOURCE, PORT, port) for port in range(50001, 50100, 3))
    assert set(tries) == {None}


def variants() -> list[tuple[Token, IPAddress, Port]]:
    """One probe, and the same with one thing changed each."""
    window = range(1024, 65536)
    token = Token(b"key", window)
    return [
        (token, SOURCE, PORT),
        (Token(b"kez", window), SOURCE, PORT),
        (token, ip_address("10.56.1.2"), PORT),
        (token, SOURCE, Port(ip_address("10.56.1.4"), 561, ProbeKind.SYN)),
        (token, SOURCE, Port(PORT.target, 562, ProbeKind.SYN)),
        (token, SOURCE, Port(PORT.target, 561, ProbeKind.ACK)),
        (token, SOURCE, Port(PORT.target, 561, ProbeKind.UDP)),
        (token, PORT.target, Port(SOURCE, 561, ProbeKind.SYN)),
    ]


def test_everything_goes_into_the_token() -> None:
    found = variants()
    sequences = {t.sequence(s, p, n) for t, s, p in found for n in range(16)}
    assert len(sequences) == len(found) * 16
    assert all(0 <= number < 1 << 32 for number in sequences)
    assert len({t.source_port(s, p, 0) for t, s, p in found}) == len(found)


def test_the_sequence_number_is_no_function_of_the_source_port() -> None:
    # A reply shows the source port to whoever sees it; the other must not follow from it.
    token = Token(b"key", range(40000, 40016))
    same = [
        Port(PORT.target, number, ProbeKind.SYN)
        for number in range(2000)
        if token.source_port(SOURCE, Port(PORT.target, number, ProbeKind.SYN), 0) == 40000
    ]
    assert len(same) > 50
    assert len({token.sequence(SOURCE, port, 0) for port in same}) == len(same)


@pytest.mark.parametrize("size", [16, 64, 1024, 28232])
def test_chance_passes_sixteen_times_in_the_window(size: int) -> None:
    window = range(30000, 30000 + size)
    token, dice, trials = Token(b"key", window), random.Random(561), 20000
    passed = 0
    for _ in range(trials):
        port = Port(ip_address(dice.getrandbits(32)), dice.randrange(65536), ProbeKind.UDP)
        passed += token.try_number(SOURCE, port, dice.choice(window)) is not None
    chance = 16 / size
    # Five standard deviations of a binomial distribution.
    assert abs(passed - trials * chance) <= 5 * (trials * chance * (1 - chance)) ** 0.5


def test_source_ports_are_spread_evenly() -> None:
    token = Token(b"key", range(40000, 40064))
    seen = [0] * 64
    for number in range(64000):
        port = Port(ip_address(167772160 + number), 561, ProbeKind.SYN)
        seen[token.source_port(SOURCE, port, 0) - 40000] += 1
    assert min(seen) > 800
    assert max(seen) < 1200


@pytest.mark.parametrize("number", [-1, MAX_TRIES, 1000])
def test_a_try_that_cannot_be_told_apart_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=f"try {number}"):
        Token(b"key", range(40000, 40100)).source_port(SOURCE, PORT, number)


def test_too_few_source_ports_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        Token(b"key", range(40000, 40015))
