"""Bytes of a capture file as they are needed, with the offset for error messages.

Reads one stream, never seeks (it may be a pipe), and keeps one buffer of it in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, cast

from rawscan.capture.unpack import Unpacked
from rawscan.capture.waiting import StoppedError, WaitingStream
from rawscan.errors import CaptureError

CHUNK_BYTES = 4 << 20
"""Read at once: as much as a second-level cache holds a good part of, since what has been read is
looked at at once. (Larger and smaller chunks measured slower.)"""
MAX_BYTES = 256 << 20
"""A packet or block that claims to be longer than this is damage, not data."""
SLACK_BYTES = 512
"""Room behind the last byte of the buffer: whoever reads fields of many frames at once may load
what lies behind the last frame, to find then that it does not belong to it."""
LEAD_BYTES = 16
"""The same before its first byte."""


class CutShortError(CaptureError):
    """The file ends in the middle of something: the capture went on, the file does not."""


class Source:
    """A buffer over `stream`: `data[position:end]` is what has been read and not yet used.

    The parsers index `data` themselves, since a call for each field would cost more than parsing.
    `need` overwrites it: what is to stay must be copied before.
    """

    def __init__(
        self,
        stream: BinaryIO | Unpacked | WaitingStream,
        name: str,
        unit: str = "byte",
        base: int = 0,
    ) -> None:
        # read1 hands over what is there. read would wait for a whole chunk of a live pipe, and
        # lose what a damaged gzip gave before its damage.
        self._read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
        self._read_into: Callable[[memoryview], int] | None = getattr(stream, "readinto1", None)
        self._stream = stream
        self.name = name
        self.unit = unit
        self.data = bytearray(LEAD_BYTES + CHUNK_BYTES + SLACK_BYTES)
        self.position = self.end = LEAD_BYTES
        self._base = base - LEAD_BYTES
        self._failure: CaptureError | None = None
        self._ended = False

    @property
    def offset(self) -> int:
        """Where `position` is in the file, in bytes from its beginning (unpacked, if packed)."""
        return self._base + self.position

    def need(self, count: int) -> bool:
        """Make `count` bytes available from `position` on; False when the file ends before."""
        if self.end - self.position >= count:
            return True
        self._make_room(count)
        while self.end - self.position < count and self._fill():
            pass
        return self.end - self.position >= count

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, or as many as there are in the buffer."""
        return bytes(self.data[self.position : min(self.position + count, self.end)])

    def close(self) -> None:
        """End the thread that unpacks, if there is one. The stream is its owner's."""
        if isinstance(self._stream, Unpacked):
            self._stream.close()

    @property
    def exhausted(self) -> bool:
        """Has the end of the stream been seen? Only after `need` asked for more than there is."""
        return self._ended or self._failure is not None

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
        message = f"{self.name}: cut short: it ends inside {what} that begins at {self.where()}"
        return CutShortError(message, self.offset)

    def damage(self, what: str) -> CaptureError:
        """The error for nonsense at `position`; `what` says which nonsense."""
        return CaptureError(f"{self.name}: damaged at {self.where()}: {what}", self.offset)

    def where(self) -> str:
        """`position` in words."""
        return f"{self.unit} {self.offset}"

    def skip_to(self, offset: int) -> None:
        """Go on at another place of the file, which must be one that can seek."""
        cast(BinaryIO, self._stream).seek(offset)
        self._base = offset - LEAD_BYTES
        self.position = self.end = LEAD_BYTES

    def read(self, size: int = -1) -> bytes:
        """Give out bytes as a plain stream, for a decompressor on top. Errors pass through."""
        if self.position == self.end:
            return self._read(size)
        end = self.end if size < 0 else min(self.position + size, self.end)
        piece = bytes(self.data[self.position : end])
        self.position = end
        return piece

    def _make_room(self, count: int) -> None:
        """Move what is left to the front of the buffer, of a larger one if it must be."""
        rest = self.data[self.position : self.end]
        if count > len(self.data) - SLACK_BYTES - LEAD_BYTES:
            # Not resized: somebody may still look at the old one.
            self.data = bytearray(LEAD_BYTES + count + SLACK_BYTES)
        self._base += self.position - LEAD_BYTES
        self.position, self.end = LEAD_BYTES, LEAD_BYTES + len(rest)
        self.data[self.position : self.end] = rest

    def _fill(self) -> bool:
        """One more piece; a failing stream is remembered and looks like its end until then."""
        if self._failure is not None:
            return False
        room = len(self.data) - SLACK_BYTES - self.end
        try:
            if self._read_into is not None:
                got = self._read_into(memoryview(self.data)[self.end : self.end + room])
            else:
                piece = self._read(room)
                got = len(piece)
                if got > room:  # not every stream heeds the size
                    self.data += bytes(got - room)
                self.data[self.end : self.end + got] = piece
            self.end += got
            self._ended = got == 0
            return got > 0
        except StoppedError as error:
            self._failure = error
        except EOFError as error:
            self._failure = self._broken(CutShortError, f"cut short: {error}")
        except OSError as error:
            self._failure = self._broken(CaptureError, f"cannot be read any further: {error}")
        return False

    def _broken(self, kind: type[CaptureError], what: str) -> CaptureError:
        end = self._base + self.end
        return kind(f"{self.name}: {what} (after {self.unit} {end})", end)
