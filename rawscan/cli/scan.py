"""`rawscan scan`: parse, scan, print."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from rawscan.cli.common import Results, check_outputs, interruptible, warn
from rawscan.cli.explaining import check_explain, explain_records
from rawscan.cli.scanoptions import scan_options
from rawscan.cli.scanplan import show_plan
from rawscan.cli.scanreport import progress, say_summary, scan_record, summary_record
from rawscan.cli.scanrequest import read_from, request_of, targets_of
from rawscan.errors import INTERRUPTED, OutputError, RawscanError, UsageError
from rawscan.output.files import is_journal

if TYPE_CHECKING:
    from rawscan.cli.resume import Resumption
    from rawscan.scanner import Request


@click.command("scan", short_help="Probe ports and say which state they are in, and why.")
@scan_options
def command(**options: Any) -> int:
    """Probe ports and say which state they are in, and why.

    TARGET is an address, 10.0.0.0/24, 10.0.0.1-20, 10.0-3.*.1,5, a host name, or IPv6.
    """  # fmt: skip
    check_explain(options)
    # NumPy's linear algebra, which is not used here, would start a thread for every core.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from rawscan.scanner.admission import admit

    resumption = None
    if options["resume"] is not None:
        from rawscan.cli.resume import take_up

        resumption = take_up(click.get_current_context(), options["resume"])
        if resumption is None:
            return 0
        options = resumption.options
    admitted = admit(targets_of(options), options["include_reserved"])
    request = request_of(options, admitted.targets)
    inputs = read_from(options)
    if resumption is not None:
        request = resumption.bind(request)
        inputs.append(resumption.path)
    check_outputs(options["outputs"], inputs, request.record_to)
    if options["dry_run"]:
        return show_plan(request, admitted, options["as_json"])
    if admitted.left_out:
        warn(f"{admitted.omission}; --include-reserved adds them")
    if admitted.need_consent and not options["yes"]:
        _ask(admitted.warning)
    return _scan(request, options, resumption)


def _ask(warning: str) -> None:
    """Ask who sits at a terminal. Raises `UsageError` unless the answer is yes."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{warning}. If it is, add --yes; --dry-run shows the plan")
    if not click.confirm(f"rawscan: {warning}. Go on?", default=False, err=True):
        raise UsageError("nothing was sent")


def _scan(request: Request, options: dict[str, Any], resumption: Resumption | None) -> int:
    from rawscan.scanner import open_scan

    earlier = resumption.earlier if resumption else None
    done = earlier.done if earlier else None
    with interruptible() as stop, open_scan(request, stop, warn, done) as scan:
        results = Results(options["outputs"], options["as_json"])
        started_s = time.time()
        failed: RawscanError | None = None
        try:
            if resumption is None:
                results.write(scan_record(request, scan.link_name, started_s))
            else:
                resumption.begin(results)
            still_open = request.count - (0 if done is None else len(done))
            with progress(still_open, scan, options["as_json"]) as tick:
                for batch in scan.batches():
                    results.write_ports(batch)
                    tick()
            summary = summary_record(request, scan, started_s, earlier)
            results.end(summary)
        except OutputError as error:  # What is known is still worth telling.
            failed = error
            summary = summary_record(request, scan, started_s, earlier)
        finally:
            results.close()
    results.print_table()
    if options["explain"]:
        explain_records(results.rows.shown, request.record_to)
    say_summary(summary, results, request)
    for why, times in scan.counters.not_sent.most_common(3):
        warn(f"{why} ({times} probes not sent)")
    journals = [resumption.path] if resumption else filter(is_journal, options["outputs"])
    more = "".join(f"; go on with rawscan scan --resume {path}" for path in [*journals][:1])
    failed = failed or scan.error
    if failed is not None:
        warn(f"{failed}; the scan ended there and its results are incomplete{more}")
        return 1
    if not scan.complete:
        warn(f"interrupted: the results are incomplete; what was still open is `unknown`{more}")
        return INTERRUPTED
    return 0 if scan.counters.probes_sent or not scan.counters.decided else 1
