"""Which way the kernel would send: source address, interface. Asks the kernel; sends nothing."""

from __future__ import annotations

import socket
from functools import lru_cache
from ipaddress import ip_address

from rawscan.errors import LinkError, UsageError
from rawscan.model import IPAddress

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


def interface_for(target: IPAddress) -> str | None:
    """Name of the interface on the way to `target`; None if there is no route."""
    from rawscan.net.nexthop import PathFinder

    try:
        with PathFinder() as finder:
            return finder.path_for(target).interface
    except LinkError:
        return None


def resolve(name: str) -> list[IPAddress]:
    """Addresses of a host name, IPv4 first, each once. Raises `OSError` if there are none."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    addresses = {ip_address(str(entry[4][0]).partition("%")[0]) for entry in found}
    return sorted(addresses, key=lambda address: (address.version, int(address)))
