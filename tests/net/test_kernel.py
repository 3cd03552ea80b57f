"""The structures are the kernel's, and the questions get the right answers."""

from __future__ import annotations

import ctypes
import socket
import sys

import pytest

from rawscan.errors import LinkError
from rawscan.net import kernel
from tests.net.wire import inside, ip

# Sizes and offsets on 64-bit machines, worked out from the headers' declarations by hand.
LAYOUT = [
    (kernel.IoVec, 16, {"length": 8}),
    (kernel.MessageHeader, 56, {"iov": 16, "iov_count": 24, "control": 32, "flags": 48}),
    (kernel.ManyMessageHeader, 64, {"sent_bytes": 56}),
    (kernel.RingRequest, 16, {"frame_bytes": 8}),
    (kernel.SlotHeader, 32, {"mac": 12, "seconds": 16, "vlan_tci": 24}),
    (kernel.LinkAddress, 20, {"hardware_type": 8, "packet_type": 10, "address": 12}),
    (kernel.FilterProgram, 16, {"program": 8}),
    (kernel.UmemRegistration, 32, {"chunk_bytes": 16, "flags": 24}),
    (kernel.RingOffsets, 128, {"transmit": 32, "completion": 96}),
    (kernel.XdpAddress, 16, {"interface": 4, "queue": 8}),
    (kernel.Descriptor, 16, {"length": 8, "options": 12}),
]


@pytest.mark.skipif(sys.maxsize < 2**32, reason="the sizes are those of 64-bit machines")
@pytest.mark.parametrize(("structure", "size", "offsets"), LAYOUT)
def test_structures_lie_in_memory_as_the_kernel_has_them(
    structure: type[ctypes.Structure], size: int, offsets: dict[str, int]
) -> None:
    assert ctypes.sizeof(structure) == size
    for name, offset in offsets.items():
        assert getattr(structure, name).offset == offset


def test_numpy_sees_arrays_of_structures_as_ctypes_does() -> None:
    column = kernel.structures(kernel.ManyMessageHeader, 3)
    column["header"]["iov_count"] = [7, 8, 9]
    seen = (kernel.ManyMessageHeader * 3).from_buffer(column)
    assert [message.header.iov_count for message in seen] == [7, 8, 9]


def test_constants_are_those_that_python_knows_too() -> None:
    assert kernel.PACKET_OUTGOING == socket.PACKET_OUTGOING


def test_a_failed_call_tells_why() -> None:
    headers = kernel.structures(kernel.ManyMessageHeader, 1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        kernel.sendmmsg(-1, headers.ctypes.data, 1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        kernel.bind(-1, kernel.XdpAddress())


def test_other_machines_memory_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(LinkError, match="x86; this machine is aarch64"):
        kernel.require_ordered_memory("the ring")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    kernel.require_ordered_memory("the ring")


def test_an_interface_that_is_not_there() -> None:
    with pytest.raises(LinkError, match="there is no interface 'nowhere0'"):
        kernel.interface_index("nowhere0")


def ask_up_and_down() -> list[object]:
    index = kernel.interface_index("left")
    ip("link set left down")
    try:
        kernel.interface_index("left")
    except LinkError as error:
        return [index == socket.if_nametoindex("left"), str(error)]
    return ["no error"]


@pytest.mark.netns
def test_an_interface_that_is_down() -> None:
    assert inside(ask_up_and_down) == [True, "interface 'left' is down"]
