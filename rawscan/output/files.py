"""Where records go: files whose name tells the format, and standard output. Writes files.

A format is a class with `write` and `close`, and a line in `FORMATS`; `write_ports` too if it can
do better with many verdicts at once than one record after the other. JSON Lines are a journal,
in the file at once and whole at every moment (`output.journal`). Files of the other formats take
their names when they are whole (`output.replacing`).
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, TextIO

from rawscan.errors import UsageError
from rawscan.output.frames import KINDS, Parquet, check_polars, flat
from rawscan.output.journal import PageLines, open_locked
from rawscan.output.records import Record, to_line
from rawscan.output.replacing import Replacing, replaceable
from rawscan.output.sink import Sink
from rawscan.output.table import Rows, plain_table
from rawscan.output.traffictable import TrafficRows, plain_traffic

if TYPE_CHECKING:
    from rawscan.verdicts import Verdicts


class LineStream(Protocol):
    """Where lines go: a text file, standard output, a journal."""

    def write(self, text: str, /) -> int:
        """Take whole lines."""
        ...

    def flush(self) -> None:
        """Hold nothing back."""
        ...

    def close(self) -> None:
        """Close what is behind it."""
        ...


class JsonLines(Sink):
    """One record a line, each flushed at once, so that whoever reads along sees whole lines.

    Verdicts that came together are written together.
    """

    def __init__(self, stream: LineStream) -> None:
        self._stream = stream

    def write(self, record: Record) -> None:
        """Append one line."""
        self._stream.write(to_line(record) + "\n")
        self._stream.flush()

    def write_ports(self, batch: Verdicts) -> None:
        """Append their lines."""
        from rawscan.output.lines import port_lines  # brings NumPy

        for lines in port_lines(batch):
            self._stream.write(lines)
        self._stream.flush()

    def close(self) -> None:
        """Nothing is held back."""


class JsonArray(Sink):
    """All records as one JSON array, one record a line; closed properly on interrupt too."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._before = "[\n"

    def write(self, record: Record) -> None:
        """Append one element."""
        self._stream.write(self._before + json.dumps(record, ensure_ascii=False))
        self._before = ",\n"

    def close(self) -> None:
        """End the array."""
        self._stream.write("[]\n" if self._before == "[\n" else "\n]\n")


class Csv(Sink):
    """The records of one kind as RFC 4180 CSV; lists are joined by `; `. Others are left out."""

    def __init__(self, stream: TextIO, kind: str = "port") -> None:
        self._stream = stream
        self._kind = kind
        self._writer: csv.DictWriter[str] | None = None

    def write(self, record: Record) -> None:
        """Append a row if it is a record of the kind."""
        if record["type"] != self._kind:
            return
        row = flat(record)
        if self._writer is None:
            self._writer = csv.DictWriter(self._stream, row, lineterminator="\r\n")
            self._writer.writeheader()
        self._writer.writerow(row)

    def close(self) -> None:
        """Nothing is held back."""


class Text(Sink):
    """The tables that the terminal shows, without colours."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rows = Rows()
        self._traffic = TrafficRows()

    def write(self, record: Record) -> None:
        """Keep a record for the tables."""
        if record["type"] == "port":
            self._rows.add(record)
        self._traffic.add(record)

    def write_ports(self, batch: Verdicts) -> None:
        """Keep what the table will show of them."""
        self._rows.add_ports(batch)

    def close(self) -> None:
        """Write the tables."""
        buffer = io.StringIO()
        plain_table(self._rows, buffer)
        plain_traffic(self._traffic, buffer)
        self._stream.write(buffer.getvalue())


JOURNAL = ".jsonl"
"""The format that a scan can be resumed from."""

FORMATS: dict[str, Callable[[TextIO], Sink]] = {
    JOURNAL: JsonLines,
    ".json": JsonArray,
    ".csv": Csv,
    ".txt": Text,
    ".parquet": Parquet,
}

_TABLES: dict[str, Callable[[TextIO, str], Sink]] = {".csv": Csv, ".parquet": Parquet}
"""The formats that hold one kind of record: `port`, unless the name says `x.session.csv`."""


class _Lines(Sink):
    """A sink that owns its file, which may be read at every moment."""

    def __init__(self, stream: LineStream, sink: Sink) -> None:
        self._stream = stream
        self._sink = sink

    def write(self, record: Record) -> None:
        self._sink.write(record)

    def write_ports(self, batch: Verdicts) -> None:
        self._sink.write_ports(batch)

    def close(self) -> None:
        try:
            self._sink.close()
        finally:
            self._stream.close()


class _Whole(Sink):
    """A sink whose file takes its name at the end, if no write broke off in its middle."""

    def __init__(self, file: Replacing, sink: Sink) -> None:
        self._file = file
        self._sink = sink
        self._whole = True

    def write(self, record: Record) -> None:
        self._whole = False
        self._sink.write(record)
        self._whole = True

    def write_ports(self, batch: Verdicts) -> None:
        self._whole = False
        self._sink.write_ports(batch)
        self._whole = True

    def close(self) -> None:
        try:
            self._sink.close()
            if self._whole:
                self._file.commit()
        finally:
            self._file.discard()


def check_output(path: Path) -> None:
    """Raise `UsageError` if `path` cannot be an output. Changes nothing."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"-o {path}: the ending tells the format, and {path.suffix or 'none'!r} is not one of "
            f"{' '.join(FORMATS)}"
        )
    if path.suffix.lower() == ".parquet":
        check_polars(f"-o {path}")
    why = errno.EISDIR if path.is_dir() else 0 if path.parent.is_dir() else errno.ENOENT
    if why or not os.access(path if path.exists() else path.parent, os.W_OK):
        reason = os.strerror(why or errno.EACCES)
        raise UsageError(f"-o {path}: cannot be written: {reason}")
    if is_journal(path) and path.exists():
        os.close(open_locked(path))


def check_apart(written: Iterable[tuple[str, Path]], read: Iterable[Path | BinaryIO]) -> None:
    """Raise `UsageError` if two outputs are one file, or an output is a file that is to be read.

    `written` are option names and paths. Names may differ where files do not: links of both kinds
    and `/dev/stdout` count as what they lead to. Opens and changes nothing.
    """
    inputs = {_identity(source): source for source in read}
    outputs: dict[object, str] = {}
    for option, path in written:
        identity = _identity(path)
        if identity is None:
            continue
        if identity in inputs:
            source = inputs[identity]
            read_as = source if isinstance(source, Path) else source.name
            raise UsageError(f"{option} {path}: would overwrite {read_as}, which is to be read")
        if identity in outputs:
            raise UsageError(f"{option} {path}: is the same file as {outputs[identity]}")
        outputs[identity] = f"{option} {path}"


def _identity(file: Path | BinaryIO) -> object:
    """Equal for equal files; None where sharing does no harm, as for /dev/null or a terminal."""
    try:
        status = file.stat() if isinstance(file, Path) else os.fstat(file.fileno())
    except (OSError, io.UnsupportedOperation):
        return file.resolve() if isinstance(file, Path) else None  # is still to be made
    return None if stat.S_ISCHR(status.st_mode) else (status.st_dev, status.st_ino)


def open_output(path: Path) -> Sink:
    """Open an output file; the format is that of its name's ending.

    Raises `UsageError` if there is no such format or the file cannot be written.
    """
    check_output(path)
    ending = path.suffix.lower()
    try:
        if is_journal(path):
            return resume_journal(open_locked(path, os.O_CREAT))
        if ending != JOURNAL and replaceable(path):
            file = Replacing(path)
            return _Whole(file, _sink(path, file.stream))
        stream = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise UsageError(f"-o {path}: cannot be written: {error.strerror}") from error
    return _Lines(stream, _sink(path, stream))


def is_journal(path: Path) -> bool:
    """Will this output be a journal? Not if it is a pipe or a device."""
    return path.suffix.lower() == JOURNAL and (path.is_file() or not path.exists())


def resume_journal(descriptor: int, size_bytes: int = 0) -> Sink:
    """Go on with a journal after its first `size_bytes`; it is closed with the sink."""
    lines = PageLines(descriptor, size_bytes)
    return _Lines(lines, JsonLines(lines))


def _sink(path: Path, stream: TextIO) -> Sink:
    """The format of a name's ending, for the kind of record that the name may say before it."""
    ending, kind = path.suffix.lower(), Path(path.stem).suffix.lower()[1:]
    if ending in _TABLES and kind in KINDS:
        return _TABLES[ending](stream, kind)
    return FORMATS[ending](stream)
