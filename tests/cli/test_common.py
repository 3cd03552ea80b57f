"""What commands share: outputs, ports, interrupts."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import click
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


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-1", "x", "1e999"])
def test_no_range_holds_what_is_no_number(text: str) -> None:
    with pytest.raises(click.BadParameter, match=text):
        common.Finite(min=0).convert(text, None, None)
    assert common.Finite(min=0).convert("1.5", None, None) == 1.5


def test_an_output_is_never_an_input(tmp_path: Path) -> None:
    capture, other = tmp_path / "in.json", tmp_path / "other.json"
    capture.write_text("frames")
    other.hardlink_to(capture)
    for inputs in ([capture], [tmp_path / "no" / ".." / "in.json", other]):
        with pytest.raises(UsageError, match=r"would overwrite .*json, which is to be read"):
            common.Results([other], as_json=False, inputs=inputs)
    with capture.open("rb") as stream, pytest.raises(UsageError, match="would overwrite"):
        common.Results([other], as_json=False, inputs=[stream])
    assert capture.read_text() == "frames"


def test_no_two_outputs_are_one_file(tmp_path: Path) -> None:
    new, folder = tmp_path / "new.json", tmp_path / "folder"
    folder.symlink_to(tmp_path)
    with pytest.raises(UsageError, match=f"-o {folder}/new.json: is the same file as -o {new}"):
        common.check_outputs([new, folder / "new.json"])
    with pytest.raises(UsageError, match=f"--write-pcap {new}: is the same file as -o {new}"):
        common.check_outputs([new], recording=new)
    common.check_outputs([new, tmp_path / "new.csv"], [tmp_path / "in.pcap"], tmp_path / "x.pcap")


def test_what_goes_nowhere_may_go_there_twice(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).symlink_to("/dev/null")
    common.check_outputs([tmp_path / "a.json", tmp_path / "b.json"], recording=Path("/dev/null"))
