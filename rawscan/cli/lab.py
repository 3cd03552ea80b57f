"""`rawscan lab`: build the lab, look at it, work in it, and show the whole story in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rawscan.cli.common import warn
from rawscan.errors import LabError, UsageError

if TYPE_CHECKING:
    from rawscan.lab.build import Lab
    from rawscan.lab.plan import Plan
    from rawscan.lab.standing import Standing

_ME = (sys.executable, "-m", "rawscan")

Claims = dict[tuple[str, str], tuple[str, str, str | None]]
"""(target, protocol) to (state, reason, responder)."""


@click.group("lab", short_help="A network of real kernels and firewalls to scan, without root.")
def command() -> None:
    """A network of real kernels and firewalls on this machine, built without root.

    It lives in namespaces of its own and vanishes with the command, or with `down` after `up`;
    this machine's own network is never touched.
    """


@command.command("list")
def list_() -> None:
    """List the labs that can be had by name."""
    from rawscan.lab.menu import TOPOLOGIES

    for topology in TOPOLOGIES.values():
        click.echo(f"{topology.name:<17} {topology.about}")
    click.echo("\nA lab of your own: `rawscan lab up FILE.toml` (docs/lab.md).")


@command.command("show")
@click.argument("topology", default="basic")
def show(topology: str) -> None:
    """List the hosts of TOPOLOGY (basic), what each does and what a scan must find."""
    from rich.console import Console
    from rich.table import Table

    _, plan = _plan(topology)
    table = Table(box=None, pad_edge=False)
    for heading in ("HOST", "ADDRESSES", "TCP", "UDP", "WHY"):
        table.add_column(heading, overflow="fold")
    for host in plan.hosts:
        words = {
            protocol: "\n".join(
                f"{e.state.value} {e.reason}" for e in host.expected if e.protocol.value == protocol
            )
            for protocol in ("tcp", "udp")
        }
        table.add_row(host.name, f"{host.v4}\n{host.v6}", words["tcp"], words["udp"], host.note)
    Console(width=None if sys.stdout.isatty() else 160, emoji=False).print(table)


def _plan(topology: str) -> tuple[str, Plan]:
    """A lab by its name on the menu, or by the name of a TOML file."""
    from rawscan.lab.menu import TOPOLOGIES
    from rawscan.lab.own import read_plan

    if topology in TOPOLOGIES:
        return topology, TOPOLOGIES[topology].plan
    if not topology.endswith(".toml"):
        raise UsageError(
            f"there is no lab {topology!r}; there are {', '.join(TOPOLOGIES)}, and FILE.toml"
        )
    name, about, plan = read_plan(Path(topology))
    return f"{name} ({about})" if about else name, plan


@command.command("up")
@click.argument("topology", default="basic", metavar="[TOPOLOGY | FILE.toml]")
@click.option(
    "--student", metavar="NAME", help="The lab that `rawscan quiz --student NAME` asks about."
)
@click.option("--class", "class_word", default="", metavar="WORD", help="Of the student's class.")
def up(topology: str, student: str | None, class_word: str) -> None:
    """Build a lab that stays up until `rawscan lab down`: one of `lab list`, or your own."""
    from rawscan.lab import standing
    from rawscan.lab.individual import individual, word_of

    if student is None:
        built = standing.up(*_plan(topology))
    else:
        built = standing.up(f"of {student}", individual(word_of(student, class_word)))
    _say_standing(built)
    click.echo("\n`rawscan lab shell` opens a shell on its scanner, `rawscan lab down` ends it.")


@command.command("status")
def status() -> int:
    """Say which lab is up, and its hosts; exit code 1 if none is."""
    from rawscan.lab import standing

    found = standing.find()
    if found is None:
        click.echo("no lab is up; `rawscan lab up` builds one")
        return 1
    _say_standing(found)
    return 0


@command.command("down")
def down() -> None:
    """Take the lab down, with every process in it; nothing of it is left."""
    from rawscan.lab import standing

    click.echo("the lab is down" if standing.down() else "no lab was up")


def _say_standing(found: Standing) -> None:
    click.echo(f"the lab {found.name} is up: {len(found.hosts)} hosts\n")
    width = max(len(name) for name, *_ in found.hosts)
    for name, v4, v6, note in found.hosts:
        click.echo(f"  {name:<{width}}  {v4:<12} {v6:<12}  {note}".rstrip())


@command.command("shell")
@click.argument("host", default="scanner")
@click.option(
    "--topology",
    metavar="NAME",
    help="Build this lab for the shell, and take it down after it. Default: the lab that is up,"
    " or else basic.",
)
def shell(host: str, topology: str | None) -> int:
    """Open a shell on HOST (the scanner), in the lab that is up or in one built for it."""
    from rawscan.lab import standing
    from rawscan.lab.build import Lab

    found = None if topology else standing.find()
    if found is not None:
        _check_host(host, list(found.door.namespaces))
        click.echo(f"rawscan: on {host} of {found.name}; `exit` leaves it up", err=True)
        return found.door.run(["sh", "-i"], host=host).returncode
    _, plan = _plan(topology or "basic")
    _check_host(host, plan.namespaces())
    with Lab.up(plan) as lab:
        click.echo(
            f"rawscan: on {host}; scan 10.56.1.0/24 or fd56:1::11, and `exit` takes the lab down",
            err=True,
        )
        return lab.run(["sh", "-i"], host=host).returncode


def _check_host(host: str, names: Sequence[str]) -> None:
    if host not in names:
        raise UsageError(f"the lab has no host {host!r}; it has {', '.join(names)}")


@command.command("demo")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out"),
    show_default=True,
    help="Where the recording and the records go.",
)
def demo(directory: Path) -> int:
    """Scan port 561 all over the lab, then read the recording back: two ways, one truth."""
    from rawscan.lab.build import Lab

    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--directory {directory}: {error.strerror}") from error
    recording = directory / "demo.pcapng"
    live, offline = directory / "demo-live.jsonl", directory / "demo-offline.jsonl"
    with Lab.up() as lab:
        targets = [str(target) for target in lab.plan.targets()]
        click.echo(f"$ rawscan scan --write-pcap {recording} ({len(targets)} addresses)\n")
        scanned = lab.run([*_ME, "scan", *targets, "--write-pcap", str(recording), "-o", str(live)])
        if scanned.returncode:
            return scanned.returncode
        click.echo(f"\n$ rawscan pcap {recording}\n")
        read = lab.run([*_ME, "pcap", str(recording), "-o", str(offline)])
        if read.returncode:
            return read.returncode
        return _compare(lab, live, offline)


def _compare(lab: Lab, live: Path, offline: Path) -> int:
    """Say whether the plan, the scan and its recording agree on every port; 1 if not."""
    expected = _plan_claims(lab.plan)
    seen, read = _file_claims(live), _file_claims(offline)
    wrong = 0
    for key, claim in expected.items():
        if not claim == seen.get(key) == read.get(key):
            wrong += 1
            warn(f"{' '.join(key)}: plan {claim}, live {seen.get(key)}, offline {read.get(key)}")
    total = len(expected)
    click.echo(
        f"\n{total - wrong} of {total} ports: the verdict is what the plan expects, and the "
        "recording, read offline, agrees."
    )
    if wrong:
        raise LabError(f"{wrong} of {total} ports disagree, as listed above")
    return 0


def _plan_claims(plan: Plan) -> Claims:
    claims: Claims = {}
    for _, target, expected in plan.claims():
        responder = plan.responder(target, expected)
        claims[str(target), expected.protocol.value] = (
            expected.state.value,
            expected.reason,
            None if responder is None else str(responder),
        )
    return claims


def _file_claims(path: Path) -> Claims:
    records: Iterable[dict[str, Any]] = map(json.loads, path.read_text().splitlines())
    return {
        (r["target"], r["protocol"]): (r["state"], r["reason"], r["reason_ip"])
        for r in records
        if r["type"] == "port"
    }
