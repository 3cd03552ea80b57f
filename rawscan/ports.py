"""The port grammar: what a user writes after `-p`, and the ports it means. Touches nothing.

Service names are looked up by a callable that is passed in; `builtin_service` knows a few, so that
`/etc/services` need not exist. The grammar is that of `-p` in the chapter "Port Specification and
Scan Order" of nmap's reference guide, less its wildcards:

- `561`, `1-1024`; `-100` is 1-100, `60000-` is 60000-65535, `-` is 1-65535
- `monitor`, `ssh`: a service name, for those protocols it is known for
- `T:` and `U:` hold for everything that follows, until the next of them; what comes before any of
  them means both protocols. So in `T:80,U:53,561` port 561 is UDP only, as it is in nmap.

Port 0 is meant only where it is written: `0`, `0-100`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NoReturn

from rawscan.errors import UsageError
from rawscan.model import Protocol

Service = Callable[[str, str], int | None]
"""(service name, "tcp" or "udp") to a port, None where it is not known."""

LAST_PORT = 65535

_BOTH = ("tcp", "udp")
BUILTIN_SERVICES: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "ftp": (21, ("tcp",)),
    "ssh": (22, ("tcp",)),
    "telnet": (23, ("tcp",)),
    "smtp": (25, ("tcp",)),
    "domain": (53, _BOTH),
    "bootps": (67, ("udp",)),
    "bootpc": (68, ("udp",)),
    "tftp": (69, ("udp",)),
    "http": (80, ("tcp",)),
    "kerberos": (88, _BOTH),
    "pop3": (110, ("tcp",)),
    "sunrpc": (111, _BOTH),
    "ntp": (123, ("udp",)),
    "netbios-ns": (137, ("udp",)),
    "netbios-ssn": (139, ("tcp",)),
    "imap": (143, ("tcp",)),
    "snmp": (161, ("udp",)),
    "snmptrap": (162, ("udp",)),
    "ldap": (389, _BOTH),
    "https": (443, _BOTH),
    "microsoft-ds": (445, ("tcp",)),
    "syslog": (514, ("udp",)),
    "rmonitor": (560, _BOTH),
    "monitor": (561, _BOTH),
    "ldaps": (636, ("tcp",)),
    "imaps": (993, ("tcp",)),
    "pop3s": (995, ("tcp",)),
    "mysql": (3306, ("tcp",)),
    "sip": (5060, _BOTH),
    "postgresql": (5432, ("tcp",)),
}
"""Name to port and the protocols on which it is in common use."""


def builtin_service(name: str, protocol: str) -> int | None:
    """The port of a common service, None for the others."""
    port, protocols = BUILTIN_SERVICES.get(name.lower(), (None, ()))
    return port if protocol in protocols else None


@dataclass(frozen=True, slots=True)
class PortSet:
    """An immutable set of ports, in ascending order.

    `ranges` may be given in any order; they are kept sorted, apart from each other, both ends
    included, so equal sets compare equal.
    """

    ranges: tuple[tuple[int, int], ...] = ()
    _starts: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Sort, join and count. Raises ValueError for what is no range of ports."""
        merged: list[tuple[int, int]] = []
        for low, high in sorted(self.ranges):
            if not 0 <= low <= high <= LAST_PORT:
                raise ValueError(f"{low}-{high} is no range of ports")
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        sizes = (high - low + 1 for low, high in merged)
        object.__setattr__(self, "ranges", tuple(merged))
        object.__setattr__(self, "_starts", (0, *accumulate(sizes)))

    @property
    def count(self) -> int:
        """How many ports."""
        return self._starts[-1]

    def at(self, index: int) -> int:
        """Port number `index`, from 0. Raises IndexError below 0 and from `count` on."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        place = bisect_right(self._starts, index) - 1
        return self.ranges[place][0] + index - self._starts[place]

    def __len__(self) -> int:
        """How many ports."""
        return self.count

    def __iter__(self) -> Iterator[int]:
        """The ports in ascending order."""
        for low, high in self.ranges:
            yield from range(low, high + 1)

    def __contains__(self, port: object) -> bool:
        """Whether an integer is a member; False for anything else."""
        if not isinstance(port, int):
            return False
        place = bisect_right(self.ranges, port, key=lambda run: run[0]) - 1
        return place >= 0 and port <= self.ranges[place][1]

    def __str__(self) -> str:
        """The grammar's text for it; empty for no port."""
        return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in self.ranges)


@dataclass(frozen=True, slots=True)
class PortSpec:
    """The ports to ask, by protocol."""

    tcp: PortSet = PortSet()
    udp: PortSet = PortSet()

    @property
    def count(self) -> int:
        """How many ports, TCP and UDP added up."""
        return self.tcp.count + self.udp.count

    def of(self, protocol: Protocol) -> PortSet:
        """The ports of one protocol."""
        return self.udp if protocol is Protocol.UDP else self.tcp

    def __str__(self) -> str:
        """Text that parses to the same ports."""
        if self.tcp == self.udp:
            return str(self.tcp)
        named = (("T:", self.tcp), ("U:", self.udp))
        return ",".join(f"{letter}{ports}" for letter, ports in named if ports)


_ENTRY = re.compile(r"\s*(?P<qualifier>[^\W\d_]\s*:\s*)?(?P<what>.*?)\s*", re.ASCII | re.DOTALL)
_NUMBERS = re.compile(r"(?P<first>[0-9]*)(?P<dash>-?)(?P<last>[0-9]*)")
_QUALIFIERS = {"T": ("tcp",), "U": ("udp",)}
_EXAMPLE = "T:80,U:53,561-570"


def _wrong(text: str, offset: int, what: str, example: str = _EXAMPLE) -> NoReturn:
    shown = text if len(text) <= 80 else text[:77] + "..."
    raise UsageError(
        f"ports, column {offset + 1}: {what}, in {shown!r}; right would be, for example, {example}"
    )


def _shown(part: str) -> str:
    return repr(part if len(part) <= 40 else part[:37] + "...")


def parse_ports(text: str, service: Service = builtin_service) -> PortSpec:
    """The ports that `text` means, in the grammar above.

    Raises `UsageError`, which names the part that is wrong and its column, counted from 1.
    """
    ranges: dict[str, list[tuple[int, int]]] = {"tcp": [], "udp": []}
    protocols: tuple[str, ...] = _BOTH
    offset = 0
    for entry in text.split(","):
        match = _ENTRY.fullmatch(entry)
        assert match is not None  # every part of the expression may be empty
        if match["qualifier"]:
            letter = match["qualifier"][0]
            if letter.upper() not in _QUALIFIERS:
                what = f"{letter}: is no protocol here, there are T: for TCP and U: for UDP"
                _wrong(text, offset + match.start("qualifier"), what)
            protocols = _QUALIFIERS[letter.upper()]
        start = offset + match.start("what")
        for protocol, span in _entry(text, match["what"], start, protocols, service):
            ranges[protocol].append(span)
        offset += len(entry) + 1
    return PortSpec(PortSet(tuple(ranges["tcp"])), PortSet(tuple(ranges["udp"])))


def _entry(
    text: str, what: str, start: int, protocols: tuple[str, ...], service: Service
) -> list[tuple[str, tuple[int, int]]]:
    """One entry without its qualifier: (protocol, range) pairs."""
    if not what:
        _wrong(text, start, "a port is missing")
    numbers = _NUMBERS.fullmatch(what)
    if not numbers:
        return [
            (protocol, (port, port))
            for protocol, port in _named(text, what, start, protocols, service)
        ]
    first, dash, last = numbers.group("first", "dash", "last")
    low = _number(text, first, start) if first else 1
    high = _number(text, last, start + numbers.start("last")) if last else LAST_PORT
    if not dash:
        high = low
    if low > high:
        example = f"{high}-{low}" if first else "0"
        _wrong(text, start, f"range {what} runs backwards", example)
    return [(protocol, (low, high)) for protocol in protocols]


def _number(text: str, digits: str, start: int) -> int:
    significant = digits.lstrip("0") or "0"
    if len(significant) > 5 or int(significant) > LAST_PORT:
        _wrong(text, start, f"port {digits[:40]} is above {LAST_PORT}")
    return int(significant)


def _named(
    text: str, name: str, start: int, protocols: tuple[str, ...], service: Service
) -> list[tuple[str, int]]:
    """The ports of a service name: one for each of the protocols asked that knows it."""
    odd = re.search(r"[^\w.+/-]", name)
    if odd and odd[0] in "*?[]{}":
        what = f"wildcards ({odd[0]!r}) are not supported, write the ports or whole names"
        _wrong(text, start + odd.start(), what, "http,https")
    if odd:
        _wrong(text, start + odd.start(), f"{odd[0]!r} can be in no port and no service name")
    if re.fullmatch(r"[0-9-]+", name):
        second = name.index("-", name.index("-") + 1)
        _wrong(text, start + second, f"{_shown(name)} has more than one '-'")
    found = [(protocol, service(name, protocol)) for protocol in protocols]
    known = [(protocol, port) for protocol, port in found if port is not None]
    if not known:
        other = [
            each for each in _BOTH if each not in protocols and service(name, each) is not None
        ]
        here = f" for {protocols[0].upper()}" if len(protocols) == 1 else ""
        hint = f" (it is one for {other[0].upper()})" if other else ""
        _wrong(text, start, f"{_shown(name)} is no known service{here}{hint}", "561")
    return known
