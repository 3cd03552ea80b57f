"""Progress: bytes, and the time that is left at this speed."""

from __future__ import annotations

import pytest

from rawscan.cli.progress import Progress, line


def test_a_line_says_what_is_left() -> None:
    assert line("a.pcap", 500_000_000, 2_000_000_000, 2.0) == "a.pcap: 0.50 of 2.00 GB, 6 s left"
    assert line("-", 1_500_000_000, None, 2.0) == "-: 1.50 GB"
    assert line("a.pcap", 0, 2_000_000_000, 2.0) == "a.pcap: 0.00 GB"


def test_a_file_that_grows_is_never_done_early() -> None:
    assert line("a", 3_000_000_000, 2_000_000_000, 2.0).endswith("0 s left")


@pytest.mark.parametrize("terminal", [True, False])
def test_only_a_terminal_sees_it_and_only_after_a_while(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter([100.0, 100.1, 101.0, 101.1, 101.3])
    monkeypatch.setattr("rawscan.cli.progress.time.monotonic", lambda: next(times))
    monkeypatch.setattr("rawscan.cli.progress.sys.stderr.isatty", lambda: terminal)
    bar = Progress("x.pcap")
    for done in (1, 2, 3, 4):
        bar(done * 10**9, 10 * 10**9)
    bar.close()
    written = capsys.readouterr().err
    assert written.count("rawscan: x.pcap:") == (2 if terminal else 0)
    assert written.endswith("\r\x1b[K" if terminal else "")
    assert "1.00 of" not in written
    assert "3.00 of" not in written, "too soon after the one before"
