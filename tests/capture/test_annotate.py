"""What tshark adds to findings, and what happens where it cannot."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rawscan.analysis import analyse
from rawscan.capture import annotate
from rawscan.capture.annotate import Annotator
from rawscan.capture.dissect import Dissection
from rawscan.findings import Analysis, Notes
from rawscan.ports import parse_ports
from tests.capture.test_dissect import tsharks
from tests.capture.test_extract import frames_of

CASES = Path(__file__).parents[2] / "captures"
SESSIONS = CASES / "sessions" / "capture.pcap"
P561 = parse_ports("561")
needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="no tshark here")


def notes(found: Analysis, server: str) -> Notes:
    (session,) = [s for s in found.traffic.sessions if str(s.server) == server]
    assert session.notes is not None
    return session.notes


@pytest.mark.peer
@needs_tshark
def test_protocols_and_remarks_of_each_session_are_its_own() -> None:
    found = analyse(SESSIONS, P561, dissect=True)
    assert found.dissect_error is None
    assert "tls" in notes(found, "10.0.2.7").protocols
    assert "http" in notes(found, "10.0.4.4").protocols  # port 80; 561 is the client's
    assert "http" not in notes(found, "10.0.1.3").protocols
    assert notes(found, "10.0.1.4").expert == (
        "Connection establish request (SYN): server port 561",
        "Connection reset (RST)",
    )
    assert any("retransmission" in text for text in notes(found, "10.0.4.2").expert)


def test_a_later_session_of_the_same_ports_has_its_own_notes() -> None:
    first, *_ = analyse(SESSIONS, P561).traffic.sessions
    ends: dict[str, Any] = {"source": first.client, "sport": first.client_port, "protocol": 6,
            "destination": first.server, "dport": first.server_port}  # fmt: skip
    found = {n: Dissection(n, (name,), **ends) for n, name in ((1, "tcp"), (99, "tls"))}
    flows = annotate._by_flow(found)
    for number, name in ((1, "tcp"), (99, "tls")):
        session = replace(first, first_frame=number, last_frame=number)
        assert annotate._with_session_notes(session, flows).notes == Notes((name,), ())


def test_what_wireshark_quotes_cannot_move_the_cursor() -> None:
    said = annotate._notes([Dissection(1, ("eth",), expert=("a\x1b[2J\nb\u009b", "plain"))])
    assert said.expert == ("a\\x1b[2J\\x0ab\\x9b", "plain")


@pytest.mark.peer
@needs_tshark
def test_a_port_has_the_notes_of_its_probes_and_replies() -> None:
    found = analyse(CASES / "history" / "capture.pcap", P561, dissect=True)
    told = {str(f.verdict.port.target): f.notes for f in found.findings}
    refused, steady = told["10.0.0.5"], told["10.0.0.6"]
    assert refused is not None
    assert steady is not None
    assert "icmp" in refused.protocols
    assert "icmp" not in steady.protocols


@pytest.mark.peer
@needs_tshark
def test_only_matched_frames_are_looked_at_and_not_too_many() -> None:
    path = CASES / "one-way" / "capture.pcap"
    with closing(Annotator(most_frames=3)) as annotator:
        found = analyse(path, P561)
        for number, frame in enumerate(frames_of(path), start=1):
            annotator.keep(frame, number)
        noted = annotator.annotate(found, lambda: False)
    assert noted.dissect_error == "only the first 3 matched frames were dissected"


def test_without_tshark_everything_else_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    plain = analyse(SESSIONS, P561)
    monkeypatch.setenv("PATH", "/nowhere")
    found = analyse(SESSIONS, P561, dissect=True)
    assert found.dissect_error == "dissection needs tshark, which is not here: apt install tshark"
    assert [f.verdict for f in found.findings] == [f.verdict for f in plain.findings]
    assert all(s.notes == Notes((), ()) for s in found.traffic.sessions)
    assert list(tmp_path.iterdir()) == []  # nor is anything left behind


@pytest.mark.peer
@needs_tshark
@pytest.mark.parametrize("how", ["stopped", "failed"])
def test_the_process_is_always_gone(
    how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if how == "failed":

        def fail(*_: object) -> None:
            raise RuntimeError("no")

        monkeypatch.setattr(annotate, "_by_flow", fail)
        with pytest.raises(RuntimeError):
            analyse(SESSIONS, P561, dissect=True)
    else:
        with closing(Annotator()) as annotator:
            for number, frame in enumerate(frames_of(SESSIONS), start=1):
                annotator.keep(frame, number)
            annotator.annotate(analyse(SESSIONS, P561), lambda: True)
    assert tsharks() == []
    assert list(tmp_path.iterdir()) == []
