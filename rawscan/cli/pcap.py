"""`rawscan pcap`: parse, analyse, print."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from rawscan.cli.common import (
    Finite,
    Results,
    interruptible,
    json_option,
    output_option,
    read_ports,
    say,
    warn,
)
from rawscan.cli.progress import Progress
from rawscan.errors import INTERRUPTED, CaptureError
from rawscan.output.records import capture_record, finding_record

if TYPE_CHECKING:
    from rawscan.model import Analysis
    from rawscan.ports import PortSpec

Source = Path | BinaryIO | CaptureError
"""What is to be read, or what is wrong with it."""

_ENDINGS = (".pcap", ".pcapng", ".cap", ".pcap.gz", ".pcapng.gz")


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
@click.option(
    "--silence-wait",
    type=Finite(min=0),
    metavar="SECONDS",
    help="How long a capture must go on after a probe for silence to count (20);"
    " rawscan's own recordings say it themselves.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes that read, of a large file or of several files at once. Default: one a core.",
)
def command(**options: Any) -> int:
    """Read captures (pcap, pcapng, packed or not; - is standard input) and judge the ports.

    Verdicts are those of a live scan, by the same rules. Silence is a verdict only where the
    capture could have held an answer, and `unknown` elsewhere.
    """
    ports = None if options["ports"] is None else read_ports(options["ports"])
    with interruptible() as stop:
        sources = list(_sources(options["files"], stop))
        named = [source for source in sources if not isinstance(source, CaptureError)]
        results = Results(options["outputs"], options["as_json"], named)
        told = _Told()
        try:
            how = _How(ports, options["silence_wait"], options["jobs"] or _cores())
            code = _read_all(sources, results, told, how, stop)
        finally:
            results.close()
    results.print_table()
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
        _write(found, results)
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
    if how.jobs > 1 and len(sources) > 1 and small and can_fork():
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


def _cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


class _Told:
    """What was read, for when nobody probed anything in it."""

    def __init__(self) -> None:
        self._ports: dict[str, None] = {}
        self._matched = 0
        self._undecoded: Counter[str] = Counter()

    def add(self, found: Analysis) -> None:
        """Take one more file into account."""
        self._ports[found.ports] = None
        self._matched += found.matched
        self._undecoded += found.undecoded

    def why_nothing(self) -> str:
        """Say that there was no probe, and what may be the reason."""
        ports = " and ".join(self._ports) or "any port"
        if self._matched:
            text = (
                f"no SYN, UDP or ACK probe of {ports} was seen"
                f" ({self._matched} frames have to do with them)"
            )
        else:
            text = f"nobody probed {ports} in what was read"
        if self._undecoded:
            causes = ", ".join(f"{cause}: {n}" for cause, n in self._undecoded.most_common())
            text += f"; {self._undecoded.total()} frames could not be looked into ({causes})"
        return f"{text}; --json shows what was counted"


def _sources(names: Sequence[str], stop: Callable[[], bool]) -> Iterator[Source]:
    """Files as named, the captures in directories by name, and standard input for `-`.

    What is wrong with a directory comes in its place, as the error that it is.
    """
    for name in names:
        path = Path(name)
        if name == "-":
            yield sys.stdin.buffer
        elif path.is_dir():
            yield from _captures_in(path, stop)
        else:
            yield path


def _captures_in(directory: Path, stop: Callable[[], bool]) -> Iterator[Path | CaptureError]:
    found: list[Path] = []
    failures: list[OSError] = []
    for folder, _, names in os.walk(directory, onerror=failures.append):
        if stop():  # the tree may be a whole system's
            return
        for path in (Path(folder, name) for name in names if name.endswith(_ENDINGS)):
            try:
                found += [path] if path.is_file() else []
            except OSError as error:
                failures.append(error)
    for failure in failures:
        yield CaptureError(f"{failure.filename}: cannot be looked into: {failure.strerror}")
    yield from sorted(found)
    if not found and not failures:
        yield CaptureError(f"{directory}: holds no file that ends in {' '.join(_ENDINGS)}")


def _write(found: Analysis, results: Results) -> None:
    results.write(capture_record(found))
    for finding in found.findings:
        results.write(finding_record(finding, found.path))
    say(
        f"rawscan: {found.path}: {found.packets} packets, {found.matched} of these ports, "
        f"{len(found.findings)} ports were probed" + (", recorded by rawscan" if found.own else "")
    )
