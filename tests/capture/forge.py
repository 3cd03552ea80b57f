"""Builds capture files byte by byte for the tests, in either byte order. Touches nothing.

It knows the formats on its own, so that reader and writer do not share their mistakes with it.
"""

from __future__ import annotations

import struct


def pcap_header(
    order: str = "<", *, ns: bool = False, network: int = 1, version: tuple[int, int] = (2, 4)
) -> bytes:
    magic = 0xA1B23C4D if ns else 0xA1B2C3D4
    return struct.pack(f"{order}IHHiIII", magic, *version, 0, 0, 65535, network)


def record(
    order: str, seconds: int, fraction: int, data: bytes, original: int | None = None
) -> bytes:
    lengths = (len(data), len(data) if original is None else original)
    return struct.pack(f"{order}IIII", seconds, fraction, *lengths) + data


def block(order: str, kind: int, body: bytes, length: int | None = None) -> bytes:
    body += bytes(-len(body) % 4)
    total = struct.pack(f"{order}I", len(body) + 12 if length is None else length)
    return struct.pack(f"{order}I", kind) + total + body + total


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str, *options: tuple[int, bytes], major: int = 1) -> bytes:
    fields = struct.pack(f"{order}IHHq", 0x1A2B3C4D, major, 0, -1)
    return block(order, 0x0A0D0D0A, fields + b"".join(option(order, *o) for o in options))


def interface(
    order: str, *options: tuple[int, bytes], linktype: int = 1, snaplen: int = 0
) -> bytes:
    fields = struct.pack(f"{order}HHI", linktype, 0, snaplen)
    return block(order, 1, fields + b"".join(option(order, *o) for o in options))


def enhanced(
    order: str,
    ticks: int,
    data: bytes,
    *options: tuple[int, bytes],
    number: int = 0,
    original: int | None = None,
    captured: int | None = None,
) -> bytes:
    fields = struct.pack(
        f"{order}IIIII",
        number,
        ticks >> 32,
        ticks & 0xFFFFFFFF,
        len(data) if captured is None else captured,
        len(data) if original is None else original,
    )
    padded = data + bytes(-len(data) % 4)
    return block(order, 6, fields + padded + b"".join(option(order, *o) for o in options))


def simple(order: str, data: bytes, original: int | None = None) -> bytes:
    length = len(data) if original is None else original
    return block(order, 3, struct.pack(f"{order}I", length) + data)


def obsolete(order: str, ticks: int, data: bytes, number: int = 0, drops: int = 7) -> bytes:
    words = (ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return block(order, 2, struct.pack(f"{order}HHIIII", number, drops, *words) + data)


def statistics(order: str, ticks: int, *options: tuple[int, bytes], number: int = 0) -> bytes:
    fields = struct.pack(f"{order}III", number, ticks >> 32, ticks & 0xFFFFFFFF)
    return block(order, 5, fields + b"".join(option(order, *o) for o in options))
