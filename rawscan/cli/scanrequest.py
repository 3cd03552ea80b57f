"""From the options of `rawscan scan` to what is to be scanned. Reads lists, asks for names."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from rawscan.cli.common import read_ports, warn
from rawscan.errors import UsageError
from rawscan.model import IPAddress, ProbeKind
from rawscan.permute import Shard
from rawscan.targets import TargetSet, Token, split_exclude, split_tokens

if TYPE_CHECKING:
    from rawscan.scanner import Request


def request_of(options: dict[str, Any], targets: TargetSet) -> Request:
    """What the command line asks for. Raises `UsageError` for what cannot be done."""
    from rawscan.engine import Settings
    from rawscan.net.routes import check_interface, check_source
    from rawscan.scanner import Request

    kinds = _kinds(options)
    request = Request(
        targets=targets,
        ports=read_ports(options["ports"]),
        kinds=kinds,
        settings=Settings(
            rate_pps=options["rate"],
            host_rate_pps=options["max_host_rate"],
            max_retries=options["max_retries"],
            confidence=options["confidence"],
        ),
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
    return request


def targets_of(options: dict[str, Any]) -> TargetSet:
    """Whom the command line names. Raises `UsageError` if that is nobody."""
    from rawscan.net.routes import resolve

    tokens: list[str | Token] = list(options["targets"])
    for listed in options["lists"]:
        tokens += split_tokens(_read(listed), listed.name)
    if not tokens:
        if any(listed.name == "<stdin>" for listed in options["lists"]):
            raise UsageError("no target came on standard input, from which -iL - reads the list")
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


def read_from(options: dict[str, Any]) -> list[Path | BinaryIO]:
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
