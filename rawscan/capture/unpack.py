"""Unpacks gzip, zstd, xz, lz4 and bzip2 while it is read. Reads a stream; starts a thread.

The thread unpacks the next piece while the last one is analysed: decompressors let other threads
run. Nothing is sought, so a pipe does as well as a file.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable
from queue import Empty, Full, Queue
from typing import Any, Final, Protocol, Self

_READ_BYTES = 64 << 10
"""So much is unpacked at once: what is damaged takes no more good data with it."""
_GIVE_BYTES = 1 << 20
_AHEAD = 4
_PATIENCE_S = 0.2

Read = Callable[[int], bytes]


class _Decompressor(Protocol):
    """What the standard library's decompressors have in common."""

    eof: bool
    needs_input: bool
    unused_data: bytes | None

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def _gzip() -> Any:
    from rawscan.capture.gunzip import GzipDecompressor

    return GzipDecompressor()


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression.zstd import ZstdDecompressor
    else:
        from backports.zstd import ZstdDecompressor

    return ZstdDecompressor()


def _xz() -> Any:
    from lzma import LZMADecompressor

    return LZMADecompressor()


def _lz4() -> Any:
    from lz4.frame import LZ4FrameDecompressor

    return LZ4FrameDecompressor()


def _bzip2() -> Any:
    from bz2 import BZ2Decompressor

    return BZ2Decompressor()


_PACKINGS: Final[dict[bytes, tuple[str, Callable[[], _Decompressor]]]] = {
    b"\x1f\x8b": ("gzip", _gzip),
    b"\x28\xb5\x2f\xfd": ("zstd", _zstd),
    b"\xfd7zXZ\x00": ("xz", _xz),
    b"\x04\x22\x4d\x18": ("lz4", _lz4),
    b"BZh": ("bzip2", _bzip2),
}
"""How a packed file begins -> the name of the packing, what undoes it."""

SNIFF_BYTES = max(map(len, _PACKINGS))


def packing_of(head: bytes) -> bytes | None:
    """The beginning by which a file is known as packed; None if it is not."""
    return next((magic for magic in _PACKINGS if head.startswith(magic)), None)


def name_of(magic: bytes) -> str:
    """What this packing is called."""
    return _PACKINGS[magic][0]


class Unpacked:
    """The unpacked bytes of what `read` gives, which begins with `magic`. Close it.

    `read1` raises `EOFError` if the packed stream breaks off, `OSError` for what is damaged in it
    and whatever `read` raises; all that could be unpacked before is given out first.
    """

    def __init__(self, read: Read, magic: bytes) -> None:
        self._read = read
        self._magic = magic
        self._make = _PACKINGS[magic][1]
        self._make()  # what is missing is said here, and not in the thread
        self._pieces: Queue[bytes | BaseException] = Queue(_AHEAD)
        self._rest = b""
        self._over: BaseException | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._unpack_all, daemon=True)
        self._thread.start()

    def read1(self, size: int = -1) -> bytes:
        """Some bytes, at most `size`; none at the end."""
        while not self._rest:
            if self._over is not None:
                if isinstance(self._over, StopIteration):
                    return b""
                raise self._over
            piece = self._pieces.get()
            if isinstance(piece, BaseException):
                self._over = piece
            else:
                self._rest = piece
        given = self._rest if size < 0 else self._rest[:size]
        self._rest = self._rest[len(given) :]
        return given

    read = read1

    def seek(self, offset: int) -> int:
        """Refuse: it is unpacked once, from its beginning."""
        raise io.UnsupportedOperation(f"seek to {offset}")

    def close(self) -> None:
        """End the thread, which may still wait for somebody to take what it has."""
        self._closed.set()
        while self._thread.is_alive():
            try:
                self._pieces.get(timeout=_PATIENCE_S)
            except Empty:
                return  # it waits for input; as a daemon it ends with the program

    def __enter__(self) -> Self:
        """For `with`: closes at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _unpack_all(self) -> None:
        try:
            self._unpack()
            self._give(StopIteration())
        except BaseException as error:  # it is raised where the bytes are read
            self._give(error)

    def _give(self, piece: bytes | BaseException) -> None:
        while not self._closed.is_set():
            try:
                self._pieces.put(piece, timeout=_PATIENCE_S)
            except Full:
                continue
            return

    def _unpack(self) -> None:
        """One packed stream after the other, as `cat` joins them."""
        packed = self._read(_READ_BYTES)
        while packed and not self._closed.is_set():
            packed = self._unpack_one(packed).lstrip(b"\0") or self._read(_READ_BYTES)
            while packed and len(packed) < len(self._magic):
                more = self._read(_READ_BYTES)
                if not more:
                    break
                packed += more
            packed = packed.lstrip(b"\0")  # padding, as tapes had it
            if packed and not packed.startswith(self._magic):
                raise OSError(f"behind the {name_of(self._magic)} stream stands something else")

    def _unpack_one(self, packed: bytes) -> bytes:
        """Give out one stream; returns the bytes behind it."""
        decompressor = self._make()
        while not decompressor.eof and not self._closed.is_set():
            if decompressor.needs_input and not packed:
                packed = self._read(_READ_BYTES)
                if not packed:
                    raise EOFError(f"the {name_of(self._magic)} stream has no end")
            piece = self._decompress(decompressor, packed)
            packed = b""
            if piece:
                self._give(piece)
        return bytes(decompressor.unused_data or b"") if decompressor.eof else b""

    def _decompress(self, decompressor: _Decompressor, packed: bytes) -> bytes:
        try:
            return decompressor.decompress(packed, _GIVE_BYTES)
        except Exception as error:
            # Each library has an error of its own, and none says what it was about.
            raise OSError(f"{name_of(self._magic)}: {error}") from error
