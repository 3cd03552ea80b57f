"""`XdpSender`: as `FrameSender`, through AF_XDP, past most of the kernel's transmit path.

Opens an AF_XDP socket (Documentation/networking/af_xdp.rst); needs CAP_NET_RAW. Only the transmit
half is used: nothing is received and no program is loaded. In "copy" mode, which needs nothing of
the driver, the kernel copies each frame out of memory shared with it (UMEM), and the interface's
other traffic is untouched. In "zero copy" the card reads it from there; many drivers then give the
whole queue to this socket, so that what arrives on that queue is lost to everybody else.

The rings are shared with the kernel without system calls; `kernel.require_ordered_memory` says what
that assumes.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawscan.errors import LinkError
from rawscan.net import kernel
from rawscan.net.framesender import check_rows
from rawscan.net.privilege import missing_privilege

_AREAS = 2
_PAUSE_S = 0.0001
_RELEASE_S = 0.5
_COUNTER_MASK = 0xFFFFFFFF  # the rings' counters have 32 bits; ours have as many as they need
_FILL_ENTRIES = 64  # bind(2) wants a fill ring; it stays empty, as nothing is received
_BUSY = (errno.EAGAIN, errno.ENOBUFS, errno.EBUSY, errno.EINTR)


class _Ring:
    """One ring: the kernel's and our counter of entries, and the entries."""

    def __init__(
        self, shared: mmap.mmap, offsets: kernel.RingOffset, size: int, entry: np.dtype[Any]
    ) -> None:
        def word(at: int) -> NDArray[np.uint32]:
            return np.frombuffer(shared, np.uint32, 1, at)

        self._shared = shared
        self._producer, self._consumer = word(offsets.producer), word(offsets.consumer)
        self._flags = word(offsets.flags)
        self._last = [0, 0]
        self.entries: NDArray[np.void] = np.frombuffer(shared, entry, size, offsets.entries)
        self.mask = size - 1

    @property
    def produced(self) -> int:
        """How many entries have been put in since the beginning."""
        return self._count(0, self._producer)

    @property
    def consumed(self) -> int:
        """How many entries have been taken out since the beginning."""
        return self._count(1, self._consumer)

    @property
    def wants_wakeup(self) -> bool:
        """Whether the kernel waits for a system call before it looks here again."""
        return bool(self._flags[0] & kernel.XDP_RING_NEED_WAKEUP)

    def publish(self, count: int) -> None:
        """Show `count` more entries to the kernel; last of all stores, so that they are whole."""
        self._producer[0] = (self.produced + count) & _COUNTER_MASK

    def take(self) -> NDArray[np.void]:
        """All entries the kernel has put in; gives their places back."""
        places = np.arange(self.consumed, self.produced) & self.mask
        taken: NDArray[np.void] = self.entries[places]
        self._consumer[0] = (self.consumed + len(places)) & _COUNTER_MASK
        return taken

    def close(self) -> None:
        """Unmap."""
        del self._producer, self._consumer, self._flags, self.entries  # they hold the mapping open
        with contextlib.suppress(BufferError):  # a traceback holds a view: freed with the last one
            self._shared.close()

    def _count(self, which: int, counter: NDArray[np.uint32]) -> int:
        self._last[which] += (int(counter[0]) - self._last[which]) & _COUNTER_MASK
        return self._last[which]


class XdpSender:
    """Sends what lies in `buffer`, one frame a row, each from the row's first byte."""

    def __init__(
        self,
        interface: str,
        batch: int = 1024,
        stride_bytes: int = 128,
        zero_copy: bool = False,
        patience_s: float = 1.0,
        queue: int = 0,
    ) -> None:
        """Open the socket on one transmit queue and share memory for two batches with the kernel.

        `stride_bytes` is a power of two, at most 2048. `zero_copy` asks for it and takes copy mode
        where the driver has no such thing; `self.zero_copy` tells which it became.
        `patience_s` is how long `send` waits for a queue that does not move at all.
        Raises `PrivilegeError` without CAP_NET_RAW, `LinkError` with the reason in one line where
        the machine, the kernel or the interface has no AF_XDP; `FrameSender` does the same there.
        """
        if batch < 1 or not 1 <= stride_bytes <= kernel.XDP_UMEM_MIN_CHUNK_BYTES:
            raise ValueError("batch is at least 1, stride_bytes 1 to 2048")
        if stride_bytes & (stride_bytes - 1):
            raise ValueError("stride_bytes must be a power of two: no frame may cross a chunk")
        kernel.require_ordered_memory("AF_XDP")
        index = kernel.interface_index(interface)
        self.buffer: NDArray[np.uint8] = np.zeros((batch, stride_bytes), np.uint8)
        """Yours to fill whenever `send` is not running: it is copied before `send` returns."""
        self._interface = interface
        self._patience_s = patience_s
        self._area, self._in_flight = 0, np.zeros(_AREAS, np.int64)
        try:
            self._socket = socket.socket(kernel.AF_XDP, socket.SOCK_RAW, 0)
        except PermissionError:
            raise missing_privilege() from None
        except OSError as error:
            raise kernel.refused(interface, "no AF_XDP socket", error) from error
        try:
            self._share_frames(batch, stride_bytes)
            offsets = self._make_rings(1 << (_AREAS * batch - 1).bit_length())
            self.zero_copy = self._bind(index, queue, zero_copy)
            self._map_rings(offsets)
        except OSError as error:
            self._socket.close()
            raise kernel.refused(interface, "AF_XDP refused", error) from error

    def send(self, count: int, lengths: int | NDArray[np.integer], first: int = 0) -> int:
        """Send rows `first` to `first + count`, `lengths` bytes of each; returns how many went.

        Rows go in order, so the rest begins at `first` plus what this returns. It is less than
        `count` if the queue did not move for `patience_s`, or if the interface refused a later row;
        a refusal of the first one raises `LinkError`. So does a zero-copy queue that sticks, as
        what the card has been given cannot be taken back.
        """
        check_rows(self.buffer, count, lengths, first)
        area = (self._area + 1) % _AREAS
        if count == 0 or not self._push(lambda: self._has_room(count, area)):
            return 0
        self._area = area
        self._frames[area, :count] = self.buffer[first : first + count]
        begin = self._transmit.produced
        places = (begin + np.arange(count)) & self._transmit.mask
        descriptors = self._transmit.entries
        descriptors["address"][places] = self._addresses[area, :count]
        descriptors["length"][places] = lengths
        self._in_flight[area] += count
        self._transmit.publish(count)
        try:
            self._push(lambda: self._transmit.consumed == self._transmit.produced)
        except LinkError:
            sent = self._settle(begin, count, area)
            if sent == 0:
                raise
            return sent
        return self._settle(begin, count, area)

    def close(self) -> None:
        """Let what is under way leave, close the socket and unmap what was shared."""
        if self._socket.fileno() < 0:
            return
        with contextlib.suppress(LinkError):
            self._push(lambda: not self._in_flight.any())
        self._socket.close()
        self._transmit.close()
        self._done.close()
        del self._frames
        with contextlib.suppress(BufferError):
            self._umem.close()

    def _share_frames(self, batch: int, stride_bytes: int) -> None:
        """Make the memory that the kernel reads frames from; frames lie close together in chunks.

        It counts against RLIMIT_MEMLOCK, so it is no larger than two batches.
        """
        chunk_bytes = kernel.XDP_UMEM_MIN_CHUNK_BYTES
        used = _AREAS * batch * stride_bytes
        self._umem_bytes = -(-used // mmap.PAGESIZE) * mmap.PAGESIZE
        self._area_bytes = batch * stride_bytes
        self._umem = mmap.mmap(-1, self._umem_bytes)
        whole = np.frombuffer(self._umem, np.uint8)
        self._frames = whole[:used].reshape(_AREAS, batch, stride_bytes)
        self._addresses = np.arange(0, used, stride_bytes).reshape(_AREAS, batch)
        registration = kernel.UmemRegistration(
            address=whole.ctypes.data, length=self._umem_bytes, chunk_bytes=chunk_bytes
        )
        self._socket.setsockopt(kernel.SOL_XDP, kernel.XDP_UMEM_REG, bytes(registration))

    def _make_rings(self, size: int) -> kernel.RingOffsets:
        """Have the kernel make its rings, which all hold as much as can be under way."""
        option = self._socket.setsockopt
        option(kernel.SOL_XDP, kernel.XDP_UMEM_FILL_RING, _FILL_ENTRIES)
        option(kernel.SOL_XDP, kernel.XDP_UMEM_COMPLETION_RING, size)
        option(kernel.SOL_XDP, kernel.XDP_TX_RING, size)
        with contextlib.suppress(OSError):  # Linux 6.17; before it, 32 frames a system call
            option(kernel.SOL_XDP, kernel.XDP_MAX_TX_SKB_BUDGET, size)
        answer = self._socket.getsockopt(
            kernel.SOL_XDP, kernel.XDP_MMAP_OFFSETS, ctypes.sizeof(kernel.RingOffsets)
        )
        if len(answer) < ctypes.sizeof(kernel.RingOffsets):
            raise OSError(errno.EOPNOTSUPP, "AF_XDP of Linux 5.4 or later is needed")
        self._ring_size = size
        return kernel.RingOffsets.from_buffer_copy(answer)

    def _bind(self, index: int, queue: int, zero_copy: bool) -> bool:
        """Bind to the queue; returns whether it is zero copy."""
        # Neither mode asked for means: zero copy if the driver can, else copy.
        mode = 0 if zero_copy else kernel.XDP_COPY
        address = kernel.XdpAddress(
            family=kernel.AF_XDP,
            flags=mode | kernel.XDP_USE_NEED_WAKEUP,
            interface=index,
            queue=queue,
        )
        give_up_s = time.monotonic() + _RELEASE_S
        while True:
            try:
                kernel.bind(self._socket.fileno(), address)
                break
            except OSError as error:
                # A queue belongs to one socket, and the kernel tidies up after the last one late.
                if error.errno != errno.EBUSY or time.monotonic() > give_up_s:
                    raise
                time.sleep(_PAUSE_S)
        options = self._socket.getsockopt(kernel.SOL_XDP, kernel.XDP_OPTIONS, 4)
        return bool(int.from_bytes(options, sys.byteorder) & kernel.XDP_OPTIONS_ZEROCOPY)

    def _map_rings(self, offsets: kernel.RingOffsets) -> None:
        def mapped(ring: kernel.RingOffset, place: int, entry: np.dtype[Any]) -> _Ring:
            length = ring.entries + self._ring_size * entry.itemsize
            shared = mmap.mmap(
                self._socket.fileno(),
                length,
                mmap.MAP_SHARED | mmap.MAP_POPULATE,
                offset=place,
            )
            return _Ring(shared, ring, self._ring_size, entry)

        transmit, done = np.dtype(kernel.Descriptor), np.dtype([("address", np.uint64)])
        self._transmit = mapped(offsets.transmit, kernel.XDP_PGOFF_TX_RING, transmit)
        self._done = mapped(offsets.completion, kernel.XDP_UMEM_PGOFF_COMPLETION_RING, done)

    def _has_room(self, count: int, area: int) -> bool:
        waiting = self._transmit.produced - self._transmit.consumed
        return self._in_flight[area] == 0 and waiting + count <= self._ring_size

    def _push(self, done: Callable[[], bool]) -> bool:
        """Have the kernel send until `done`; False if nothing moved for `patience_s`.

        Raises `LinkError` if it will not.
        """
        give_up_s = 0.0
        while not done():
            before = self._transmit.consumed, self._done.consumed
            if self.zero_copy is False or self._transmit.wants_wakeup:
                self._kick()
            self._reap()
            now_s = time.monotonic()
            if (self._transmit.consumed, self._done.consumed) != before:
                give_up_s = 0.0
            elif not give_up_s:
                give_up_s = now_s + self._patience_s
            elif now_s < give_up_s:
                time.sleep(_PAUSE_S)
            else:
                return False
        return True

    def _kick(self) -> None:
        try:
            self._socket.send(b"", socket.MSG_DONTWAIT)
        except OSError as error:
            # EAGAIN also means that there is more to send; EBUSY, that the driver has taken a
            # frame and dropped it, as the network may.
            if error.errno not in _BUSY:
                raise kernel.refused(self._interface, "cannot send", error) from error

    def _reap(self) -> None:
        """Note which frames have left, so that their memory can be used again."""
        areas = (self._done.take()["address"] // self._area_bytes).astype(np.int64)
        ours = areas[areas < _AREAS]  # newer kernels also report what was withdrawn
        self._in_flight -= np.bincount(ours, minlength=_AREAS)

    def _settle(self, begin: int, count: int, area: int) -> int:
        """How many of the `count` entries from `begin` on have gone; the rest is taken back.

        The kernel may have read the counter already, so that cannot go back; but an address outside
        of the shared memory is skipped, one a system call (af_xdp.rst, XDP_STATISTICS:
        `tx_invalid_descs`). In copy mode it reads entries only during our own system calls.
        """
        sent = max(self._transmit.consumed - begin, 0)
        if sent < count:
            if self.zero_copy:
                raise LinkError(f"the zero-copy queue of interface {self._interface!r} is stuck")
            places = np.arange(begin + sent, begin + count) & self._transmit.mask
            self._transmit.entries["address"][places] = self._umem_bytes
            self._in_flight[area] -= count - sent
        return sent
