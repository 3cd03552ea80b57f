"""JSON Lines that are whole at every moment, also when the process is killed. Reads, writes files.

Linux looks for a fatal signal between the pages of one write(2), not within a page
(`generic_perform_write` in mm/filemap.c, `iomap_write_iter` in fs/iomap/buffered-io.c): a write
that stays within one page of the file is done whole or not at all. So every write here ends a line
and stays within a page; where the next line does not fit into the rest of a page, spaces before the
last newline fill it, which JSON ignores. Only a line longer than a page can be torn by a kill.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rawscan.errors import UsageError
from rawscan.output.records import Record

PAGE_BYTES = 4096
"""The smallest page of Linux; larger ones are multiples of it."""

USUAL_BYTES = 512
"""More than most lines have: into less room than this the next one is not expected to fit."""


class PageLines:
    """A text stream of whole lines for one regular file, which it owns.

    What is written is in the file at once. Where that fails, the file still ends with a whole line.
    """

    def __init__(self, descriptor: int, size_bytes: int = 0) -> None:
        """Go on after the first `size_bytes`, which are whole lines; cut off what follows them."""
        self._descriptor = descriptor
        self._size = size_bytes
        os.ftruncate(descriptor, size_bytes)

    def write(self, text: str) -> int:
        """Append lines, each with its newline. Returns how many characters they have."""
        # What is no text in a file name or an argument becomes a JSON escape.
        data, start = text.encode("utf-8", "backslashreplace"), 0
        while start < len(data):
            room = PAGE_BYTES - self._size % PAGE_BYTES
            end = data.rfind(b"\n", start, start + room) + 1
            if end > start:
                rest = room - (end - start)
                fill = rest if end < len(data) or rest < USUAL_BYTES else 0
                self._put(self._size, data[start : end - 1] + b" " * fill + b"\n")
            elif room < PAGE_BYTES:  # The line before has to fill this page, after all.
                self._put(self._size - 1, b" " * room + b"\n")
                end = start
            else:
                end = data.index(b"\n", start) + 1
                self._put(self._size, data[start:end])
            start = end
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Close the file, which gives it free for others."""
        os.close(self._descriptor)

    def _put(self, offset: int, piece: bytes) -> None:
        """Write what ends the file from now on, or leave the file as it was."""
        done = 0
        try:
            while done < len(piece):
                done += os.pwrite(self._descriptor, piece[done:], offset + done)
        except BaseException:
            os.ftruncate(self._descriptor, self._size)
            if offset < self._size:
                os.pwrite(self._descriptor, b"\n", offset)
            raise
        self._size = offset + len(piece)


def open_locked(path: Path, flags: int = 0) -> int:
    """A descriptor to write to; no other rawscan has one. Changes nothing that is in the file.

    Raises OSError, or `UsageError` if another rawscan is writing it.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UsageError(f"{path}: another rawscan is writing it; wait for its end") from None
    except OSError:
        pass  # A file system without locks: two at once are then the user's to avoid.
    return descriptor


class Line(NamedTuple):
    """One record of a journal: its line number, from 1, and where in the file the line ends."""

    number: int
    end_bytes: int
    record: Record


def read_lines(file: BinaryIO, name: str) -> Iterator[Line]:
    """The records of a journal, in order. A last line without its newline was torn: it is left out.

    Raises `UsageError` for any other line that is no JSON object.
    """
    end_bytes = 0
    for number, line in enumerate(file, 1):
        if not line.endswith(b"\n"):
            return
        end_bytes += len(line)
        if line.isspace():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or "type" not in record:
            raise UsageError(f"{name}, line {number}: is no record; -o FILE.jsonl writes journals")
        yield Line(number, end_bytes, record)


def read_last(path: Path) -> Record | None:
    """The last record of a journal; None if there is none, or the last line is torn or too long."""
    with path.open("rb") as file:
        start = max(0, file.seek(0, io.SEEK_END) - 16 * PAGE_BYTES)
        file.seek(start)
        lines = file.read().split(b"\n")
    whole = [line for line in lines[(start > 0) : -1] if not line.isspace()]
    try:
        record = json.loads(whole[-1]) if whole and not lines[-1] else None
    except ValueError:
        return None
    return record if isinstance(record, dict) and "type" in record else None
