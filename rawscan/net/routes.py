"""Which way the kernel would send: source address, interface. Asks the kernel; sends nothing."""

from __future__ import annotations

import socket
from collections.abc import Container
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING

from rawscan.errors import LinkError, UsageError
from rawscan.model import IPAddress

if TYPE_CHECKING:
    from rawscan.net.nexthop import Path

_DISCARD = 9  # Any port does: connecting a datagram socket sends nothing.


@lru_cache(maxsize=65_536)
def source_for(target: IPAddress, interface: str | None = None) -> IPAddress:
    """Our own address on the way to `target`, as the kernel's routes have it.

    Raises `LinkError` if there is no route.
    """
    family = socket.AF_INET if target.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asker:
            if interface:
                asker.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            asker.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            scope = socket.if_nametoindex(interface) if interface else 0
            asker.connect((str(target), _DISCARD, 0, scope)[: 2 if target.version == 4 else 4])
            return ip_address(asker.getsockname()[0].partition("%")[0])
    except OSError as error:
        raise LinkError(f"no way to {target}: {error.strerror}") from error


def check_source(source: IPAddress) -> None:
    """Raise `UsageError` unless `source` is an address of this machine.

    Answers to any other would go elsewhere, and silence would mean nothing.
    """
    family = socket.AF_INET if source.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as binder:
            binder.bind((str(source), 0))
    except OSError as error:
        raise UsageError(
            f"--source-ip {source} is no address of this machine ({error.strerror}); "
            "`ip address` lists those that are"
        ) from error


def check_interface(name: str) -> None:
    """Raise `UsageError` unless there is such an interface."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        names = ", ".join(name for _, name in socket.if_nameindex())
        raise UsageError(
            f"--interface {name}: there is none of that name; there is {names}"
        ) from None


def own_broadcasts(targets: Container[IPAddress]) -> list[IPv4Address]:
    """Those targets that are broadcast addresses of our own networks, as the kernel's routes say.

    Only the two ends of each network that we have an address in can be one, so that is what is
    looked at; the low end is one for kernels before 5.14 alone. IPv6 has none (RFC 4291).
    """
    from rawscan.net.netlink import BROADCAST, Netlink

    found: set[IPv4Address] = set()
    with suppress(OSError), Netlink() as kernel:
        for own in kernel.addresses(socket.AF_INET):
            rest = (1 << 32 - own.prefix_length) - 1
            for number in (int(own.address) & ~rest, int(own.address) | rest):
                end = IPv4Address(number)
                with suppress(OSError):
                    if end in targets and kernel.route(end).type == BROADCAST:
                        found.add(end)
    return sorted(found)


def way_to(
    target: IPAddress, interface: str | None = None, source: IPAddress | None = None
) -> Path | None:
    """The way to `target`: interface, source, gateway. None if there is no route.

    A source of the other IP version does not count.
    """
    from rawscan.net.nexthop import PathFinder

    if source is not None and source.version != target.version:
        source = None
    try:
        with PathFinder(interface, source) as finder:
            return finder.path_for(target)
    except LinkError:
        return None


def resolve(name: str) -> list[IPAddress]:
    """Addresses of a host name, IPv4 first, each once. Raises `OSError` if there are none."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    addresses = {ip_address(str(entry[4][0]).partition("%")[0]) for entry in found}
    return sorted(addresses, key=lambda address: (address.version, int(address)))
