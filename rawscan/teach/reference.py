"""References to one port of a file: `RESULTS.jsonl:TARGET:PORT/PROTO`. Reads the file they name.

IPv6 targets stand in brackets (`out.jsonl:[fd56::1]:561/udp`); without them they are understood
too. PROTO is `tcp` or `udp`, or a probe's name (`ack`); it may be left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from rawscan.errors import UsageError
from rawscan.model import IPAddress, ProbeKind, Protocol
from rawscan.ports import parse_ports
from rawscan.teach.case import Case, case_of_record, cases_in

_PROTOCOLS = {protocol.value: protocol for protocol in Protocol}
_KINDS = {kind.value: kind for kind in ProbeKind}


@dataclass(frozen=True, slots=True)
class Reference:
    """A port of a file. `protocol` and `kind` are None where the reference leaves them open."""

    path: Path
    target: IPAddress
    port: int
    protocol: Protocol | None = None
    kind: ProbeKind | None = None

    def names(self, case: Case) -> bool:
        """Is this the case that is meant?"""
        port = case.port
        return (
            (port.target, port.number) == (self.target, self.port)
            and self.protocol in (None, port.protocol)
            and self.kind in (None, port.kind)
        )

    def __str__(self) -> str:
        protocol = self.kind.value if self.kind else self.protocol.value if self.protocol else ""
        return f"port {self.port}{protocol and '/' + protocol} of {self.target}"


def parse_reference(text: str) -> Reference | None:
    """Read a reference; None if it is none, by its form or because there is no such file.

    Raises `UsageError` for one that names a file, and then something that cannot be.
    """
    rest, _, end = text.rpartition(":")
    number, slash, protocol = end.partition("/")
    if not rest or not number.isascii() or not number.isdecimal():
        return None
    for place in (index for index, letter in enumerate(rest) if letter == ":"):
        name, target = rest[:place], rest[place + 1 :].removeprefix("[").removesuffix("]")
        try:
            address = ip_address(target)
        except ValueError:
            continue
        if not Path(name).is_file():
            raise UsageError(f"{name}: there is no such file")
        if int(number) > 0xFFFF or (slash and protocol not in {*_PROTOCOLS, *_KINDS}):
            raise UsageError(
                f"{text!r}: {end!r} is no port; right would be 561/tcp, 561/udp or 561/ack"
            )
        known = _PROTOCOLS.get(protocol)
        return Reference(
            Path(name), address, int(number), known, None if known else _KINDS.get(protocol)
        )
    return None


def find(reference: Reference) -> list[Case]:
    """Every case that the reference names, in the order of the file; of a scan's records, the last.

    Raises `UsageError` if the file has none, `CaptureError` if it cannot be read.
    """
    if _holds_records(reference.path):
        records = [r for r in _records(reference.path) if _is_named(reference, r)]
        latest = {(r.get("probe"), r.get("source")): r for r in records}
        cases = [case_of_record(record, str(reference.path)) for record in latest.values()]
    else:
        cases = cases_in(reference.path, parse_ports(str(reference.port)))
    found = [case for case in cases if reference.names(case)]
    if not found:
        raise UsageError(
            f"{reference.path}: holds no verdict on {reference}; {_what_there_is(cases)}"
        )
    return found


def recorded_cases(path: Path) -> list[Case]:
    """Every case of a file of records."""
    return [case_of_record(record, str(path)) for record in _records(path)]


def _holds_records(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) in b"{["


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a `.jsonl` or `.json` file."""
    try:
        text = path.read_text()
        if text.startswith("["):
            found = json.loads(text)
        else:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise UsageError(f"{path}: is no file of records (.jsonl or .json): {error}") from None
    yield from (each for each in found if isinstance(each, dict) and each.get("type") == "port")


def _is_named(reference: Reference, record: dict[str, Any]) -> bool:
    """Before it is read as a whole: another port's damage is no business of ours."""
    return record.get("port") == reference.port and record.get("target") == str(reference.target)


def _what_there_is(cases: list[Case]) -> str:
    ports = {f"{c.port.target} {c.port.number}/{c.port.kind.value}": None for c in cases}
    if not ports:
        return "`rawscan pcap FILE` shows what there is, and -p which ports are looked for"
    names = list(ports)
    return "it has " + ", ".join(names[:5]) + (f" and {len(names) - 5} more" * (len(names) > 5))
