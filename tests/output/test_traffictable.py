"""Tables of traffic: what is shown, what is counted, and that packets cannot draw on them."""

from __future__ import annotations

import io
from typing import Any

import pytest

from rawscan.output.records import Record
from rawscan.output.traffictable import MAX_ROWS, TrafficRows, plain_traffic


def session(**fields: Any) -> Record:
    return {
        "type": "session", "client": "10.0.0.1", "client_port": 40000, "server": "10.0.0.5",
        "server_port": 561, "port": 561, "protocol": "tcp", "port_role": "server",
        "conn_state": "SF", "bytes_to_server": 5, "bytes_to_client": 1234567,
        "payload_preview": "> hello", "service": "ssh", "looks_like": "misplaced service",
        "looks_why": "it speaks ssh",
    } | fields  # fmt: skip


def source(**fields: Any) -> Record:
    return {
        "type": "source", "address": "10.0.0.1", "pattern": "horizontal", "tool": "nmap",
        "tool_evidence": "6 of 6 probes: window 1024", "probes": 6, "targets": 5, "ports": 1,
        "rate_pps": 49.87, "duration_s": 0.1, "walk": "pending", "busy": False,
    } | fields  # fmt: skip


def capture(**fields: Any) -> Record:
    return {
        "type": "capture", "path": "a.pcap", "packets": 9, "matched": 8,
        "first": "2023-11-14T22:13:20.000000Z", "last": None, "activity": None,
    } | fields  # fmt: skip


def shown(*records: Record, width: int | None = None) -> str:
    rows = TrafficRows()
    for record in records:
        rows.add(record)
    stream = io.StringIO()
    if width is None:
        plain_traffic(rows, stream)
    else:
        from rich.console import Console

        rows.print(Console(file=stream, width=width, color_system=None))
    return stream.getvalue()


def line_with(text: str, word: str) -> str:
    (line,) = [line for line in text.splitlines() if word in line]
    return " ".join(line.split())


def test_a_session() -> None:
    text = shown(session())
    assert line_with(text, "10.0.0.1:40000") == (
        "10.0.0.1:40000 10.0.0.5:561/tcp SF 5 B 1.23 MB ssh misplaced service > hello"
    )
    assert "misplaced service: it speaks ssh" in text
    six = shown(session(client="fd56::1", port_role="client", looks_like=None))
    assert "[fd56::1]:40000" in six
    assert "561 is only the client's own port" in six


def test_sessions_without_a_word_are_counted_only() -> None:
    text = shown(*[session(conn_state="S0", payload_preview=None)] * 3, session())
    assert "Sessions in which nothing was said: 3 S0" in text
    assert text.count("10.0.0.1:40000") == 1
    assert "10.0.0.1:40000" in shown(session(conn_state="S0"))  # something was said in it


def test_packets_cannot_draw() -> None:
    text = shown(session(payload_preview="< [red]x[/red] [/]", service="[bold]"))
    assert "[red]x[/red] [/]" in text
    assert "[bold]" in text
    assert "\x1b" not in text


def test_a_source() -> None:
    text = shown(source(), source(address="10.0.0.2", tool=None, tool_evidence=None,
                                  walk="scanner", busy=True, rate_pps=12345.6),
                 source(address="10.0.0.3", walk="benign"), source(address="10.0.0.4", walk=None,
                                                                  rate_pps=None))  # fmt: skip
    assert "tool: 10.0.0.1: 6 of 6 probes: window 1024" in text
    assert "12.3 kpps 0.1 s scan (by random walk and counts)" in line_with(text, "10.0.0.2")
    assert line_with(text, "10.0.0.3 ").endswith("benign")
    assert line_with(text, "10.0.0.4 ") == "10.0.0.4 horizontal 6 5 1 nmap 0.1 s"


def test_captures_that_have_nothing_to_do_with_it_are_left_out() -> None:
    assert shown(capture(matched=0)) == ""
    assert "2023-11-14 22:13:20" in shown(capture(), capture(path="b.pcap", matched=0))
    assert "b.pcap" not in shown(capture(), capture(path="b.pcap", matched=0))


def test_backscatter() -> None:
    record = {"type": "backscatter", "victim": "192.0.2.1", "port": 561, "kind": "rst",
              "form": "reflection", "packets": 30, "senders": 25, "destinations": 1,
              "attack": True}  # fmt: skip
    assert line_with(shown(record), "192.0.2.1") == "192.0.2.1 561 rst reflection 30 25 1 yes"


@pytest.mark.parametrize("width", [30, 60, 80, 120])
def test_narrow_terminals(width: int) -> None:
    counts = {"syn": [1, 2, 3] * 80}
    activity = {"start": "2023-11-14T22:13:20.000000Z", "step_s": 1.0, "counts": counts}
    text = shown(capture(activity=activity), source(), session(), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "SYN" in text


def test_more_than_fit_are_counted() -> None:
    text = shown(*[session()] * (MAX_ROWS + 7))
    assert "Not shown: 7 more" in text
    assert text.count("10.0.0.1:40000") == MAX_ROWS


def test_other_records_are_none_of_its_business() -> None:
    assert shown({"type": "port"}, {"type": "summary"}) == ""
