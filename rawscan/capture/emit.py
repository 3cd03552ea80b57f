"""The blocks that a pcapng file is made of, little-endian. Bytes only; touches nothing.

Section numbers are draft-ietf-opsawg-pcapng's.
"""

from __future__ import annotations

import struct


def option(code: int, value: bytes) -> bytes:
    """One option, padded to 32 bits (section 3.5)."""
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def block(kind: int, body: bytes) -> bytes:
    """A block: type, total length, body padded to 32 bits, total length (section 3.1)."""
    body += bytes(-len(body) % 4)
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length
