"""`filter_for`: the kernel's own sieve for replies, as classic BPF. Bytes only; touches nothing.

It saves the work of looking at other people's traffic and decides nothing: whatever it lets through
is decoded and has to prove itself. So it may admit too much, never too little. Instructions and
their codes: Documentation/networking/filter.rst, linux/bpf_common.h.
"""

from __future__ import annotations

from dataclasses import dataclass

from rawscan.net.kernel import INSTRUCTION

_LOAD_BYTE, _LOAD_HALF = 0x10 | 0x40, 0x08 | 0x40  # A = frame[X + k]: BPF_LD | size | BPF_IND
_LOAD_HALF_AT = 0x08 | 0x20  # A = frame[k]: BPF_LD | BPF_H | BPF_ABS
_SET_X, _X_IS_A = 0x01, 0x07  # BPF_LDX | BPF_IMM; BPF_MISC | BPF_TAX
_AND, _SHIFT_LEFT, _ADD_X = 0x04 | 0x50, 0x04 | 0x60, 0x04 | 0x08
_EQUAL, _GREATER, _AT_LEAST, _ANY_BIT = 0x05 | 0x10, 0x05 | 0x20, 0x05 | 0x30, 0x05 | 0x40
_RETURN = 0x06

_IPV4, _IPV6, _ARP = 0x0800, 0x86DD, 0x0806
_VLAN_TAGS = (0x8100, 0x88A8)
_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
_ARP_REPLY = 2
_EXTENSION_HEADERS = (0, 43, 44, 50, 51, 60, 135, 139, 140, 253, 254)  # RFC 7045, section 4

# Offsets in an untagged frame; X holds how many bytes of VLAN tags lie before them.
_ETHERTYPE, _ETHERNET_BYTES = 12, 14
_ARP_OPERATION = _ETHERNET_BYTES + 6
_V4_FRAGMENT, _V4_PROTOCOL = _ETHERNET_BYTES + 6, _ETHERNET_BYTES + 9
_V6_NEXT_HEADER, _V6_BYTES = _ETHERNET_BYTES + 6, 40
_DESTINATION_PORT = 2

_WHOLE = 0xFFFFFFFF
_NEXT = ""


@dataclass(frozen=True, slots=True)
class _Step:
    """One instruction; `then` and `other` name the label a comparison goes on at."""

    code: int
    operand: int
    then: str = _NEXT
    other: str = _NEXT


def filter_for(source_ports: range) -> bytes:
    """The program (an array of `struct sock_filter`) for probes sent from these ports.

    It admits TCP and UDP to one of them, in IPv4 behind options and in first fragments too; all
    ICMP and ICMPv6; IPv6 with any extension header, which this machine cannot follow; ARP replies;
    and the same behind one or two VLAN tags. Loading from beyond a frame's end rejects it.
    """
    if not source_ports or source_ports.step != 1:
        raise ValueError("source_ports must be one run of neighbouring ports")
    steps = [*_skip_tags(), *_by_protocol(), *_by_port(source_ports[0], source_ports[-1])]
    return _assemble(steps)


_Line = _Step | str


def _is_one_of(values: tuple[int, ...], label: str) -> list[_Line]:
    return [_Step(_EQUAL, value, then=label) for value in values]


def _skip_tags() -> list[_Line]:
    """Leaves the ethertype in A and the length of all tags in X."""
    lines: list[_Line] = []
    for tags in range(3):
        lines += [f"tags {tags}", _Step(_SET_X, 4 * tags)]
        lines.append(_Step(_LOAD_HALF_AT, _ETHERTYPE + 4 * tags))
        if tags < 2:
            lines += _is_one_of(_VLAN_TAGS, f"tags {tags + 1}")
            lines.append(_Step(_EQUAL, 0, "ethertype", "ethertype"))  # go there in any case
    return lines


def _by_protocol() -> list[_Line]:
    return [
        "ethertype",
        *_is_one_of((_IPV4,), "ipv4"),
        *_is_one_of((_IPV6,), "ipv6"),
        _Step(_EQUAL, _ARP, other="reject"),
        _Step(_LOAD_HALF, _ARP_OPERATION),
        _Step(_EQUAL, _ARP_REPLY, "accept", "reject"),
        "ipv6",
        _Step(_LOAD_BYTE, _V6_NEXT_HEADER),
        *_is_one_of((_ICMPV6, *_EXTENSION_HEADERS), "accept"),
        *_is_one_of((_TCP,), "ipv6 port"),
        _Step(_EQUAL, _UDP, other="reject"),
        "ipv6 port",
        _Step(_LOAD_HALF, _ETHERNET_BYTES + _V6_BYTES + _DESTINATION_PORT),
        _Step(_EQUAL, 0, "port", "port"),
        "ipv4",
        _Step(_LOAD_BYTE, _V4_PROTOCOL),
        *_is_one_of((_ICMP,), "accept"),
        *_is_one_of((_TCP,), "ipv4 port"),
        _Step(_EQUAL, _UDP, other="reject"),
        "ipv4 port",
        _Step(_LOAD_HALF, _V4_FRAGMENT),
        _Step(_ANY_BIT, 0x1FFF, then="reject"),  # only a first fragment has ports
        _Step(_LOAD_BYTE, _ETHERNET_BYTES),
        _Step(_AND, 0x0F),
        _Step(_SHIFT_LEFT, 2),  # IHL counts words of 4 bytes
        _Step(_ADD_X, 0),
        _Step(_X_IS_A, 0),
        _Step(_LOAD_HALF, _ETHERNET_BYTES + _DESTINATION_PORT),
    ]


def _by_port(lowest: int, highest: int) -> list[_Line]:
    return [
        "port",
        _Step(_AT_LEAST, lowest, other="reject"),
        _Step(_GREATER, highest, then="reject"),
        "accept",
        _Step(_RETURN, _WHOLE),
        "reject",
        _Step(_RETURN, 0),
    ]


def _assemble(lines: list[_Line]) -> bytes:
    """Labels become distances, counted from the following instruction."""
    places: dict[str, int] = {}
    steps: list[_Step] = []
    for line in lines:
        if isinstance(line, str):
            places[line] = len(steps)
        else:
            steps.append(line)
    program = b""
    for number, step in enumerate(steps):
        places[_NEXT] = number + 1
        then, other = (places[label] - number - 1 for label in (step.then, step.other))
        program += INSTRUCTION.pack(step.code, then, other, step.operand)
    return program
