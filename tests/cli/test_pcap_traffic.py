"""`rawscan pcap` beside verdicts: records of traffic, tables, --extract, --dissect, patterns."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from rawscan.wire import replies
from tests.cli.test_pcap import pcap, records
from tests.story import read_records
from tests.tape import ROUTER, SCANNER, TARGET, Tape

CASES = Path(__file__).parents[2] / "captures"
RECORDS_PAGE = Path(__file__).parents[2] / "docs" / "records.md"
NAMES = ("sessions", "backscatter", "tools", "history", "one-way")
FILES = [str(CASES / name / "capture.pcap") for name in NAMES]

# As the design has them; fields may be added.
FIELDS = {
    "source": "address pattern tool tool_evidence probes targets ports first last rate_pps",
    "session": "client server port protocol conn_state bytes_to_server bytes_to_client"
    " payload_preview service first last",
    "backscatter": "victim port kind packets destinations first last",
}


def test_records_have_the_fields_of_the_design_and_are_described() -> None:
    page = RECORDS_PAGE.read_text()
    by_type = {record["type"]: record for record in records(*FILES)}
    assert set(by_type) == {"capture", "port", "source", "session", "backscatter", "history"}
    for kind, names in FIELDS.items():
        assert list(by_type[kind])[: len(names.split()) + 1] == ["type", *names.split()]
    for kind, record in by_type.items():
        section = page.partition(f"## `{kind}`")[2].partition("\n## ")[0]
        words = set(section.replace("`", " ").replace(",", " ").split())
        assert set(record) - {"type"} <= words, kind


def test_tables() -> None:
    done = pcap(*FILES)
    assert (done.returncode, done.stderr) == (0, "")
    text = done.stdout
    titles = ["TARGET", "Captures", "Sources", "Sessions", "Replies to nobody's probes"]
    places = [text.index(title) for title in titles]
    assert places == sorted(places)
    assert "history: 10.0.0.5 561/tcp: closed until 2019-03-02, then filtered" in text
    assert "10.9.0.1: 8 of 8 probes: ip.id = (ip.dst ^ tcp.dport ^ tcp.seq) & 0xffff" in text
    assert "\x1b" not in text


def test_a_capture_that_only_holds_backscatter_is_told_of() -> None:
    done = pcap(str(CASES / "backscatter" / "capture.pcap"), "-p", "U:561")
    assert "icmp" in done.stdout
    assert "no SYN, UDP or ACK probe of U:561 was seen" in done.stderr


def test_a_port_that_is_only_a_clients_is_called_that(tmp_path: Path) -> None:
    tape = Tape()
    tape.frames.append((0.0, syn(561, 80), "out"))
    tape.reply(0.1, replies.syn_ack(syn(561, 80)))
    done = pcap(str(tape.foreign(tmp_path / "x.pcap")))
    assert "561 is only the client's own port" in done.stdout
    assert "it is only the client's own port in 1 session(s)" in done.stderr
    (session,) = [r for r in records(str(tmp_path / "x.pcap")) if r["type"] == "session"]
    assert (session["port_role"], session["client"]) == ("client", str(SCANNER))


def syn(sport: int, dport: int) -> bytes:
    packet = bytearray(Tape().probe(0))
    packet[20:24] = sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
    return bytes(packet)


def test_patterns_take_captures_from_many_folders() -> None:
    read = records(str(CASES / "*" / "capture.pcap"))
    found = [r["path"] for r in read if r["type"] == "capture"]
    assert found == sorted(str(path) for path in CASES.glob("*/capture.pcap"))


def test_a_change_from_one_capture_to_another(tmp_path: Path) -> None:
    """Neither file knows of it; together they do."""
    closed, opened = Tape(), Tape()
    closed.reply(0.1, replies.rst(closed.probe(0)))
    opened.reply(86400 * 9 + 0.1, replies.syn_ack(opened.probe(86400 * 9)))
    closed.reply(1.1, replies.rst(closed.probe(1, target=ROUTER)))
    opened.reply(86400 * 9 + 1.1, replies.rst(opened.probe(86400 * 9 + 1, target=ROUTER)))
    late = str(opened.foreign(tmp_path / "a.pcap"))
    early = str(closed.foreign(tmp_path / "b.pcap"))
    (told,) = [r for r in records(late, early) if r["type"] == "history"]
    assert (told["target"], told["port"], told["protocol"]) == (str(TARGET), 561, "tcp")
    assert told["history_text"] == "closed until 2023-11-14, then open"
    assert [(s["state"], s["frames"]) for s in told["history"]] == [("closed", []), ("open", [])]
    assert "10.0.0.5 561/tcp: closed until 2023-11-14, then open" in pcap(early, late).stdout
    assert [r for r in records(late, late) if r["type"] == "history"] == []


def test_extract(tmp_path: Path) -> None:
    out = tmp_path / "x.pcapng"
    done = pcap(*FILES, "--extract", str(out), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    matched = sum(r["matched"] for r in read_records(done.stdout) if r["type"] == "capture")
    (head, *_) = records(str(out))
    assert (head["packets"], head["matched"], head["undecoded"]) == (matched, matched, {})


@pytest.mark.parametrize("out", ["in.pcap", "x.jsonl", "missing/x.pcapng", "."])
def test_an_extract_that_cannot_be_made_touches_nothing(out: str, tmp_path: Path) -> None:
    shutil.copy(FILES[0], tmp_path / "in.pcap")
    (tmp_path / "x.jsonl").write_text("old")
    before = (tmp_path / "in.pcap").read_bytes()
    done = pcap("in.pcap", "-o", "x.jsonl", "--extract", out, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--extract {out}: " in done.stderr
    assert (tmp_path / "in.pcap").read_bytes() == before
    assert (tmp_path / "x.jsonl").read_text() == "old"


def test_no_tshark_is_one_line_and_no_more() -> None:
    environment = os.environ | {"PATH": "/nowhere"}
    done = pcap(FILES[4], "--dissect", "--json", env=environment)
    assert done.returncode == 0
    assert done.stderr == (
        "rawscan: dissection needs tshark, which is not here: apt install tshark\n"
    )
    plain = read_records(pcap(FILES[4], "--json").stdout)
    for one, other in zip(read_records(done.stdout), plain, strict=True):
        for name in ("protocols", "expert", "dissect_error"):
            one.pop(name, None)
            other.pop(name, None)
        assert one == other


@pytest.mark.peer
def test_dissect() -> None:
    found = records(FILES[0], "--dissect")
    sessions = [r for r in found if r["type"] == "session"]
    assert any("tls" in r["protocols"] for r in sessions)
    assert "Wireshark" in pcap(FILES[0], "--dissect").stdout
    assert all(r["protocols"] is None for r in records(FILES[0]) if r["type"] == "session")


def test_outputs_of_every_kind(tmp_path: Path) -> None:
    pytest.importorskip("polars")
    names = ("x.jsonl", "x.txt", "x.csv", "x.session.csv", "x.parquet", "x.source.parquet")
    done = pcap(FILES[0], *(part for name in names for part in ("-o", name)), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "x.txt").read_text() == done.stdout
    kinds = [json.loads(line)["type"] for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    rows = (tmp_path / "x.session.csv").read_text().splitlines()
    assert len(rows) == kinds.count("session") + 1
