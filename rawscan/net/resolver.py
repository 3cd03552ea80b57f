"""Asks many on-link neighbours for their MAC addresses. Opens a packet socket; needs CAP_NET_RAW.

Joins `NeighbourTable`, which decides, with one interface. Frames go only to that interface, at no
more than the given rate. Memory is bounded by the table's capacity and the block in hand, so a
stream of targets may be as long as it likes. It always ends: every target costs at most `tries`
requests, and an interface that takes no frame for a while is an error.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

import numpy as np
from numpy.typing import NDArray

from rawscan.errors import LinkError, NeighbourError
from rawscan.model import IPAddress
from rawscan.net.neighbours import (
    TRIES,
    WAIT_S,
    NeighbourTable,
    Rows,
    known_neighbours,
    replies_in,
    requests_for,
    rows_of,
)
from rawscan.net.netlink import Netlink
from rawscan.net.nexthop import LinkKind, Path
from rawscan.net.privilege import missing_privilege

_ETH_P_ARP, _ETH_P_IPV6 = 0x0806, 0x86DD
_SO_RCVBUFFORCE, _SO_ATTACH_FILTER = 33, 26
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_RECEIVE_BYTES = 16 << 20

_BLOCK, _STRIDE_BYTES = 512, 256
_BATCH = 256
"""Requests that are sent before replies are looked for again."""
_BURST_S = 0.01
_FASTEST_PPS = 1e9  # stands for no limit
_GRACE_S = 1.0
_STALL_S = 5.0
_TICK_S = 0.05
_TAKE_ERRORS = (errno.EAGAIN, errno.ENOBUFS)

# Classic BPF, which only saves work: (code, jump if true, jump if false, value) as in linux/bpf.h.
_LOAD_HALF, _LOAD_BYTE, _IF_EQUAL, _RETURN = 0x28, 0x30, 0x15, 0x06
_ARP_REPLIES = [
    (_LOAD_HALF, 0, 0, 20),  # opcode
    (_IF_EQUAL, 0, 1, 2),
    (_RETURN, 0, 0, 0xFFFF),
    (_RETURN, 0, 0, 0),
]
_ADVERTISEMENTS = [
    (_LOAD_BYTE, 0, 0, 20),  # next header: ICMPv6
    (_IF_EQUAL, 0, 3, 58),
    (_LOAD_BYTE, 0, 0, 54),  # ICMPv6 type: neighbour advertisement
    (_IF_EQUAL, 0, 1, 136),
    (_RETURN, 0, 0, 0xFFFF),
    (_RETURN, 0, 0, 0),
]


@dataclass(frozen=True, slots=True)
class Answers:
    """What has become of some targets: rows of addresses, of MAC addresses, and who is resolved.

    The MAC address is all zeros where `resolved` is False: nobody answered.
    """

    addresses: Rows
    macs: Rows
    resolved: NDArray[np.bool_]


class Resolver:
    """Resolves neighbours on the link of one `Path`. Close it when done."""

    def __init__(
        self,
        path: Path,
        version: int,
        *,
        rate_pps: float = 1000.0,
        tries: int = TRIES,
        wait_s: float = WAIT_S,
        capacity: int = 65_536,
    ) -> None:
        """Open the socket. `version` is the neighbours': a gateway's may not be the target's.

        Raises `PrivilegeError` without CAP_NET_RAW, `LinkError` if the interface cannot be used.
        """
        if path.kind is not LinkKind.ETHERNET or path.mac is None:
            raise LinkError(f"{path.interface} has no neighbours that could be asked")
        self._mac = path.mac
        self._source = source_on(path, version)
        self._table = NeighbourTable(version, tries, wait_s, capacity)
        self._batch = min(_BATCH, capacity)
        self._rate_pps = min(rate_pps, _FASTEST_PPS)
        self._burst = max(1.0, min(self._rate_pps * _BURST_S, _BATCH))
        self._drops = 0
        self.requests_sent = 0
        self._block = np.zeros((_BLOCK, _STRIDE_BYTES), np.uint8)
        self._rows = [memoryview(row) for row in self._block]  # type: ignore[arg-type]
        try:
            self._socket = _open(path.interface, version)
        except PermissionError:
            raise missing_privilege() from None
        except OSError as error:
            raise LinkError(f"interface {path.interface!r}: {error.strerror}") from error

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> Resolver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def drops(self) -> int:
        """Replies that did not fit into the receive buffer (packet(7), PACKET_STATISTICS)."""
        counters = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self._drops += int(struct.unpack("II", counters)[1])
        return self._drops

    def stream(
        self, blocks: Iterable[Rows], stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Answers]:
        """Answers for blocks of addresses, in the order in which they come; each address once.

        `stop()` ends it early: those that have not answered by then are not in any answer.
        An address that comes again after its answer is asked for again.
        """
        waiting = _pieces(blocks, self._batch)
        more = True
        tokens, moved_s = self._burst, time.monotonic()
        then_s = moved_s
        while (more or len(self._table)) and not stop():
            while more and self._table.unasked < self._batch <= self._table.room:
                piece = next(waiting, None)
                more = piece is not None
                if piece is not None:
                    self._table.add(piece)
            now_s = time.monotonic()
            tokens = min(tokens + (now_s - then_s) * self._rate_pps, self._burst)
            then_s = now_s
            due = self._table.requests(now_s, int(tokens))
            if len(due):
                tokens -= len(due)
                self._send(due)
            macs, heard, idle = self._receive(0 if len(due) else self._pause_s(tokens))
            # What came in time has been read by now, unless there is a flood of replies.
            silent = self._table.failed(now_s if idle else now_s - _GRACE_S)
            if len(heard) or len(silent):
                yield _answers(heard, macs, silent)

    def _pause_s(self, tokens: float) -> float:
        """How long to wait for replies before something else is due."""
        next_s = self._table.next_s()
        if next_s is None:
            return 0.0
        # Half a burst at once, so that a slow scan does not wake up for every single request.
        budget_s = (max(self._burst / 2, 1.0) - tokens) / self._rate_pps
        return min(max(next_s - time.monotonic(), budget_s, 0.0), _TICK_S)

    def _send(self, addresses: Rows) -> None:
        frames = requests_for(addresses, self._mac, self._source)
        for frame in frames:
            self._send_patiently(frame.data)
        self.requests_sent += len(frames)

    def _send_patiently(self, frame: memoryview) -> None:
        """Send; when the interface's queue is full, wait for it, but not for ever."""
        end_s = None
        while True:
            try:
                self._socket.send(frame)
            except OSError as error:
                if error.errno not in _TAKE_ERRORS:
                    raise LinkError(f"cannot ask for neighbours: {error.strerror}") from error
                end_s = end_s or time.monotonic() + _STALL_S
                if time.monotonic() > end_s:
                    raise LinkError(
                        "the interface's queue stays full; try a lower --rate"
                    ) from error
                time.sleep(0.0005)
            else:
                return

    def _receive(self, timeout_s: float) -> tuple[Rows, Rows, bool]:
        """MAC addresses, whose they are, and whether everything has been read."""
        if timeout_s:
            select.select([self._socket], [], [], timeout_s)
        lengths = []
        for row in self._rows:
            try:
                # MSG_TRUNC: the frame's true length, so that a cut-off one is known for it
                lengths.append(self._socket.recv_into(row, 0, socket.MSG_TRUNC))
            except BlockingIOError:
                break
            except OSError as error:
                raise LinkError(f"cannot receive: {error.strerror}") from error
        taken = np.array(lengths, np.int64)
        found = replies_in(self._block[: len(lengths)], taken, self._source)
        heard, macs = self._table.heard(*found)
        return macs, heard, len(lengths) < len(self._rows)


def resolve(
    addresses: Iterable[IPAddress],
    path: Path,
    *,
    rate_pps: float = 1000.0,
    tries: int = TRIES,
    wait_s: float = WAIT_S,
) -> dict[IPAddress, bytes | None]:
    """The MAC address of each on-link address of one version; None where nobody answers."""
    wanted = list(dict.fromkeys(addresses))
    if not wanted:
        return {}
    found: dict[IPAddress, bytes | None] = {}
    version = wanted[0].version
    with Resolver(path, version, rate_pps=rate_pps, tries=tries, wait_s=wait_s) as resolver:
        for answers in resolver.stream([rows_of(wanted)]):
            for row, mac, good in zip(
                answers.addresses, answers.macs, answers.resolved, strict=True
            ):
                found[ip_address(row.tobytes())] = mac.tobytes() if good else None
    return found


def gateway_mac(path: Path) -> bytes:
    """The MAC address of a path's gateway: the kernel's knowledge, or else the gateway's answer.

    Raises `NeighbourError` if it does not answer.
    """
    if path.gateway is None:
        raise LinkError(f"the way through {path.interface} has no gateway")
    mac = known_neighbours(path.index).get(path.gateway)
    mac = mac or resolve([path.gateway], path)[path.gateway]
    if mac is None:
        raise NeighbourError(f"the gateway {path.gateway} on {path.interface} does not answer")
    return mac


def source_on(path: Path, version: int) -> IPAddress:
    """Our address to ask neighbours from.

    RFC 4861, section 7.2.2: the packet's own source if it is the interface's, else any address of
    the interface. ARP answers go to our MAC address in any case (RFC 826), so IPv4 need not care.
    """
    if path.source.version == version == 4:
        return path.source
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    try:
        with Netlink() as kernel:
            own = [a.address for a in kernel.addresses(family) if a.interface == path.index]
    except OSError as error:
        raise LinkError(f"cannot read the addresses: {error.strerror}") from error
    if path.source in own:
        return path.source
    own.sort(key=lambda address: not address.is_link_local)
    if not own:
        raise LinkError(f"{path.interface} has no IPv{version} address to ask neighbours from")
    return own[0]


def _open(interface: str, version: int) -> socket.socket:
    """A packet socket that hears replies only: bound after its filter is on."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        program = b"".join(
            struct.pack("HBBI", *step) for step in (_ARP_REPLIES, _ADVERTISEMENTS)[version == 6]
        )
        code = array("B", program)
        steps = struct.pack("HP", len(program) // 8, code.buffer_info()[0])
        opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, steps)
        try:
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BYTES)
        except PermissionError:  # needs CAP_NET_ADMIN; without it, as much as anybody may have
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        opened.setblocking(False)
        opened.bind((interface, _ETH_P_IPV6 if version == 6 else _ETH_P_ARP))
    except OSError:
        opened.close()
        raise
    return opened


def _pieces(blocks: Iterable[Rows], size: int) -> Iterator[Rows]:
    """Blocks in pieces of at most `size`."""
    for block in blocks:
        for start in range(0, len(block), size):
            yield block[start : start + size]


def _answers(heard: Rows, macs: Rows, silent: Rows) -> Answers:
    resolved = np.zeros(len(heard) + len(silent), bool)
    resolved[: len(heard)] = True
    nothing = np.zeros((len(silent), 6), np.uint8)
    return Answers(np.concatenate([heard, silent]), np.concatenate([macs, nothing]), resolved)
