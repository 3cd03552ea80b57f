"""`rawscan scan` while somebody watches: interrupts, and what a terminal shows."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from rawscan.lab.build import Lab
from tests.lab.helpers import until
from tests.story import RAWSCAN, apart, claim, ports_of, rawscan, read_records

pytestmark = pytest.mark.netns


def decided(path: Path) -> int:
    """How many verdicts a scan has written so far."""
    return path.read_text().count('"type":"port"') if path.exists() else 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_an_interrupt_keeps_what_is_known(number: signal.Signals, lab: Lab, tmp_path: Path) -> None:
    out = {ending: tmp_path / f"out.{ending}" for ending in ("jsonl", "json", "csv", "txt")}
    recording = tmp_path / "out.pcapng"
    names = ("closed", "open", "drop", "admin-prohibited")
    targets = [str(lab.plan.host(name).address(family)) for name in names for family in (4, 6)]
    outputs = [part for path in out.values() for part in ("-o", str(path))]
    command = [*RAWSCAN, "scan", *targets, *outputs, "--write-pcap", str(recording)]
    process = lab.popen(command, stdout=-1, stderr=-1, text=True)
    try:
        # Two hosts never answer: twelve verdicts are soon there, the other four take seconds.
        assert until(lambda: decided(out["jsonl"]) >= 12, 10)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=5)
    finally:
        process.kill()
    assert process.returncode == 130
    assert stderr.startswith("rawscan: interrupted: the results are incomplete")

    records = read_records(out["jsonl"].read_text())
    assert [r["type"] for r in (records[0], records[-1])] == ["scan", "summary"]
    assert records[-1]["complete"] is False
    live = ports_of(records)
    assert len(live) == records[-1]["results"] == 16
    known = {key: claim(r) for key, r in live.items() if r["state"] != "unknown"}
    assert len(known) == 12
    assert {claim(r) for r in live.values() if r["state"] == "unknown"} == {
        ("unknown", "cut-short", None)
    }
    assert json.loads(out["json"].read_text()) == records
    with out["csv"].open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 16
    assert out["txt"].read_text().count("cut-short") == stdout.count("cut-short") == 4

    read = rawscan(None, "pcap", str(recording), "--json")
    assert (read.returncode, read.stderr) == (0, "")
    offline = ports_of(read_records(read.stdout))
    assert {k: claim(r) for k, r in offline.items()} == {k: claim(r) for k, r in live.items()}


def on_terminal(
    lab: Lab, *arguments: str, columns: int = 120, typed: bytes = b""
) -> tuple[int, str]:
    """Run rawscan on a terminal of its own; give its exit code and all that it showed."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    hidden = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CI"}
    environment = {k: v for k, v in os.environ.items() if k not in hidden} | {"TERM": "xterm"}
    process = lab.popen(
        [*RAWSCAN, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    os.write(ours, typed)
    shown = b""
    deadline = time.monotonic() + 30
    try:
        while time.monotonic() < deadline:
            ready, _, _ = select.select([ours], [], [], 1)
            try:
                piece = os.read(ours, 65536) if ready else None
            except OSError:  # EIO: the other side has closed it
                break
            if piece == b"":
                break
            shown += piece or b""
        return process.wait(5), shown.decode()
    finally:
        process.kill()
        os.close(ours)


def test_a_terminal_shows_what_goes_on(lab: Lab) -> None:
    names = ("closed", "drop")
    code, shown = on_terminal(lab, "scan", *(str(lab.plan.host(name).v4) for name in names))
    assert code == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    before, bar, after = (
        text.index("rawscan: 4 ports of 2 targets from"), text.index("/4 ports"),
        text.index("rawscan: 2 closed, 1 filtered, 1 open|filtered;"),
    )  # fmt: skip
    assert before < bar < text.index("TARGET") < after
    host = re.escape(str(lab.plan.scanner(4)))
    way = rf"from {host} on \w+, by gateway 10\.56\.0\.1, link rawip, at most 1000 packets/s"
    assert re.search(way, text)
    assert "closed UDP ports" not in text
    assert re.search(r"\d+ probes/s", text)
    assert "\x1b[31mclosed" in shown  # in colour


def test_a_terminal_is_told_the_floor_of_closed_udp_ports(lab: Lab) -> None:
    options = ["--no-syn", "-p", "1-7", "--max-retries", "0"]
    code, shown = on_terminal(lab, "scan", "127.0.0.1", *options)
    assert code == 0
    assert ", on link, link rawip" in shown
    assert "closed UDP ports take 1 s a host or longer" in shown


STRANGERS = ("scan", "8.8.8.0/23", "--no-udp", "--max-retries", "0", "--rate", "max")


@pytest.mark.parametrize("typed", [b"\n", b"n\n"])
def test_a_terminal_is_asked_about_strangers_and_no_is_meant(typed: bytes, lab: Lab) -> None:
    code, shown = on_terminal(lab, *STRANGERS, typed=typed)
    assert code == 2
    assert "512 of the targets are outside private and local networks" in shown
    assert "Go on? [y/N]" in shown
    assert shown.rstrip().endswith("rawscan: nothing was sent")


@pytest.mark.parametrize(("option", "typed"), [([], b"y\n"), (["--yes"], b""), (["-y"], b"")])
def test_strangers_are_scanned_if_somebody_agrees(
    option: list[str], typed: bytes, lab: Lab
) -> None:
    code, shown = on_terminal(lab, *STRANGERS, *option, typed=typed)
    assert code in (0, 1)  # the lab has no way there, which its router says
    assert ("Go on?" in shown) is bool(typed)
    assert "rawscan: 512 ports of 512 targets" in shown


def test_what_is_left_out_is_said_and_the_rest_is_scanned(lab: Lab) -> None:
    target = str(lab.plan.host("closed").v4)
    arguments = ["scan", target, "224.0.0.1", "255.255.255.255", "--json"]
    done = rawscan(lab, *arguments)
    assert done.returncode == 0
    assert done.stderr == (
        "rawscan: 2 reserved, multicast or broadcast addresses are left out; "
        "--include-reserved adds them\n"
    )
    records = read_records(done.stdout)
    assert (records[0]["targets"], records[0]["gateway"]) == (1, "10.56.0.1")
    assert {key[0] for key in ports_of(records)} == {target}
    done = rawscan(lab, *arguments, "--include-reserved", "--max-retries", "0")
    assert "left out" not in done.stderr
    assert read_records(done.stdout)[0]["targets"] == 3


def test_json_on_a_terminal_is_not_mixed_with_it(lab: Lab) -> None:
    code, shown = on_terminal(lab, "scan", str(lab.plan.host("closed").v4), "--json")
    assert code == 0
    lines = [line for line in shown.splitlines() if line.startswith("{")]
    assert [json.loads(line)["type"] for line in lines] == ["scan", "port", "port", "summary"]


@pytest.mark.parametrize("columns", [20, 40, 79])
def test_a_narrow_terminal_does_not_break_it(columns: int, lab: Lab) -> None:
    code, shown = on_terminal(lab, "scan", str(lab.plan.host("closed").v6), columns=columns)
    assert code == 0
    assert "Traceback" not in shown
    assert shown.count("closed") >= 2


def test_addresses_on_a_terminal_are_not_taken_for_emoji(lab: Lab) -> None:
    target = "fd56:a:1234:b::5"
    code, shown = on_terminal(lab, "scan", target, "--no-udp", "--max-retries", "0")
    assert code in (0, 1)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert [line.split()[0] for line in text.splitlines() if "561/tcp" in line] == [target]


def test_a_file_that_cannot_grow_ends_the_scan_with_what_is_known(tmp_path: Path) -> None:
    """As a full disk does, a limit on the size of files: told by name, and resumed afterwards."""
    journal = tmp_path / "x.jsonl"
    scan = ["scan", "127.0.0.1", "-p", "1-600", "--no-udp", "-o", str(journal)]
    command = apart(["prlimit", "--fsize=65536", "--", *RAWSCAN, *scan])
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert f"{journal}: cannot be written any further: File too large" in ended.stderr
    assert f"go on with rawscan scan --resume {journal}" in ended.stderr
    assert "closed" in ended.stdout
    known = [r["port"] for r in read_records(journal.read_text()) if r["type"] == "port"]
    assert 0 < len(known) == len(set(known)) < 600
    command = apart([*RAWSCAN, "scan", "--resume", str(journal)])
    resumed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert resumed.returncode == 0, resumed.stderr
    asked = [r["port"] for r in read_records(journal.read_text()) if r["type"] == "port"]
    assert sorted(asked) == list(range(1, 601))
