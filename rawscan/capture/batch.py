"""Many frames at once, as they lie in the buffer of a file. Touches nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rawscan.capture.source import NO_TIME_S
from rawscan.model import Frame

Rows = NDArray[np.intp]


class Times(Protocol):
    """When the frames of a batch were captured."""

    def span(self) -> tuple[float, float] | None:
        """The first and the last of them; None if no frame bears a time."""
        ...

    def of(self, row: int) -> float:
        """That of one frame, as `Frame.time_s`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Frames in the order of the file: each is `captured` bytes of `data` from `at` on.

    Good until the file is read on. `linktypes` has the rows of each link type, None for all.
    Behind every frame `data` has some bytes more (`SLACK_BYTES`), which mean nothing.
    """

    data: bytearray
    at: NDArray[np.int64]
    captured: NDArray[np.int64]
    original: NDArray[np.int64]
    linktypes: Sequence[tuple[int, Rows | None]]
    times: Times

    def __len__(self) -> int:
        return len(self.at)


class Sift(Protocol):
    """Chooses frames: gives the rows that must be looked at, and what is the matter with others.

    The latter are counted by cause: frames that hold nothing that can be decoded.
    """

    def __call__(
        self, data: bytearray, at: Any, captured: Any, linktype: int
    ) -> tuple[Rows, Counter[str]]: ...


@dataclass(slots=True)
class Tally:
    """What is known of frames without looking at each. Times are None where no frame bears one."""

    packets: int = 0
    bytes: int = 0
    first_s: float | None = None
    last_s: float | None = None
    undecoded: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Take the frames of another tally in."""
        self.packets += other.packets
        self.bytes += other.bytes
        self.undecoded += other.undecoded
        self.note_time(other.first_s)
        self.note_time(other.last_s)

    def note_time(self, time_s: float | None) -> None:
        """Some frame bears this time."""
        if time_s is None or time_s == NO_TIME_S:  # a Simple Packet Block bears none
            return
        self.first_s = min(time_s, time_s if self.first_s is None else self.first_s)
        self.last_s = max(time_s, time_s if self.last_s is None else self.last_s)


@dataclass(slots=True)
class Chosen:
    """The frames of a batch that must be looked at, copied out of it, and the tally of them all.

    `rows` counts from 0 in the batch, which is good until the file is read on.
    """

    batch: Batch
    tally: Tally
    rows: list[int]
    frames: list[Frame]

    def numbered(self, before: int) -> Iterator[tuple[int, Frame]]:
        """Frames with their numbers in the file, where `before` stand in it before the batch."""
        return ((before + row + 1, frame) for row, frame in zip(self.rows, self.frames, strict=True))


def choose(batch: Batch, sift: Sift) -> Chosen:
    """Let `sift` choose of a batch."""
    tally = Tally(len(batch), int(batch.original.sum()))
    for time_s in batch.times.span() or ():
        tally.note_time(time_s)
    rows: list[Rows] = []
    kinds: list[int] = []
    for linktype, these in batch.linktypes:
        at, captured = (
            (batch.at, batch.captured) if these is None else (batch.at[these], batch.captured[these])
        )
        chosen, causes = sift(batch.data, at, captured, linktype)
        tally.undecoded += causes
        chosen = chosen if these is None else these[chosen]
        rows.append(chosen)
        kinds += [linktype] * len(chosen)
    return Chosen(batch, tally, *_copied(batch, rows, kinds))


def _copied(
    batch: Batch, rows: list[Rows], linktypes: list[int]
) -> tuple[list[int], list[Frame]]:
    """The frames in these rows, in order; `linktypes` goes with `rows`."""
    if not rows:
        return [], []
    chosen = np.concatenate(rows)
    order = np.argsort(chosen, kind="stable")
    chosen = chosen[order]
    data, time_of = batch.data, batch.times.of
    frames = [
        Frame(time_of(row), bytes(data[at : at + captured]), linktypes[which], original)
        for row, which, at, captured, original in zip(
            chosen.tolist(),
            order.tolist(),
            batch.at[chosen].tolist(),
            batch.captured[chosen].tolist(),
            batch.original[chosen].tolist(),
            strict=True,
        )
    ]
    return chosen.tolist(), frames
