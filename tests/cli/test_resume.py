"""`rawscan scan --resume`: what it goes on with, what it refuses, and ends at any moment."""

from __future__ import annotations

import csv
import fcntl
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.output.test_journal import parsed
from tests.story import RAWSCAN, apart, rawscan

pytestmark = pytest.mark.netns

TARGETS = "127.0.0.0/28"


def scan(directory: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run it in that directory, where a command's relative names lead to."""
    return rawscan(None, "scan", *arguments, cwd=directory, **options)


def key(record: dict[str, Any]) -> tuple[str, int, str]:
    return record["target"], record["port"], record["protocol"]


def keys(records: list[dict[str, Any]]) -> Counter[tuple[str, int, str]]:
    return Counter(key(record) for record in records if record["type"] == "port")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the journal of a scan of 32 ports that was complete."""
    directory = tmp_path_factory.mktemp("whole")
    (directory / "list").write_text(TARGETS)
    outputs = ("-o", "x.jsonl", "-o", "x.json", "-o", "x.csv", "-o", "x.txt", "-o", "y.jsonl")
    done = scan(directory, "-iL", "list", *outputs, "--write-pcap", "x.pcapng")
    assert (done.returncode, done.stderr) == (0, "")
    return directory


@pytest.fixture
def torn(whole: Path, tmp_path: Path) -> Path:
    """The same after a kill: 10 ports are known, the journal's last line is torn."""
    lines = (whole / "x.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "x.jsonl").write_bytes(b"".join([*lines[:11], lines[11][:40]]))
    (tmp_path / "x.pcapng").write_bytes((whole / "x.pcapng").read_bytes())
    (tmp_path / "list").write_text(TARGETS)
    return tmp_path


def test_everything_is_whole_afterwards(torn: Path, whole: Path) -> None:
    before = (torn / "x.jsonl").read_bytes().rpartition(b"\n")[0] + b"\n"
    done = scan(torn, "--resume", "x.jsonl")
    assert done.returncode == 0
    assert done.stderr == "rawscan: the recording goes on in x.2.pcapng\n"
    data = (torn / "x.jsonl").read_bytes()
    assert data.startswith(before)
    records = parsed(data)
    assert [record["type"] for record in records] == [
        "scan", *["port"] * 10, "resumed", *["port"] * 22, "summary"
    ]  # fmt: skip
    assert keys(records) == keys(parsed((whole / "x.jsonl").read_bytes()))
    assert set(keys(records).values()) == {1}
    resumed, summary = records[11], records[-1]
    assert list(resumed) == ["type", "time", "decided"]
    assert resumed["decided"] == 10
    assert (summary["results"], summary["complete"]) == (32, True)
    assert summary["states"] == {"closed": 32}
    assert 22 <= summary["probes_sent"] < 32

    assert json.loads((torn / "x.json").read_text()) == records
    assert parsed((torn / "y.jsonl").read_bytes()) == records
    with (torn / "x.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 32
    assert (torn / "x.txt").read_text().count("561/") == done.stdout.count("561/") == 32
    assert (torn / "x.pcapng").read_bytes() == (whole / "x.pcapng").read_bytes()
    read = rawscan(None, "pcap", str(torn / "x.2.pcapng"), "--json")
    assert len(keys(parsed(read.stdout.encode()))) == 22


def test_a_journal_may_have_moved(torn: Path) -> None:
    moved = torn / "moved"
    moved.mkdir()
    (torn / "x.jsonl").rename(moved / "z.jsonl")
    assert scan(torn, "--resume", "moved/z.jsonl").returncode == 0
    for path in (moved / "z.jsonl", torn / "x.jsonl"):
        assert set(keys(parsed(path.read_bytes())).values()) == {1}
        assert len(keys(parsed(path.read_bytes()))) == 32


def test_json_on_standard_output_is_whole_too(tmp_path: Path) -> None:
    done = scan(tmp_path, TARGETS, "--json", "--seed", "561", "--shard", "2/3", "-o", "x.jsonl")
    path = tmp_path / "x.jsonl"
    records = parsed(path.read_bytes())
    assert parsed(done.stdout.encode()) == records
    assert len(keys(records)) == 11
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]))
    again = scan(tmp_path, "--resume", "x.jsonl")
    assert (again.returncode, again.stderr) == (0, "")
    assert parsed(again.stdout.encode()) == parsed(path.read_bytes())
    assert keys(parsed(path.read_bytes())) == keys(records)


def test_a_summary_is_all_that_may_be_missing(torn: Path, whole: Path) -> None:
    lines = (whole / "x.jsonl").read_bytes().splitlines(keepends=True)
    (torn / "x.jsonl").write_bytes(b"".join(lines[:-1]))
    assert scan(torn, "--resume", "x.jsonl").returncode == 0
    summary = parsed((torn / "x.jsonl").read_bytes())[-1]
    assert (summary["results"], summary["probes_sent"], summary["complete"]) == (32, 0, True)


def test_consent_is_in_the_command_or_beside(tmp_path: Path) -> None:
    """Strangers are asked for again, unless --yes was given then or is now. No way leads there."""
    path = tmp_path / "x.jsonl"
    scan(tmp_path, "8.8.0.0/23", "--no-udp", "--rate", "max", "-y", "-o", "x.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)[:20]
    for said, beside, code in ((b'"-y"', [], 1), (b'"--syn"', [], 2), (b'"--syn"', ["-y"], 1)):
        path.write_bytes(b"".join([lines[0].replace(b'"-y"', said), *lines[1:]]))
        done = scan(tmp_path, "--resume", "x.jsonl", *beside)
        assert (done.returncode, "add --yes" in done.stderr) == (code, code == 2)
        assert len(keys(parsed(path.read_bytes()))) == (19 if code == 2 else 512)


def content(directory: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in directory.iterdir() if path.is_file())
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_complete_one_is_left_alone(whole: Path) -> None:
    before = content(whole)
    done = scan(whole, "--resume", "x.jsonl")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "rawscan: x.jsonl is complete: there is nothing to resume\n"
    assert content(whole) == before


# Arguments, and what the message must say.
MISTAKES = {
    "targets": (["x.jsonl", "127.0.0.1"], ["no targets and no other options", "TARGET"]),
    "ports": (["x.jsonl", "-p", "80"], ["--ports", "they are in FILE"]),
    "output": (["x.jsonl", "-o", "new.csv"], ["--output"]),
    "rate, even the same": (["x.jsonl", "--rate", "1000"], ["--rate"]),
    "flag": (["x.jsonl", "--no-udp"], ["leave '--udp'"]),
    "the default": (["x.jsonl", "--udp"], ["leave '--udp'"]),
    "missing": (["no.jsonl"], ["--resume no.jsonl", "-o FILE.jsonl"]),
    "directory": (["."], ["--resume .", "is no file"]),
    "JSON": (["a.json"], ["a.json, line 1", "-o FILE.jsonl"]),
    "capture": (["pcap.jsonl"], ["--resume pcap.jsonl", "no journal of a scan", "capture"]),
    "old": (["old.jsonl"], ["--resume old.jsonl", "older rawscan"]),
    "empty": (["empty.jsonl"], ["--resume empty.jsonl", "start it anew"]),
    "torn head": (["head.jsonl"], ["--resume head.jsonl", "start it anew"]),
    "other targets": (["other.jsonl"], ["32 ports of 16 targets", "then 32 of 16", "list"]),
    "no list": (["list.jsonl"], ["-iL", "no-list", "No such file"]),
    "foreign port": (["foreign.jsonl"], ["foreign.jsonl, line 12", "does not ask"]),
}


@pytest.fixture
def mistaken(torn: Path) -> Path:
    """Files that are no journals, or no longer."""
    data = (torn / "x.jsonl").read_bytes().rpartition(b"\n")[0] + b"\n"
    head, ports = data.split(b"\n", 1)
    record = json.loads(head)
    port = json.loads(ports.splitlines()[0]) | {"port": 562}
    files = {
        "a.json": b"[\n" + head + b",\n]\n",
        "pcap.jsonl": b'{"type":"capture","path":"x"}\n',
        "old.jsonl": json.dumps({k: record[k] for k in record if k != "order"}).encode() + b"\n",
        "empty.jsonl": b"",
        "head.jsonl": head[:300],
        "other.jsonl": head.replace(record["digest"].encode(), b"0" * 64) + b"\n" + ports,
        "list.jsonl": head.replace(b'"list"', b'"no-list"') + b"\n" + ports,
        "foreign.jsonl": data + json.dumps(port).encode() + b"\n",
    }
    for name, content in files.items():
        (torn / name).write_bytes(content)
    return torn


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named_and_change_nothing(name: str, mistaken: Path) -> None:
    arguments, words = MISTAKES[name]
    before = content(mistaken)
    done = scan(mistaken, "--resume", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    message = " ".join(done.stderr.split())
    assert [word for word in words if word not in message] == []
    assert content(mistaken) == before


def test_no_two_at_once(torn: Path) -> None:
    with (torn / "x.jsonl").open("rb+") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        before = content(torn)
        new = [TARGETS, "-o", "new.json", "-o", "new.jsonl", "-o", "x.jsonl"]
        for arguments in (["--resume", "x.jsonl"], new):
            done = scan(torn, *arguments)
            assert (done.returncode, done.stdout) == (2, "")
            assert "x.jsonl: another rawscan is writing it" in done.stderr
        assert content(torn) == before


def test_without_privilege_nothing_changes(torn: Path) -> None:
    before = content(torn)
    bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *RAWSCAN]
    done = subprocess.run(
        apart([*bare, "scan", "--resume", "x.jsonl"]),
        cwd=torn, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3
    assert content(torn) == before


def test_a_closed_pipe_ends_it_and_the_journal_stays_whole(tmp_path: Path) -> None:
    command = [*RAWSCAN, "scan", "127.0.0.0/22", "-o", "x.jsonl", "-o", "x.json", "--json"]
    process = subprocess.Popen(apart(command), cwd=tmp_path, stdout=-1, stderr=-1)
    assert process.stdout is not None
    assert process.stderr is not None
    first = [json.loads(process.stdout.readline()) for _ in range(100)]
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(20) == 1
    records = parsed((tmp_path / "x.jsonl").read_bytes())
    assert first[:50] == records[:50]
    assert len(json.loads((tmp_path / "x.json").read_text())) >= 50


def test_ends_at_many_random_moments(tmp_path: Path) -> None:
    """SIGINT, SIGTERM, twice the same, SIGKILL: `ending.py` says what has to hold after each."""
    done = subprocess.run(
        apart([sys.executable, "-m", "tests.cli.ending", str(tmp_path), "30", "561"]),
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert sum(told["signals"].values()) >= 30
    assert min(told["signals"].values()) >= 3
    # Moments are told apart by what they found: something, and not everything.
    assert told["in_between"] >= 18
    assert told["scans"] >= 2
