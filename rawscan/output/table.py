"""Tables for people, made from the records, on terminals with Rich. Writes to what it is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from math import floor
from typing import TYPE_CHECKING, TextIO

from rawscan.output.records import Record, port_record

if TYPE_CHECKING:
    from rich.console import Console

    from rawscan.verdicts import Verdicts

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
_STATE_AT = 2
_FOLDED = {"TARGET", "REASON", "FROM", "ASKED BY"}
_WHOLE = {"PORT", "STATE", "RTT"}
_RIGHT = {"TTL", "RTT", "TRIES", "SURE"}


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

    def add_ports(self, batch: Verdicts) -> None:
        """Take the `port` records of a batch; those that no table will show are only counted."""
        for state, rows in batch.by_state():
            name = state.value
            if self.counts[name] + len(rows) <= MAX_ROWS:
                for row in rows.tolist():
                    self.add(port_record(batch.record(row)))
            else:
                self.counts[name] += len(rows)
                self._kept[name].clear()
        for verdict in batch.odd:
            self.add(port_record(verdict))

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
    sources = _many_askers(records)
    for heading in _headings(console.width, sources):
        table.add_column(
            heading,
            justify="right" if heading in _RIGHT else "left",
            no_wrap=heading in _WHOLE,
            overflow="fold" if heading in _FOLDED else "ellipsis",
        )
    for row in records:
        cells = _cells(row, console.width, sources)
        cells[_STATE_AT] = f"[{STATE_STYLES[row['state']]}]{row['state']}[/]"
        table.add_row(*cells)
    if records:
        console.print(table)
    for note in _notes(rows, records):
        console.print(note, highlight=False)


def plain_table(rows: Rows, stream: TextIO) -> None:
    """The same for a file or a pipe: no colours, no folding, and no Rich, which takes 0.03 s."""
    records = rows.shown
    sources = _many_askers(records)
    headings = _headings(_PLAIN_WIDTH, sources)
    lines = [headings, *(_cells(row, _PLAIN_WIDTH, sources) for row in records)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for cells in lines if records else ():
        columns = zip(cells, widths, headings, strict=True)
        padded = [c.rjust(width) if h in _RIGHT else c.ljust(width) for c, width, h in columns]
        stream.write("  ".join(padded).rstrip() + "\n")
    for note in _notes(rows, records):
        stream.write(note + "\n")


def plain_console(stream: TextIO) -> Console:
    """A console for what is no terminal."""
    from rich.console import Console

    return Console(
        file=stream, width=_PLAIN_WIDTH, emoji=False, color_system=None, force_terminal=False
    )


def _many_askers(records: Sequence[Record]) -> bool:
    """Is there more than one source of probes? One for each IP version is no news."""
    askers = {(ip_address(row["target"]).version, row.get("source")) for row in records}
    return len(askers) > len({version for version, _ in askers})


def _notes(rows: Rows, records: Sequence[Record]) -> Iterator[str]:
    """What stands below the table."""
    if rows.hidden:
        yield f"Not shown: {rows.hidden}; -o FILE.jsonl holds them all"
    for row in records:
        where = f"{row['target']} {row['port']}/{row['protocol']}"
        if row["hints"]:
            yield f"  hint: {where}: {', '.join(row['hints'])}"
        if len(row.get("history", ())) > 1:
            yield f"  history: {where}: {row['history_text']}"


def _headings(width: int, sources: bool) -> list[str]:
    headings = ["TARGET", "PORT", "STATE", "REASON"]
    if width >= _NARROW:
        headings.append("FROM")
    if sources:
        headings.append("ASKED BY")
    if width >= _WIDE:
        headings += ["TTL", "RTT", "TRIES", "SURE"]
    return headings


def _cells(row: Record, width: int, sources: bool) -> list[str]:
    cells = [
        row["target"],
        f"{row['port']}/{row['protocol']}" + (" ack" if row["probe"] == "ack" else ""),
        row["state"],
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
