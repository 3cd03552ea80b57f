"""Many frames at once, as they lie in the buffer of a file, and those chosen of them.

Touches nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rawscan.model import NO_TIME_S, Frame

Rows = NDArray[np.intp]


class Times(Protocol):
    """When the frames of a batch were captured."""

    def span(self) -> tuple[float, float] | None:
        """The first and the last of them; None if no frame bears a time."""
        ...

    def of(self, rows: Rows) -> NDArray[np.float64]:
        """Those of some frames, as `Frame.time_s`."""
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

    The latter are counted by cause: frames that hold nothing that can be decoded. What it learns
    besides in one process is added in another by way of its notes.
    """

    def __call__(
        self, data: bytearray, at: Any, captured: Any, linktype: int
    ) -> tuple[Rows, Counter[str]]:
        """Choose of the frames of one link type."""
        ...

    def notes(self) -> bytes:
        """What was learnt so far."""
        ...

    def add_notes(self, notes: bytes) -> None:
        """Take that in."""
        ...


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


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Frames that were copied out of a file, one behind the other in `data`.

    `numbers` count from 1 where these frames' part of the file begins; `ends` is where each ends
    in `data`. The other columns are those of `Frame`.
    """

    numbers: NDArray[np.int64]
    time_s: NDArray[np.float64]
    linktype: NDArray[np.int64]
    original: NDArray[np.int64]
    ends: NDArray[np.int64]
    data: bytes

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[tuple[int, Frame]]:
        """Each with its number."""
        start, data = 0, self.data
        columns = (self.numbers, self.time_s, self.linktype, self.original, self.ends)
        for number, time_s, linktype, original, end in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            yield number, Frame(time_s, data[start:end], linktype, original)
            start = end

    def after(self, before: int) -> Frames:
        """The same, where `before` frames of the file stand before its part."""
        return Frames(
            self.numbers + before, self.time_s, self.linktype, self.original, self.ends, self.data
        )

    @classmethod
    def none(cls) -> Frames:
        """No frames."""
        whole, times_s = np.zeros(0, np.int64), np.zeros(0, np.float64)
        return Frames(whole, times_s, whole, whole, whole, b"")

    @classmethod
    def joined(cls, parts: Sequence[Frames]) -> Frames:
        """All in one, in order."""
        if len(parts) == 1:
            return parts[0]
        before = np.cumsum([0, *(len(part.data) for part in parts)])
        return Frames(
            numbers=np.concatenate([part.numbers for part in parts]),
            time_s=np.concatenate([part.time_s for part in parts]),
            linktype=np.concatenate([part.linktype for part in parts]),
            original=np.concatenate([part.original for part in parts]),
            ends=np.concatenate([p.ends + at for p, at in zip(parts, before, strict=False)]),
            data=b"".join(part.data for part in parts),
        )


@dataclass(slots=True)
class Chosen:
    """The frames of a part of the file that must be looked at, and the tally of them all.

    `batch`, if it is there, is the part itself, good until the file is read on.
    """

    tally: Tally
    frames: Frames
    batch: Batch | None = None


def choose(batch: Batch, sift: Sift) -> Chosen:
    """Let `sift` choose of a batch. Frames are numbered from 1 in it."""
    tally = Tally(len(batch), int(batch.original.sum()))
    for time_s in batch.times.span() or ():
        tally.note_time(time_s)
    parts: list[tuple[int, Rows]] = []
    for linktype, these in batch.linktypes:
        at, captured = batch.at, batch.captured
        if these is not None:
            at, captured = at[these], captured[these]
        rows, causes = sift(batch.data, at, captured, linktype)
        if causes:
            tally.undecoded += causes
        parts.append((linktype, rows if these is None else these[rows]))
    rows = np.concatenate([rows for _, rows in parts])
    linktypes = np.repeat([linktype for linktype, _ in parts], [len(rows) for _, rows in parts])
    if len(parts) > 1:
        order = np.argsort(rows)
        rows, linktypes = rows[order], linktypes[order]
    return Chosen(tally, _copied(batch, rows, linktypes), batch)


def _copied(batch: Batch, rows: Rows, linktypes: NDArray[np.int64]) -> Frames:
    at, captured = batch.at[rows], batch.captured[rows]
    pieces = zip(at.tolist(), (at + captured).tolist(), strict=True)
    return Frames(
        numbers=rows + 1,
        time_s=batch.times.of(rows),
        linktype=linktypes,
        original=batch.original[rows],
        ends=np.cumsum(captured),
        data=b"".join([batch.data[start:end] for start, end in pieces]),
    )
