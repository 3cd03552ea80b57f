"""`FrameSender`: whole Ethernet frames out of one interface, by the batch. Opens a packet socket.

Needs CAP_NET_RAW. One sendmmsg(2) call hands over up to 1,024 frames (UIO_MAXIOV) whose headers
were built once and point into `buffer`; the caller fills that with NumPy. Nothing here knows what
is in a frame.
"""

from __future__ import annotations

import errno
import select
import socket
import time

import numpy as np
from numpy.typing import NDArray

from rawscan.net import kernel
from rawscan.net.privilege import missing_privilege

_FULL = (errno.EAGAIN, errno.ENOBUFS)
_PAUSE_S = 0.0005


class FrameSender:
    """Sends what lies in `buffer`, one frame a row, each from the row's first byte."""

    def __init__(
        self,
        interface: str,
        batch: int = 1024,
        stride_bytes: int = 128,
        bypass_qdisc: bool = False,
        patience_s: float = 1.0,
    ) -> None:
        """Open the socket and build the message headers for `batch` rows of `stride_bytes`.

        `bypass_qdisc` skips traffic control (packet(7), PACKET_QDISC_BYPASS), and hides the frames
        from sniffers on this machine. Off, because on a veth pair it gains nothing: 0.99 of the
        rate without it, 1.00 with a `FrameReceiver` on the same interface (`benchmarks/sender.py`
        has it as `packet-bypass`).
        `patience_s` is how long `send` waits for a full queue that does not move at all.
        Raises `PrivilegeError` without CAP_NET_RAW, `LinkError` if the interface will not do.
        """
        if batch < 1 or stride_bytes < 1:
            raise ValueError("batch and stride_bytes are at least 1")
        kernel.interface_index(interface)
        self.buffer: NDArray[np.uint8] = np.zeros((batch, stride_bytes), np.uint8)
        """Yours to fill whenever `send` is not running: it is copied before `send` returns."""
        self._interface = interface
        self._patience_s = patience_s
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError:
            raise missing_privilege() from None
        try:
            if bypass_qdisc:
                self._socket.setsockopt(kernel.SOL_PACKET, kernel.PACKET_QDISC_BYPASS, 1)
            self._socket.bind((interface, 0))  # protocol 0: it receives nothing
        except OSError as error:
            self._socket.close()
            raise kernel.refused(interface, "cannot open a packet socket", error) from error
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLOUT)
        self._pieces = kernel.structures(kernel.IoVec, batch)
        self._pieces["base"] = _addresses(self.buffer)
        self._headers = kernel.structures(kernel.ManyMessageHeader, batch)
        self._headers["header"]["iov"] = _addresses(self._pieces)
        self._headers["header"]["iov_count"] = 1

    def send(self, count: int, lengths: int | NDArray[np.integer], first: int = 0) -> int:
        """Send rows `first` to `first + count`, `lengths` bytes of each; returns how many went.

        Rows go in order, so the rest begins at `first` plus what this returns. It is less than
        `count` if the queue was full for `patience_s`, or if the interface refused a later row;
        a refusal of the first one raises `LinkError`.
        """
        end = first + count
        check_rows(self.buffer, count, lengths, first)
        self._pieces["length"][first:end] = lengths
        start = self._headers.ctypes.data
        descriptor = self._socket.fileno()
        row, give_up_s = first, 0.0
        while row < end:
            try:
                row += kernel.sendmmsg(descriptor, start + row * self._headers.itemsize, end - row)
                give_up_s = 0.0
            except InterruptedError:
                continue
            except OSError as error:
                if error.errno not in _FULL:
                    if row > first:
                        break  # what has gone counts; the caller's next call hears the reason
                    raise kernel.refused(self._interface, "cannot send", error) from error
                give_up_s = give_up_s or time.monotonic() + self._patience_s
                if not self._wait(error.errno, give_up_s):
                    break
        return row - first

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _wait(self, full: int, until_s: float) -> bool:
        """Wait for room until then; False when the time is over."""
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            return False
        if full == errno.EAGAIN:  # our own share of memory is in flight: the kernel tells
            self._poll.poll(left_s * 1000)
        else:  # the interface's queue is full, of which poll(2) knows nothing
            time.sleep(min(left_s, _PAUSE_S))
        return True


def check_rows(
    buffer: NDArray[np.uint8], count: int, lengths: int | NDArray[np.integer], first: int
) -> None:
    """Raise `ValueError` unless all of what is to be sent lies in the buffer.

    The kernel reads by address: a mistake here would send this process's memory.
    """
    rows, stride_bytes = buffer.shape
    if count < 0 or first < 0 or first + count > rows:
        raise ValueError(f"rows {first} to {first + count} of {rows}")
    if isinstance(lengths, int):
        shortest = longest = lengths
    else:
        shortest, longest = (lengths.min(), lengths.max()) if count else (1, 1)
    if not 0 < shortest <= longest <= stride_bytes:
        raise ValueError(f"frames are 1 to {stride_bytes} bytes long")


def _addresses(array: NDArray[np.generic]) -> NDArray[np.uint64]:
    """Where each row of an array lies in memory."""
    return np.uint64(array.ctypes.data) + np.arange(len(array), dtype=np.uint64) * np.uint64(
        array.strides[0]
    )
