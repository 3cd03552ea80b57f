"""`rawscan pcap`: which files it reads, what it writes of them, and how it says no."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rawscan.wire import replies
from tests.lab.helpers import until
from tests.story import RAWSCAN, claim, read_records
from tests.tape import SCANNER, TARGET, UDP, Tape

CAPTURE_FIELDS = [
    "type",
    "path",
    "format",
    "linktypes",
    "packets",
    "bytes",
    "matched",
    "first",
    "last",
    "truncated",
    "error",
    "counts",
]
COUNT_FIELDS = [
    "tcp_to",
    "tcp_from",
    "udp_to",
    "udp_from",
    "syn",
    "syn_ack",
    "rst",
    "icmp",
    "icmp6",
]
PORT_FIELDS = [
    "type",
    "target",
    "port",
    "protocol",
    "probe",
    "state",
    "reason",
    "reason_ip",
    "reason_ttl",
    "rtt_ms",
    "tries",
    "confidence",
    "rule",
    "hints",
    "time",
    "first_seen",
    "last_seen",
    "capture",
    "frames",
    "probe_frames",
]


def pcap(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    options = {"capture_output": True, "text": True, "timeout": 60, **options}
    return subprocess.run([*RAWSCAN, "pcap", *arguments], check=False, **options)


def records(*arguments: str) -> list[dict[str, Any]]:
    done = pcap("--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return read_records(done.stdout)


def verdicts(*arguments: str) -> list[dict[str, Any]]:
    """The same without what `tests/cli/test_pcap_traffic.py` is about."""
    return of_ports(records(*arguments))


def of_ports(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in found if record["type"] in ("capture", "port")]


def tape() -> Tape:
    """A SYN that is reset after a lost try, and a datagram that nobody answers."""
    tape = Tape()
    tape.probe(0)
    tape.reply(1.25, replies.rst(tape.probe(1, number=1)))
    tape.probe(2, UDP)
    return tape


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return tape().foreign(tmp_path / "a.pcap")


def test_json_has_every_field(capture: Path) -> None:
    head, tcp, udp = verdicts(str(capture))
    assert set(CAPTURE_FIELDS) <= set(head)
    assert next(iter(head)) == next(iter(tcp)) == "type"
    assert head | {
        "type": "capture", "path": str(capture), "format": "pcap", "linktypes": [101],
        "packets": 4, "matched": 4, "truncated": False, "error": None, "own": False,
        "first": "2023-11-14T22:13:20.000000Z", "last": "2023-11-14T22:13:22.000000Z",
    } == head  # fmt: skip
    assert head["bytes"] == sum(len(packet) for _, packet, _ in tape().frames)
    assert list(head["counts"]) == COUNT_FIELDS
    assert [head["counts"][name] for name in COUNT_FIELDS] == [2, 1, 1, 0, 2, 0, 1, {}, {}]

    for record in (tcp, udp):
        assert set(PORT_FIELDS) <= set(record)
        assert (record["capture"], record["source"]) == (str(capture), str(SCANNER))
    assert claim(tcp) == ("closed", "reset", str(TARGET))
    assert (tcp["tries"], tcp["rtt_ms"], tcp["frames"], tcp["probe_frames"]) == (
        2,
        250,
        [3],
        [1, 2],
    )
    assert (tcp["first_seen"], tcp["last_seen"]) == (
        "2023-11-14T22:13:20.000000Z",
        "2023-11-14T22:13:21.250000Z",
    )
    assert claim(udp) == ("unknown", "cut-short", None)
    assert (udp["frames"], udp["probe_frames"]) == ([], [4])
    assert (udp["rtt_ms"], udp["reason_ttl"], udp["confidence"]) == (None, None, 0.0)


def test_errors_about_the_port_are_counted(tmp_path: Path) -> None:
    tape = Tape()
    tape.reply(0.1, replies.icmp_error(tape.probe(0), 3, 13))
    (head, port) = verdicts(str(tape.foreign(tmp_path / "icmp.pcap")))
    assert head["counts"]["icmp"] == {"3/13": 1}
    assert claim(port) == ("filtered", "admin-prohibited", str(TARGET))


def test_silence_wait(capture: Path) -> None:
    _, _, udp = verdicts(str(capture), "--silence-wait", "0")
    assert claim(udp) == ("open|filtered", "no-response", None)
    done = pcap(str(capture), "--silence-wait", "-1")
    assert done.returncode == 2
    assert "--silence-wait" in done.stderr


def test_ports_are_those_asked_for(capture: Path) -> None:
    (head,) = records(str(capture), "-p", "562")
    assert (head["packets"], head["matched"]) == (4, 0)
    done = pcap(str(capture), "-p", "562")
    assert (done.returncode, done.stdout) == (0, "")
    assert "nobody probed 562" in done.stderr
    bad = pcap(str(capture), "-p", "70000")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert "70000" in bad.stderr


def test_a_file_cut_short_gives_what_it_holds(capture: Path) -> None:
    capture.write_bytes(capture.read_bytes()[:-5])
    done = pcap(str(capture), "--json")
    assert done.returncode == 1
    assert f"{capture}: cut short" in done.stderr
    assert "Traceback" not in done.stderr
    head, tcp = of_ports(read_records(done.stdout))
    assert (head["truncated"], head["packets"]) == (True, 3)
    assert "cut short" in head["error"]
    assert claim(tcp) == ("closed", "reset", str(TARGET))


def test_what_is_no_capture_does_not_stop_the_others(capture: Path, tmp_path: Path) -> None:
    text, missing = tmp_path / "notes.pcap", tmp_path / "missing.pcap"
    text.write_text("these are notes\n")
    done = pcap(str(text), str(missing), str(capture), "--json")
    assert done.returncode == 1
    errors = done.stderr.splitlines()
    assert len(errors) == 2
    assert f"{text}: is no capture" in errors[0]
    assert f"{missing}: cannot be opened: No such file" in errors[1]
    assert [r["type"] for r in of_ports(read_records(done.stdout))] == ["capture", "port", "port"]


def test_directories_are_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    for name in ("b.pcap", "a.cap", "deep/er/c.pcapng"):
        tape().foreign(tmp_path / name)
    (tmp_path / "d.pcap.gz").write_bytes(gzip.compress((tmp_path / "b.pcap").read_bytes()))
    (tmp_path / "notes.txt").write_text("no capture, and nobody said it was")
    found = [r["path"] for r in records(str(tmp_path)) if r["type"] == "capture"]
    names = ("a.cap", "b.pcap", "d.pcap.gz", "deep/er/c.pcapng")
    assert found == [str(tmp_path / name) for name in names]


def test_a_directory_without_captures_is_an_error(capture: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = pcap(str(empty), str(capture), "--json")
    assert done.returncode == 1
    assert f"{empty}: holds no file" in done.stderr
    # The files named beside it are read all the same.
    assert [r["type"] for r in of_ports(read_records(done.stdout))] == ["capture", "port", "port"]


def test_standard_input_is_a_file_too(capture: Path) -> None:
    with capture.open("rb") as stream:
        done = pcap("-", "--json", stdin=stream)
    assert (done.returncode, done.stderr) == (0, "")
    piped = read_records(done.stdout)
    named = records(str(capture))
    assert {r.get("path") or r["capture"] for r in piped} == {"<stdin>"}
    for record in (*piped, *named):
        record.pop("path", None)
        record.pop("capture", None)
    assert piped == named


def test_nothing_on_standard_input_is_an_error() -> None:
    done = pcap("-", stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is empty" in done.stderr


def test_outputs_hold_the_same(capture: Path, tmp_path: Path) -> None:
    out = {ending: tmp_path / f"out.{ending}" for ending in ("jsonl", "json", "csv", "txt")}
    everything = records(str(capture), *(p for path in out.values() for p in ("-o", str(path))))
    assert read_records(out["jsonl"].read_text()) == everything
    assert json.loads(out["json"].read_text()) == everything
    with out["csv"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["state"], r["probe_frames"]) for r in rows] == [("closed", "1; 2"), ("unknown", "4")]
    assert out["txt"].read_text() == pcap(str(capture)).stdout


def test_one_bad_output_leaves_the_good_ones_alone(capture: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "old.jsonl"
    earlier.write_text("old")
    done = pcap(str(capture), "-o", str(earlier), "-o", str(tmp_path / "x.foo"))
    assert (done.returncode, done.stdout) == (2, "")
    assert earlier.read_text() == "old"


def test_two_captures_of_one_port_are_two_rows(capture: Path, tmp_path: Path) -> None:
    other = tmp_path / "b.pcap"
    shutil.copy(capture, other)
    lines = pcap(str(capture), str(other)).stdout.splitlines()
    assert len([line for line in lines if "closed" in line]) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_an_interrupt_keeps_what_was_read(
    number: signal.Signals, capture: Path, tmp_path: Path
) -> None:
    """A pipe that never ends: what came before the signal is judged and written."""
    out = tmp_path / "out.jsonl"
    whole = capture.read_bytes()
    process = subprocess.Popen(
        [*RAWSCAN, "pcap", "-", "-o", str(out)], stdin=-1, stdout=-1, stderr=-1
    )
    try:
        assert process.stdin is not None
        process.stdin.write(whole)
        process.stdin.flush()
        assert until(lambda: waits_for_more(process.pid) and out.exists(), 10)
        process.send_signal(number)
        process.stdin.write(whole[24:])  # the next packets find it interrupted
        stdout, stderr = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 130
    assert b"interrupted: the rest of the captures was not read" in stderr
    found = of_ports(read_records(out.read_text()))
    assert [(r["type"], r.get("state")) for r in found] == [
        ("capture", None), ("port", "closed"), ("port", "unknown"),
    ]  # fmt: skip
    assert b"closed" in stdout


def waits_for_more(pid: int) -> bool:
    """Has it read all there is, and waits for more?"""
    number, *_ = Path(f"/proc/{pid}/syscall").read_text().split()
    return number in ("7", "73")  # poll on x86-64, ppoll on arm64


@pytest.mark.parametrize("named", ["in.json", ".", "-"])
def test_a_capture_is_not_overwritten_by_its_results(named: str, tmp_path: Path) -> None:
    capture = tmp_path / "in.json"
    capture.write_bytes(b"frames")
    (tmp_path / "other.pcap").symlink_to(capture)  # so that the folder holds it
    with capture.open("rb") as stdin:
        done = pcap(named, "-o", "in.json", cwd=tmp_path, stdin=stdin)
    assert (done.returncode, done.stdout) == (2, "")
    assert "-o in.json: would overwrite" in done.stderr
    assert capture.read_bytes() == b"frames"


def test_a_silence_wait_is_a_number() -> None:
    done = pcap("x.pcap", "--silence-wait", "nan")
    assert done.returncode == 2
    assert "'nan' is no number to count with" in done.stderr
