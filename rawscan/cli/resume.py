"""`rawscan scan --resume FILE`: go on with the scan whose journal is FILE. Reads and writes it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from rawscan.cli.common import Results, say, warn
from rawscan.errors import UsageError
from rawscan.output.files import resume_journal
from rawscan.output.journal import open_locked, read_last, read_lines
from rawscan.output.records import Record, rfc3339

if TYPE_CHECKING:
    from rawscan.scanner import Request
    from rawscan.scanner.resume import Earlier

BESIDE = {"resume", "yes"}
"""Options that may stand beside --resume; all others are in the journal."""


@dataclass(slots=True)
class Resumption:
    """A scan that is taken up: its journal, locked, its `scan` record, and its command's options.

    `earlier` is known once `bind` has read the journal.
    """

    path: Path
    descriptor: int
    head: Record
    options: dict[str, Any]
    earlier: Earlier | None = None

    def bind(self, request: Request) -> Request:
        """The request that goes on where the earlier run ended. Raises `UsageError`."""
        from rawscan.scanner.resume import check_same, read_earlier

        check_same(self.head, request, str(self.path))
        request = replace(request, order=bytes.fromhex(self.head["order"]))
        self.earlier = read_earlier(self.path, request.space)
        if request.record_to is not None:
            request = replace(request, record_to=_beside(request.record_to))
            warn(f"the recording goes on in {request.record_to}")
        return request

    def begin(self, results: Results) -> None:
        """Tell the other outputs what is known, and say in all of them that the scan goes on."""
        assert self.earlier is not None
        for record in self._kept():
            results.write(record)
        results.add(resume_journal(self.descriptor, self.earlier.size_bytes))
        decided = len(self.earlier.done)
        say(f"rawscan: {decided} of {self.head['count']} ports are decided already")
        results.write({"type": "resumed", "time": rfc3339(time.time()), "decided": decided})

    def _kept(self) -> Iterator[Record]:
        assert self.earlier is not None
        with self.path.open("rb") as file:
            for line in read_lines(file, str(self.path)):
                if line.end_bytes > self.earlier.size_bytes:
                    return
                yield line.record


def take_up(context: click.Context, path: Path) -> Resumption | None:
    """Take up the scan of this journal; None, with a word about it, if it is complete already.

    Raises `UsageError` or click's for what cannot be resumed, and for options beside `--resume`.
    """
    _check_alone(context)
    if not path.is_file():
        raise UsageError(f"--resume {path}: is no file; right would be a scan's -o FILE.jsonl")
    try:
        descriptor = open_locked(path)
        head, last = _head(path), read_last(path)
    except OSError as error:
        raise UsageError(f"--resume {path}: cannot go on with it: {error.strerror}") from error
    if last is not None and last["type"] == "summary" and last.get("complete") is True:
        click.echo(f"rawscan: {path} is complete: there is nothing to resume", err=True)
        return None
    command = context.command.make_context("scan", list(head["command"][2:]), parent=context.parent)
    context.call_on_close(command.close)
    outputs = [each for each in command.params["outputs"] if not _same(each, path)]
    yes = command.params["yes"] or context.params["yes"]
    options = {**command.params, "outputs": outputs, "yes": yes}
    return Resumption(path, descriptor, head, options)


def _check_alone(context: click.Context) -> None:
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in BESIDE and context.params[name] != ():
            raise click.UsageError(
                "--resume FILE takes no targets and no other options: they are in FILE, as they "
                f"were given first; leave {parameter.get_error_hint(context)} out"
            )


def _head(path: Path) -> Record:
    """The journal's `scan` record. Raises `UsageError` if a scan cannot be resumed from it."""
    with path.open("rb") as file:
        head = next((line.record for line in read_lines(file, str(path))), None)
    if head is None:
        raise UsageError(f"--resume {path}: no scan has begun in it; start it anew")
    if head["type"] != "scan":
        raise UsageError(f"--resume {path}: is no journal of a scan, it begins with {head['type']}")
    try:
        fit = head["command"][:2] == ["rawscan", "scan"] and len(bytes.fromhex(head["order"])) == 32
    except (KeyError, TypeError, ValueError):
        fit = False
    if not fit:
        raise UsageError(
            f"--resume {path}: its first line does not say how to go on; was it made by an older "
            "rawscan, or by a program that calls it?"
        )
    return head


def _same(path: Path, other: Path) -> bool:
    return path.exists() and path.samefile(other)


def _beside(recording: Path) -> Path:
    """A name for the next recording: `proof.2.pcapng` beside `proof.pcapng`, or a higher number."""
    names = (recording.with_suffix(f".{number}{recording.suffix}") for number in count(2))
    return next(path for path in names if not path.exists()) if recording.exists() else recording
