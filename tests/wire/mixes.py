"""Packets for property tests: whole, cut, odd, in every link layer. Touches nothing."""

from __future__ import annotations

from hypothesis import strategies as st

from rawscan.wire import linklayer as ll

_PORTS = st.sampled_from([b"\x02\x31", b"\x00\x35", b"\x12\xb5", b"\x9c\x40", b"\x01\xbb"])
_V4 = st.sampled_from([b"\x0a\0\0\1", b"\x0a\0\0\2", b"\xcb\0\x71\5"])
_V6 = st.sampled_from([b"\xfd" + bytes(14) + b"\1", b"\xfd" + bytes(14) + b"\2"])
_PROTOCOLS = st.sampled_from([6, 6, 6, 17, 17, 1, 58, 4, 41, 47, 2, 50, 51, 0, 43, 44, 60])
_TAIL = st.sampled_from([b"", b"\x50\x02", b"\0" * 8, b"\x80\x12" + bytes(18)])


@st.composite
def _upper(draw: st.DrawFn, depth: int) -> tuple[int, bytes]:
    """A protocol, and something that it might carry."""
    kind = draw(st.integers(0, 4))
    if kind == 0 and depth:
        type_ = draw(st.sampled_from([0, 1, 3, 4, 8, 11, 128, 135]))
        head = bytes([type_, draw(st.integers(0, 13))]) + bytes(6)
        return draw(st.sampled_from([1, 58])), head + draw(packets(depth - 1))
    if kind == 1:
        return draw(_PROTOCOLS), draw(st.binary(max_size=24))
    numbers = bytes(3) + bytes([draw(st.integers(0, 3))]) + bytes(3) + b"\1"
    protocol = draw(st.sampled_from([6, 17])) if kind < 4 else draw(_PROTOCOLS)
    return protocol, draw(_PORTS) + draw(_PORTS) + numbers + draw(_TAIL)


@st.composite
def packets(draw: st.DrawFn, depth: int = 1) -> bytes:
    """An IP packet, more often than not a sensible one."""
    protocol, body = draw(_upper(depth))
    odd = draw(st.integers(0, 9)) == 0
    if draw(st.booleans()):
        options = bytes(draw(st.sampled_from([0, 0, 0, 4, 40])))
        size = draw(st.integers(0, 80)) if odd else 20 + len(options) + len(body)
        fragment = draw(st.sampled_from([0, 0, 0, 0x4000, 0x2000, 0x00B9]))
        words = 5 + len(options) // 4
        first = draw(st.integers(0, 255)) if odd else 0x40 | words
        head = bytes([first, 0]) + size.to_bytes(2, "big") + b"\0\1" + fragment.to_bytes(2, "big")
        return head + bytes([64, protocol, 0, 0]) + draw(_V4) + draw(_V4) + options + body
    size = draw(st.integers(0, 80)) if odd else len(body)
    head = b"\x60\0\0\0" + size.to_bytes(2, "big") + bytes([protocol, 64])
    return head + draw(_V6) + draw(_V6) + body


def _ethertype(packet: bytes) -> bytes:
    return b"\x86\xdd" if packet[:1] >= b"\x60" else b"\x08\0"


LINKS = {
    ll.ETHERNET: (bytes(12), 2), ll.SLL: (bytes(14), 2), ll.SLL2: (b"", 20), ll.RAW: (b"", 0),
    ll.NULL: (b"\2\0\0\0", 0), ll.LOOP: (b"\0\0\0\x1e", 0), ll.PPP: (b"\xff\x03\0\x21", 0),
    ll.IPV4: (b"", 0),
}  # fmt: skip
"""Link types -> what stands before the ethertype, and the bytes that it takes (0: none)."""


@st.composite
def framed(draw: st.DrawFn, linktype: int, packet: bytes) -> bytes:
    """The packet in a frame, now and then tagged, of another ethertype, padded or cut off."""
    before, kind_bytes = LINKS[linktype]
    kind = _ethertype(packet)
    tags = draw(st.sampled_from([b"", b"", b"", b"\x81\0\0\7", b"\x88\xa8\0\1\x81\0\0\2"]))
    kind = draw(st.sampled_from([kind] * 6 + [b"\x08\x06", b"\x88\x47", b"\0\x26"]))
    if linktype == ll.SLL2:
        head = kind + bytes(18)
    else:
        head = before + (tags + kind if kind_bytes else b"")
    frame = head + packet + bytes(draw(st.sampled_from([0, 0, 6])))
    cut = draw(st.integers(0, len(frame))) if draw(st.integers(0, 4)) == 0 else len(frame)
    return frame[:cut]
