"""Records as tables of typed columns: Polars data frames, and Parquet files of them.

Polars is loaded when it is used; without it everything else works.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TextIO

from rawscan.errors import UsageError
from rawscan.findings import Analysis
from rawscan.output.records import Record, analysis_records
from rawscan.output.sink import Sink

if TYPE_CHECKING:
    from polars import DataFrame

KINDS = ("port", "capture", "source", "session", "backscatter", "history")
_TIMES = frozenset({"time", "first", "last", "first_seen", "last_seen"})
_ROWS_AT_ONCE = 1 << 16


def flat(record: Record) -> Record:
    """A record without its type, in columns: lists are joined by `; `, what is nested is JSON."""
    return {key: _cell(value) for key, value in record.items() if key != "type"}


def _cell(value: Any) -> Any:
    if isinstance(value, dict) or (isinstance(value, list) and any(map(_is_nested, value))):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return "; ".join(map(str, value)) if isinstance(value, list) else value


def _is_nested(value: Any) -> bool:
    return isinstance(value, list | dict)


def check_polars(what: str) -> None:
    """Raise `UsageError` if Polars is not here; `what` is what needs it."""
    if find_spec("polars") is None:
        raise UsageError(f"{what} needs Polars, which is not here: pip install 'rawscan[parquet]'")


def dataframe(found: Analysis | Iterable[Analysis], kind: str = "port") -> DataFrame:
    """The records of one kind as a Polars data frame: a row a record, times as UTC datetimes.

    `kind` is one of `KINDS`. Raises `UsageError` for another, and where there is no Polars.
    """
    check_polars("a data frame")
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is no kind of record; there are {', '.join(KINDS)}")
    analyses = [found] if isinstance(found, Analysis) else found
    rows = (r for analysis in analyses for r in analysis_records(analysis) if r["type"] == kind)
    columns = _Columns()
    for row in rows:
        columns.add(row)
    return columns.frame()


class Parquet(Sink):
    """The records of one kind as a Parquet file, zstd-compressed; written at the end."""

    def __init__(self, stream: TextIO, kind: str = "port") -> None:
        self._stream = stream
        self._kind = kind
        self._columns = _Columns()

    def write(self, record: Record) -> None:
        """Keep a record of the kind; others are left out."""
        if record["type"] == self._kind:
            self._columns.add(record)

    def close(self) -> None:
        """Write the file."""
        self._columns.frame().write_parquet(self._stream.buffer)


class _Columns:
    """Rows on their way into a data frame, turned into columns so many at once."""

    def __init__(self) -> None:
        self._rows: list[Record] = []
        self._frames: list[DataFrame] = []

    def add(self, record: Record) -> None:
        self._rows.append(flat(record))
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._turn()

    def frame(self) -> DataFrame:
        import polars as pl

        self._turn()
        if not self._frames:
            return pl.DataFrame()
        # A column may hold nothing but nulls for a while, and so have no type of its own.
        return pl.concat(self._frames, how="vertical_relaxed").with_columns(
            pl.col(pl.Null).cast(pl.String)
        )

    def _turn(self) -> None:
        import polars as pl

        if not self._rows:
            return
        names = list(self._rows[0])
        columns = {name: [row[name] for row in self._rows] for name in names}
        times = [
            pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_zone="UTC", time_unit="us")
            for name in names
            if name in _TIMES
        ]
        frame = pl.DataFrame(columns, strict=False, infer_schema_length=None)
        empty = [name for name in names if name in _TIMES and frame[name].dtype == pl.Null]
        frame = frame.with_columns(pl.col(name).cast(pl.String) for name in empty)
        self._frames.append(frame.with_columns(times))
        self._rows = []
