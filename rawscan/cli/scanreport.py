"""What `rawscan scan` tells: its first and last record, the lines around them, the bar."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from rawscan import __version__
from rawscan.cli.common import Results, say, warn
from rawscan.errors import LinkError
from rawscan.output.records import rfc3339

if TYPE_CHECKING:
    from rawscan.scanner import Request, Scan


def scan_record(request: Request, link: str, started_s: float) -> dict[str, Any]:
    """The scan's first record, which is also said to who sits at a terminal."""
    from rawscan.net.routes import interface_for

    first = request.targets.at(0)
    source = None
    with suppress(LinkError):  # Without a way there, the verdicts will say so.
        source = str(request.source_of(first))
    interface = request.interface or interface_for(first)
    protocols = sorted({kind.protocol.value for kind in request.kinds})
    asked = set(request.ports.tcp if "tcp" in protocols else ())
    asked |= set(request.ports.udp if "udp" in protocols else ())
    say(
        f"rawscan: {request.count} ports of {request.targets.count} targets from {source} on "
        f"{interface}, link {link}, at most {request.settings.rate_pps:g} packets/s"
    )
    return {
        "type": "scan",
        "version": __version__,
        "started": rfc3339(started_s),
        "command": ["rawscan", *sys.argv[1:]],
        "targets": request.targets.count,
        "ports": sorted(asked),
        "protocols": protocols,
        "interface": interface,
        "source": source,
        "link": link,
        "shard": str(request.shard),
    }


def summary_record(request: Request, scan: Scan, started_s: float) -> dict[str, Any]:
    """The scan's last record."""
    finished_s, counters = time.time(), scan.counters
    losses = scan.engine.losses
    answered = sum(model.answered for model in losses)
    lost = sum(model.lost for model in losses)
    return {
        "type": "summary",
        "finished": rfc3339(finished_s),
        "elapsed_s": round(finished_s - started_s, 3),
        "targets": request.targets.count,
        "results": counters.decided,
        "states": {state: n for state, n in sorted(counters.states.items()) if n},
        "probes_sent": counters.probes_sent,
        "replies": counters.replies,
        "unmatched": scan.listener.unmatched,
        "drops": counters.drops,
        "loss": round(lost / (lost + answered), 4) if answered else None,
        "complete": scan.complete,
    }


def say_summary(summary: dict[str, Any], results: Results) -> None:
    """Tell who sits at a terminal how it went, and everybody what was lost."""
    if results.rows.counts:
        say(
            f"rawscan: {results.rows}; {summary['probes_sent']} probes, "
            f"{summary['replies']} replies in {summary['elapsed_s']:.1f} s"
        )
    if summary["drops"]:
        warn(f"the kernel dropped {summary['drops']} packets; try a lower --rate")


@contextmanager
def progress(request: Request, scan: Scan, as_json: bool) -> Iterator[Callable[[], None]]:
    """A bar with rate and remaining time, on a terminal; on anything else, nothing."""
    # Records that scroll by on the same terminal are progress enough, and a bar would break them.
    if not sys.stderr.isatty() or (as_json and sys.stdout.isatty()):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        TextColumn("{task.completed}/{task.total} ports"),
        TextColumn("{task.fields[rate]:.0f} probes/s"),
        TimeRemainingColumn(),
    )
    started_s = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("scan", total=request.count, rate=0.0)

        def tick() -> None:
            elapsed_s = max(time.monotonic() - started_s, 1e-3)
            rate = scan.counters.probes_sent / elapsed_s
            bar.update(task, completed=scan.counters.decided, rate=rate)

        yield tick
