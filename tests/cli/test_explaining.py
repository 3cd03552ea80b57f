"""`--explain` of `scan` and `pcap`, and `explain` of one port of a file and as a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from rawscan.lab.build import Lab
from tests.story import rawscan
from tests.teach.shared import CAPTURES

LAB = CAPTURES / "lab-basic" / "capture.pcapng"
CLOSED = CAPTURES / "rules" / "syn-rst.pcapng"


def test_pcap_explains_every_verdict_after_the_table() -> None:
    done = rawscan(None, "pcap", str(CLOSED), "--explain")
    assert done.returncode == 0, done.stderr
    table, _, rest = done.stdout.partition("198.51.100.5 561/tcp: closed reset, from 198.51.100.5")
    assert "TARGET" in table
    assert "RST+ACK seq=0" in rest
    assert "2001:db8:1::5 561/tcp: closed reset" in rest
    assert rest.count("What would have changed it") == 2


def test_of_many_ports_some_are_explained_and_the_number_of_others_is_said() -> None:
    done = rawscan(None, "pcap", str(LAB), "--explain")
    assert done.stdout.count("What would have changed it") == 25
    assert "55 more ports are not explained" in done.stderr


def test_what_comes_through_a_pipe_cannot_be_read_twice() -> None:
    with CLOSED.open() as pipe:
        done = rawscan(None, "pcap", "-", "--explain", stdin=pipe)
    assert done.returncode == 0
    assert "cannot be read a second time" in done.stderr


@pytest.mark.parametrize("command", [["pcap", str(CLOSED)], ["scan", "127.0.0.1"]], ids=str)
def test_people_and_programs_do_not_share_standard_output(command: list[str]) -> None:
    done = rawscan(None, *command, "--explain", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--explain writes for people and --json for programs" in done.stderr


@pytest.mark.netns
def test_scan_explains_with_packets_if_it_records_and_by_its_records_if_not(
    lab: Lab, tmp_path: Path
) -> None:
    target = str(lab.plan.host("closed").v4)
    bare = rawscan(lab, "scan", target, "--no-udp", "--explain")
    assert bare.returncode == 0, bare.stderr
    assert f"{target} 561/tcp: closed reset, from {target}" in bare.stdout
    assert "a RST ttl=63" in bare.stdout
    assert "#1" not in bare.stdout
    recording = str(tmp_path / "scan.pcapng")
    full = rawscan(lab, "scan", target, "--no-udp", "--explain", "--write-pcap", recording)
    assert "plus 1: it answers #1" in full.stdout


def test_explain_one_port_of_a_capture() -> None:
    done = rawscan(None, "explain", f"{LAB}:[fd56:1::32]:561/udp")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("fd56:1::32 561/udp: filtered port-unreach, from fd56::1")
    both = rawscan(None, "explain", f"{LAB}:10.56.1.11:561")
    assert both.stdout.count("The rule") == 2


def test_explain_one_port_of_results(tmp_path: Path) -> None:
    results = tmp_path / "out.jsonl"
    rawscan(None, "pcap", str(LAB), "-o", str(results))
    done = rawscan(None, "explain", f"{results}:10.56.1.12:561/tcp")
    assert done.returncode == 0, done.stderr
    assert "0.20 ** 6 = 6.4e-05" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nosuch.jsonl:10.0.0.1:561/tcp"], "nosuch.jsonl: there is no such file"),
        ([f"{LAB}:10.9.9.9:561/tcp"], "holds no verdict on port 561/tcp of 10.9.9.9"),
        ([f"{LAB}:10.56.1.11:561/tcp", "--probe", "ack"], "--probe and --reply choose rules"),
        (["filtered", "--html", "x.html"], "--html writes one explanation"),
        ([f"{LAB}:10.56.1.11:561", "--html", "x.html"], "2 verdicts; end with /"),
        ([f"{LAB}:10.56.1.11:561/tcp", "--html", str(LAB)], "--html"),
        (["syn-rst", "--html", "/nonexistent/x.html"], "--html /nonexistent/x.html: cannot be"),
    ],
    ids=str,
)
def test_slips(arguments: list[str], complaint: str) -> None:
    done = rawscan(None, "explain", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr


def test_a_page(tmp_path: Path) -> None:
    page = tmp_path / "x.html"
    for what in ("syn-rst", f"{LAB}:10.56.1.11:561/udp"):
        done = rawscan(None, "explain", what, "--html", str(page))
        assert (done.returncode, done.stdout) == (0, "")
        assert page.read_text().startswith("<!doctype html>")
