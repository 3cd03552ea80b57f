"""How far the reading of captures has come, on one line that goes away. Terminal only."""

from __future__ import annotations

import sys
import time

_EVERY_S = 0.2
_QUIET_S = 0.5
_GB = 1e9


class Progress:
    """Told of bytes read, says on a terminal how many, of how many, and what time is left.

    Nothing is shown in the first half second, nor where standard error is no terminal.
    """

    def __init__(self, name: str) -> None:
        self._shows = sys.stderr.isatty()
        self._started_s = self._told_s = time.monotonic()
        self._name = name
        self._visible = False

    def __call__(self, done_bytes: int, of_bytes: int | None) -> None:
        """So much of the file has been read; `of_bytes` is None if nobody knows of how much."""
        now_s = time.monotonic()
        elapsed_s = now_s - self._started_s
        if not self._shows or elapsed_s < _QUIET_S or now_s - self._told_s < _EVERY_S:
            return
        self._told_s, self._visible = now_s, True
        sys.stderr.write(f"\r\x1b[Krawscan: {line(self._name, done_bytes, of_bytes, elapsed_s)}")
        sys.stderr.flush()

    def close(self) -> None:
        """Take the line away."""
        if self._visible:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
        self._visible = False


def line(name: str, done_bytes: int, of_bytes: int | None, elapsed_s: float) -> str:
    """`a.pcap: 1.20 of 2.00 GB, 3 s left`."""
    if of_bytes is None or not done_bytes:
        return f"{name}: {done_bytes / _GB:.2f} GB"
    left_s = elapsed_s * max(of_bytes - done_bytes, 0) / done_bytes
    return f"{name}: {done_bytes / _GB:.2f} of {of_bytes / _GB:.2f} GB, {left_s:.0f} s left"
