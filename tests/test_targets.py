"""What targets mean and the set algebra, against sets made with `ipaddress` alone."""

from __future__ import annotations

import gc
import pickle
import random
import tracemalloc
from collections.abc import Callable, Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    summarize_address_range,
)
from itertools import islice, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawscan import addrset
from rawscan.addrset import Ipv4Set, Ipv6Set
from rawscan.model import IPAddress
from rawscan.targets import TargetSet, split_tokens

Meant = tuple[str, frozenset[IPAddress]]
"""What is written, and what it means by a way of its own."""


def parse(*tokens: str) -> TargetSet:
    return TargetSet.parse(tokens)


def order(addresses: frozenset[IPAddress]) -> list[IPAddress]:
    return sorted(addresses, key=lambda address: (address.version, int(address)))


# --- What can be written -------------------------------------------------------------------

V4_BASE, V6_BASE = int(IPv4Address("10.0.254.0")), int(IPv6Address("fd00::fe00"))
BELOW = st.integers(0, 1023)  # four /24s, and a carry into the second octet in their middle


def v4(offset: int) -> IPv4Address:
    return IPv4Address(V4_BASE + offset)


def v6(offset: int) -> IPv6Address:
    return IPv6Address(V6_BASE + offset)


ANY: st.SearchStrategy[Callable[[int], IPAddress]] = st.sampled_from([v4, v6])


@st.composite
def singles(draw: st.DrawFn) -> Meant:
    address: IPAddress = draw(ANY)(draw(BELOW))
    bracketed = address.version == 6 and draw(st.booleans())
    return (f"[{address}]" if bracketed else str(address)), frozenset({address})


@st.composite
def prefixes(draw: st.DrawFn) -> Meant:
    short = draw(st.integers(0, 9))
    if draw(st.booleans()):
        text4 = f"{v4(draw(BELOW))}/{32 - short}"
        return text4, frozenset(IPv4Network(text4, strict=False))
    text6 = f"{v6(draw(BELOW))}/{128 - short}"
    return text6, frozenset(IPv6Network(text6, strict=False))


@st.composite
def ranges(draw: st.DrawFn) -> Meant:
    low, high = sorted((draw(BELOW), draw(BELOW)))
    make = draw(ANY)
    return f"{make(low)}-{make(high)}", frozenset(make(each) for each in range(low, high + 1))


@st.composite
def octet(draw: st.DrawFn, least: int = 0, most: int = 255) -> tuple[str, set[int]]:
    """A list of items, all between `least` and `most`."""
    texts, values = [], set()
    for _ in range(draw(st.integers(1, 3))):
        low, high = sorted(draw(st.tuples(*[st.integers(least, most)] * 2)))
        kinds = ["one", "range"] + ["all", "dash", "from", "to"] * ((least, most) == (0, 255))
        kind = draw(st.sampled_from(kinds))
        text, found = {
            "one": (f"{low}", {low}),
            "range": (f"{low}-{high}", set(range(low, high + 1))),
            "all": ("*", set(range(256))),
            "dash": ("-", set(range(256))),
            "from": (f"{low}-", set(range(low, 256))),
            "to": (f"-{high}", set(range(high + 1))),
        }[kind]
        texts.append(text)
        values |= found
    return ",".join(texts), values


@st.composite
def patterns(draw: st.DrawFn) -> Meant:
    """Patterns in 10.0-1.254-255.*, so that they meet the others."""
    parts = [("10", {10}), draw(octet(0, 1)), draw(octet(254, 255)), draw(octet())]
    text = ".".join(part for part, _ in parts)
    members = product(*[values for _, values in parts])
    return text, frozenset(IPv4Address(bytes(member)) for member in members)


SPECS = st.lists(st.one_of(singles(), prefixes(), ranges(), patterns()), max_size=5)


def brute(specs: list[Meant]) -> frozenset[IPAddress]:
    return frozenset().union(*[meant for _, meant in specs])


def parsed(specs: list[Meant]) -> TargetSet:
    return parse(*[text for text, _ in specs])


# --- Properties ----------------------------------------------------------------------------


@given(SPECS, SPECS)
@settings(deadline=None, max_examples=150)
def test_targets_less_excludes_are_each_address_exactly_once(
    included: list[Meant], excluded: list[Meant]
) -> None:
    targets = parsed(included) - parsed(excluded)
    wanted = order(brute(included) - brute(excluded))
    assert list(targets) == wanted
    assert targets.count == len(targets) == len(wanted)
    assert bool(targets) is bool(wanted)
    assert [targets.at(index) for index in range(len(wanted))] == wanted


@given(SPECS, SPECS)
@settings(deadline=None, max_examples=100)
def test_equal_sets_are_equal_however_they_came_about(a: list[Meant], b: list[Meant]) -> None:
    either = parsed(a) | parsed(b)
    for other in (
        parsed(b + a),
        parse(*map(str, brute(a + b))),
        (parsed(a) - parsed(b)) | parsed(b),
    ):
        assert either == other
        assert hash(either) == hash(other)
        assert list(either.specs()) == list(other.specs())
    assert (either == parsed(a)) is (brute(b) <= brute(a))


@given(SPECS, SPECS)
@settings(deadline=None, max_examples=100)
def test_specs_parse_back_to_the_same_set(included: list[Meant], excluded: list[Meant]) -> None:
    targets = parsed(included) - parsed(excluded)
    specs = list(targets.specs())
    assert TargetSet.parse(specs) == targets
    assert TargetSet.parse(split_tokens("\n".join(specs), "file")) == targets
    assert sum(parse(spec).count for spec in specs) == targets.count  # none says it twice


@given(SPECS, BELOW)
@settings(deadline=None, max_examples=100)
def test_membership(specs: list[Meant], offset: int) -> None:
    targets, wanted = parsed(specs), brute(specs)
    for address in (v4(offset), v6(offset), IPv4Address(0), IPv6Address(2**128 - 1), *wanted):
        assert (address in targets) is (address in wanted)
    assert list(targets.v4) == [each for each in order(wanted) if each.version == 4]
    assert list(targets.v6) == [each for each in order(wanted) if each.version == 6]


@given(st.lists(st.lists(octet(), min_size=4, max_size=4), min_size=1, max_size=3))
@settings(deadline=None, max_examples=100)
def test_patterns_of_any_width(wide: list[list[tuple[str, set[int]]]]) -> None:
    targets = parse(*[".".join(text for text, _ in parts) for parts in wide])
    assert TargetSet.parse(targets.specs()) == targets
    if len(wide) == 1:
        sizes = [len(values) for _, values in wide[0]]
        assert targets.count == sizes[0] * sizes[1] * sizes[2] * sizes[3]
    for address in product((0, 1, 127, 254, 255), repeat=4):
        meant = any(
            all(byte in values for byte, (_, values) in zip(address, parts, strict=True))
            for parts in wide
        )
        assert (IPv4Address(bytes(address)) in targets) is meant


@given(st.lists(st.lists(octet(), min_size=4, max_size=4), min_size=2, max_size=2), st.data())
@settings(deadline=None, max_examples=60)
def test_set_laws_hold_for_sets_too_large_to_list(
    wide: list[list[tuple[str, set[int]]]], data: st.DataObject
) -> None:
    a, b = (parse(".".join(text for text, _ in parts)) for parts in wide)
    both = a - (a - b)
    assert (a | b).count == a.count + b.count - both.count
    assert (a | b) - b == a - b
    assert both == b - (b - a)
    index = data.draw(st.integers(0, (a | b).count - 1))
    address = (a | b).at(index)
    below = (a | b) - parse(f"{address}-255.255.255.255")
    assert below.count == index
    assert address in a or address in b


# --- Examples ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "first", "last", "count"),
    [
        ("10.0.0.5", "10.0.0.5", "10.0.0.5", 1),
        ("10.0.0.5/24", "10.0.0.0", "10.0.0.255", 256),
        ("10.0.0.1-20", "10.0.0.1", "10.0.0.20", 20),
        ("10.0.0.1-10.0.1.5", "10.0.0.1", "10.0.1.5", 261),
        ("10.0-3.*.1,5,7-9", "10.0.0.1", "10.3.255.9", 4 * 256 * 5),
        ("192.168.1.-5", "192.168.1.0", "192.168.1.5", 6),
        ("192.168.1.250-", "192.168.1.250", "192.168.1.255", 6),
        ("192.168.-.1", "192.168.0.1", "192.168.255.1", 256),
        ("10.*.*.*", "10.0.0.0", "10.255.255.255", 2**24),
        ("10.0.0.1,1,1-2", "10.0.0.1", "10.0.0.2", 2),
        ("0.0.0.0/0", "0.0.0.0", "255.255.255.255", 2**32),
        ("fd00::5/64", "fd00::", "fd00::ffff:ffff:ffff:ffff", 2**64),
        ("[fd00::5]/127", "fd00::4", "fd00::5", 2),
        ("fd00::1-fd00::ff", "fd00::1", "fd00::ff", 255),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1", "::ffff:10.0.0.1", 1),
        ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 2**128),
    ],
)
def test_what_is_written(text: str, first: str, last: str, count: int) -> None:
    targets = parse(text)
    assert targets.count == count
    assert targets.at(0) == ip_address(first)
    assert targets.at(count - 1) == ip_address(last)


@pytest.mark.parametrize(
    ("texts", "specs"),
    [
        ([], []),
        (["10.0.0.1"], ["10.0.0.1"]),
        (["10.0.0.128-255"], ["10.0.0.128/25"]),
        (["10.0.0.1-20"], ["10.0.0.1-20"]),
        (["10.0.1.5", "10.0.0.1-10.0.1.4"], ["10.0.0.1-10.0.1.5"]),
        (["*.*.*.1"], ["*.*.*.1"]),
        (["0.0.0.0/1", "128.0.0.0/1", "::/0"], ["0.0.0.0/0", "::/0"]),
        (["10.1.*.1", "10.3.*.1", "10.1,3.*.2"], ["10.1,3.*.1-2"]),
        (["fd00::2", "fd00::1"], ["fd00::1-fd00::2"]),
    ],
)
def test_specs_are_short(texts: list[str], specs: list[str]) -> None:
    assert list(parse(*texts).specs()) == specs


@pytest.mark.parametrize("index", [-1, 3, 2**40])
def test_no_address_beyond_the_ends(index: int) -> None:
    for targets in (parse("10.0.0.1-3"), parse("::1-::3"), parse("10.0.0.1-2", "::1")):
        with pytest.raises(IndexError):
            targets.at(index)
    for members in (Ipv4Set.of([(1, 3)]), Ipv6Set.of([(1, 3)]), Ipv4Set()):
        with pytest.raises(IndexError):
            members.at(index)
    with pytest.raises(IndexError):
        parse("0.0.0.0/0")._v4.at(index if index < 0 else 2**32)


def test_membership_of_what_is_no_address() -> None:
    assert "10.0.0.1" not in parse("10.0.0.1")
    assert int(IPv4Address("10.0.0.1")) not in parse("10.0.0.1")
    assert IPv6Address(int(IPv4Address("10.0.0.1"))) not in parse("10.0.0.1")
    assert parse("10.0.0.1") != "10.0.0.1"


def test_len_only_where_it_fits() -> None:
    assert len(parse("0.0.0.0/0")) == 2**32
    assert parse("::/0")
    with pytest.raises(OverflowError):
        len(parse("::/0"))


def test_pickling_keeps_the_set_and_its_sharing() -> None:
    targets = TargetSet.parse(["*.*.*.1", "fd00::/64", "name"], lambda _: [IPv4Address("10.0.0.2")])
    copy = pickle.loads(pickle.dumps(targets))
    assert copy == targets
    assert copy.names == targets.names
    assert len(pickle.dumps(targets)) < 2000
    assert copy._v4.root is targets._v4.root


@pytest.mark.parametrize(
    ("a", "b"), [("10.0.0.1", "10.0.0.2"), ("10.0.0.*", "*.0.0.1"), ("::1", "::2")]
)
def test_as_many_addresses_are_not_the_same_addresses(a: str, b: str) -> None:
    assert parse(a) != parse(b)
    assert parse("10.0.0.0", "10.0.0.9", a) != parse("10.0.0.0", "10.0.0.9", b)


# --- Size ----------------------------------------------------------------------------------


def peak_bytes(work: Callable[[], object]) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "texts",
    [["0.0.0.0/0"], ["2000::/3"], ["*.*.*.1"], ["1-254.*.0-9,77.*", "*.*.*.1,3,5", "::/0"]],
)
def test_a_huge_spec_stays_small(texts: list[str]) -> None:
    def work() -> None:
        targets = parse(*texts) - parse("10.0.0.0/8", "2001:db8::/32")
        assert targets.count >= 2**24 - 2**16
        assert TargetSet.parse(targets.specs()) == targets
        assert len(list(islice(targets, 100))) == 100
        assert targets.at(targets.count // 2) in targets
        assert targets | parse("10.0.0.0/8") != targets

    assert peak_bytes(work) < 300_000


def test_shared_parts_are_worked_on_once(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = ",".join(map(str, range(1, 256, 2)))
    a, b = parse(f"{odd}.{odd}.1.1"), parse(f"{odd}.{odd}.1-2.2")
    made: list[int] = []
    make = addrset._make

    def counted(height: int, runs: Iterable[addrset.Run]) -> addrset.Tree:
        made.append(height)
        return make(height, runs)

    monkeypatch.setattr(addrset, "_make", counted)
    assert (a | b).count == 128 * 128 * 3
    assert (b - a).count == 128 * 128 * 2
    assert len(made) < 12


def test_a_long_list_of_single_addresses() -> None:
    rng = random.Random(561)
    numbers = {rng.getrandbits(32) for _ in range(200_000)}
    text = "\n".join(str(IPv4Address(number)) for number in numbers)
    targets = TargetSet.parse(split_tokens(text, "hosts.txt"))
    assert [int(address) for address in targets] == sorted(numbers)
    half = targets - parse("0.0.0.0/1")
    assert half.count == sum(number >= 2**31 for number in numbers)


def test_random_interface_identifiers_cost_no_trie_each() -> None:
    rng = random.Random(561)
    texts = [str(IPv6Address(0x20010DB8 << 96 | rng.getrandbits(64))) for _ in range(5000)]
    kept: list[TargetSet] = []
    assert peak_bytes(lambda: kept.append(parse(*texts))) < 5000 * 600
    assert kept[0].count == 5000


def test_a_range_over_many_prefixes_is_one_spec() -> None:
    networks = summarize_address_range(IPv4Address("10.0.0.1"), IPv4Address("10.200.3.77"))
    assert list(parse(*map(str, networks)).specs()) == ["10.0.0.1-10.200.3.77"]


@pytest.mark.parametrize("version", [4, 6])
def test_members_from_somewhere_on_and_within_spans_are_those_that_counting_finds(
    version: int,
) -> None:
    specs = (
        ["0.0.0.0-2", "*.*.3.200-201", "10.0.0.7"] if version == 4 else ["::2-::5", "::9", "fd::"]
    )
    targets, bits = TargetSet.parse(specs), 32 if version == 4 else 128
    members = sorted(
        int(each) for each in (targets if version == 6 else TargetSet.parse(["0.0.0.0-2"]))
    )
    for address in range(3 if version == 4 else 12):
        assert targets.first_from(version, address) == min(n for n in members if n >= address)
    assert targets.first_from(version, (1 << bits) - 1) is None
    spans = [(1, 4), (9, 9), ((3 << 8) + 200, (3 << 8) + 200)]
    inside = {n for low, high in spans for n in range(low, high + 1)}
    expected = {1, 2, (3 << 8) + 200} if version == 4 else {2, 3, 4, 9}
    assert {int(each) for each in targets.within(version, spans)} == expected <= inside
    assert not targets.within(10 - version, spans)
