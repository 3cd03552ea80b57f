"""`--explain` of `scan` and `pcap`: why each port is in its state. Terminal only."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rawscan.cli.common import terminal_columns, warn
from rawscan.errors import UsageError
from rawscan.output.records import Record
from rawscan.ports import parse_ports

if TYPE_CHECKING:
    from rawscan.findings import Finding
    from rawscan.teach.case import Case

MOST_EXPLAINED = 25
"""More is no reading for people; `rawscan explain FILE:TARGET:PORT` tells of any one."""

explain_option = click.option(
    "--explain", is_flag=True, help="Explain each verdict: ladder, bytes, rule, how sure."
)


def check_explain(options: dict[str, Any]) -> None:
    """Raise `UsageError` where explanations have no place to go."""
    if options["explain"] and options["as_json"]:
        raise UsageError(
            "--explain writes for people and --json for programs, both to standard output; "
            "leave one out (-o FILE.jsonl takes the records as well)"
        )


def explain_records(records: Sequence[Record], recording: Path | None) -> None:
    """Explain the ports of a scan: from its recording where there is one, else by its records."""
    from rawscan.teach.case import case_of_record, cases_in

    if not records:
        return
    if recording is not None and recording.is_file():
        wanted = {(record["target"], record["port"], record["probe"]) for record in records}
        # The note in the recording leaves the ports out where they do not fit.
        ports = parse_ports(",".join(sorted({str(port) for _, port, _ in wanted})))
        cases = [case for case in cases_in(recording, ports) if _key(case) in wanted]
    else:
        cases = [case_of_record(record, "this scan") for record in records]
    _explain(cases)


def explain_findings(path: Path, findings: Sequence[Finding]) -> None:
    """Explain what was found in a capture."""
    from rawscan.teach.case import with_packets

    _explain(with_packets(path, findings[:MOST_EXPLAINED]), len(findings))


def _key(case: Case) -> tuple[str, int, str]:
    return str(case.port.target), case.port.number, case.port.kind.value


def _explain(cases: Iterable[Case], total: int | None = None) -> None:
    from rawscan.teach.explanation import explain_case
    from rawscan.teach.text import write_explanation

    cases = list(cases)
    for case in cases[:MOST_EXPLAINED]:
        click.echo()
        write_explanation(explain_case(case), sys.stdout, terminal_columns())
    left = (total or len(cases)) - MOST_EXPLAINED
    if left > 0:
        warn(
            f"{left} more ports are not explained; `rawscan explain FILE:TARGET:PORT` tells of one"
        )
