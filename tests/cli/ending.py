"""Ends scans of loopback at random moments, takes them up again, and checks all files each time.

Runs in a namespace of its own: `python -m tests.cli.ending DIRECTORY SIGNALS SEED`. Scans run in
forked children, which have all modules already, so that a run takes no time to start.
"""

from __future__ import annotations

import csv
import importlib
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

from rawscan.cli import main
from tests.output.test_journal import parsed

ARGUMENTS = ["scan", "127.0.0.0/22", "-p", "561", "--rate", "3000"]
OUTPUTS = ["-o", "x.jsonl", "-o", "x.json", "-o", "x.csv", "-o", "x.txt"]
EXPECTED = Counter(
    (f"127.0.{n >> 8}.{n & 255}", protocol) for n in range(1024) for protocol in ("tcp", "udp")
)
MODULES = (
    "scan", "resume", "..scanner.resume", "..net.rawip", "..net.nexthop", "..net.packetlink",
    "..output.table",
)  # fmt: skip
MOST_ENDS = 12
ENDS: dict[str, list[signal.Signals]] = {
    "int": [signal.SIGINT],
    "term": [signal.SIGTERM],
    "twice": [signal.SIGINT, signal.SIGINT],
    "kill": [signal.SIGKILL],
}


def start(directory: Path, arguments: list[str]) -> int:
    """A child that runs the program; what it says goes to files.

    No signal reaches it before it is as far as a new process would be.
    """
    asked = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, asked)
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, asked)
        return child
    code = 99
    try:
        os.chdir(directory)
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
        sys.argv = ["rawscan", *arguments]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, asked)
        main(arguments)
    except KeyboardInterrupt:  # `__main__` has not begun, or has nothing left to do
        code = 130
    except SystemExit as left:
        code = int(left.code or 0)
    finally:
        os._exit(code)


def end(child: int, signals: list[signal.Signals], random: Random) -> int:
    """Send them at random moments; returns the exit code, negative for a signal."""
    for number in signals:
        time.sleep(random.uniform(0, 0.7 / len(signals)))
        os.kill(child, number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def known(directory: Path) -> Counter[tuple[str, str]]:
    """What the journal has decided, once all files were found to be whole."""
    journal = directory / "x.jsonl"
    records = parsed(journal.read_bytes()) if journal.exists() else []
    if (directory / "x.json").exists():
        json.loads((directory / "x.json").read_text())
    if (directory / "x.csv").exists():
        with (directory / "x.csv").open(newline="") as file:
            assert all(None not in row.values() for row in csv.DictReader(file))
    assert "Traceback" not in (directory / "err").read_text()
    ports = (record for record in records if record["type"] == "port")
    return Counter((r["target"], r["protocol"]) for r in ports if r["reason"] != "cut-short")


def check_complete(directory: Path) -> None:
    """All runs together are one scan, in every file."""
    assert known(directory) == EXPECTED
    records = parsed((directory / "x.jsonl").read_bytes())
    summaries = [record for record in records if record["type"] == "summary"]
    assert summaries == [records[-1]]
    assert (summaries[0]["results"], summaries[0]["complete"]) == (len(EXPECTED), True)
    assert sum(summaries[0]["states"].values()) == len(EXPECTED)
    assert json.loads((directory / "x.json").read_text()) == records
    with (directory / "x.csv").open(newline="") as file:
        rows = Counter((row["target"], row["protocol"]) for row in csv.DictReader(file))
    assert rows == EXPECTED
    assert not list(directory.glob(".*"))


def run(directory: Path, random: Random, sent: Counter[str]) -> int:
    """One scan until it is complete, which the run after `MOST_ENDS` others is left to be.

    Returns how many ends lay between its first verdict and its last.
    """
    directory.mkdir()
    between = 0
    before: Counter[tuple[str, str]] = Counter()
    for number in range(MOST_ENDS + 1):
        journal = directory / "x.jsonl"
        begun = journal.exists() and journal.read_bytes().count(b"\n") > 0
        child = start(directory, ["scan", "--resume", "x.jsonl"] if begun else ARGUMENTS + OUTPUTS)
        name = random.choice(list(ENDS))
        code = end(child, ENDS[name] if number < MOST_ENDS else [], random)
        after = known(directory)
        assert not before - after, "something known was lost"
        assert max(after.values(), default=1) == 1, "something is there twice"
        if code == 0:
            check_complete(directory)
            return between
        assert code in (130, *(-each for each in ENDS[name])), code
        sent[name] += 1
        between += 0 < len(after) < len(EXPECTED)
        before = after
    raise AssertionError("it was left alone, and is not complete")


def ends(directory: Path, wanted: int, random: Random) -> None:
    """Scan after scan, until so many signals have been sent."""
    for name in MODULES:
        importlib.import_module(name if name.startswith(".") else f".{name}", "rawscan.cli")
    sent: Counter[str] = Counter()
    scans = between = 0
    while sent.total() < wanted:
        between += run(directory / str(scans), random, sent)
        scans += 1
    print(json.dumps({"signals": sent, "scans": scans, "in_between": between}))


if __name__ == "__main__":
    ends(Path(sys.argv[1]), int(sys.argv[2]), Random(int(sys.argv[3])))
