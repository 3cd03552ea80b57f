"""Batches of probes against `craft`, byte for byte."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rawscan.model import IPAddress, Port, Probe, ProbeKind
from rawscan.wire.addresses import Addresses
from rawscan.wire.craft import craft, crafted_module, sample
from rawscan.wire.crafted import CRAFTED
from rawscan.wire.crafted import __file__ as crafted_file
from rawscan.wire.template import Template
from rawscan.wire.token import Token

STALE = 0xA5
OWN: dict[int, IPAddress] = {4: ip_address("10.56.1.1"), 6: ip_address("fd56:1::1")}
ETHERTYPE = {4: b"\x08\x00", 6: b"\x86\xdd"}
MACS = bytes(range(12))

WORD = st.integers(0, 0xFFFF) | st.sampled_from([0, 1, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF])
LONG = st.integers(0, 0xFFFF_FFFF) | st.sampled_from(
    [0, 1, 0xFFFF, 0xFFFF_0000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF]
)


@dataclass(frozen=True, slots=True)
class Fixed(Token):
    """A token that gives what it is told, so that every extreme can be had."""

    port: int = 0
    number: int = 0

    def source_port(self, source: IPAddress, port: Port, number: int) -> int:
        return self.port

    def sequence(self, source: IPAddress, port: Port, number: int) -> int:
        return self.number


def crafted(
    kind: ProbeKind,
    source: IPAddress,
    payload: bytes,
    numbers: tuple[IPAddress, int, int, int],
) -> bytes:
    target, port, source_port, sequence = numbers
    token = Fixed(b"", range(16), source_port, sequence)
    return craft(Probe(Port(target, port, kind), 0), source, token, payload)


def addresses(version: Literal[4, 6]) -> st.SearchStrategy[IPAddress]:
    last = 2 ** (32 if version == 4 else 128) - 1
    make = type(OWN[version])
    extremes = [make(n) for n in (0, 1, 0xFFFF, 0xFFFF_0000, last - 1, last)]
    return st.ip_addresses(v=version) | st.sampled_from(extremes)


@st.composite
def cases(
    draw: st.DrawFn,
) -> tuple[ProbeKind, IPAddress, bytes, list[tuple[IPAddress, int, int, int]]]:
    version: Literal[4, 6] = draw(st.sampled_from([4, 6]))
    kind = draw(st.sampled_from(ProbeKind))
    payload = draw(st.binary(max_size=33) | st.sampled_from([b"", b"\0", b"\xff", b"\xff\xff"]))
    rows = st.lists(st.tuples(addresses(version), WORD, WORD, LONG), min_size=1, max_size=8)
    return kind, draw(addresses(version)), payload, draw(rows)


def filled(
    template: Template,
    rows: list[tuple[IPAddress, int, int, int]],
    spare: int = 7,
    next_hops: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """What `fill` makes of a buffer full of old bytes."""
    out = np.full((len(rows), template.size + spare), STALE, np.uint8)
    targets, ports, source_ports, sequences = zip(*rows, strict=True)
    template.fill(
        out,
        Addresses.of(targets),
        np.array(ports, np.uint16),
        np.array(source_ports, np.uint16),
        np.array(sequences, np.uint32),
        next_hops,
    )
    assert (out[:, template.size :] == STALE).all()  # and what is not its own is left alone
    return out[:, : template.size]


@settings(max_examples=400, deadline=None)
@given(cases(), st.integers(0, 9))
def test_every_byte_is_what_craft_makes(
    case: tuple[ProbeKind, IPAddress, bytes, list[tuple[IPAddress, int, int, int]]], spare: int
) -> None:
    kind, source, payload, rows = case
    wanted = [crafted(kind, source, payload, row) for row in rows]
    template = Template.of(kind, source, payload)
    assert template.size == len(wanted[0])
    assert [row.tobytes() for row in filled(template, rows, spare)] == wanted

    header = MACS + ETHERTYPE[source.version]
    template = Template.of(kind, source, payload, header)
    assert [row.tobytes() for row in filled(template, rows, spare)] == [
        header + packet for packet in wanted
    ]


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("version", [4, 6])
def test_every_source_port_meets_every_sum(kind: ProbeKind, version: int) -> None:
    # 65,536 source ports take the checksum through all its values: 0 and 0xffff too.
    template = Template.of(kind, OWN[version], b"odd")
    target = ip_address("10.56.1.3" if version == 4 else "fd56:1::3")
    rows = [(target, 561, source_port, 0x1234_5678) for source_port in range(1 << 16)]
    found = filled(template, rows)
    at = (20 if version == 4 else 40) + (6 if kind is ProbeKind.UDP else 16)
    sums = found[:, at].astype(np.intp) << 8 | found[:, at + 1]
    corners = np.flatnonzero(np.isin(sums, [0, 1, 0xFFFE, 0xFFFF]))
    assert len(corners) >= 3
    for place in corners:
        assert found[place].tobytes() == crafted(kind, OWN[version], b"odd", rows[place])
    # RFC 768: 0 says that there is no checksum. In TCP, it is a sum as any other.
    missing = 0 if kind is ProbeKind.UDP else 0xFFFF
    assert set(range(1 << 16)) - set(sums.tolist()) == {missing}


@pytest.mark.parametrize("version", [4, 6])
def test_next_hops_per_probe(version: int) -> None:
    header = MACS + ETHERTYPE[version]
    template = Template.of(ProbeKind.SYN, OWN[version], b"", header)
    rows = [(OWN[version], 561, 40000, 1), (OWN[version], 561, 40000, 2)]
    hops = np.array([[0xAA] * 6, [0xBB] * 6], np.uint8)
    found = filled(template, rows, next_hops=hops)
    plain = filled(template, rows)
    assert found[:, :6].tolist() == hops.tolist()
    assert (found[:, 6:] == plain[:, 6:]).all()
    assert (plain[:, :6] == np.frombuffer(MACS[:6], np.uint8)).all()


def test_tags_may_stand_in_the_header() -> None:
    header = MACS + b"\x81\x00\x00\x64" + ETHERTYPE[4]
    template = Template.of(ProbeKind.SYN, OWN[4], b"", header)
    row = (ip_address("10.56.1.3"), 561, 40000, 7)
    [found] = filled(template, [row])
    assert found.tobytes() == header + crafted(ProbeKind.SYN, OWN[4], b"", row)


def test_rows_may_lie_anywhere() -> None:
    # The frames of a ring: an odd stride, and columns before and after.
    template = Template.of(ProbeKind.SYN, OWN[4], b"", MACS + ETHERTYPE[4])
    ring = np.full((3, 151), STALE, np.uint8)
    window = ring[:, 33 : 33 + template.size]
    targets = Addresses.of([ip_address("10.56.1.3")] * 3)
    ports, numbers = np.full(3, 561, np.uint16), np.arange(3, dtype=np.uint32)
    template.fill(window, targets, ports, ports, numbers)
    rows = [(targets.at(0), 561, 561, number) for number in range(3)]
    assert (window == filled(template, rows)).all()
    assert (ring[:, :33] == STALE).all()
    assert (ring[:, 33 + template.size :] == STALE).all()


def test_the_same_batch_may_be_filled_again() -> None:
    # Nothing that is passed in is changed.
    template = Template.of(ProbeKind.UDP, OWN[4], b"x")
    out = np.full((2, template.size), STALE, np.uint8)
    low = np.array([1, 2], np.uint64)
    arrays = (
        np.array([7, 8], np.uint16),
        np.array([9, 10], np.uint16),
        np.array([0, 1], np.uint32),
    )
    kept = [array.tolist() for array in (low, *arrays)]
    template.fill(out, Addresses(4, None, low), *arrays)
    first = out.copy()
    template.fill(out, Addresses(4, None, low), *arrays)
    assert (out == first).all()
    assert [array.tolist() for array in (low, *arrays)] == kept


@pytest.mark.parametrize("header", [MACS, MACS + b"\x86\xdd", b"\x08\x00", MACS + b"\x08\x06"])
def test_a_header_that_does_not_fit(header: bytes) -> None:
    with pytest.raises(ValueError, match="no Ethernet header for IPv4"):
        Template.of(ProbeKind.SYN, OWN[4], b"", header)


def test_what_cannot_be_filled() -> None:
    template = Template.of(ProbeKind.SYN, OWN[4])
    v4, v6 = Addresses.of([OWN[4]]), Addresses.of([OWN[6]])
    word, number = np.ones(1, np.uint16), np.ones(1, np.uint32)
    out = np.zeros((1, template.size), np.uint8)
    with pytest.raises(ValueError, match="IPv6 probes"):
        template.fill(out, v6, word, word, number)
    with pytest.raises(ValueError, match="cannot hold"):
        template.fill(out[:, 1:], v4, word, word, number)
    with pytest.raises(ValueError, match="next hop"):
        template.fill(out, v4, word, word, number, np.zeros((1, 6), np.uint8))
    for wrong in ((word[:0], word, number), (word, word[:0], number), (word, word, number[:0])):
        with pytest.raises(ValueError, match="each row"):
            template.fill(out, v4, *wrong)


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("version", [4, 6])
def test_ready_made_probes_are_what_scapy_makes_today(kind: ProbeKind, version: int) -> None:
    assert bytes.fromhex(CRAFTED[kind.value, version]) == sample(kind, version)


def test_the_module_of_ready_made_probes_is_the_generated_one() -> None:
    assert Path(crafted_file).read_text() == crafted_module()


def test_no_scapy_for_a_probe_without_payload() -> None:
    program = """
import sys
from ipaddress import ip_address
from rawscan.model import ProbeKind
from rawscan.wire.template import Template
for kind in ProbeKind:
    Template.of(kind, ip_address("10.56.1.1"))
assert not [name for name in sys.modules if name.startswith("scapy")]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
