"""A live stream (standard input, a FIFO) that can be told to stop waiting. Reads one descriptor.

A signal handler cannot end a blocking read: Python takes the read up again (PEP 475), and a quiet
pipe would hold the program for ever.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from rawscan.errors import CaptureError

_POLL_MS = 200


class StoppedError(CaptureError):
    """Somebody asked to stop while nothing came in: no fault of the capture's."""


class WaitingStream:
    """The bytes of `stream` as they come; asks `stop()` now and then while none do."""

    def __init__(self, stream: BinaryIO, name: str, stop: Callable[[], bool]) -> None:
        self._stream = stream
        self._name = name
        self._stop = stop
        self._poll = select.poll()
        self._poll.register(stream.fileno(), select.POLLIN)

    def read(self, size: int) -> bytes:
        """What is there, as soon as there is something; empty at the end.

        Raises `StoppedError` when told to stop before.
        """
        while not self._stop():
            if self._poll.poll(_POLL_MS):
                # Past the stream's buffer, whose fill no descriptor tells.
                return os.read(self._stream.fileno(), size)
        raise StoppedError(f"{self._name}: reading was stopped")


def waits(stream: BinaryIO) -> bool:
    """May reading from this stream block for as long as its other end likes?"""
    try:
        return not stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # nothing of the system's: bytes in memory
        return False


def open_patiently(path: Path) -> BinaryIO:
    """Open a file to read. A FIFO that nobody writes to yet would hold even this call."""
    if not path.is_fifo():
        return path.open("rb")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    # poll tells when there is something, and not before the first writer has come.
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "rb", buffering=0)
