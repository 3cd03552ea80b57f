"""The `packet` and `xdp` links: whole Ethernet frames, by the batch. Opens sockets; CAP_NET_RAW.

Frames are made in the sender's own buffer and taken from the receive ring as they lie there. The
way and the neighbour of each target are found here, since the kernel does not help below IP; a
target that is not reached by Ethernet cannot be sent to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from math import inf
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rawscan.errors import BusyError, LinkError, NeighbourError
from rawscan.model import IPAddress
from rawscan.net.framesender import FrameSender
from rawscan.net.link import Block, Sent
from rawscan.net.nexthop import LinkKind, Path, PathFinder
from rawscan.net.onlink import Neighbours, nobody_answers, on_link
from rawscan.net.resolver import gateway_mac
from rawscan.net.rxfilter import filter_for
from rawscan.net.rxring import FrameReceiver
from rawscan.targets import TargetSet
from rawscan.wire.addresses import Addresses
from rawscan.wire.batch import ETHERNET_BYTES

_ETHERTYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}
_BATCH, _STRIDE_BYTES = 1024, 256
_BLOCK = 4096
_SLOT_BYTES = 256
_LEAST_SLOTS, _MOST_SLOTS = 1 << 14, 1 << 18

Ints = NDArray[np.int64]


class Sender(Protocol):
    """What `FrameSender` and `XdpSender` have in common."""

    buffer: NDArray[np.uint8]

    def send(self, count: int, lengths: int, first: int = 0) -> int:
        """Send rows of the buffer; returns how many went."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class EthernetLink:
    """Sends and receives on one Ethernet interface."""

    headroom = ETHERNET_BYTES

    def __init__(
        self,
        name: str,
        interface: str,
        mac: bytes,
        finder: PathFinder,
        sender: Sender,
        receiver: FrameReceiver,
    ) -> None:
        """`finder`, `sender` and `receiver` belong to this link from now on."""
        self.name = name
        self.buffer = sender.buffer
        self._interface = interface
        self._mac = np.frombuffer(mac, np.uint8)
        self._sender = sender
        self._receiver = receiver
        self._finder = finder
        self._gateways: dict[IPAddress, bytes | NeighbourError] = {}
        self._neighbours = Neighbours()

    def prepare(
        self, targets: TargetSet, rate_pps: float = inf, stop: Callable[[], bool] = lambda: False
    ) -> None:
        """Find the neighbours of on-link targets before the scan; others cost nothing here."""
        for part in on_link(self._finder, targets):
            if part.path.interface == self._interface:
                self._neighbours.learn(part, rate_pps, stop)

    def send(self, count: int, size: int, targets: Addresses) -> Sent:
        """Put the link-layer headers before the packets, and send those that have a next hop."""
        macs, refused = self._next_hops(targets)
        frames = self.buffer[:count]
        frames[:, :6] = macs
        frames[:, 6:12] = self._mac
        frames[:, 12:14] = np.frombuffer(_ETHERTYPES[targets.version], np.uint8)
        length = self.headroom + size
        bad = [index for index, _ in refused]
        if bad:  # the good ones move together, and back to their rows afterwards
            good = np.delete(np.arange(count), bad)
            kept = frames[:, :length].copy()
            frames[: len(good), :length] = kept[good]
        else:
            good = np.arange(count)
        sent, error, first_s = 0, None, time.time()
        try:
            sent = self._sender.send(len(good), length)
        except LinkError as failure:
            error = failure
        # The kernel does not say when each frame left; they went at an even pace in between.
        times_s = np.linspace(first_s, time.time(), count)
        if bad:
            frames[:, :length] = kept
        if sent < len(good):
            error = error or BusyError(f"{self._interface} takes no more frames; lower the --rate")
            refused += [(int(index), error) for index in good[sent:]]
        return Sent(times_s, refused)

    def receive(self, timeout_s: float) -> Block:
        """What has arrived, where it lies in the ring."""
        batch = self._receiver.receive(max(timeout_s, 0.0), _BLOCK)
        return Block(
            batch.frames,
            batch.captured_bytes.astype(np.int64),
            batch.original_bytes.astype(np.int64),
            batch.times_s,
            self.headroom,
        )

    def drops(self) -> int:
        """Frames that found the ring full."""
        return self._receiver.drops()

    def close(self) -> None:
        """Close everything."""
        self._sender.close()
        self._receiver.close()
        self._finder.close()

    def sources(self, targets: Addresses) -> Iterator[tuple[IPAddress | LinkError, Ints]]:
        """Our address on the way to each target, for rows of the batch, or why there is no way."""
        numbers = self._finder.paths_for(targets.octets)
        for number in np.flatnonzero(np.bincount(numbers)).tolist():
            rows = np.flatnonzero(numbers == number)
            path, first = self._finder.answers[number], targets.at(int(rows[0]))
            if isinstance(path, LinkError):
                yield LinkError(f"no way to {first}: {path}"), rows
            elif path.interface != self._interface or path.kind is not LinkKind.ETHERNET:
                yield LinkError(_elsewhere(first, path, self._interface)), rows
            else:
                yield path.source, rows

    def _next_hops(
        self, targets: Addresses
    ) -> tuple[NDArray[np.uint8], list[tuple[int, LinkError]]]:
        """The MAC address that each frame goes to, and who has none."""
        numbers = self._finder.paths_for(targets.octets)
        macs = np.zeros((len(targets), 6), np.uint8)
        for number in np.flatnonzero(np.bincount(numbers)).tolist():
            path, rows = self._finder.answers[number], np.flatnonzero(numbers == number)
            if isinstance(path, LinkError):
                continue
            if path.gateway is None:
                macs[rows] = self._on_link(path, targets.take(rows))
            elif isinstance(mac := self._gateway(path), bytes):
                macs[rows] = np.frombuffer(mac, np.uint8)
        nobody = np.flatnonzero(~macs.any(axis=1)).tolist()
        return macs, [(at, nobody_answers(targets.at(at))) for at in nobody]

    def _on_link(self, path: Path, targets: Addresses) -> NDArray[np.uint8]:
        fixed = path.fixed_mac(targets.at(0))
        if fixed is not None:
            return np.tile(np.frombuffer(fixed, np.uint8), (len(targets), 1))
        return self._neighbours.macs(targets)

    def _gateway(self, path: Path) -> bytes | NeighbourError:
        assert path.gateway is not None
        if path.gateway not in self._gateways:
            try:
                self._gateways[path.gateway] = gateway_mac(path)
            except NeighbourError as error:
                self._gateways[path.gateway] = error
        return self._gateways[path.gateway]


def _elsewhere(target: IPAddress, path: Path, interface: str) -> str:
    return (
        f"the way to {target} is through {path.interface}, and this link is on {interface}; "
        "--link rawip goes every way"
    )


def open_ethernet(
    path: Path,
    finder: PathFinder,
    source_ports: range,
    *,
    xdp: bool = False,
    tell: Callable[[str], None] = lambda _: None,
    size: int = 0,
    replies: int = _MOST_SLOTS,
) -> EthernetLink:
    """Open the link on a path's interface. `size` is that of the largest packet, in bytes.

    The ring has room for all of so many `replies`, within bounds: the kernel takes 1.6 ms to make
    a megabyte of it.

    `tell` is given one line if AF_XDP is asked for and the interface has none.

    Raises `PrivilegeError` without CAP_NET_RAW, `LinkError` if the interface will not do.
    """
    if path.kind is not LinkKind.ETHERNET or path.mac is None:
        raise LinkError(f"{path.interface} is no Ethernet; use --link rawip")
    stride = max(_STRIDE_BYTES, 1 << (ETHERNET_BYTES + size - 1).bit_length())
    ring_bytes = ring_slots(replies) * _SLOT_BYTES
    receiver = FrameReceiver(path.interface, filter_for(source_ports), ring_bytes, _SLOT_BYTES)
    try:
        name, sender = _sender(path.interface, stride, xdp, tell)
    except BaseException:
        receiver.close()
        raise
    return EthernetLink(name, path.interface, path.mac, finder, sender, receiver)


def ring_slots(replies: int) -> int:
    """How many frames the ring should hold where so many may come: a power of two, within bounds.

    The least is what a scan at full speed is sent while a busy machine lets it wait.
    """
    return min(max(1 << (replies - 1).bit_length(), _LEAST_SLOTS), _MOST_SLOTS)


def _sender(
    interface: str, stride: int, xdp: bool, tell: Callable[[str], None]
) -> tuple[str, Sender]:
    """The sender, and the name of the link that it makes."""
    if xdp:
        from rawscan.net.xdp import XdpSender

        try:
            return "xdp", XdpSender(interface, _BATCH, stride)
        except LinkError as error:
            tell(f"{error}; using the packet link instead")
    return "packet", FrameSender(interface, _BATCH, stride)
