"""The few kernel calls that building the lab needs and Python 3.11 does not have.

Touches the network namespace of the calling process, which must be one that the lab made.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

CLONE_NEWNET = 0x40000000  # linux/sched.h
SIOCETHTOOL = 0x8946  # linux/sockios.h
ETHTOOL_STXCSUM = 0x17  # linux/ethtool.h
IFA_F_TENTATIVE = 0x40  # linux/if_addr.h
CONNECT_TIMEOUT_S = 1.0

_libc = ctypes.CDLL(None, use_errno=True)


def new_namespace() -> int:
    """Move this process into a new network namespace and return an open file that holds it."""
    _call(_libc.unshare(CLONE_NEWNET))
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def enter(namespace: int) -> None:
    """Move this process into a namespace that is held open."""
    _call(_libc.setns(namespace, CLONE_NEWNET))


def _call(result: int) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def plain_checksums(interface: str) -> None:
    """Have the kernel compute checksums itself on a virtual interface.

    Otherwise it leaves them to hardware that is not there, and every capture shows bad ones.
    """
    value = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCETHTOOL, request)


def has_tentative_address() -> bool:
    """Whether an IPv6 address of this namespace cannot be used yet."""
    lines = Path("/proc/self/net/if_inet6").read_text().splitlines()
    # address, interface number, prefix length, scope, flags, name; numbers in hexadecimal
    return any(int(line.split()[4], 16) & IFA_F_TENTATIVE for line in lines)


def connects(address: str, port: int) -> bool:
    """Whether a TCP connection to that address can be made from this namespace."""
    try:
        socket.create_connection((address, port), CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True
