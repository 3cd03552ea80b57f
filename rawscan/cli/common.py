"""What several commands share: consoles, outputs, ports, interrupts. Terminal and files only."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from math import isfinite
from pathlib import Path
from shutil import get_terminal_size
from types import FrameType
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from rawscan.errors import OutputError
from rawscan.output.files import (
    JsonLines,
    check_apart,
    check_output,
    is_journal,
    open_output,
)
from rawscan.output.records import Record
from rawscan.output.sink import Sink
from rawscan.output.table import Rows, plain_table, port_table
from rawscan.ports import PortSpec, builtin_service, parse_ports

if TYPE_CHECKING:
    from rawscan.verdicts import Verdicts

ports_option = click.option(
    "-p",
    "--ports",
    default="561",
    show_default=True,
    metavar="PORTS",
    help="Ports: 561, 1-1024, T:80,U:53,monitor.",
)
output_option = click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write results to FILE; its ending tells the format: .jsonl .json .csv .parquet .txt."
    " May be given several times.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="JSON Lines on standard output, and nothing else."
)


class Finite(click.FloatRange):
    """A number in a range, not `inf`, and not `nan`, for which click's comparisons are no bar."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse it, or fail with what would be right."""
        number = float(super().convert(value, param, ctx))
        if not isfinite(number):
            self.fail(f"{value!r} is no number to count with", param, ctx)
        return number


def service_port(name: str, protocol: str) -> int | None:
    """Port of a service, by this system's list of services or else by the built-in one."""
    try:
        return socket.getservbyname(name, protocol)
    except OSError:
        return builtin_service(name, protocol)


def read_ports(text: str) -> PortSpec:
    """Parse `-p`."""
    return parse_ports(text, service_port)


def say(message: str) -> None:
    """Tell the user something that is no result; only if somebody sits there."""
    if sys.stderr.isatty():
        click.echo(message, err=True)


def warn(message: str) -> None:
    """Tell the user something that must not be missed."""
    click.echo(f"rawscan: {message}", err=True)


def check_outputs(
    paths: Sequence[Path],
    inputs: Iterable[Path | BinaryIO] = (),
    recording: Path | None = None,
) -> None:
    """Raise `UsageError` for an `-o` that is wrong, or whose file is an input or another output.

    Before anything is opened: no earlier result, capture or list is lost to a mistake.
    """
    for path in paths:
        check_output(path)
    written = [("-o", path) for path in paths]
    if recording is not None:
        written.append(("--write-pcap", recording))
    check_apart(written, inputs)


def terminal_columns() -> int | None:
    """How wide the terminal is that results go to; None if they go to a file or a pipe."""
    return get_terminal_size().columns if sys.stdout.isatty() else None


class Results:
    """Where this run's records go: every `-o`, and standard output as JSON Lines or as a table.

    `inputs` are the files that are still to be read; no `-o` may be one of them.
    """

    def __init__(
        self, outputs: Sequence[Path], as_json: bool, inputs: Iterable[Path | BinaryIO] = ()
    ) -> None:
        check_outputs(outputs, inputs)
        journals = [path for path in outputs if is_journal(path)]
        others = [path for path in outputs if path not in journals]
        self._journals = [open_output(path) for path in journals]
        self._others = [open_output(path) for path in others]
        sinks = (*self._journals, *self._others)
        self._paths = {id(s): p for s, p in zip(sinks, (*journals, *others), strict=True)}
        if as_json:
            self._others.append(JsonLines(sys.stdout))
        self._as_json = as_json
        self.rows = Rows()

    def add(self, journal: Sink) -> None:
        """Give records to this journal too, from now on."""
        self._journals.append(journal)

    def write(self, record: Record) -> None:
        """Give a record to every output, to the journals first.

        Raises `OutputError` for a file that cannot be written any further, and leaves it alone.
        """
        self._each(lambda sink: sink.write(record))
        if record["type"] == "port" and not self._as_json:
            self.rows.add(record)

    def write_ports(self, batch: Verdicts) -> None:
        """Give many verdicts to every output. Raises `OutputError`, as `write` does."""
        self._each(lambda sink: sink.write_ports(batch))
        if not self._as_json:
            self.rows.add_ports(batch)

    def _each(self, give: Callable[[Sink], None]) -> None:
        for sinks in (self._journals, self._others):
            for sink in list(sinks):
                try:
                    give(sink)
                except OSError as error:
                    failed = self._failed(sink, error)
                    sinks.remove(sink)
                    with suppress(OSError):
                        sink.close()
                    raise failed from error

    def _failed(self, sink: Sink, error: OSError) -> Exception:
        """What to raise; on standard output the error itself: whoever read there has gone."""
        path = self._paths.get(id(sink))
        if path is None:
            return error
        return OutputError(f"{path}: cannot be written any further: {error.strerror}")

    def end(self, record: Record) -> None:
        """Give the last record to every output, and finish it.

        To the journals last: where they say that a scan is complete, all files have their names.
        Raises `OutputError` for a file that cannot be finished.
        """
        for sinks in (self._others, self._journals):
            while sinks:
                sink = sinks.pop(0)
                try:
                    try:
                        sink.write(record)
                    finally:
                        sink.close()
                except OSError as error:
                    raise self._failed(sink, error) from error

    def close(self) -> None:
        """Finish every file that is not finished, even if one cannot be."""
        with ExitStack() as stack:
            for sinks in (self._others, self._journals):
                while sinks:
                    stack.callback(sinks.pop().close)

    def print_table(self) -> None:
        """Print the table of ports, unless standard output has JSON Lines on it."""
        if self._as_json or not self.rows.counts:
            return
        if not sys.stdout.isatty():
            plain_table(self.rows, sys.stdout)
            return
        from rich.console import Console

        port_table(self.rows, Console(emoji=False))


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT or SIGTERM into a flag; a second one ends the program at once.

    What has been found so far must be written, wherever the signal arrives.
    """
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
