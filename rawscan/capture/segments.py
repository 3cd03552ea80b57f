"""One file, read by several processes at once. Forks, and reads the file.

Each process takes every n-th segment and guesses where a record begins in it. A segment counts only
if the one before ends exactly where it began (and nothing that changes how records are read came
in between): so what comes out is what one process would have found. What does not count, or failed,
is read once more, here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from rawscan.capture.batch import Batch, Chosen, Frames, Sift, Tally, choose
from rawscan.capture.forked import can_fork, in_order
from rawscan.errors import CaptureError

SEGMENT_BYTES = 48 << 20
"""So much is read before anything is handed over: some tens of milliseconds' work, and little
enough to be kept in memory should every frame be chosen."""


class Parser(Protocol):
    """Reads a part of a file."""

    damages: list[CaptureError]
    drops: list[tuple[float, int]]

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
    """What is in the records from `start` to `end`, and what the sift has learnt so far."""

    start: int
    end: int
    chosen: Chosen
    notes: bytes = b""


def can_share(size: int, jobs: int) -> bool:
    """Is it worth while to read a file of so many bytes with several processes, and safe?"""
    return jobs > 1 and size >= 2 * SEGMENT_BYTES and can_fork()


def read_shared(parser: Parser, reopen: Open, size: int, sift: Sift, jobs: int) -> Iterator[Chosen]:
    """What `sift` chooses of all records from the parser's place on.

    Raises as `parser` does.
    """
    parser.prepare()
    cuts = list(range(parser.offset, max(size, parser.offset + 1), SEGMENT_BYTES))
    stops: list[int | None] = [*cuts[1:], None]

    def work(number: int) -> _Segment | None:
        segment = _segment(reopen(cuts[number]), number, stops[number], sift)
        if segment is not None and number + jobs >= len(cuts):  # this process's last one
            segment.notes = sift.notes()
        return segment

    before = parser.state
    with in_order(work, len(cuts), jobs) as segments:
        for segment, stop in zip(segments, stops, strict=True):
            if segment is not None and segment.notes:
                sift.add_notes(segment.notes)
            if segment is not None and segment.start == parser.offset:
                parser.skip_to(segment.end)
                yield segment.chosen
                continue
            yield from (choose(batch, sift) for batch in parser.batches(stop))
            if parser.state != before:
                break
    yield from (choose(batch, sift) for batch in parser.batches())


def _segment(parser: Parser, number: int, stop: int | None, sift: Sift) -> _Segment | None:
    """Read one; None if it is not to be trusted, or has something to tell in the file's order."""
    try:
        if number and not parser.synchronise():
            return None
        start, before = parser.offset, parser.state
        tally, parts = Tally(), [Frames.none()]
        for batch in parser.batches(stop):
            chosen = choose(batch, sift)
            parts.append(chosen.frames.after(tally.packets))
            tally.add(chosen.tally)
    except CaptureError:
        return None
    if parser.state != before or parser.damages or parser.drops:
        return None
    return _Segment(start, parser.offset, Chosen(tally, Frames.joined(parts)))
