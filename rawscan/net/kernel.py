"""What Linux calls things: constants and structures of the packet interfaces, and three questions.

For the fast links only (`framesender`, `rxring`, `xdp`). The questions open a socket that sends
nothing. No compiler is needed: the structures are ctypes', and NumPy reads arrays of them in place.
Pointers are `c_size_t`, which is as wide and which NumPy can fill for a whole array at once.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import socket
import struct
from typing import Any

import numpy as np

from rawscan.errors import LinkError

# linux/if_ether.h
ETH_P_ALL = 0x0003

# linux/if_packet.h, described in packet(7)
SOL_PACKET = 263
PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION = 5, 6, 10
PACKET_QDISC_BYPASS, PACKET_IGNORE_OUTGOING = 20, 23
PACKET_OUTGOING = 4
TPACKET_V2 = 1
TP_STATUS_KERNEL, TP_STATUS_USER = 0, 1
TPACKET_ALIGNMENT = 16

# asm-generic/socket.h, described in socket(7)
SO_ATTACH_FILTER = 26

# linux/if_arp.h: links whose frames begin with an Ethernet header
ARPHRD_ETHER, ARPHRD_LOOPBACK = 1, 772

# linux/sockios.h and net/if.h, described in netdevice(7)
SIOCGIFFLAGS = 0x8913
IFF_UP = 0x1

# linux/if_xdp.h, described in Documentation/networking/af_xdp.rst
AF_XDP, SOL_XDP = 44, 283
XDP_MMAP_OFFSETS, XDP_TX_RING, XDP_UMEM_REG = 1, 3, 4
XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING = 5, 6
XDP_OPTIONS, XDP_MAX_TX_SKB_BUDGET = 8, 9
XDP_OPTIONS_ZEROCOPY = 1
XDP_COPY, XDP_ZEROCOPY, XDP_USE_NEED_WAKEUP = 1 << 1, 1 << 2, 1 << 3
XDP_RING_NEED_WAKEUP = 1
XDP_PGOFF_TX_RING, XDP_UMEM_PGOFF_COMPLETION_RING = 0x80000000, 0x180000000
XDP_UMEM_MIN_CHUNK_BYTES = 2048  # net/xdp/xdp_umem.c


class IoVec(ctypes.Structure):
    """`struct iovec` (readv(2))."""

    _fields_ = (("base", ctypes.c_size_t), ("length", ctypes.c_size_t))


class MessageHeader(ctypes.Structure):
    """`struct msghdr` (sendmsg(2)), as the kernel and glibc have it."""

    _fields_ = (
        ("name", ctypes.c_size_t),
        ("name_length", ctypes.c_uint),
        ("iov", ctypes.c_size_t),
        ("iov_count", ctypes.c_size_t),
        ("control", ctypes.c_size_t),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class ManyMessageHeader(ctypes.Structure):
    """`struct mmsghdr` (sendmmsg(2))."""

    _fields_ = (("header", MessageHeader), ("sent_bytes", ctypes.c_uint))


class RingRequest(ctypes.Structure):
    """`struct tpacket_req` (linux/if_packet.h)."""

    _fields_ = (
        ("block_bytes", ctypes.c_uint),
        ("blocks", ctypes.c_uint),
        ("frame_bytes", ctypes.c_uint),
        ("frames", ctypes.c_uint),
    )


class SlotHeader(ctypes.Structure):
    """`struct tpacket2_hdr` (linux/if_packet.h), at the start of each slot of a receive ring."""

    _fields_ = (
        ("status", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
        ("snap_length", ctypes.c_uint32),
        ("mac", ctypes.c_uint16),
        ("net", ctypes.c_uint16),
        ("seconds", ctypes.c_uint32),
        ("nanoseconds", ctypes.c_uint32),
        ("vlan_tci", ctypes.c_uint16),
        ("vlan_tpid", ctypes.c_uint16),
        ("padding", ctypes.c_uint8 * 4),
    )


class LinkAddress(ctypes.Structure):
    """`struct sockaddr_ll` (packet(7)); in a receive ring it follows the slot's header."""

    _fields_ = (
        ("family", ctypes.c_ushort),
        ("protocol", ctypes.c_uint16),
        ("interface", ctypes.c_int),
        ("hardware_type", ctypes.c_ushort),
        ("packet_type", ctypes.c_uint8),
        ("address_length", ctypes.c_uint8),
        ("address", ctypes.c_uint8 * 8),
    )


class FilterProgram(ctypes.Structure):
    """`struct sock_fprog` (linux/filter.h)."""

    _fields_ = (("instructions", ctypes.c_ushort), ("program", ctypes.c_size_t))


class UmemRegistration(ctypes.Structure):
    """`struct xdp_umem_reg` (linux/if_xdp.h); older kernels read only as much as they know."""

    _fields_ = (
        ("address", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("chunk_bytes", ctypes.c_uint32),
        ("headroom", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("metadata_bytes", ctypes.c_uint32),
    )


class RingOffset(ctypes.Structure):
    """`struct xdp_ring_offset` (linux/if_xdp.h); `flags` since Linux 5.4."""

    _fields_ = (
        ("producer", ctypes.c_uint64),
        ("consumer", ctypes.c_uint64),
        ("entries", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
    )


class RingOffsets(ctypes.Structure):
    """`struct xdp_mmap_offsets` (linux/if_xdp.h)."""

    _fields_ = (
        ("receive", RingOffset),
        ("transmit", RingOffset),
        ("fill", RingOffset),
        ("completion", RingOffset),
    )


class XdpAddress(ctypes.Structure):
    """`struct sockaddr_xdp` (linux/if_xdp.h), which Python's `socket.bind` does not know."""

    _fields_ = (
        ("family", ctypes.c_uint16),
        ("flags", ctypes.c_uint16),
        ("interface", ctypes.c_uint32),
        ("queue", ctypes.c_uint32),
        ("shared_umem", ctypes.c_uint32),
    )


class Descriptor(ctypes.Structure):
    """`struct xdp_desc` (linux/if_xdp.h): one frame in a transmit ring."""

    _fields_ = (
        ("address", ctypes.c_uint64),
        ("length", ctypes.c_uint32),
        ("options", ctypes.c_uint32),
    )


INSTRUCTION = struct.Struct("HBBI")
"""`struct sock_filter` (linux/filter.h): code, jump if true, jump if false, operand."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.sendmmsg.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int]
_libc.sendmmsg.restype = ctypes.c_int
_libc.bind.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint]
_libc.bind.restype = ctypes.c_int


def sendmmsg(descriptor: int, address: int, count: int) -> int:
    """Send without waiting the first of `count` messages whose headers begin at `address`.

    Returns how many went, never 0; raises `OSError` if the very first did not (sendmmsg(2)).
    """
    sent = int(_libc.sendmmsg(descriptor, address, count, socket.MSG_DONTWAIT))
    if sent < 0:
        raise _error()
    return sent


def bind(descriptor: int, address: ctypes.Structure) -> None:
    """bind(2), for families whose addresses Python cannot write."""
    if _libc.bind(descriptor, ctypes.addressof(address), ctypes.sizeof(address)) < 0:
        raise _error()


def structures(kind: type[ctypes.Structure], count: int) -> Any:
    """An array of `count` of them, all zero, as NumPy sees them: one column a field."""
    return np.zeros(count, np.dtype(kind))


def attach_filter(sock: socket.socket, program: bytes) -> None:
    """Have the kernel hand this socket only what a classic BPF program accepts (socket(7))."""
    held = ctypes.create_string_buffer(program, len(program))
    count = len(program) // INSTRUCTION.size
    sock.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, bytes(FilterProgram(count, ctypes.addressof(held)))
    )


def interface_index(interface: str) -> int:
    """The number of an interface that is up; `LinkError` if it is not, or if there is none."""
    try:
        index = socket.if_nametoindex(interface)
    except OSError:
        raise LinkError(f"there is no interface {interface!r}") from None
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            # struct ifreq: the name in 16 bytes, then a union of at most 24 (netdevice(7))
            request = struct.pack("16s24x", os.fsencode(interface))
            answer = fcntl.ioctl(asker, SIOCGIFFLAGS, request)
    except OSError as error:
        raise refused(interface, "nothing is known", error) from error
    if not struct.unpack_from("H", answer, 16)[0] & IFF_UP:
        raise LinkError(f"interface {interface!r} is down")
    return index


def refused(interface: str, doing: str, error: OSError) -> LinkError:
    """The one line about what an interface or the kernel would not do."""
    return LinkError(f"{doing} on interface {interface!r}: {error.strerror or error}")


def require_ordered_memory(what: str) -> None:
    """Raise `LinkError` where memory shared with the kernel would need barriers.

    x86 makes the stores of one processor visible in the order of the program, and does its loads in
    order (Intel SDM volume 3, section "Memory ordering"), so a counter or status word written last
    and read first is enough. Python has no barriers to offer to weaker machines.
    """
    machine = platform.machine()
    if machine not in ("x86_64", "AMD64", "i386", "i686"):
        raise LinkError(f"{what} relies on the memory order of x86; this machine is {machine}")


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
