"""`rawscan pcap`: parse, analyse, print."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from rawscan.capture.find import Source
from rawscan.capture.find import sources as sources_of
from rawscan.cli.common import (
    Finite,
    Results,
    check_outputs,
    interruptible,
    json_option,
    output_option,
    read_ports,
    say,
    warn,
)
from rawscan.cli.explaining import check_explain, explain_findings, explain_option
from rawscan.errors import INTERRUPTED, CaptureError, UsageError
from rawscan.output.files import check_apart
from rawscan.output.records import Record, analysis_records, history_record
from rawscan.output.traffictable import TrafficRows, plain_traffic
from rawscan.portstates import LongHistory

if TYPE_CHECKING:
    from rawscan.findings import Analysis
    from rawscan.model import Frame
    from rawscan.ports import PortSpec


@click.command("pcap", short_help="Read captures and reach the same verdicts by the same rules.")
@click.argument("files", nargs=-1, required=True, metavar="FILE|DIR...")
@click.option(
    "-p",
    "--ports",
    metavar="PORTS",
    help="Ports: 561, 1-1024, T:80,U:53,monitor. Default: those that a recording of rawscan's says"
    " it asked, 561 in other captures.",
)
@output_option
@json_option
@explain_option
@click.option(
    "--silence-wait",
    type=Finite(min=0),
    metavar="SECONDS",
    help="How long a capture must go on after a probe for silence to count (20);"
    " rawscan's own recordings say it themselves.",
)
@click.option(
    "--dissect",
    is_flag=True,
    help="Let tshark look at the frames that have to do with the ports, and add what it says.",
)
@click.option(
    "--extract",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the frames that have to do with the ports into a pcapng file.",
)
def command(**options: Any) -> int:
    """Read captures (pcap, pcapng, gzip of them; - is standard input) and judge the ports.

    Files, directories of them and patterns such as 'logs/*.pcap', in one run. Tells the state of
    each port that was probed and how it changed, who probed it and with what, what was said in
    sessions, and which replies nobody had asked for.

    Verdicts are those of a live scan, by the same rules. Silence is a verdict only where the
    capture could have held an answer, and `unknown` elsewhere.
    """
    check_explain(options)
    ports = None if options["ports"] is None else read_ports(options["ports"])
    with interruptible() as stop:
        sources = list(sources_of(options["files"], stop))
        named = [source for source in sources if not isinstance(source, CaptureError)]
        told = _Told(options["explain"])
        how = {"silence_wait_s": options["silence_wait"], "dissect": options["dissect"]}
        with _extracting(options["extract"], options["outputs"], named) as keep:
            results = Results(options["outputs"], options["as_json"], named)
            try:
                code = _read_all(sources, results, told, ports, how | {"keep": keep}, stop)
                told.write_changes(results)
            finally:
                results.close()
    results.print_table()
    if not options["as_json"]:
        told.print()
    told.explain()
    if results.rows.counts:
        say(f"rawscan: {results.rows}")
    elif not options["as_json"] and not code:
        warn(told.why_nothing())
    return code


def _read_all(
    sources: Sequence[Source],
    results: Results,
    told: _Told,
    ports: PortSpec | None,
    how: dict[str, Any],
    stop: Callable[[], bool],
) -> int:
    """Read one source after the other, whatever is wrong with some; gives the exit code."""
    from rawscan.analysis import analyse
    from rawscan.capture.waiting import StoppedError

    code = 0
    for source in sources:
        if stop():
            break
        try:
            if isinstance(source, CaptureError):
                raise source
            found = analyse(source, ports, stop=stop, **how)
        except StoppedError:
            break
        except CaptureError as error:
            warn(str(error))
            code = 1
            continue
        told.add(found)
        _write(found, results, told)
        if found.dissect_error:
            warn(found.dissect_error)
        if found.error:
            warn(f"{found.error}; the results up to there stand")
            code = 1
    if stop():
        warn("interrupted: the rest of the captures was not read")
        return INTERRUPTED
    return code


@contextmanager
def _extracting(
    path: Path | None, outputs: Sequence[Path], inputs: Sequence[Path | BinaryIO]
) -> Iterator[Callable[[Frame], None] | None]:
    """What takes the matching frames, if they are wanted; nothing is opened if that is wrong."""
    if path is None:
        yield None
        return
    from rawscan.capture.extract import FrameWriter

    check_outputs(outputs, inputs)
    check_apart([*(("-o", output) for output in outputs), ("--extract", path)], inputs)
    try:
        writer = FrameWriter(path)
    except CaptureError as error:
        raise UsageError(f"--extract {error}") from error
    with closing(writer):
        yield writer.write
    say(f"rawscan: {path}: {writer.frames} frames")


class _Told:
    """What was read: the tables beside that of the ports, and why there may be nothing to show."""

    def __init__(self, explain: bool) -> None:
        self._explain = explain
        self._traffic = TrafficRows()
        self._history = LongHistory()
        self._ports: dict[str, None] = {}
        self._matched = 0
        self._clients = 0
        self._undecoded: Counter[str] = Counter()
        self._found: list[Analysis] = []

    def write(self, record: Record) -> None:
        """Keep a record for the tables."""
        self._traffic.add(record)

    def write_changes(self, results: Results) -> None:
        """Write what changed from one capture to another, once all are read."""
        for port, spells in self._history.changes():
            record = history_record(port, spells)
            results.write(record)
            self.write(record)

    def print(self) -> None:
        """Print the tables of all but the ports."""
        if not sys.stdout.isatty():
            plain_traffic(self._traffic, sys.stdout)
            return
        from rich.console import Console

        self._traffic.print(Console(emoji=False))

    def add(self, found: Analysis) -> None:
        """Take one more file into account."""
        self._history.add(found.findings)
        if self._explain:
            self._found.append(found)
        self._ports[found.ports] = None
        self._matched += found.matched
        self._clients += sum(s.port_role == "client" for s in found.traffic.sessions)
        self._undecoded += found.undecoded

    def explain(self) -> None:
        """Explain every verdict, if that was asked for; a pipe cannot be read again for it."""
        for found in self._found:
            path = Path(found.path)
            if path.is_file():
                explain_findings(path, found.findings)
            else:
                warn(f"{found.path}: cannot be read a second time, as --explain has to")

    def why_nothing(self) -> str:
        """Say that there was no probe, and what may be the reason."""
        ports = " and ".join(self._ports) or "any port"
        if self._matched:
            text = (
                f"no SYN, UDP or ACK probe of {ports} was seen"
                f" ({self._matched} frames have to do with them)"
            )
            if self._clients:
                text += f"; and it is only the client's own port in {self._clients} session(s)"
        else:
            text = f"nobody probed {ports} in what was read"
        if self._undecoded:
            causes = ", ".join(f"{cause}: {n}" for cause, n in self._undecoded.most_common())
            text += f"; {self._undecoded.total()} frames could not be looked into ({causes})"
        return f"{text}; --json shows what was counted"


def _write(found: Analysis, results: Results, told: _Told) -> None:
    for record in analysis_records(found):
        results.write(record)
        told.write(record)
    say(
        f"rawscan: {found.path}: {found.packets} packets, {found.matched} of these ports, "
        f"{len(found.findings)} ports were probed" + (", recorded by rawscan" if found.own else "")
    )
