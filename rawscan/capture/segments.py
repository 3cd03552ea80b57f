"""One file, read by several processes at once. Forks, and reads the file.

Each process takes every n-th segment and guesses where a record begins in it. A segment counts only
if the one before ends exactly where it began (and nothing that changes how records are read came
in between): so what comes out is what one process would have found. What does not count, or failed,
is read once more, here. Processes, since much of the work is in calls too short to let threads pass
each other; forked, since that takes milliseconds where a new interpreter takes longer than reading
a gigabyte.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from rawscan.capture.batch import Batch, Chosen, Frames, Sift, Tally, choose
from rawscan.errors import CaptureError

SEGMENT_BYTES = 48 << 20
"""So much is read before anything is handed over: some tens of milliseconds' work, and little
enough to be kept in memory should every frame be chosen."""


class Parser(Protocol):
    """Reads a part of a file."""

    damages: list[CaptureError]

    @property
    def offset(self) -> int:
        """Where the next record begins."""
        ...

    @property
    def state(self) -> object:
        """All that later records are read by."""
        ...

    def batches(self, stop: int | None = None) -> Iterator[Batch]:
        """Frames of the records that begin before the offset `stop`."""
        ...

    def prepare(self) -> None:
        """Go to the first packet, past what must be known before."""
        ...

    def skip_to(self, offset: int) -> None:
        """Go on there: a record begins, or the file ends."""
        ...

    def synchronise(self) -> bool:
        """Go to the next record, as far as can be guessed; False if there seems to be none."""
        ...


Open = Callable[[int], Parser]
"""Opens the file at an offset, to read records as they are read there at the beginning."""


@dataclass(slots=True)
class _Segment:
    """What a process found: in the records from `start` to `end`, None if it failed."""

    start: int
    end: int
    chosen: Chosen | None = None
    notes: bytes = b""


def can_share(size: int, jobs: int) -> bool:
    """Is it worth while to read a file of so many bytes with several processes, and safe?"""
    # A fork copies no threads, and what they held locked stays so.
    return jobs > 1 and size >= 2 * SEGMENT_BYTES and threading.active_count() == 1


def read_shared(parser: Parser, reopen: Open, size: int, sift: Sift, jobs: int) -> Iterator[Chosen]:
    """What `sift` chooses of all records from the parser's place on.

    Raises as `parser` does.
    """
    parser.prepare()
    count = -(-(size - parser.offset) // SEGMENT_BYTES)
    cuts = [parser.offset + number * SEGMENT_BYTES for number in range(count)]
    with _workers(reopen, cuts, sift, jobs) as results:
        before = parser.state
        for number, result in enumerate(results):
            if result.notes:
                sift.add_notes(result.notes)
            stop = cuts[number + 1] if number + 1 < len(cuts) else None
            if result.chosen is not None and result.start == parser.offset:
                yield result.chosen
                parser.skip_to(result.end)
                continue
            for batch in parser.batches(stop):
                yield choose(batch, sift)
            if parser.state != before:
                break
    for batch in parser.batches():
        yield choose(batch, sift)


@contextmanager
def _workers(reopen: Open, cuts: list[int], sift: Sift, jobs: int) -> Iterator[Iterator[_Segment]]:
    """Start processes; gives their results in the order of the file. Ends them in any case."""
    jobs = min(jobs, len(cuts))
    children: list[int] = []
    with ExitStack() as pipes:
        try:
            streams: list[BinaryIO] = []
            for job in range(jobs):
                outlet, inlet = os.pipe()
                child = os.fork()
                if child == 0:
                    for other in (outlet, *(stream.fileno() for stream in streams)):
                        os.close(other)  # else no brother sees that nobody reads him any more
                    _work_and_exit(reopen, cuts, job, jobs, sift, inlet)
                children.append(child)
                os.close(inlet)
                streams.append(pipes.enter_context(os.fdopen(outlet, "rb", 1 << 16)))
            yield (_received(streams[number % jobs]) for number in range(len(cuts)))
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)  # it holds nothing that wants to be put away
                os.waitpid(child, 0)


def _received(stream: BinaryIO) -> _Segment:
    try:
        segment: _Segment = pickle.load(stream)
    except (EOFError, pickle.UnpicklingError):
        return _Segment(-1, -1)
    return segment


def _work_and_exit(
    reopen: Open, cuts: list[int], job: int, jobs: int, sift: Sift, inlet: int
) -> None:
    """Read every `jobs`-th segment and write what was found. Never returns."""
    code = 1
    try:
        with os.fdopen(inlet, "wb") as stream:
            for number in range(job, len(cuts), jobs):
                stop = cuts[number + 1] if number + 1 < len(cuts) else None
                segment = _segment(reopen(cuts[number]), number, stop, sift)
                if number + jobs >= len(cuts):  # its last one
                    segment.notes = sift.notes()
                pickle.dump(segment, stream, 5)
                stream.flush()
        code = 0
    finally:
        os._exit(code)


def _segment(parser: Parser, number: int, stop: int | None, sift: Sift) -> _Segment:
    start = parser.offset
    try:
        if number and not parser.synchronise():
            return _Segment(-1, -1)
        start, before = parser.offset, parser.state
        tally, parts = Tally(), [Frames.none()]
        for batch in parser.batches(stop):
            chosen = choose(batch, sift)
            parts.append(chosen.frames.after(tally.packets))
            tally.add(chosen.tally)
    except CaptureError:
        return _Segment(-1, -1)
    if parser.state != before or parser.damages:
        return _Segment(-1, -1)  # its errors are to be told in the order of the file
    return _Segment(start, parser.offset, Chosen(tally, Frames.joined(parts)))
