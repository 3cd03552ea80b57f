"""gzip (RFC 1952) around ISA-L's inflate: header, checksum and length are looked at here.

ISA-L reads them too, but then a wrong checksum at the end takes the last piece of good data with
it. Touches nothing.
"""

from __future__ import annotations

import struct

from isal.igzip_lib import DECOMP_DEFLATE, IgzipDecompressor
from isal.isal_zlib import crc32

_HEADER_BYTES, _TRAILER_BYTES = 10, 8
_FHCRC, _FEXTRA, _FNAME, _FCOMMENT = 2, 4, 8, 16
_LONGEST_HEADER = 1 << 17


class GzipDecompressor:
    """One member of a gzip file; used as the standard library's decompressors are."""

    def __init__(self) -> None:
        self.eof = False
        self._inflate = IgzipDecompressor(flag=DECOMP_DEFLATE)
        self._held = b""  # what of header or trailer is there so far
        self._in_header = True
        self._crc = self._size = 0

    @property
    def needs_input(self) -> bool:
        """Is there nothing to be had without more of the file?"""
        if self._inflate.eof:
            return len(self._held) < _TRAILER_BYTES
        return bool(self._in_header or self._inflate.needs_input)

    @property
    def unused_data(self) -> bytes:
        """What stands behind the member."""
        return self._held if self.eof else b""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Take some more of the file, give at most `max_length` bytes of its content.

        Raises `OSError` for what is damaged.
        """
        if self._in_header:
            self._held += data
            start = _after_header(self._held)
            if start is None:
                if len(self._held) > _LONGEST_HEADER:
                    raise OSError("a gzip header without end")
                return b""
            data, self._held, self._in_header = self._held[start:], b"", False
        piece = b""
        if self._inflate.eof:
            self._held += data
        else:
            piece = self._inflate.decompress(data, max_length)
            self._crc = crc32(piece, self._crc)
            self._size += len(piece)
            if self._inflate.eof:
                self._held = self._inflate.unused_data
        # What is good is given before the trailer may say that it is not.
        if self._inflate.eof and not piece and len(self._held) >= _TRAILER_BYTES:
            self._check_trailer()
        return piece

    def _check_trailer(self) -> None:
        crc, size = struct.unpack("<II", self._held[:_TRAILER_BYTES])
        if crc != self._crc:
            raise OSError(f"CRC check failed: {self._crc:#010x}, and the file says {crc:#010x}")
        if size != self._size & 0xFFFF_FFFF:
            raise OSError(f"{self._size} bytes were unpacked, and the file says {size}")
        self._held, self.eof = self._held[_TRAILER_BYTES:], True


def _after_header(data: bytes) -> int | None:
    """Where the deflated data begins; None if the header is not all there yet."""
    if len(data) < _HEADER_BYTES:
        return None
    method, flags = data[2], data[3]
    if method != 8:
        raise OSError(f"Unknown compression method {method}")
    at = _HEADER_BYTES
    if flags & _FEXTRA:
        if len(data) < at + 2:
            return None
        at += 2 + int.from_bytes(data[at : at + 2], "little")
    for flag in (_FNAME, _FCOMMENT):
        if flags & flag:
            at = data.find(b"\0", at) + 1
            if not at:
                return None
    at += 2 if flags & _FHCRC else 0
    return at if at <= len(data) else None
