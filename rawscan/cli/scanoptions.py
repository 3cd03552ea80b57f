"""The options of `rawscan scan`, and how their values are written. Touches nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

import click

from rawscan.cli.common import Finite, json_option, output_option, ports_option
from rawscan.cli.explaining import explain_option


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


_OPTIONS = (
    click.argument("targets", nargs=-1, metavar="TARGET..."),
    ports_option,
    click.option("--syn/--no-syn", default=True, help="SYN probes to the TCP ports (on)."),
    click.option("--udp/--no-udp", default=True, help="UDP probes to the UDP ports (on)."),
    click.option("--ack", is_flag=True, help="ACK probes: which TCP ports are filtered at all?"),
    output_option,
    json_option,
    explain_option,
    click.option(
        "--write-pcap",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Record probes and replies as pcapng.",
    ),
    click.option(
        "--rate",
        type=Rate(),
        default=1000.0,
        show_default=True,
        metavar="PPS",
        help="At most so many packets a second; max for no limit.",
    ),
    click.option(
        "--max-host-rate",
        type=Rate(),
        default=1000.0,
        show_default=True,
        metavar="PPS",
        help="At most so many packets a second to one host; max for no limit.",
    ),
    click.option(
        "--max-retries",
        type=click.IntRange(0, 15),
        default=10,
        show_default=True,
        metavar="N",
        help="At most so many more tries at a silent port.",
    ),
    click.option(
        "--confidence",
        type=Finite(0, 1, min_open=True, max_open=True),
        default=0.9999,
        show_default=True,
        metavar="P",
        help="Retry silence until lost packets are less likely than 1 - P.",
    ),
    click.option(
        "--exclude",
        multiple=True,
        metavar="SPEC",
        help="Leave these targets out: written as TARGET, parted by spaces, or by commas where each"
        " part is a whole target.",
    ),
    click.option(
        "--exclude-file",
        multiple=True,
        type=click.File("r"),
        metavar="F",
        help="Leave out the targets listed in F.",
    ),
    click.option(
        "-iL",
        "--input-list",
        "lists",
        multiple=True,
        type=click.File("r"),
        metavar="F",
        help="Read targets from F; - is standard input.",
    ),
    click.option(
        "--include-reserved",
        is_flag=True,
        help="Ask reserved, multicast and broadcast addresses too; else they are left out.",
    ),
    click.option("--interface", metavar="I", help="Send and receive on this interface only."),
    click.option("--source-ip", metavar="A", help="Send from this address of ours."),
    click.option(
        "--udp-payload",
        metavar="WHAT",
        help="What UDP probes carry: hex:.., file:.. or text:..  (nothing)",
    ),
    click.option(
        "--link",
        type=click.Choice(["auto", "rawip", "packet", "xdp", "scapy"]),
        default="auto",
        show_default=True,
        help="How to send: rawip goes every way, packet and xdp are fast on Ethernet, scapy is"
        " portable; auto chooses by the way and the size of the scan.",
    ),
    click.option(
        "--shard",
        metavar="I/N",
        help="Scan only part I of N; all parts of one --seed are the whole.",
    ),
    click.option(
        "--seed",
        type=int,
        metavar="N",
        help="Make order and tokens repeatable; replies can be forged by who guesses N.",
    ),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Print the plan and sample probes, send no probe, write no file. Needs no privilege."
        " Host names are looked up.",
    ),
    click.option(
        "--resume",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Go on with an interrupted scan; FILE is its -o FILE.jsonl and holds all other"
        " options.",
    ),
    click.option(
        "-y",
        "--yes",
        is_flag=True,
        help="Scan more than 256 addresses outside private and local networks without a question.",
    ),
)


def scan_options(function: Callable[..., int]) -> Callable[..., int]:
    """Give the command its argument and options, in the order in which `--help` shows them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
