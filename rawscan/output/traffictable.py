"""Tables of captures, sources, sessions and backscatter, made with Rich from the records.

Writes to the console it is given. What packets said is shown as text, never as markup.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, TextIO

from rawscan.output.records import Record
from rawscan.output.table import plain_console
from rawscan.output.timeline import plot

if TYPE_CHECKING:
    from rich.console import Console

MAX_ROWS = 50
"""Of each kind of record so many are shown; the files hold everything."""

_WIDE, _MIDDLE = 120, 80
_MUTE = frozenset({"S0", "REJ", "RSTOS0", "SH", "OTH", "RSTRH", "SHR"})
"""Sessions that the table of ports tells of already, unless something was said in them."""
_BESIDE_SAID = 100
"""Columns that the rest of the table of sessions may need."""
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


class TrafficRows:
    """The records to be shown. Memory is bounded: `MAX_ROWS` of each type, and numbers.

    Captures that have nothing to do with the ports are not.
    """

    def __init__(self) -> None:
        self._kept: defaultdict[str, list[Record]] = defaultdict(list)
        self._hidden: Counter[str] = Counter()
        self._mute: Counter[str] = Counter()

    def add(self, record: Record) -> None:
        """Take a record; those of other types are passed over."""
        kind = record["type"]
        if kind not in _TABLES or (kind == "capture" and not record["matched"]):
            return
        if kind == "session" and record["conn_state"] in _MUTE and not record["payload_preview"]:
            self._mute[record["conn_state"]] += 1
        elif len(self._kept[kind]) < MAX_ROWS:
            self._kept[kind].append(record)
        else:
            self._hidden[kind] += 1

    def print(self, console: Console) -> None:
        """Print what there is, one table for each type of record, and a plot for each capture."""
        for kind, (title, draw) in _TABLES.items():
            rows = self._kept[kind]
            if not rows and not (kind == "session" and self._mute):
                continue
            console.print(f"\n[bold]{title}[/]")
            if rows:
                draw(rows, console)
            if self._hidden[kind]:
                console.print(f"Not shown: {self._hidden[kind]} more; -o FILE.jsonl holds them all")
            if kind == "session" and self._mute:
                states = ", ".join(f"{n} {state}" for state, n in self._mute.most_common())
                console.print(f"Sessions in which nothing was said: {states}", highlight=False)


def plain_traffic(rows: TrafficRows, stream: TextIO) -> None:
    """The same for a file or a pipe: no colours, no folding."""
    rows.print(plain_console(stream))


def _grid(console: Console, headings: list[tuple[str, str]], rows: list[list[object]]) -> None:
    """Print a table. Headings come with `l` for left or `r` for right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading, kind in headings:
        table.add_column(
            heading,
            justify="right" if kind == "r" else "left",
            no_wrap=kind == "r",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console.print(table)


def _captures(rows: list[Record], console: Console) -> None:
    headings = [("CAPTURE", "l"), ("PACKETS", "r"), ("MATCHED", "r"), ("FIRST", "l"), ("LAST", "l")]
    cells = [
        [row["path"], row["packets"], row["matched"], _when(row["first"]), _when(row["last"])]
        for row in rows
    ]
    _grid(console, headings, cells)
    for row in rows:
        lines = list(plot(row["activity"], console.width))
        if lines and len(rows) > 1:
            console.print(f"\n{row['path']}", highlight=False, markup=False)
        for line in lines:
            console.print(line, highlight=False, markup=False, no_wrap=True, overflow="crop")


def _sources(rows: list[Record], console: Console) -> None:
    headings = [("SOURCE", "l"), ("PATTERN", "l"), ("PROBES", "r"), ("TARGETS", "r"),
                ("PORTS", "r"), ("TOOL", "l")]  # fmt: skip
    wide = console.width >= _MIDDLE
    if wide:
        headings += [("RATE", "r"), ("LASTED", "r"), ("LOOKS LIKE", "l")]
    cells: list[list[object]] = []
    for row in rows:
        line = [row[k] for k in ("address", "pattern", "probes", "targets", "ports", "tool")]
        more = [_rate(row["rate_pps"]), _lasted(row["duration_s"]), _judged(row)]
        cells.append(line + (more if wide else []))
    _grid(console, headings, cells)
    for row in rows:
        if row["tool_evidence"]:
            text = f"  tool: {row['address']}: {row['tool_evidence']}"
            console.print(text, highlight=False, markup=False)


def _judged(row: Record) -> str:
    """What the random walk and the plain counts say."""
    if row["walk"] == "scanner" or row["busy"]:
        by = [("random walk", row["walk"] == "scanner"), ("counts", row["busy"])]
        return f"scan (by {' and '.join(name for name, holds in by if holds)})"
    return {"benign": "benign", "pending": "undecided"}.get(row["walk"], "")


def _sessions(rows: list[Record], console: Console) -> None:
    headings = [("CLIENT", "l"), ("SERVER", "l"), ("STATE", "l"), ("UP", "r"), ("DOWN", "r"),
                ("SERVICE", "l")]  # fmt: skip
    wide, widest = console.width >= _MIDDLE, console.width >= _WIDE
    headings += [("LOOKS LIKE", "l")] * wide + [("SAID", "l")] * widest
    cells: list[list[object]] = []
    for row in rows:
        line = [
            *_ends(row).split(),
            row["conn_state"],
            _size(row["bytes_to_server"]),
            _size(row["bytes_to_client"]),
            row["service"],
        ]
        said = _cut(row["payload_preview"], console.width - _BESIDE_SAID)
        cells.append(line + [_looks(row)] * wide + [said] * widest)
    _grid(console, headings, cells)
    for row in rows:
        if row.get("protocols"):
            told = f"  Wireshark: {_ends(row)}: {' '.join(row['protocols'])}"
            if row["expert"]:
                told += f" ({'; '.join(row['expert'])})"
            console.print(told, highlight=False, markup=False, no_wrap=True, overflow="ellipsis")
    reasons = {row["looks_why"]: row["looks_like"] for row in rows if row["looks_like"]}
    for why, looks in reasons.items():
        console.print(f"  {looks}: {why}", highlight=False, markup=False)


def _ends(row: Record) -> str:
    client = f"{_host(row['client'])}:{row['client_port']}"
    return f"{client} {_host(row['server'])}:{row['server_port']}/{row['protocol']}"


def _cut(text: str | None, width: int) -> str | None:
    return text if text is None or len(text) <= width else text[: width - 3] + "..."


def _looks(row: Record) -> str | None:
    if row["port_role"] == "client":
        return f"{row['port']} is only the client's own port"
    return None if row["looks_like"] is None else str(row["looks_like"])


def _backscatter(rows: list[Record], console: Console) -> None:
    headings = [("VICTIM", "l"), ("PORT", "r"), ("REPLY", "l"), ("FORM", "l"), ("PACKETS", "r"),
                ("FROM", "r"), ("TO", "r"), ("ATTACK", "l")]  # fmt: skip
    keys = ("victim", "port", "kind", "form", "packets", "senders", "destinations")
    cells = [[row[key] for key in keys] + ["yes" if row["attack"] else ""] for row in rows]
    _grid(console, headings, cells)


def _histories(rows: list[Record], console: Console) -> None:
    for row in rows:
        text = f"{row['target']} {row['port']}/{row['protocol']}: {row['history_text']}"
        console.print(text, highlight=False, markup=False)


_TABLES = {
    "capture": ("Captures", _captures),
    "source": ("Sources", _sources),
    "session": ("Sessions", _sessions),
    "backscatter": ("Replies to nobody's probes", _backscatter),
    "history": ("Changed from one capture to another", _histories),
}


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _when(time: str | None) -> str:
    return "" if time is None else time[:19].replace("T", " ")


def _size(number: int) -> str:
    for unit, letter in _UNITS:
        if number >= unit:
            return f"{number / unit:.3g} {letter}B"
    return f"{number} B"


def _rate(rate_pps: float | None) -> str:
    if rate_pps is None:
        return ""
    return f"{rate_pps:.3g} pps" if rate_pps < 1000 else f"{rate_pps / 1000:.3g} kpps"


def _lasted(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds < 600 else f"{seconds / 60:.0f} min"
