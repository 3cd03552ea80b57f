"""`rawscan scan --dry-run`: the plan in words, or as one record. Terminal only."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from rawscan import __version__
from rawscan.cli.scanreport import asked_ports, finite, pace, udp_floor
from rawscan.errors import LinkError
from rawscan.model import Tcp, Udp
from rawscan.output.records import Record, to_line
from rawscan.permute import Shard

if TYPE_CHECKING:
    from rawscan.scanner.admission import Admitted
    from rawscan.scanner.plan import Plan, Way
    from rawscan.scanner.request import Request

_SPECS_IN_WORDS, _SPECS_IN_RECORD = 8, 100


def show_plan(request: Request, admitted: Admitted, as_json: bool) -> int:
    """Print what the scan would do."""
    from rawscan.scanner.plan import plan_of

    plan = plan_of(request, admitted)
    click.echo(to_line(plan_record(plan)) if as_json else "\n".join(_lines(plan)))
    return 0


def plan_record(plan: Plan) -> Record:
    """The `plan` record."""
    request, settings, times = plan.request, plan.request.settings, plan.durations
    specs = list(islice(request.targets.specs(), _SPECS_IN_RECORD))
    ways = [_way_record(way) for way in plan.ways]
    nowhere = {"interface": None, "source": None, "gateway": None}
    first = {key: ways[0][key] for key in nowhere} if ways else nowhere
    return {
        "type": "plan",
        "version": __version__,
        "command": ["rawscan", *sys.argv[1:]],
        "targets": request.targets.count,
        "specs": specs,
        "left_out": plan.admitted.left_out,
        "outside": plan.admitted.outside,
        "needs_yes": plan.admitted.need_consent,
        **asked_ports(request),
        "probes": [kind.value for kind in request.kinds],
        "results": request.count,
        "shard": str(request.shard),
        "seeded": request.seed is not None,
        **first,
        "link": plan.link,
        "ways": ways,
        "rate_pps": finite(settings.rate_pps),
        "host_rate_pps": finite(settings.host_rate_pps),
        "tries_if_silent": times.tries,
        "least_s": _rounded(times.least_s),
        "silent_s": _rounded(times.silent_s),
        "udp_floor_s": _rounded(times.udp_floor_s),
        "samples": [_sample_record(packet) for packet in plan.samples],
        "notes": list(plan.notes),
    }


def _way_record(way: Way) -> dict[str, Any]:
    path = way.path
    if isinstance(path, LinkError):
        nothing = dict.fromkeys(("interface", "source", "gateway", "kind", "mtu"))
        return {"targets": way.targets, **nothing, "error": str(path)}
    return {
        "targets": way.targets,
        "interface": path.interface,
        "source": str(path.source),
        "gateway": None if path.gateway is None else str(path.gateway),
        "kind": path.kind.value,
        "mtu": path.mtu,
        "error": None,
    }


def _sample_record(packet: bytes) -> dict[str, Any]:
    return {"words": probe_in_words(packet), "hex": packet.hex()}


def probe_in_words(packet: bytes) -> str:
    """One line about a probe, read from its own bytes."""
    from rawscan.wire.decode import decode

    read = decode(packet)
    body = read.body
    assert isinstance(body, Tcp | Udp)
    ends = f"{read.source} port {body.sport} to {read.destination} port {body.dport}"
    if isinstance(body, Udp):
        payload = len(packet) - (28 if packet[0] >> 4 == 4 else 48)
        return f"UDP from {ends}, {payload} bytes of payload, TTL {read.ttl}"
    flags = "+".join(flag.name or "?" for flag in body.flags or ())
    numbers = f"sequence number {body.seq}"
    if body.ack:
        numbers += f", acknowledgement {body.ack}"
    return f"TCP {flags} from {ends}, {numbers}, window {body.window}, TTL {read.ttl}"


def _lines(plan: Plan) -> list[str]:
    """The plan for a reader, a subject a line."""
    request, times, admitted = plan.request, plan.durations, plan.admitted
    rows = [("targets", _targets(request))]
    if admitted.left_out:
        rows.append(("", f"{admitted.omission}; --include-reserved adds them"))
    if admitted.need_consent:
        rows.append(("", f"{admitted.warning}: a scan asks for --yes"))
    rows.append(("ports", f"{request.ports}; {_probes(request)}"))
    rows.append(("order", _order(request)))
    rows += [("way" if not i else "", _way(way)) for i, way in enumerate(plan.ways)]
    rows.append(("link", plan.link or "not known"))
    rows.append(("rate", pace(request)))
    rows += [("time" if not i else "", line) for i, line in enumerate(_times(plan))]
    rows += [("", line) for line in [udp_floor(times.udp_floor_s)] if line]
    rows += [("note" if not i else "", note) for i, note in enumerate(plan.notes)]
    for packet in plan.samples:
        rows.append(("sample", probe_in_words(packet)))
        rows += [
            ("", packet[at : at + 16].hex(" ", 2)) for at in range(0, min(len(packet), 96), 16)
        ]
    return ["rawscan: dry run, no probe is sent", *(f"  {name:<10}{text}" for name, text in rows)]


def _targets(request: Request) -> str:
    specs = list(islice(request.targets.specs(), _SPECS_IN_WORDS + 1))
    shown = " ".join(specs[:_SPECS_IN_WORDS]) + (" ..." if len(specs) > _SPECS_IN_WORDS else "")
    return f"{request.targets.count}: {shown}"


def _probes(request: Request) -> str:
    kinds = " and ".join(kind.value.upper() for kind in request.kinds)
    return f"{kinds} probes; {request.count} results"


def _order(request: Request) -> str:
    order = "shuffled, by --seed" if request.seed is not None else "shuffled, each time anew"
    if request.shard.count == 1:
        return order
    whole = replace(request, shard=Shard()).count
    return f"{order}; part {request.shard} of {whole} results"


def _way(way: Way) -> str:
    if isinstance(way.path, LinkError):
        return f"{way.targets} targets have none: {way.path}"
    path = way.path
    by = "on link" if path.gateway is None else f"by gateway {path.gateway}"
    return f"{way.targets} targets: {path.interface} ({path.kind.value}) from {path.source}, {by}"


def _times(plan: Plan) -> list[str]:
    times = plan.durations
    lines = ["as fast as the link goes"]
    if times.least_s is not None:
        lines = [f"{_duration(times.least_s)} at least, if all answer at once"]
    if times.silent_s is not None:
        lines.append(
            f"about {_duration(times.silent_s)} if none answers: {times.tries} tries a port"
        )
    return lines


_YEAR_S = 365.25 * 86_400


def _duration(seconds: float) -> str:
    """In the largest unit of which there are two or more."""
    if seconds >= 1000 * _YEAR_S:
        return "thousands of years"
    for unit, size in (("years", _YEAR_S), ("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
