"""`rawscan scan`: parse, scan, print."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from rawscan import __version__
from rawscan.cli.common import (
    Finite,
    Results,
    check_outputs,
    interruptible,
    json_option,
    output_option,
    ports_option,
    read_ports,
    say,
    warn,
)
from rawscan.cli.explaining import check_explain, explain_option, explain_records
from rawscan.errors import INTERRUPTED, LinkError, UsageError
from rawscan.model import IPAddress, ProbeKind
from rawscan.output.records import port_record, rfc3339
from rawscan.permute import Shard
from rawscan.targets import TargetSet, Token, split_exclude, split_tokens

if TYPE_CHECKING:
    from rawscan.scanner import Request, Scan


class Rate(click.ParamType[float]):
    """Packets a second, above 0; `max` is no limit."""

    name = "pps"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse it, or fail with what would be right."""
        if value == "max":
            return inf
        with suppress(ValueError):
            if float(value) > 0:  # false for nan
                return float(value)
        return self.fail(f"{value!r} is no rate; right would be 1000, or max", param, ctx)


@click.command("scan", short_help="Probe ports and say which state they are in, and why.")
@click.argument("targets", nargs=-1, metavar="TARGET...")
@ports_option
@click.option("--syn/--no-syn", default=True, help="SYN probes to the TCP ports (on).")
@click.option("--udp/--no-udp", default=True, help="UDP probes to the UDP ports (on).")
@click.option("--ack", is_flag=True, help="ACK probes: which TCP ports are filtered at all?")
@output_option
@json_option
@explain_option
@click.option(
    "--write-pcap",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Record probes and replies as pcapng.",
)
@click.option(
    "--rate",
    type=Rate(),
    default=1000.0,
    show_default=True,
    metavar="PPS",
    help="At most so many packets a second; max for no limit.",
)
@click.option(
    "--max-retries",
    type=click.IntRange(0, 15),
    default=10,
    show_default=True,
    metavar="N",
    help="At most so many more tries at a silent port.",
)
@click.option(
    "--confidence",
    type=Finite(0, 1, min_open=True, max_open=True),
    default=0.9999,
    show_default=True,
    metavar="P",
    help="Retry silence until lost packets are less likely than 1 - P.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="SPEC",
    help="Leave these targets out: written as TARGET, parted by spaces, or by commas where each"
    " part is a whole target.",
)
@click.option(
    "--exclude-file",
    multiple=True,
    type=click.File("r"),
    metavar="F",
    help="Leave out the targets listed in F.",
)
@click.option(
    "-iL",
    "--input-list",
    "lists",
    multiple=True,
    type=click.File("r"),
    metavar="F",
    help="Read targets from F; - is standard input.",
)
@click.option("--interface", metavar="I", help="Send and receive on this interface only.")
@click.option("--source-ip", metavar="A", help="Send from this address of ours.")
@click.option(
    "--udp-payload",
    metavar="WHAT",
    help="What UDP probes carry: hex:.., file:.. or text:..  (nothing)",
)
@click.option(
    "--link",
    type=click.Choice(["auto", "rawip", "packet", "xdp", "scapy"]),
    default="auto",
    show_default=True,
    help="How to send: rawip goes every way, packet and xdp are fast on Ethernet, scapy is"
    " portable; auto chooses rawip or packet.",
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Scan only part I of N; all parts of one --seed are the whole.",
)
@click.option(
    "--seed",
    type=int,
    metavar="N",
    help="Make order and tokens repeatable; replies can be forged by who guesses N.",
)
def command(**options: Any) -> int:
    """Probe ports and say which state they are in, and why.

    TARGET is an address, 10.0.0.0/24, 10.0.0.1-20, 10.0-3.*.1,5, a host name, or IPv6.
    """  # fmt: skip
    from rawscan.engine import Settings
    from rawscan.net.routes import check_interface, check_source
    from rawscan.scanner import Request

    check_explain(options)
    targets = _targets(options)
    kinds = _kinds(options)
    request = Request(
        targets=targets,
        ports=read_ports(options["ports"]),
        kinds=kinds,
        settings=Settings(options["rate"], options["max_retries"], options["confidence"]),
        link=options["link"],
        interface=options["interface"],
        source_ip=_source_ip(options["source_ip"], targets),
        udp_payload=_payload(options["udp_payload"]),
        seed=options["seed"],
        shard=_shard(options),
        record_to=options["write_pcap"],
    )
    if request.count == 0:
        raise UsageError("nothing to send: these ports, with these kinds of probe, are none")
    if request.interface:
        check_interface(request.interface)
    if request.source_ip:
        check_source(request.source_ip)
    check_outputs(options["outputs"], _read_from(options), options["write_pcap"])
    return _scan(request, options)


def _scan(request: Request, options: dict[str, Any]) -> int:
    from rawscan.scanner import open_scan

    with interruptible() as stop, open_scan(request, stop, warn) as scan:
        results = Results(options["outputs"], options["as_json"])
        started_s = time.time()
        try:
            results.write(_scan_record(request, scan.link_name, started_s))
            with _progress(request, scan, options["as_json"]) as tick:
                for verdict in scan.run():
                    results.write(port_record(verdict))
                    tick()
            summary = _summary(request, scan, started_s)
            results.write(summary)
        finally:
            results.close()
    results.print_table()
    if options["explain"]:
        explain_records(results.rows.shown, options["write_pcap"])
    _say_summary(summary, results)
    for why, times in scan.counters.not_sent.most_common(3):
        warn(f"{why} ({times} probes not sent)")
    if scan.error is not None:
        warn(f"{scan.error}; the scan ended there and its results are incomplete")
        return 1
    if not scan.complete:
        warn("interrupted: the results are incomplete; what was still open is `unknown`")
        return INTERRUPTED
    return 0 if scan.counters.probes_sent else 1


def _targets(options: dict[str, Any]) -> TargetSet:
    from rawscan.net.routes import resolve

    tokens: list[str | Token] = list(options["targets"])
    for listed in options["lists"]:
        tokens += split_tokens(_read(listed), listed.name)
    if not tokens:
        raise click.UsageError("name a target: an address, a range, a host name, or -iL FILE")
    left_out: list[str | Token] = []
    for spec in options["exclude"]:
        left_out += split_exclude(spec)
    for listed in options["exclude_file"]:
        left_out += split_tokens(_read(listed), listed.name)
    targets = TargetSet.parse(tokens, resolve)
    if left_out:
        targets -= TargetSet.parse(left_out, resolve)
    if not targets:
        raise UsageError("no target is left: the excludes cover all of them")
    return targets


def _read_from(options: dict[str, Any]) -> list[Path | BinaryIO]:
    """The files that this command line names to be read."""
    files = [file.buffer for file in (*options["lists"], *options["exclude_file"])]
    form, _, name = (options["udp_payload"] or "").partition(":")
    return [*files, *([Path(name)] if form == "file" else [])]


def _read(listed: Any) -> str:
    try:
        return str(listed.read())
    except UnicodeDecodeError:
        raise UsageError(
            f"{listed.name}: is no text; a target list has one target a line"
        ) from None


def _kinds(options: dict[str, Any]) -> tuple[ProbeKind, ...]:
    chosen = {ProbeKind.SYN: options["syn"], ProbeKind.UDP: options["udp"],
              ProbeKind.ACK: options["ack"]}  # fmt: skip
    kinds = tuple(kind for kind, wanted in chosen.items() if wanted)
    if not kinds:
        raise UsageError("nothing to send: --no-syn and --no-udp leave no probe; add --ack")
    return kinds


def _shard(options: dict[str, Any]) -> Shard:
    """Parts of different orders would overlap, and leave ports out."""
    shard = Shard.parse(options["shard"]) if options["shard"] else Shard()
    if shard.count > 1 and options["seed"] is None:
        raise UsageError(
            f"--shard {shard} needs --seed N, the same for every part: it chooses the order that "
            "is divided"
        )
    return shard


def _source_ip(text: str | None, targets: TargetSet) -> IPAddress | None:
    if text is None:
        return None
    try:
        source = ip_address(text)
    except ValueError:
        raise UsageError(
            f"--source-ip {text!r} is no IP address; right would be 192.0.2.7"
        ) from None
    if targets.v4 and targets.v6:
        warn(f"--source-ip {source} is used for IPv{source.version} only")
    return source


def _payload(text: str | None) -> bytes:
    """What `--udp-payload` means; UDP over IPv4 carries 65,507 bytes at most (RFC 768, RFC 791)."""
    if not text:
        return b""
    form, _, value = text.partition(":")
    readers: dict[str, Callable[[str], bytes]] = {
        "hex": bytes.fromhex,
        "text": lambda said: said.encode(),
        "file": lambda name: Path(name).read_bytes(),
    }
    if form not in readers:
        raise UsageError(f"--udp-payload {text!r}: write hex:0a1b, text:hello or file:probe.bin")
    try:
        payload = readers[form](value)
    except ValueError:
        raise UsageError(f"--udp-payload hex: {value!r} is not pairs of hex digits") from None
    except OSError as error:
        raise UsageError(f"--udp-payload file: {value}: {error.strerror}") from error
    if len(payload) > 65_507:
        raise UsageError(f"--udp-payload: {len(payload)} bytes are more than a datagram's 65507")
    return payload


def _scan_record(request: Request, link: str, started_s: float) -> dict[str, Any]:
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


def _summary(request: Request, scan: Scan, started_s: float) -> dict[str, Any]:
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


def _say_summary(summary: dict[str, Any], results: Results) -> None:
    if results.rows.counts:
        say(
            f"rawscan: {results.rows}; {summary['probes_sent']} probes, "
            f"{summary['replies']} replies in {summary['elapsed_s']:.1f} s"
        )
    if summary["drops"]:
        warn(f"the kernel dropped {summary['drops']} packets; try a lower --rate")


@contextmanager
def _progress(request: Request, scan: Scan, as_json: bool) -> Iterator[Callable[[], None]]:
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
