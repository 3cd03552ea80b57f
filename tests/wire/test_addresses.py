"""Batches of addresses against the standard library's."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawscan.model import IPAddress
from rawscan.wire.addresses import Addresses

V4 = [ip_address(a) for a in ("0.0.0.0", "10.56.1.3", "128.0.0.1", "255.255.255.255")]
V6 = [
    ip_address(a)
    for a in (
        "::",
        "::ffff:10.0.0.1",
        "fd56:1::3",
        "8000::8000:0:0:1",
        f"{IPv6Address(2**128 - 1)}",
    )
]

batches = st.lists(st.ip_addresses(v=4) | st.sampled_from(V4)) | st.lists(
    st.ip_addresses(v=6) | st.sampled_from(V6)
)


def word_sum(data: bytes) -> int:
    """16-bit words added up and taken modulo 0xffff, which end-around carry leaves alone."""
    return sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)) % 0xFFFF


@settings(deadline=None)
@given(batches)
def test_what_goes_in_comes_out(addresses: list[IPAddress]) -> None:
    batch = Addresses.of(iter(addresses))
    assert len(batch) == len(addresses)
    assert list(batch) == addresses
    assert batch.octets.dtype == np.uint8
    assert [row.tobytes() for row in batch.octets] == [a.packed for a in addresses]
    packed = b"".join(a.packed for a in addresses)
    assert list(Addresses.of_octets(batch.version, packed)) == addresses
    assert [int(s) % 0xFFFF for s in batch.sums] == [word_sum(a.packed) for a in addresses]
    assert all(int(s) < 1 << 34 for s in batch.sums)


@pytest.mark.parametrize("addresses", [V4, V6])
def test_some_of_them(addresses: list[IPAddress]) -> None:
    batch = Addresses.of(addresses)
    assert batch.version == addresses[0].version
    assert batch.at(1) == addresses[1]
    assert list(batch.take(np.array([2, 0]))) == [addresses[2], addresses[0]]
    assert list(batch.take(np.arange(len(addresses)) > 1)) == addresses[2:]
    assert list(batch.take(slice(1, 3))) == addresses[1:3]


@pytest.mark.parametrize("addresses", [V4, V6])
def test_what_is_given_away_is_no_view(addresses: list[IPAddress]) -> None:
    batch = Addresses.of(addresses)
    batch.sums[:] = 0
    batch.octets[:] = 0
    assert list(batch) == addresses


def test_words_are_in_host_order() -> None:
    v4, v6 = Addresses.of([IPv4Address("1.2.3.4")]), Addresses.of([IPv6Address("1:2:3:4:5:6:7:8")])
    assert v4.high is None
    assert v4.low.tolist() == [0x01020304]
    assert v6.high is not None
    assert v6.high.tolist() == [0x0001_0002_0003_0004]
    assert v6.low.tolist() == [0x0005_0006_0007_0008]
    assert {v4.low.dtype, v6.low.dtype, v6.high.dtype} == {np.dtype(np.uint64)}


def test_two_versions_do_not_mix() -> None:
    with pytest.raises(ValueError, match="one batch"):
        Addresses.of([V4[0], V6[0]])


WORDS = np.zeros(2, np.uint64)


def test_what_is_no_batch() -> None:
    with pytest.raises(ValueError, match="version 5"):
        Addresses(5, None, WORDS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="two words"):
        Addresses(6, None, WORDS)
    with pytest.raises(ValueError, match="two words"):
        Addresses(4, WORDS, WORDS)
    with pytest.raises(ValueError, match="as many"):
        Addresses(6, WORDS[:1], WORDS)
    with pytest.raises(ValueError, match="32 bits"):
        Addresses(4, None, WORDS + np.uint64(1 << 32))
