"""`FrameReceiver`: what arrives on one interface, many frames at a time, without copying them.

Opens a packet socket and maps its receive ring (Documentation/networking/packet_mmap.rst,
TPACKET_V2). Needs CAP_NET_RAW. Slots of version 2 lie at a fixed distance from each other, so the
ring is one NumPy array and its headers are columns of it.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import select
import socket
import struct
import time
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from rawscan.errors import LinkError
from rawscan.net import kernel
from rawscan.net.privilege import missing_privilege

_BLOCK_BYTES = 1 << 20
_FIRST_LOOK = 64
_ETHERNET = (kernel.ARPHRD_ETHER, kernel.ARPHRD_LOOPBACK)
_HEADER = np.dtype(kernel.SlotHeader)
_ADDRESS_AT = (_HEADER.itemsize + 15) & -kernel.TPACKET_ALIGNMENT
_PACKET_TYPE_AT = _ADDRESS_AT + kernel.LinkAddress.packet_type.offset


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames in order of arrival, one a row, from the Ethernet header on.

    A row is as wide as a slot leaves room for: what lies beyond `captured_bytes` is left over from
    earlier frames. All of it is valid until the next `receive`, `frames` because it is the ring.
    A VLAN tag that the kernel or the card has taken off is not there.
    """

    frames: NDArray[np.uint8]
    captured_bytes: NDArray[np.uint32]
    original_bytes: NDArray[np.uint32]
    times_s: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.frames)


class FrameReceiver:
    """Receives what others send on one interface; what leaves it is not shown."""

    def __init__(
        self,
        interface: str,
        program: bytes | None = None,
        ring_bytes: int = 64 << 20,
        slot_bytes: int = 256,
    ) -> None:
        """Map a ring of `ring_bytes` and begin to receive what `program` accepts (`filter_for`).

        Both sizes are powers of two; a slot holds 66 bytes less than `slot_bytes` of a frame.
        Raises `PrivilegeError` without CAP_NET_RAW, `LinkError` if the interface will not do.
        """
        block_bytes = min(_BLOCK_BYTES, ring_bytes)
        for size, least in ((ring_bytes, mmap.PAGESIZE), (slot_bytes, 128)):
            if size < least or size & (size - 1):
                raise ValueError(f"{size} is not a power of two, {least} or more")
        if slot_bytes > block_bytes:
            raise ValueError(f"slots of {slot_bytes} bytes do not fit into {block_bytes}")
        kernel.require_ordered_memory("the receive ring")
        kernel.interface_index(interface)
        self._interface = interface
        self._drops = 0
        self._position = self._held = 0
        try:
            # Protocol 0 hears nothing: no frame can come before the filter and the ring are there.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError:
            raise missing_privilege() from None
        try:
            self._set_up(program, ring_bytes, slot_bytes, block_bytes)
            # Mapped last, so that a refusal leaves nothing but the socket to give back.
            self._map = mmap.mmap(self._socket.fileno(), ring_bytes)
        except OSError as error:
            self._socket.close()
            raise kernel.refused(interface, "cannot receive", error) from error
        except LinkError:
            self._socket.close()
            raise
        self._slots = np.frombuffer(self._map, np.uint8).reshape(-1, slot_bytes)
        self._columns = self._slots[:, : _HEADER.itemsize].view(_HEADER)[:, 0]
        self._packet_types = self._slots[:, _PACKET_TYPE_AT]
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    def receive(self, timeout_s: float, limit: int = 4096) -> Batch:
        """Up to `limit` frames, waiting at most `timeout_s` for the first; none if none came.

        Gives the frames of the batch before back to the kernel. Raises `LinkError` if the interface
        has gone down, once everything that arrived before is read.
        """
        until_s = time.monotonic() + timeout_s
        while True:
            self._release()
            count = self._ready(limit)
            if count == 0:
                left_s = until_s - time.monotonic()
                if left_s > 0 and self._poll.poll(left_s * 1000):
                    self._raise_pending()
                    continue
                self._raise_pending()
            batch = self._take(count)
            if len(batch) or count == 0:
                return batch

    def drops(self) -> int:
        """How many frames have found the ring full so far (packet(7), PACKET_STATISTICS)."""
        if self._socket.fileno() >= 0:
            # The kernel sets its counters back to zero each time they are read.
            counters = self._socket.getsockopt(kernel.SOL_PACKET, kernel.PACKET_STATISTICS, 8)
            self._drops += int(struct.unpack("II", counters)[1])
        return self._drops

    def fileno(self) -> int:
        """Of the socket, for select(2) and its kin."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket and unmap the ring, which lives on while a `Batch` still shows it."""
        if self._socket.fileno() < 0:
            return
        with contextlib.suppress(OSError):
            self.drops()
        self._socket.close()
        del self._slots, self._columns, self._packet_types
        with contextlib.suppress(BufferError):  # somebody holds a batch: freed with the last one
            self._map.close()
        del self._map

    def __enter__(self) -> FrameReceiver:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _set_up(
        self, program: bytes | None, ring_bytes: int, slot_bytes: int, block_bytes: int
    ) -> None:
        if program is not None:
            kernel.attach_filter(self._socket, program)
        option = self._socket.setsockopt
        option(kernel.SOL_PACKET, kernel.PACKET_VERSION, kernel.TPACKET_V2)
        with contextlib.suppress(OSError):  # Linux 4.20; before it, `_take` alone leaves them out
            option(kernel.SOL_PACKET, kernel.PACKET_IGNORE_OUTGOING, 1)
        request = kernel.RingRequest(
            block_bytes, ring_bytes // block_bytes, slot_bytes, ring_bytes // slot_bytes
        )
        option(kernel.SOL_PACKET, kernel.PACKET_RX_RING, bytes(request))
        self._socket.bind((self._interface, kernel.ETH_P_ALL))
        hardware = self._socket.getsockname()[3]
        if hardware not in _ETHERNET:
            raise LinkError(f"interface {self._interface!r} has no Ethernet header")
        self._raise_pending()

    def _ready(self, limit: int) -> int:
        """How many slots from here on hold a frame; not beyond the end of the ring."""
        for most in (_FIRST_LOOK, limit):  # a slow trickle should not cost a look at thousands
            window = self._columns["status"][self._position :][: min(most, limit)]
            free = (window & kernel.TP_STATUS_USER) == 0
            count = int(free.argmax()) if free.any() else len(free)
            if count < len(free):
                break
        return count

    def _take(self, count: int) -> Batch:
        """The next slots as a batch, as far as their frames begin at the same place.

        That place (`tp_mac`) depends on the length of the link-layer header, which is the same for
        all of an interface but for odd devices; where it changes, the batch ends.
        """
        columns = self._columns[self._position : self._position + count]
        start = int(columns["mac"][0]) if count else 0
        same = columns["mac"] == start
        if not same.all():
            count = int(same.argmin())
            columns = columns[:count]
        here = slice(self._position, self._position + count)
        self._held = count
        # Columns are copied, since strided ones are slow to work with; frames are not.
        batch = Batch(
            self._slots[here, start:],
            columns["snap_length"].copy(),
            columns["length"].copy(),
            columns["seconds"] + columns["nanoseconds"] / 1e9,
        )
        leaving = self._packet_types[here] == kernel.PACKET_OUTGOING
        if not leaving.any():
            return batch
        keep = ~leaving
        return Batch(
            batch.frames[keep],
            batch.captured_bytes[keep],
            batch.original_bytes[keep],
            batch.times_s[keep],
        )

    def _release(self) -> None:
        """Give the slots handed out last back to the kernel."""
        end = self._position + self._held
        self._columns["status"][self._position : end] = kernel.TP_STATUS_KERNEL
        self._position = end % len(self._columns)
        self._held = 0

    def _raise_pending(self) -> None:
        """Report what the kernel has to say about the socket; reading it clears it."""
        pending = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if pending == errno.ENETDOWN:
            raise LinkError(f"interface {self._interface!r} is down")
        if pending:
            raise LinkError(f"cannot receive on {self._interface!r}: {errno.errorcode[pending]}")
