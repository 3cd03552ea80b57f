"""What commands share: outputs, ports, interrupts."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from rawscan.cli import common
from rawscan.errors import UsageError

SIGNALS = [signal.SIGINT, signal.SIGTERM]


def port(target: str, state: str = "closed") -> dict[str, Any]:
    return {
        "type": "port", "target": target, "port": 561, "protocol": "tcp", "probe": "syn",
        "state": state, "reason": "reset", "reason_ip": target, "reason_ttl": 64, "rtt_ms": 1.5,
        "tries": 1, "confidence": 1.0, "rule": "syn-rst", "hints": [], "time": None,
    }  # fmt: skip


@pytest.mark.parametrize("number", SIGNALS, ids=lambda n: n.name)
def test_the_first_signal_asks_and_the_second_ends(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with common.interruptible() as asked:
        assert not asked()
        os.kill(os.getpid(), number)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_without_a_signal_nothing_is_asked_and_all_is_as_before() -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with common.interruptible() as asked:
        assert [signal.getsignal(each) for each in SIGNALS] != before
        assert not asked()
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_services_are_the_systems_or_the_built_in_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    def system(name: str, protocol: str) -> int:
        if name == "house":
            return 4711
        raise OSError("service/proto not found")

    monkeypatch.setattr(socket, "getservbyname", system)
    assert common.service_port("house", "tcp") == 4711
    assert common.service_port("monitor", "udp") == 561
    assert common.service_port("nonsense", "tcp") is None
    assert common.read_ports("house,monitor") == common.read_ports("561,4711")
    with pytest.raises(UsageError, match="nonsense"):
        common.read_ports("nonsense")


def test_results_go_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    results = common.Results(paths, as_json=False)
    written = [{"type": "scan"}, port("10.0.0.1"), {"type": "summary"}]
    for record in written:
        results.write(record)
    results.close()
    for path in paths:
        assert [json.loads(line) for line in path.read_text().splitlines()] == written
    assert capsys.readouterr().out == ""
    results.print_table()
    assert "10.0.0.1" in capsys.readouterr().out


def test_json_prints_records_and_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    results = common.Results([], as_json=True)
    results.write(port("10.0.0.1"))
    results.close()
    results.print_table()
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == port("10.0.0.1")
    assert not results.rows.counts  # a scan of millions keeps none of them


def test_no_verdicts_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    common.Results([], as_json=False).print_table()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "why"),
    [("x.foo", "'.foo'"), ("no/x.csv", "No such file"), ("", "'none'"), ("dir.csv", "directory")],
)
def test_a_bad_output_is_named_before_any_is_opened(name: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "dir.csv").mkdir()
    good = tmp_path / "good.csv"
    good.write_text("old")
    with pytest.raises(UsageError, match=why) as error:
        common.Results([good, tmp_path / name], as_json=False)
    assert str(tmp_path / name) in str(error.value)
    assert good.read_text() == "old"


def test_only_a_terminal_is_chatted_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    common.say("hello")
    common.warn("careful")
    assert capsys.readouterr() == ("", "rawscan: careful\n")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    common.say("hello")
    assert capsys.readouterr() == ("", "hello\n")
