"""`rawscan pcap`: quiet pipes, directories that keep their secrets, default ports, empty hands."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from rawscan.cli.pcap import command
from rawscan.wire import replies
from tests.capture import forge
from tests.cli.test_pcap import of_ports, pcap, verdicts, waits_for_more
from tests.lab.helpers import until
from tests.story import RAWSCAN, claim, read_records
from tests.tape import TARGET, UDP, Tape


def answered() -> Tape:
    tape = Tape()
    tape.reply(0.1, replies.rst(tape.probe(0)))
    return tape


def interrupted(
    number: int, *arguments: str, stdin: int | None = None
) -> tuple[int | None, str, str]:
    """Run `rawscan pcap` until it waits for more of a capture, send a signal, and see."""
    process = subprocess.Popen(
        [*RAWSCAN, "pcap", *arguments], stdin=stdin, stdout=-1, stderr=-1, text=True
    )
    try:
        assert until(lambda: waits_for_more(process.pid), 20)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=10)
    finally:
        process.kill()
    assert "Traceback" not in stderr
    assert "interrupted: the rest of the captures was not read" in stderr
    return process.returncode, stdout, stderr


@pytest.fixture
def quiet() -> Iterator[SimpleNamespace]:
    """A pipe that stays open: its ends."""
    reading, writing = os.pipe()
    yield SimpleNamespace(reading=reading, writing=writing)
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_an_interrupt_ends_the_wait_for_a_quiet_pipe(
    number: signal.Signals, quiet: SimpleNamespace, tmp_path: Path
) -> None:
    """Nothing comes after the signal, and yet what came before it is judged and written."""
    out = tmp_path / "out.jsonl"
    data = answered().foreign(tmp_path / "a.pcap").read_bytes()
    os.write(quiet.writing, data[:-3] if number is signal.SIGTERM else data)
    code, stdout, stderr = interrupted(number, "-", "-o", str(out), stdin=quiet.reading)
    assert code == 130
    assert "cut short" not in stderr
    head, port = of_ports(read_records(out.read_text()))
    assert (head["truncated"], head["error"]) == (False, None)
    state = "unknown" if number is signal.SIGTERM else "closed"
    assert port["state"] == state
    assert state in stdout


@pytest.mark.parametrize("gzipped", [False, True])
def test_an_interrupt_before_the_first_packet(
    gzipped: bool, quiet: SimpleNamespace, tmp_path: Path
) -> None:
    capture = str(answered().foreign(tmp_path / "a.pcap"))
    if gzipped:
        os.write(quiet.writing, b"\x1f\x8b\x08\0")
    code, stdout, stderr = interrupted(2, capture, "-", capture, "--json", stdin=quiet.reading)
    assert code == 130
    assert [record["type"] for record in of_ports(read_records(stdout))] == ["capture", "port"]
    assert len(stderr.splitlines()) == 1


def test_an_interrupt_before_anybody_writes_to_a_fifo(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert interrupted(2, str(fifo))[:2] == (130, "")


def test_a_fifo_is_read_to_its_end(tmp_path: Path) -> None:
    fifo, capture = tmp_path / "fifo", answered().foreign(tmp_path / "a.pcap")
    os.mkfifo(fifo)
    process = subprocess.Popen([*RAWSCAN, "pcap", str(fifo), "--json"], stdout=-1, text=True)
    try:
        assert until(lambda: waits_for_more(process.pid), 20)
        fifo.write_bytes(capture.read_bytes())
        stdout, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0
    assert claim(read_records(stdout)[1]) == ("closed", "reset", str(TARGET))


def test_an_unreadable_directory_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions would not do here: they do not hold for root."""
    for name in ("a", "locked", "z"):
        (tmp_path / name).mkdir()
        answered().foreign(tmp_path / name / "x.pcap")
    locked, scandir = str(tmp_path / "locked"), os.scandir

    def refuse(path: Any) -> Any:
        if str(path) == locked:
            raise PermissionError(13, "Permission denied", locked)
        return scandir(path)

    is_file = Path.is_file

    def no_look(path: Path) -> bool:
        if path == tmp_path / "z/x.pcap":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(Path, "is_file", no_look)
    done = CliRunner().invoke(command, [str(tmp_path), "--json"], standalone_mode=False)
    assert done.return_value == 1
    assert sorted(line for line in done.stderr.splitlines() if line) == [
        f"rawscan: {tmp_path / name}: cannot be looked into: Permission denied"
        for name in ("locked", "z/x.pcap")
    ]
    found = [r["path"] for r in read_records(done.stdout) if r["type"] == "capture"]
    assert found == [str(tmp_path / "a/x.pcap")]


# Ports


def test_a_recording_is_asked_for_its_own_ports(tmp_path: Path) -> None:
    own = answered().own(tmp_path / "own.pcapng", 9.0)
    own.write_bytes(own.read_bytes().replace(b'"ports":"561"', b'"ports":"562"'))
    assert [r["type"] for r in verdicts(str(own))] == ["capture"]
    assert "nobody probed 562" in pcap(str(own)).stderr
    assert [r["type"] for r in verdicts(str(own), "-p", "561")] == ["capture", "port"]
    both = pcap(str(own), str(Tape().foreign(tmp_path / "other.pcap"))).stderr
    assert "nobody probed 562 and 561" in both


def test_help_says_what_ports_are_the_default() -> None:
    text = " ".join(pcap("--help").stdout.split())
    assert "those that a recording of rawscan's says it asked, 561 in other captures" in text


# Nothing to show


def stray(flags: int) -> bytes:
    probe = bytearray(Tape().probe(0))
    probe[33] = flags
    return bytes(probe)


@pytest.mark.parametrize("flags", [0x01, 0x00, 0x29, 0x18], ids=["FIN", "NULL", "Xmas", "PSH+ACK"])
def test_what_has_to_do_with_the_port_and_is_no_probe(flags: int, tmp_path: Path) -> None:
    tape = Tape([(0.0, stray(flags), "out"), (1.0, stray(flags), "out")])
    done = pcap(str(tape.foreign(tmp_path / "fin.pcap")))
    assert done.returncode == 0
    assert "no SYN, UDP or ACK probe of 561 was seen (2 frames have to do with them)" in done.stderr
    assert "nobody" not in done.stderr


def test_what_was_not_looked_into_is_told(tmp_path: Path) -> None:
    gre = bytearray(Tape().probe(0, UDP))
    gre[9] = 47
    path = tmp_path / "gre.pcap"
    Tape([(0.0, bytes(gre), "out"), (1.0, bytes(gre), "out")]).foreign(path)
    path.write_bytes(path.read_bytes() + forge.record("<", 1700000002, 0, b""))
    error = pcap(str(path)).stderr
    assert "nobody probed 561 in what was read; 3 frames could not be looked into" in error
    assert "tunnel: GRE: 2, empty packet: 1" in error


def test_a_probe_is_all_it_takes_to_say_none_of_it(tmp_path: Path) -> None:
    done = pcap(str(answered().foreign(tmp_path / "a.pcap")))
    assert (done.returncode, done.stderr) == (0, "")
