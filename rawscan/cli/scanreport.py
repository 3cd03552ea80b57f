"""What `rawscan scan` tells: its first and last record, the lines around them, the bar."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, Any

from rawscan import __version__
from rawscan.cli.common import Results, say, warn
from rawscan.output.records import rfc3339

if TYPE_CHECKING:
    from rawscan.net.nexthop import Path
    from rawscan.scanner import Request, Scan
    from rawscan.scanner.resume import Earlier


def scan_record(request: Request, link: str, started_s: float) -> dict[str, Any]:
    """The scan's first record, which is also said to who sits at a terminal."""
    from rawscan.net.routes import way_to

    # Without a way, the verdicts will say so.
    way = way_to(request.targets.at(0), request.interface, request.source_ip)
    record = {
        "type": "scan",
        "version": __version__,
        "started": rfc3339(started_s),
        "command": ["rawscan", *sys.argv[1:]],
        "targets": request.targets.count,
        **asked_ports(request),
        "interface": way.interface if way else request.interface,
        "source": str(way.source) if way else None,
        "link": link,
        "shard": str(request.shard),
        "gateway": str(way.gateway) if way and way.gateway else None,
        "rate_pps": finite(request.settings.rate_pps),
        "host_rate_pps": finite(request.settings.host_rate_pps),
        "order": request.order.hex(),
        "count": request.count,
        "digest": request.digest,
    }
    _say_preflight(request, record, way)
    return record


def _say_preflight(request: Request, record: dict[str, Any], way: Path | None) -> None:
    from rawscan.scanner.plan import durations_of

    hop = "no way known"
    if way:
        hop = f"by gateway {way.gateway}" if way.gateway else "on link"
    say(
        f"rawscan: {request.count} ports of {request.targets.count} targets from "
        f"{record['source']} on {record['interface']}, {hop}, link {record['link']}, "
        f"{pace(request)}"
    )
    if floor := udp_floor(durations_of(request).udp_floor_s):
        say(f"rawscan: {floor}")


def asked_ports(request: Request) -> dict[str, Any]:
    """The fields `ports` and `protocols` of a record."""
    protocols = sorted({kind.protocol.value for kind in request.kinds})
    asked = set(request.ports.tcp if "tcp" in protocols else ())
    asked |= set(request.ports.udp if "udp" in protocols else ())
    return {"ports": sorted(asked), "protocols": protocols}


def finite(rate_pps: float) -> float | None:
    """A rate for a record: null is no limit, since JSON knows no infinity."""
    return None if rate_pps == inf else rate_pps


def pace(request: Request) -> str:
    """How fast the scan may go, in words."""
    rate, to_a_host = request.settings.rate_pps, request.settings.host_rate_pps
    words = "as fast as it goes" if rate == inf else f"at most {rate:g} packets/s"
    return words if to_a_host >= rate else f"{words}, {to_a_host:g} to a host"


def udp_floor(seconds: float) -> str | None:
    """The shortest time that closed UDP ports of one host take, in words; None if there is none."""
    if not seconds:
        return None
    return (
        f"closed UDP ports take {seconds:.0f} s a host or longer where ICMP errors are limited as "
        "Linux does by default"
    )


def summary_record(
    request: Request, scan: Scan, started_s: float, earlier: Earlier | None
) -> dict[str, Any]:
    """The scan's last record; the results are those of `earlier` runs too."""
    finished_s, counters = time.time(), scan.counters
    states = Counter(counters.states) + (earlier.states if earlier else Counter())
    losses = scan.engine.losses
    answered = sum(model.answered for model in losses)
    lost = sum(model.lost for model in losses)
    retries = scan.engine.settings.max_retries
    return {
        "type": "summary",
        "finished": rfc3339(finished_s),
        "elapsed_s": round(finished_s - started_s, 3),
        "targets": request.targets.count,
        "results": counters.decided + (len(earlier.done) if earlier else 0),
        "states": dict(sorted(states.items())),
        "probes_sent": counters.probes_sent,
        "replies": counters.replies,
        "unmatched": scan.listener.unmatched,
        "misquoted": scan.listener.misquoted,
        "drops": counters.drops,
        # With one try at each port, no answer tells of a loss.
        "loss": round(lost / (lost + answered), 4) if answered and retries else None,
        "unsure": counters.unsure,
        "complete": scan.complete,
    }


def say_summary(summary: dict[str, Any], results: Results, request: Request) -> None:
    """Tell who sits at a terminal how it went, and everybody what was lost."""
    if results.rows.counts:
        say(
            f"rawscan: {results.rows}; {summary['probes_sent']} probes, "
            f"{summary['replies']} replies in {summary['elapsed_s']:.1f} s"
        )
    if summary["drops"]:
        warn(f"the kernel dropped {summary['drops']} packets; try a lower --rate")
    if summary["unsure"] and not request.settings.contradictory:
        warn(
            f"{summary['unsure']} ports are silent with less --confidence than was asked for: too "
            "few tries were left for so many losses; raise --max-retries, or lower --rate"
        )


@contextmanager
def progress(ports: int, scan: Scan, as_json: bool) -> Iterator[Callable[[], None]]:
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
        task = bar.add_task("scan", total=ports, rate=0.0)

        def tick() -> None:
            elapsed_s = max(time.monotonic() - started_s, 1e-3)
            rate = scan.counters.probes_sent / elapsed_s
            bar.update(task, completed=scan.counters.decided, rate=rate)

        yield tick
