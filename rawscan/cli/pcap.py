"""`rawscan pcap`: parse, analyse, print."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
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
from rawscan.cli.progress import Progress
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
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes that read, of a large file or of several files at once. Default: one a core.",
)
def command(**options: Any) -> int:
    """Read captures (pcap, pcapng, packed or not; - is standard input) and judge the ports.

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
        with _extracting(options["extract"], options["outputs"], named) as keep:
            how = _How(
                ports,
                options["silence_wait"],
                options["jobs"] or _cores(),
                options["dissect"],
                keep,
            )
            results = Results(options["outputs"], options["as_json"], named)
            try:
                code = _read_all(sources, results, told, how, stop)
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
    how: _How,
    stop: Callable[[], bool],
) -> int:
    """Read one source after the other, whatever is wrong with some; gives the exit code."""
    from rawscan.capture.waiting import StoppedError

    code = 0
    for found in _analyses(sources, how, stop):
        if isinstance(found, StoppedError):
            break
        if isinstance(found, CaptureError):
            warn(str(found))
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


def _analyses(
    sources: Sequence[Source], how: _How, stop: Callable[[], bool]
) -> Iterator[Analysis | CaptureError]:
    """What becomes of each source, in order: many small files side by side, a large one shared."""
    from rawscan.capture.forked import can_fork, in_order
    from rawscan.capture.segments import can_share

    small = all(
        isinstance(s, CaptureError)
        or (isinstance(s, Path) and s.is_file() and not can_share(s.stat().st_size, how.jobs))
        for s in sources
    )
    if how.side_by_side and len(sources) > 1 and small and can_fork():
        with in_order(lambda number: _analysis(sources[number], how, stop), len(sources),
                      how.jobs) as results:  # fmt: skip
            for source, result in zip(sources, results, strict=True):
                if stop():
                    return
                yield result or _analysis(source, how, stop)
        return
    for source in sources:
        if stop():
            return
        yield _analysis(source, how, stop)


def _analysis(source: Source, how: _How, stop: Callable[[], bool]) -> Analysis | CaptureError:
    from rawscan.analysis import analyse

    if isinstance(source, CaptureError):
        return source
    progress = Progress(str(source) if isinstance(source, Path) else "standard input")
    try:
        return analyse(
            source,
            how.ports,
            silence_wait_s=how.silence_wait_s,
            jobs=how.jobs,
            dissect=how.dissect,
            keep=how.keep,
            stop=stop,
            progress=progress,
        )
    except CaptureError as error:
        return error
    finally:
        progress.close()


@dataclass(frozen=True, slots=True)
class _How:
    """How captures are to be read: see `rawscan.analysis.analyse`."""

    ports: PortSpec | None
    silence_wait_s: float | None
    jobs: int
    dissect: bool
    keep: Callable[[Frame], None] | None

    @property
    def side_by_side(self) -> bool:
        """May several files be read at once? Not where their frames go on from here, in order."""
        return self.jobs > 1 and not self.dissect and self.keep is None


def _cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


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
