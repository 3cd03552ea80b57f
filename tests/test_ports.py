"""The port grammar against sets made by hand."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rawscan.errors import UsageError
from rawscan.model import DEFAULT_PORT, Protocol
from rawscan.ports import (
    BUILTIN_SERVICES,
    LAST_PORT,
    PortSet,
    PortSpec,
    builtin_service,
    parse_ports,
)

Entry = tuple[str, str, set[int]]
"""Qualifier ("", "T:" or "U:"), what is written after it, and the ports it means."""


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    low, high = sorted(draw(st.tuples(*[st.integers(0, LAST_PORT)] * 2)))
    qualifier = draw(st.sampled_from(["", "", "T:", "U:"]))
    text, ports = draw(
        st.sampled_from(
            [
                (f"{low}", {low}),
                (f"{low}-{high}", set(range(low, high + 1))),
                (f"-{max(high, 1)}", set(range(1, max(high, 1) + 1))),
                (f"{low}-", set(range(low, 65536))),
                ("-", set(range(1, 65536))),
                ("monitor", {561}),
            ]
        )
    )
    return qualifier, text, ports


@given(st.lists(entries(), min_size=1, max_size=6), st.sampled_from([",", ", ", " ,"]))
@settings(deadline=None, max_examples=40)
def test_every_entry_means_its_ports_for_its_protocols(parts: list[Entry], comma: str) -> None:
    tcp: set[int] = set()
    udp: set[int] = set()
    current = ""
    for qualifier, _, ports in parts:
        current = qualifier or current
        tcp |= ports if current != "U:" else set()
        udp |= ports if current != "T:" else set()
    spec = parse_ports(comma.join(qualifier + text for qualifier, text, _ in parts))
    assert list(spec.tcp) == sorted(tcp)
    assert list(spec.udp) == sorted(udp)
    assert spec.count == len(tcp) + len(udp)
    assert parse_ports(str(spec)) == spec


@given(st.sets(st.integers(0, 70) | st.integers(0, LAST_PORT), max_size=60))
@settings(deadline=None)
def test_a_set_is_the_same_however_it_is_given(ports: set[int]) -> None:
    ordered = sorted(ports)
    made = PortSet(tuple((port, port) for port in ports))
    assert list(made) == ordered
    assert [made.at(index) for index in range(made.count)] == ordered
    assert len(made) == made.count == len(ordered)
    assert {port for port in range(-1, 72) if port in made} == {port for port in ports if port < 72}
    assert made == PortSet(tuple((port, port) for port in reversed(ordered)) * 2)
    assert hash(made) == hash(PortSet(made.ranges))
    assert all(a[1] + 1 < b[0] for a, b in zip(made.ranges, made.ranges[1:], strict=False))
    if ports:
        assert parse_ports(str(made)) == PortSpec(made, made)
    for index in (-1, len(ordered)):
        with pytest.raises(IndexError):
            made.at(index)


@pytest.mark.parametrize(
    ("text", "tcp", "udp"),
    [
        ("561", "561", "561"),
        ("1-1024", "1-1024", "1-1024"),
        ("-100", "1-100", "1-100"),
        ("60000-", "60000-65535", "60000-65535"),
        ("-", "1-65535", "1-65535"),
        ("0", "0", "0"),
        ("0-", "0-65535", "0-65535"),
        ("T:80,U:53,561", "80", "53,561"),  # 561 follows U:
        ("561,T:80,U:53", "80,561", "53,561"),
        ("T:1-3,5,u:7,T:4", "1-5", "7"),
        ("T:-,U:-5", "1-65535", "1-5"),
        ("0080, 81", "80-81", "80-81"),
        ("monitor", "561", "561"),
        ("ssh,domain", "22,53", "53"),
        ("tftp", "", "69"),
        ("U:netbios-ns", "", "137"),
        ("T: 80 , U: 53", "80", "53"),
    ],
)
def test_what_is_written(text: str, tcp: str, udp: str) -> None:
    spec = parse_ports(text)
    assert (str(spec.tcp), str(spec.udp)) == (tcp, udp)
    assert spec.of(Protocol.TCP) is spec.tcp
    assert spec.of(Protocol.UDP) is spec.udp
    assert parse_ports(str(spec)) == spec


def test_text_of_a_spec() -> None:
    assert str(parse_ports("7,5,6")) == "5-7"
    assert str(parse_ports("5,T:6")) == "T:5-6,U:5"
    assert str(parse_ports("U:6")) == "U:6"
    assert str(PortSpec()) == ""


def test_names_come_from_the_service_table_given() -> None:
    asked = []

    def service(name: str, protocol: str) -> int | None:
        asked.append((name, protocol))
        return {("x-1", "tcp"): 1000, ("x-1", "udp"): 2000}.get((name, protocol))

    assert parse_ports("x-1", service) == PortSpec(
        PortSet(((1000, 1000),)), PortSet(((2000, 2000),))
    )
    assert asked == [("x-1", "tcp"), ("x-1", "udp")]
    with pytest.raises(UsageError, match="monitor"):
        parse_ports("monitor", service)


def test_builtin_services() -> None:
    assert builtin_service("monitor", "tcp") == builtin_service("monitor", "udp") == DEFAULT_PORT
    assert builtin_service("SSH", "tcp") == 22
    assert builtin_service("ssh", "udp") is None
    assert builtin_service("no-such-name", "tcp") is None
    for name, (port, protocols) in BUILTIN_SERVICES.items():
        spec = parse_ports(name)
        for protocol in Protocol:
            assert list(spec.of(protocol)) == [port] * (protocol.value in protocols)


@pytest.mark.parametrize("ranges", [((-1, 5),), ((5, 4),), ((1, 65536),)])
def test_what_is_no_range_of_ports(ranges: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match="no range of ports"):
        PortSet(ranges)


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("", 1, "port is missing"),
        ("80,", 4, "port is missing"),
        ("80,,81", 4, "port is missing"),
        ("80,T:", 6, "port is missing"),
        ("80,65536", 4, "port 65536 is above 65535"),
        ("1-70000", 3, "port 70000 is above 65535"),
        ("T:80,U:9-5", 8, "range 9-5 runs backwards"),
        ("-0", 1, "range -0 runs backwards"),
        ("1-2-3", 4, "'1-2-3' has more than one '-'"),
        ("S:80", 1, "S: is no protocol here"),
        ("22,P:6", 4, "P: is no protocol here"),
        ("T:U:80", 4, "':' can be in no port"),
        ("80;81", 3, "';' can be in no port"),
        ("22,http*", 8, "wildcards ('*') are not supported"),
        ("[1-1024]", 1, "wildcards ('[') are not supported"),
        ("22,nosuch", 4, "'nosuch' is no known service"),
        ("T:ssh,U:ssh", 9, "'ssh' is no known service for UDP (it is one for TCP)"),
        ("ssh\x1b[31m", 4, r"'\x1b' can be in"),
    ],
)
def test_a_bad_entry_is_named_with_its_place(text: str, column: int, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_ports(text)
    message = str(caught.value)
    assert message.startswith(f"ports, column {column}: ")
    assert problem in message
    assert f"in {text!r}" in message
    assert parse_ports(message.partition("right would be, for example, ")[2])


@given(st.text() | st.text(alphabet="0123456789TUsh:,-*[] "))
@settings(deadline=None, max_examples=500)
@example("9" * 5000)
@example("٣")
@example("²")
def test_anything_else_is_a_usage_error(text: str) -> None:
    message = complaint(text)
    assert len(message) < 1000
    assert message.isprintable()
    if not message:
        spec = parse_ports(text)
        assert parse_ports(str(spec)) == spec


def complaint(text: str) -> str:
    """What is said against the text; empty when nothing is."""
    try:
        parse_ports(text)
    except UsageError as error:
        return str(error)
    return ""
