"""The `scapy` link: Scapy's own sockets. Opens sockets; needs root or CAP_NET_RAW.

Slow, since Scapy takes each packet apart, but portable to wherever Scapy runs, and short enough to
be read in a lesson.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from scapy.config import conf
from scapy.error import Scapy_Exception
from scapy.interfaces import resolve_iface
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6, getmacbyip6
from scapy.layers.l2 import getmacbyip
from scapy.supersocket import L3RawSocket, L3RawSocket6

from rawscan.errors import LinkError, NeighbourError
from rawscan.model import Frame, IPAddress
from rawscan.net.privilege import missing_privilege
from rawscan.wire.linklayer import RAW


class ScapyLink:
    """Sends and receives through `conf.L3socket`, which opens interfaces as it needs them.

    Loopback is the exception: Linux drops what is put onto `lo` below IP, so there Scapy's raw IP
    sockets are used, as its own documentation advises.
    """

    name = "scapy"

    def __init__(self, interface: str | None = None) -> None:
        """Open the socket. Raises `PrivilegeError` or `LinkError`."""
        conf.verb = 0
        self._neighbours: set[IPAddress] = set()
        self._loopback: dict[int, Any] = {}
        try:
            self._socket: Any = conf.L3socket(iface=interface, promisc=False)
        except PermissionError:
            raise missing_privilege() from None
        except (OSError, Scapy_Exception, ValueError) as error:
            raise LinkError(f"Scapy cannot open a socket: {error}") from error

    def send(self, packet: bytes, target: IPAddress) -> Frame:
        """Send one packet. Scapy finds the route, and asks for the neighbour's address."""
        layers = IP(packet) if target.version == 4 else IPv6(packet)
        self._require_neighbour(layers, target)
        time_s = time.time()
        try:
            self._socket_for(target).send(layers)
        except (OSError, Scapy_Exception) as error:
            raise LinkError(f"cannot send to {target}: {error}") from error
        return Frame(time_s, packet, RAW, len(packet))

    def receive(self, timeout_s: float) -> Sequence[Frame]:
        """Read one packet from each interface that has any; none only if nothing is left."""
        frames: list[Frame] = []
        sockets = [self._socket, *self._loopback.values()]
        while not frames:
            ready = type(self._socket).select(sockets, max(timeout_s, 0))
            if not ready:
                break
            for each in ready:
                # Layer-3 sockets hand out IP packets without their link layer; None for our own.
                layers = each.recv()
                if isinstance(layers, IP | IPv6):
                    data = layers.original
                    frames.append(Frame(float(layers.time), data, RAW, len(data)))
            timeout_s = 0.0
        return frames

    def drops(self) -> int:
        """Scapy does not say; 0."""
        return 0

    def close(self) -> None:
        """Close the sockets."""
        for opened in (self._socket, *self._loopback.values()):
            opened.close()

    def _socket_for(self, target: IPAddress) -> Any:
        if not target.is_loopback:
            return self._socket
        if target.version not in self._loopback:
            kind = L3RawSocket if target.version == 4 else L3RawSocket6
            self._loopback[target.version] = kind()
        return self._loopback[target.version]

    def _require_neighbour(self, layers: Any, target: IPAddress) -> None:
        """Raise `NeighbourError` if nobody answers; Scapy itself would go on by broadcast."""
        if target.is_loopback or target in self._neighbours:
            return
        interface, _, gateway = layers.route()
        if not resolve_iface(interface).mac:  # a tunnel: no addresses below IP, no neighbours
            return
        # Both ask for the gateway's address in place of the target's where there is one.
        look_up = getmacbyip if target.version == 4 else getmacbyip6
        if look_up(str(target)) is None:
            raise NeighbourError(f"nobody answers for {target} (gateway {gateway})")
        self._neighbours.add(target)
