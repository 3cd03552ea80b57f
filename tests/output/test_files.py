"""Output files: told apart by their ending, whole at every moment, parsed back by other readers."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pytest

from rawscan.errors import UsageError
from rawscan.model import ProbeKind
from rawscan.output.files import FORMATS, Csv, JsonArray, JsonLines, Text, open_output
from rawscan.output.records import port_record
from rawscan.output.sink import Sink
from rawscan.rules import RULES
from rawscan.verdicts import ITSELF, Verdicts
from rawscan.wire.addresses import Addresses

PORT: dict[str, Any] = {
    "type": "port", "target": "10.0.0.5", "port": 561, "protocol": "tcp", "probe": "syn",
    "state": "open|filtered", "reason": "no-response", "reason_ip": None, "reason_ttl": None,
    "rtt_ms": None, "tries": 7, "confidence": 0.99996, "rule": "r", "hints": ["a, b", 'say "c"'],
    "time": None,
}  # fmt: skip
RECORDS = [{"type": "scan", "ports": [561]}, PORT, PORT | {"port": 562, "hints": []},
           {"type": "summary"}]  # fmt: skip


def written(make: Callable[[TextIO], Sink], records: list[dict[str, Any]]) -> str:
    stream = io.StringIO(newline="")
    sink = make(stream)
    for record in records:
        sink.write(record)
    sink.close()
    return stream.getvalue()


def test_json_lines() -> None:
    assert [json.loads(line) for line in written(JsonLines, RECORDS).splitlines()] == RECORDS


def test_json_lines_can_be_read_while_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    sink = open_output(path)
    for n, record in enumerate(RECORDS, 1):
        sink.write(record)
        assert [json.loads(line) for line in path.read_text().splitlines()] == RECORDS[:n]
    sink.close()


@pytest.mark.parametrize("number", range(len(RECORDS) + 1))
def test_json_array_whenever_it_ends(number: int) -> None:
    text = written(JsonArray, RECORDS[:number])
    assert json.loads(text) == RECORDS[:number]
    assert text.endswith("\n")
    assert len(text.splitlines()) == (number + 2 if number else 1)


def test_csv_is_rfc_4180() -> None:
    text = written(Csv, RECORDS)
    assert text.count("\r\n") == 3
    head, first, second = csv.reader(io.StringIO(text, newline=""))
    assert head == [name for name in PORT if name != "type"]
    row = dict(zip(head, first, strict=True))
    assert (row["target"], row["port"], row["state"]) == ("10.0.0.5", "561", "open|filtered")
    assert (row["hints"], row["reason_ip"]) == ('a, b; say "c"', "")
    assert dict(zip(head, second, strict=True))["hints"] == ""
    assert written(Csv, RECORDS[:1]) == ""


def test_text_is_the_table() -> None:
    lines = written(Text, RECORDS).splitlines()
    assert lines[0].split()[0] == "TARGET"
    assert [line.split()[:3] for line in lines[1:3]] == [
        ["10.0.0.5", "561/tcp", "open|filtered"],
        ["10.0.0.5", "562/tcp", "open|filtered"],
    ]
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize("ending", [ending for ending in FORMATS if ending != ".parquet"])
def test_the_ending_tells_the_format(ending: str, tmp_path: Path) -> None:
    for path in (tmp_path / f"x{ending}", tmp_path / f"X.Y{ending.upper()}"):
        sink = open_output(path)
        for record in RECORDS:
            sink.write(record)
        sink.close()
        assert path.read_bytes().decode() == written(FORMATS[ending], RECORDS)


@pytest.mark.parametrize("name", ["x.foo", "x", ".jsonl", "x.json.bak"])
def test_an_unknown_ending_names_the_known_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.jsonl \.json \.csv \.txt") as error:
        open_output(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_forbids_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(UsageError, match="Permission denied"):
        open_output(tmp_path / "x.csv")


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "dir.csv").mkdir()
    with pytest.raises(UsageError, match="Is a directory"):
        open_output(tmp_path / "dir.csv")
    with pytest.raises(UsageError, match="No such file or directory"):
        open_output(tmp_path / "no" / "x.csv")


def test_an_earlier_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("old\n" * 100)
    open_output(path).close()
    assert path.read_text() == ""


@pytest.mark.parametrize("ending", FORMATS)
def test_verdicts_in_columns_are_written_as_their_records(ending: str, tmp_path: Path) -> None:
    closed = [rule.id for rule in RULES].index("syn-rst")
    batch = Verdicts(
        kind=ProbeKind.SYN,
        targets=Addresses.of([ip_address("10.0.0.5"), ip_address("10.0.0.6")]),
        ports=np.array([561, 80], np.uint16),
        rule=np.array([closed, closed], np.uint8),
        tries=np.array([1, 2], np.uint8),
        confidence=np.ones(2),
        answered=np.ones(2, np.bool_),
        ttl=np.array([64, 63], np.uint8),
        rtt_s=np.array([0.001, np.nan], np.float32),
        responder=np.full(2, ITSELF, np.int32),
        others=(),
        time_s=5.0,
    )
    together, apart = (open_output(tmp_path / f"{name}{ending}") for name in ("a", "b"))
    for sink in (together, apart):
        sink.write({"type": "scan"})
    together.write_ports(batch)
    for verdict in batch:
        apart.write(port_record(verdict))
    together.close()
    apart.close()
    text = (tmp_path / f"a{ending}").read_bytes()
    assert text == (tmp_path / f"b{ending}").read_bytes()
    assert b"10.0.0.5" in text
    assert b"10.0.0.6" in text
