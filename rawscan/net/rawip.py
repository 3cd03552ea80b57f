"""The `rawip` link: Linux raw IP sockets. Opens sockets; needs CAP_NET_RAW.

The kernel routes, finds neighbours and makes the link-layer header, so loopback, tunnels, VPNs and
IPv6 work without a word about them here. Replies are read at the packet layer (packet(7),
SOCK_DGRAM: without link-layer header), which sees what arrives on every interface, before a local
firewall does, and IPv6 headers as well, which raw IPv6 sockets do not give (RFC 3542, section 3).
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from collections.abc import Collection, Sequence

from rawscan.errors import BusyError, LinkError
from rawscan.model import Frame, IPAddress
from rawscan.net.privilege import missing_privilege
from rawscan.wire.linklayer import RAW

# Linux constants that the socket module does not name.
_ETHERTYPES = {4: 0x0800, 6: 0x86DD}
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_FULL = (errno.EAGAIN, errno.ENOBUFS)

_MAX_PACKET_BYTES = 65_535
_RECEIVE_BYTES = 16 << 20
_MAX_BATCH = 1024


class RawIpLink:
    """Sends through raw IP sockets, receives through packet sockets, one of each an IP version."""

    name = "rawip"

    def __init__(self, interface: str | None = None, versions: Collection[int] = (4, 6)) -> None:
        """Open the sockets. `interface` binds sending and receiving to one interface.

        `versions` are those of IP that will be sent: to close a packet socket takes 10 ms.
        Raises `PrivilegeError` without CAP_NET_RAW, `LinkError` if there is no such interface.
        """
        self._open: list[socket.socket] = []
        self._drops = 0
        try:
            self._senders = {
                version: self._sender(_FAMILIES[version], interface) for version in versions
            }
            self._receivers = [
                self._receiver(_ETHERTYPES[version], interface) for version in versions
            ]
        except PermissionError:
            self.close()
            raise missing_privilege() from None
        except OSError as error:
            self.close()
            place = f"interface {interface!r}" if interface else "raw sockets"
            raise LinkError(f"{place}: {error.strerror}") from error
        self._poll = select.poll()
        for receiver in self._receivers:
            self._poll.register(receiver, select.POLLIN)
        self._scope = socket.if_nametoindex(interface) if interface else 0

    def send(self, packet: bytes, target: IPAddress) -> Frame:
        """Send one packet; the kernel chooses the way."""
        address = (
            (str(target), 0)
            if target.version == 4
            else (str(target), 0, 0, self._scope if target.is_link_local else 0)
        )
        time_s = time.time()
        try:
            self._send_patiently(self._senders[target.version], packet, address)
        except OSError as error:
            kind = BusyError if error.errno in _FULL else LinkError
            raise kind(f"cannot send to {target}: {error.strerror}") from error
        return Frame(time_s, packet, RAW, len(packet))

    def receive(self, timeout_s: float) -> Sequence[Frame]:
        """Read what has arrived, up to 1024 packets of each IP version."""
        frames: list[Frame] = []
        if self._poll.poll(max(timeout_s, 0) * 1000):
            for receiver in self._receivers:
                frames.extend(self._drain(receiver))
        frames.sort(key=lambda frame: frame.time_s)
        return frames

    def drops(self) -> int:
        """Packets that did not fit into the receive buffers (packet(7), PACKET_STATISTICS)."""
        for receiver in self._receivers:
            # The kernel sets its counters back to zero each time they are read.
            counters = receiver.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
            self._drops += int(struct.unpack("II", counters)[1])
        return self._drops

    def close(self) -> None:
        """Close all sockets."""
        for opened in self._open:
            opened.close()

    def _sender(self, family: int, interface: str | None) -> socket.socket:
        # IPPROTO_RAW means that the packet brings its own IP header: raw(7), and so for IPv6.
        sender = self._remember(socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW))
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.setblocking(False)
        if interface:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, os.fsencode(interface))
        return sender

    def _receiver(self, ethertype: int, interface: str | None) -> socket.socket:
        # Only a socket for "all" protocols is shown what leaves; these two see arrivals alone.
        # Protocol 0 hears nothing: no other interface's packet can come before it is bound.
        protocol = 0 if interface else socket.htons(ethertype)
        receiver = self._remember(socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, protocol))
        receiver.setblocking(False)
        receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        try:
            receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BYTES)
        except PermissionError:  # needs CAP_NET_ADMIN; without it, as much as anybody may have
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        if interface:
            receiver.bind((interface, ethertype))
        return receiver

    def _remember(self, opened: socket.socket) -> socket.socket:
        self._open.append(opened)
        return opened

    @staticmethod
    def _send_patiently(sender: socket.socket, packet: bytes, address: tuple[object, ...]) -> None:
        """Send; when there is no room, wait for it, but not for ever."""
        for _ in range(100):
            try:
                sender.sendto(packet, address)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                time.sleep(0.001)
            else:
                return
        raise OSError(
            errno.ENOBUFS,
            "no room, since earlier packets wait for the interface or for a neighbour's address; "
            "try a lower --rate",
        )

    @staticmethod
    def _drain(receiver: socket.socket) -> list[Frame]:
        frames = []
        for _ in range(_MAX_BATCH):
            try:
                data, extra, _, _ = receiver.recvmsg(_MAX_PACKET_BYTES, 64)
            except BlockingIOError:
                break
            except OSError as error:
                # An interface that goes down says so once on each socket; others may be up.
                if error.errno == errno.ENETDOWN:
                    continue
                raise LinkError(f"cannot receive: {error.strerror}") from error
            frames.append(Frame(_arrival_s(extra), data, RAW, len(data)))
        return frames


def _arrival_s(extra: list[tuple[int, int, bytes]]) -> float:
    """The kernel's time of arrival (socket(7), SO_TIMESTAMPNS), as the epoch's seconds."""
    for level, kind, value in extra:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, ns = struct.unpack("ll", value[: struct.calcsize("ll")])
            return float(seconds + ns / 1e9)
    return time.time()
