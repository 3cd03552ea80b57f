"""What the parsers of both formats share: where they are, and how they go on after damage.

Reads from a `Source` only.
"""

from __future__ import annotations

from copy import copy
from typing import Self

from rawscan.capture.lanes import MARGIN_BYTES, Chain, Words, next_head
from rawscan.capture.source import CHUNK_BYTES, Source
from rawscan.capture.waiting import StoppedError
from rawscan.errors import CaptureError

_MOST_DAMAGES = 1000
_SEARCHED_BYTES = 64 << 20
"""So far behind damage the next record is looked for."""


class RecordParser:
    """A place in a file of records that name their lengths.

    `damages` are the errors after which reading went on, each with the place where it did. `drops`
    says when drops were noticed, and how many by then.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._view: Words | None = None
        self.damages: list[CaptureError] = []
        self.drops: list[tuple[float, int]] = []

    @property
    def offset(self) -> int:
        """Where the next record begins."""
        return self._source.offset

    def close(self) -> None:
        """Nothing is read any more."""
        self._source.close()

    def skip_to(self, offset: int) -> None:
        """Go on there: a record begins, or the file ends."""
        self._source.skip_to(offset)

    def at(self, source: Source) -> Self:
        """A parser of the same file that goes on with another source."""
        other = copy(self)
        other._source, other._view, other.damages, other.drops = source, None, [], []
        return other

    def synchronise(self) -> bool:
        """Go to the next record, as far as can be guessed; False if there seems to be none."""
        source, before = self._source, self.offset
        while source.need(CHUNK_BYTES) or source.more():
            words, chain = self._chain()
            found = next_head(words, chain, source.position, source.end, final=source.exhausted)
            if found is not None:
                source.position = found
                return True
            if source.exhausted or source.offset - before > _SEARCHED_BYTES:
                return False
            # Not to its end: a record may begin there, and be known by what follows.
            source.position = max(source.position + 1, source.end - CHUNK_BYTES // 4)
        return False

    def _go_on_after(self, error: CaptureError) -> None:
        """Look for a record behind the damage. Raises it if there is none, or no use in it."""
        source = self._source
        if isinstance(error, StoppedError) or len(self.damages) >= _MOST_DAMAGES:
            raise error
        if not source.need(1 + MARGIN_BYTES):
            raise error
        source.position += 1
        if not self.synchronise():
            raise error
        message = f"{error}; resynchronised at {source.where()}"
        self.damages.append(CaptureError(message, error.offset))

    def _words(self, order: str) -> Words:
        """The buffer as numbers."""
        data = self._source.data
        if self._view is None or self._view.data is not data or self._view.order != order:
            self._view = Words(data, order)
        return self._view

    def _chain(self) -> tuple[Words, Chain]:
        """The buffer, and what can be said of records yet to be found in it."""
        raise NotImplementedError
