"""Source ports that nothing on this machine uses. Reads /proc; opens nothing.

A probe from a port that some program uses would send that program's peer our answers, and make the
kernel answer in its name.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from rawscan.errors import LinkError

_TABLES = ("tcp", "tcp6", "udp", "udp6")
_LOWEST, _HIGHEST = 1024, 65_535
_SIZES = (16_384, 8192, 4096, 2048, 1024, 512, 256, 64)


def used_ports(proc: Path = Path("/proc/net")) -> set[int]:
    """Local ports of all TCP and UDP sockets (proc(5), /proc/net/tcp: `local_address`)."""
    used: set[int] = set()
    for table in _TABLES:
        try:
            lines = (proc / table).read_text().splitlines()[1:]
        except OSError:  # no IPv6, or no Linux
            continue
        used.update(int(line.split()[1].rpartition(":")[2], 16) for line in lines)
    return used


def ephemeral_ports(sysctl: Path = Path("/proc/sys/net/ipv4/ip_local_port_range")) -> range:
    """The ports that the kernel gives to sockets that ask for none in particular (ip(7))."""
    try:
        first, last = map(int, sysctl.read_text().split())
    except (OSError, ValueError):
        return range(32_768, 61_000)
    return range(first, last + 1)


def free_window(used: set[int], ephemeral: range, asked: Collection[int] = ()) -> range:
    """As many neighbouring ports as possible, a power of two, with none of them in use.

    Ports that the kernel may give away during the scan, and those that are asked (a scan of our own
    machine hears its own probes), are avoided, unless nothing else is left.
    """
    for avoided in ((*ephemeral, *asked), ephemeral, asked, ()):
        free = bytearray(_LOWEST) + b"\1" * (_HIGHEST + 1 - _LOWEST)
        for port in (*used, *avoided):
            free[port] = 0
        runs = [found.span() for found in re.finditer(rb"\x01+", free)]
        for size in _SIZES:
            for first, end in reversed(runs):
                if end - first >= size:
                    return range(end - size, end)
    raise LinkError("this machine has no 64 neighbouring ports free to send probes from")


def source_ports(asked: Collection[int] = ()) -> range:
    """Ports to send probes from, when these are the ones to be asked."""
    return free_window(used_ports(), ephemeral_ports(), asked)
