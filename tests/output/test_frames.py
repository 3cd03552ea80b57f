"""Data frames and Parquet, read back by Polars and beside the JSON of the same records."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

import rawscan
from rawscan.errors import UsageError
from rawscan.output import frames
from rawscan.output.files import open_output
from rawscan.output.frames import KINDS, dataframe, flat
from rawscan.output.records import analysis_records
from rawscan.ports import parse_ports

pl = pytest.importorskip("polars")
CASE = Path(__file__).parents[2] / "captures" / "sessions" / "capture.pcap"
FOUND = rawscan.analyse(CASE, parse_ports("561"))
RECORDS = list(analysis_records(FOUND))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_one_kind_holds_every_field(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{kind}.parquet"
    sink = open_output(path)
    for record in RECORDS:
        sink.write(record)
    sink.close()
    frame = pl.read_parquet(path)
    records = [record for record in RECORDS if record["type"] == kind]
    assert frame.height == len(records)
    if not records:
        return
    assert frame.columns == [name for name in records[0] if name != "type"]
    for row, record in zip(frame.iter_rows(named=True), records, strict=True):
        for name, value in flat(record).items():
            told = row[name]
            if isinstance(told, datetime):
                told = told.isoformat(timespec="microseconds")[:-6] + "Z"
            assert told == value, name


def test_no_kind_in_the_name_means_ports(tmp_path: Path) -> None:
    for name in ("x.parquet", "x.y.parquet"):
        sink = open_output(tmp_path / name)
        for record in RECORDS:
            sink.write(record)
        sink.close()
        assert pl.read_parquet(tmp_path / name).height == len(FOUND.findings)


def test_csv_takes_the_kind_from_its_name_too(tmp_path: Path) -> None:
    path = tmp_path / "x.session.csv"
    sink = open_output(path)
    for record in RECORDS:
        sink.write(record)
    sink.close()
    frame = pl.read_csv(path)
    assert frame.height == len(FOUND.traffic.sessions)
    assert {"SF", "REJ", "SHR"} <= set(frame["conn_state"])


def test_types() -> None:
    frame = dataframe(FOUND, "session")
    assert frame.schema["bytes_to_server"] == pl.Int64
    assert frame.schema["first"] == pl.Datetime("us", "UTC")
    assert frame["first"][0] == datetime.fromtimestamp(1_700_000_000.01, UTC)
    # A column of nothing is text, so that files can be put together.
    assert frame.schema["protocols"] == pl.String


def test_several_captures_in_one_frame() -> None:
    both = rawscan.analyse_all([CASE, CASE.parents[1] / "block"], parse_ports("T:561-580"))
    frame = rawscan.dataframe(both, "source")
    assert set(frame["pattern"]) == {"block", "horizontal", "vertical", "single"}
    assert frame["capture"].n_unique() == 2


def test_chunks_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = dataframe(FOUND, "session")
    monkeypatch.setattr(frames, "_ROWS_AT_ONCE", 3)
    assert dataframe(FOUND, "session").equals(whole)


def test_flat() -> None:
    record = {"type": "x", "hints": ["a", "b"], "none": [], "n": 1, "deep": [{"a": [1]}],
              "counts": {"3/3": 1}}  # fmt: skip
    row = flat(record)
    assert row == {"hints": "a; b", "none": "", "n": 1, "deep": '[{"a":[1]}]',
                   "counts": '{"3/3":1}'}  # fmt: skip
    assert json.loads(row["deep"]) == record["deep"]


def test_an_unknown_kind_and_no_polars(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="port, capture, source, session, backscatter, history"):
        dataframe(FOUND, "sessions")
    monkeypatch.setattr(frames, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'rawscan\[parquet\]'"):
        dataframe(FOUND)
    path = tmp_path / "x.parquet"
    with pytest.raises(UsageError, match=r"x\.parquet needs Polars"):
        open_output(path)
    assert not path.exists()
