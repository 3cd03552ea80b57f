"""Tables for people, made with Rich from the records. Writes to the stream it is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from math import floor
from typing import TYPE_CHECKING, TextIO

from rawscan.output.records import Record

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

STATE_STYLES = {
    "open": "bold green",
    "closed": "red",
    "filtered": "yellow",
    "unfiltered": "cyan",
    "open|filtered": "yellow",
    "closed|filtered": "yellow",
    "unknown": "magenta",
}

MAX_ROWS = 300
"""Of a state with more ports than this only the number is shown; the files hold everything."""

_PLAIN_WIDTH = 200
_WIDE, _NARROW = 100, 64


def sort_key(record: Record) -> tuple[int, int, int, str, str]:
    """IPv4 before IPv6, then by address, port, protocol and probe."""
    address = ip_address(record["target"])
    return (
        address.version,
        int(address),
        record["port"],
        record["protocol"],
        record["probe"],
    )


def sort_rows(records: Iterable[Record]) -> list[Record]:
    """In the order in which they are shown."""
    return sorted(records, key=sort_key)


class Rows:
    """The ports to be shown: one record each, and of crowded states only their number.

    Memory is bounded: at most `MAX_ROWS` records of each state are kept.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self._kept: dict[str, dict[tuple[object, ...], Record]] = {s: {} for s in STATE_STYLES}
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Take a `port` record; one that revises an earlier one takes its place."""
        key = tuple(record.get(name) for name in ("target", "port", "probe", "source", "capture"))
        before = record.get("revises")
        if before:
            self._kept[before].pop(key, None)
            self.counts[before] -= 1
        state = record["state"]
        self.counts[state] += 1
        if self.counts[state] <= MAX_ROWS:
            self._kept[state][key] = record
        else:
            self._kept[state].clear()

    @property
    def shown(self) -> list[Record]:
        """The records to be shown, in order."""
        return sort_rows(
            record
            for state, kept in self._kept.items()
            for record in kept.values()
            if self.counts[state] <= MAX_ROWS
        )

    @property
    def hidden(self) -> str:
        """`65536 closed`: the states of which only the number is shown."""
        return _numbers({s: n for s, n in self.counts.items() if n > MAX_ROWS})

    def __str__(self) -> str:
        """`2 open, 14 closed`: how many ports are in each state."""
        return _numbers(self.counts)


def _numbers(counts: Mapping[str, int]) -> str:
    """How many of each state, in the order of the states."""
    return ", ".join(f"{counts[state]} {state}" for state in STATE_STYLES if counts.get(state))


def port_table(rows: Rows, console: Console) -> None:
    """Print the verdicts; the narrower the console, the fewer the columns."""
    from rich.table import Table

    records = rows.shown
    gap = 2 if console.width >= _NARROW else 1
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    askers = {(ip_address(row["target"]).version, row.get("source")) for row in records}
    sources = len(askers) > len({version for version, _ in askers})
    _columns(table, console.width, sources)
    for row in records:
        table.add_row(*_cells(row, console.width, sources))
    if records:
        console.print(table)
    if rows.hidden:
        console.print(f"Not shown: {rows.hidden}; -o FILE.jsonl holds them all", highlight=False)
    for row in records:
        where = f"{row['target']} {row['port']}/{row['protocol']}"
        if row["hints"]:
            console.print(f"  hint: {where}: {', '.join(row['hints'])}", highlight=False)
        if len(row.get("history", ())) > 1:
            console.print(f"  history: {where}: {row['history_text']}", highlight=False)


def plain_table(rows: Rows, stream: TextIO) -> None:
    """The same for a file or a pipe: no colours, no folding."""
    port_table(rows, plain_console(stream))


def plain_console(stream: TextIO) -> Console:
    """A console for what is no terminal."""
    from rich.console import Console

    return Console(
        file=stream, width=_PLAIN_WIDTH, emoji=False, color_system=None, force_terminal=False
    )


def _columns(table: Table, width: int, sources: bool) -> None:
    table.add_column("TARGET", overflow="fold")
    table.add_column("PORT", no_wrap=True)
    table.add_column("STATE", no_wrap=True)
    table.add_column("REASON", overflow="fold")
    if width >= _NARROW:
        table.add_column("FROM", overflow="fold")
    if sources:
        table.add_column("ASKED BY", overflow="fold")
    if width >= _WIDE:
        table.add_column("TTL", justify="right")
        table.add_column("RTT", justify="right", no_wrap=True)
        table.add_column("TRIES", justify="right")
        table.add_column("SURE", justify="right")


def _cells(row: Record, width: int, sources: bool) -> list[str]:
    style = STATE_STYLES[row["state"]]
    cells = [
        row["target"],
        f"{row['port']}/{row['protocol']}" + (" ack" if row["probe"] == "ack" else ""),
        f"[{style}]{row['state']}[/]",
        row["reason"],
    ]
    if width >= _NARROW:
        cells.append(_who(row))
    if sources:
        cells.append(row["source"])
    if width >= _WIDE:
        cells += [
            "" if row["reason_ttl"] is None else str(row["reason_ttl"]),
            "" if row["rtt_ms"] is None else f"{row['rtt_ms']:.3f} ms",
            str(row["tries"]),
            _sureness(row),
        ]
    return cells


def _who(row: Record) -> str:
    """Who answered: the target's own word needs no address."""
    if row["reason_ip"] is None:
        return "-"
    return "target" if row["reason_ip"] == row["target"] else str(row["reason_ip"])


def _sureness(row: Record) -> str:
    """A reply is sure; silence has a number, which must not be rounded up to certainty."""
    if row["state"] == "unknown" or row["confidence"] == 1:
        return ""
    return f"{floor(row['confidence'] * 1e6) / 1e4:.4f} %"
