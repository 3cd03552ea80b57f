"""Bytes of a capture file as they are needed, with the offset for error messages.

Reads one stream, never seeks (it may be a pipe), and keeps one chunk of it in memory.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import BinaryIO

from rawscan.capture.waiting import WaitingStream
from rawscan.errors import CaptureError

CHUNK_BYTES = 1 << 20
MAX_BYTES = 256 << 20
"""A packet or block that claims to be longer than this is damage, not data."""

NO_TIME_S = 0.0
"""`Frame.time_s` of a packet whose file does not say when it was: a Simple Packet Block has no
timestamp (pcapng draft, section 4.4), and a time past the year 9999 is none."""


class CutShortError(CaptureError):
    """The file ends in the middle of something: the capture went on, the file does not."""


class Source:
    """A buffer over `stream`: `data[position:]` is what has been read and not yet used.

    The parsers index `data` themselves, since a call for each field would cost more than parsing.
    """

    def __init__(
        self,
        stream: BinaryIO | io.BufferedIOBase | WaitingStream,
        name: str,
        unit: str = "byte",
    ) -> None:
        # read1 hands over what is there. read would wait for a whole chunk of a live pipe, and
        # lose what a damaged gzip gave before its damage.
        self._read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
        self.name = name
        self.unit = unit
        self.data = b""
        self.position = 0
        self._base = 0
        self._received_bytes = 0
        self._failure: CaptureError | None = None

    @property
    def offset(self) -> int:
        """Where `position` is in the file, in bytes from its beginning (unpacked, if gzip)."""
        return self._base + self.position

    def need(self, count: int) -> bool:
        """Make `count` bytes available from `position` on; False when the file ends before."""
        have = len(self.data) - self.position
        if have >= count:
            return True
        pieces = [self.data[self.position :]]
        self._base += self.position
        self.position = 0
        while have < count:
            piece = self._next_piece()
            if not piece:
                break
            pieces.append(piece)
            have += len(piece)
        self.data = b"".join(pieces)
        return have >= count

    def more(self) -> bool:
        """Is there another byte? Raises if the stream broke off here instead of ending."""
        if self.need(1):
            return True
        if self._failure is not None:
            raise self._failure
        return False

    def cut(self, what: str) -> CaptureError:
        """The error for a file that ends inside `what`, which begins at `position`."""
        if self._failure is not None and not isinstance(self._failure, CutShortError):
            return self._failure
        message = f"{self.name}: cut short: it ends inside {what} that begins at {self._where()}"
        return CutShortError(message, self.offset)

    def damage(self, what: str) -> CaptureError:
        """The error for nonsense at `position`; `what` says which nonsense."""
        return CaptureError(f"{self.name}: damaged at {self._where()}: {what}", self.offset)

    def read(self, size: int = -1) -> bytes:
        """Give out bytes as a plain stream, for a decompressor on top. Errors pass through."""
        if self.position == len(self.data):
            return self._read(size)
        end = len(self.data) if size < 0 else self.position + size
        piece = self.data[self.position : end]
        self.position += len(piece)
        return piece

    def seek(self, offset: int) -> int:
        """Refuse: a pipe cannot. (`gzip` asks for the method and does not call it.)"""
        raise io.UnsupportedOperation(f"seek to {offset}")

    def _where(self) -> str:
        return f"{self.unit} {self.offset}"

    def _next_piece(self) -> bytes:
        """One more piece; a failing stream is remembered and looks like its end until then."""
        if self._failure is not None:
            return b""
        try:
            piece = self._read(CHUNK_BYTES)
            self._received_bytes += len(piece)
            return piece
        except EOFError:
            self._failure = self._broken(CutShortError, "cut short: the gzip stream has no end")
        except (OSError, zlib.error) as error:
            self._failure = self._broken(CaptureError, f"cannot be read any further: {error}")
        return b""

    def _broken(self, kind: type[CaptureError], what: str) -> CaptureError:
        end = self._received_bytes
        return kind(f"{self.name}: {what} (after {self.unit} {end})", end)
