"""`rawscan pcap`: parse, analyse, print."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from rawscan.cli.common import (
    Results,
    interruptible,
    json_option,
    output_option,
    ports_option,
    read_ports,
    say,
    warn,
)
from rawscan.errors import INTERRUPTED, CaptureError
from rawscan.output.records import capture_record, finding_record

if TYPE_CHECKING:
    from rawscan.model import Analysis

_ENDINGS = (".pcap", ".pcapng", ".cap", ".pcap.gz", ".pcapng.gz")


@click.command("pcap", short_help="Read captures and reach the same verdicts by the same rules.")
@click.argument("files", nargs=-1, required=True, metavar="FILE|DIR...")
@ports_option
@output_option
@json_option
@click.option(
    "--silence-wait",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long a capture must go on after a probe for silence to count (20);"
    " rawscan's own recordings say it themselves.",
)
def command(**options: Any) -> int:
    """Read captures (pcap, pcapng, gzip of them; - is standard input) and judge the ports.

    Verdicts are those of a live scan, by the same rules. Silence is a verdict only where the
    capture could have held an answer, and `unknown` elsewhere.
    """
    from rawscan.analysis import analyse

    ports = read_ports(options["ports"])
    results = Results(options["outputs"], options["as_json"])
    code = 0
    with interruptible() as stop:
        try:
            for source in _sources(options["files"]):
                try:
                    if isinstance(source, Path) and source.is_dir():
                        raise CaptureError(
                            f"{source}: holds no file that ends in {' '.join(_ENDINGS)}"
                        )
                    found = analyse(
                        source, ports, silence_wait_s=options["silence_wait"], stop=stop
                    )
                except CaptureError as error:
                    warn(str(error))
                    code = 1
                    continue
                _write(found, results)
                if found.error:
                    warn(f"{found.error}; the results up to there stand")
                    code = 1
                if stop():
                    warn("interrupted: the rest of the captures was not read")
                    code = INTERRUPTED
                    break
        finally:
            results.close()
    results.print_table()
    if results.rows.counts:
        say(f"rawscan: {results.rows}")
    elif not options["as_json"] and not code:
        warn(f"nobody probed {ports} in what was read; --json shows what was counted")
    return code


def _sources(names: tuple[str, ...]) -> Iterator[Path | BinaryIO]:
    """Files as named, the captures in directories by name, and standard input for `-`.

    A directory that holds no capture comes as itself.
    """
    for name in names:
        path = Path(name)
        if name == "-":
            yield sys.stdin.buffer
        elif path.is_dir():
            found = (p for p in path.rglob("*") if p.name.endswith(_ENDINGS) and p.is_file())
            yield from sorted(found) or [path]
        else:
            yield path


def _write(found: Analysis, results: Results) -> None:
    results.write(capture_record(found))
    for finding in found.findings:
        results.write(finding_record(finding, found.path))
    say(
        f"rawscan: {found.path}: {found.packets} packets, {found.matched} of these ports, "
        f"{len(found.findings)} ports were probed" + (", recorded by rawscan" if found.own else "")
    )
