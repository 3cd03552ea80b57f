"""What an interrupted scan has decided, as its journal tells it. Reads that file."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_pton
from typing import Literal

import numpy as np

from rawscan.errors import UsageError
from rawscan.output.journal import Line, read_lines
from rawscan.output.records import Record
from rawscan.rules import PROBES
from rawscan.scanner.request import Request
from rawscan.space import Ints, PortSpace
from rawscan.wire.addresses import Addresses

CUT_SHORT = "cut-short"
"""The reason of ports that were still open when a scan ended: resumed, it asks them again."""

_VERSIONS: tuple[Literal[4, 6], ...] = (4, 6)
_BLOCK_LINES = 1 << 10
_KINDS = {kind.value: number for number, kind in enumerate(PROBES)}


@dataclass(frozen=True, slots=True)
class Earlier:
    """What need not be asked again. `done`: sorted ordinals, 8 bytes for each port.

    `states` counts the ports by their states. The journal's first `size_bytes` are what stays of
    it; behind them are only what the end of that run made it say, and a torn line.
    """

    done: Ints
    states: Counter[str]
    size_bytes: int


def check_same(head: Record, request: Request, name: str) -> None:
    """Raise `UsageError` unless `request` asks what the scan did whose `scan` record is `head`."""
    recorded = tuple(head.get(field) for field in ("digest", "count", "shard"))
    if recorded == (request.digest, request.count, str(request.shard)):
        return
    raise UsageError(
        f"{name}: its command asks for something else today: {request.count} ports of "
        f"{request.targets.count} targets, then {head.get('count')} of {head.get('targets')}. "
        "Has a list, a host name's address or a service's port changed? Put it back, or start a "
        "new scan"
    )


def read_earlier(path: Path, space: PortSpace) -> Earlier:
    """Read a journal in bounded memory. Raises `UsageError` where it does not fit `space`."""
    done, states, size_bytes = array("q"), Counter[str](), 0
    with path.open("rb") as file:
        for block in _blocks(read_lines(file, str(path))):
            ports = []
            for line in block:
                kind, reason = line.record["type"], line.record.get("reason")
                if kind == "summary" or (kind == "port" and reason == CUT_SHORT):
                    continue
                size_bytes = line.end_bytes
                if kind == "port":
                    ports.append(line)
            done.frombytes(_ordinals(space, ports, path).tobytes())
            states.update(str(line.record.get("state")) for line in ports)
            states.subtract(str(line.record["revises"]) for line in ports if _revises(line))
    ordinals: Ints = np.array(done, np.int64) if not done else np.frombuffer(done, np.int64)
    ordinals.sort()
    first = np.ones(len(ordinals), np.bool_)
    first[1:] = ordinals[1:] != ordinals[:-1]  # a revised port has two records
    return Earlier(ordinals if first.all() else ordinals[first], +states, size_bytes)


def _revises(line: Line) -> bool:
    return line.record.get("revises") is not None


def _blocks(lines: Iterator[Line]) -> Iterator[list[Line]]:
    while block := list(islice(lines, _BLOCK_LINES)):
        yield block


def _addresses(version: Literal[4, 6], texts: Iterable[str]) -> Addresses:
    family = AF_INET if version == 4 else AF_INET6
    return Addresses.of_octets(version, b"".join(inet_pton(family, text) for text in texts))


def _ordinals(space: PortSpace, ports: Sequence[Line], path: Path) -> Ints:
    found = np.full(len(ports), -1, np.int64)
    try:
        targets = [line.record["target"] for line in ports]
        kinds = np.array([_KINDS[line.record["probe"]] for line in ports], np.uint8)
        numbers = np.array([line.record["port"] for line in ports], np.uint16)
        is_v6 = np.array([":" in target for target in targets], np.bool_)
        for version in _VERSIONS:
            rows = np.flatnonzero(is_v6 == (version == 6))
            if len(rows):
                those = _addresses(version, [targets[row] for row in rows.tolist()])
                found[rows] = space.ordinals(kinds[rows], those, numbers[rows])
    except (KeyError, ValueError, TypeError, OverflowError, OSError) as error:
        where = f"lines {ports[0].number} to {ports[-1].number}"
        raise UsageError(f"{path}, {where}: not all are records of a scan: {error}") from None
    if (found < 0).any():
        number = ports[int(np.flatnonzero(found < 0)[0])].number
        raise UsageError(f"{path}, line {number}: is about a port that this scan does not ask")
    return found
