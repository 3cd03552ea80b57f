"""The seam between rawscan and the network. Touches nothing itself.

Everything that sends or receives implements `Link`; everything else is written against it. Packets
travel in batches, as rows of an array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from rawscan.errors import LinkError
from rawscan.model import Frame, IPAddress
from rawscan.targets import TargetSet
from rawscan.wire.addresses import Addresses
from rawscan.wire.linklayer import RAW

Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a batch: when each row left, and why some did not.

    `refused` has the row's index and the reason; `times_s` means nothing there.
    """

    times_s: NDArray[np.float64]
    refused: Sequence[tuple[int, LinkError]] = field(default=())


@dataclass(frozen=True, slots=True)
class Block:
    """What arrived: one frame a row, the IP header at `offset`.

    `lengths` is how many bytes of a row were captured, what follows them means nothing;
    `original_bytes` how many there were on the link.
    """

    frames: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    original_bytes: NDArray[np.int64]
    times_s: NDArray[np.float64]
    offset: int = 0

    def __len__(self) -> int:
        return len(self.frames)

    def packet(self, index: int) -> Frame:
        """One frame without its link layer."""
        data = self.frames[index, self.offset : self.lengths[index]].tobytes()
        original_bytes = int(self.original_bytes[index]) - self.offset
        return Frame(float(self.times_s[index]), data, RAW, original_bytes)


class Outlet(Protocol):
    """The half of a link that takes packets."""

    name: str
    """How `--link` calls it."""

    buffer: NDArray[np.uint8]
    """Rows to fill; `headroom` bytes at the front of each belong to the link."""

    headroom: int

    def send(self, count: int, size: int, targets: Addresses) -> Sent:
        """Send the first `count` rows of the buffer, IP packets of `size` bytes each."""
        ...


class Link(Outlet, Protocol):
    """Sends and receives whole IP packets. Close it when done."""

    def prepare(self, targets: TargetSet, rate_pps: float, stop: Stop) -> None:
        """Do what has to be done before these targets can be sent to, at no more than the rate.

        `stop()` ends it early, within a fifth of a second.
        """
        ...

    def receive(self, timeout_s: float) -> Block:
        """Anybody's packets that have arrived, waiting at most `timeout_s` for the first.

        The block is good until the next call.
        """
        ...

    def drops(self) -> int:
        """How many packets the kernel has thrown away so far before they could be received."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class FrameSink(Protocol):
    """What a recording is written to; `rawscan.capture.writer` has one."""

    def write(self, frame: Frame, direction: Literal["in", "out"], /) -> None:
        """Append a frame that went `"out"` or came `"in"`."""
        ...

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        ...


class RecordingLink:
    """A link that writes what passes through it: every probe, and every reply that concerns us."""

    def __init__(
        self, link: Link, sink: FrameSink, concerns: Callable[[Block], NDArray[np.bool_]]
    ) -> None:
        """`concerns` says of each frame of a block whether it is to be written."""
        self.name = link.name
        self.buffer = link.buffer
        self.headroom = link.headroom
        self._link = link
        self._sink = sink
        self._concerns = concerns

    def prepare(self, targets: TargetSet, rate_pps: float, stop: Stop) -> None:
        """As the link does."""
        self._link.prepare(targets, rate_pps, stop)

    def send(self, count: int, size: int, targets: Addresses) -> Sent:
        """Send and write down; what could not be sent is not written."""
        sent = self._link.send(count, size, targets)
        refused = {index for index, _ in sent.refused}
        for index in range(count):
            if index not in refused:
                data = self.buffer[index, self.headroom : self.headroom + size].tobytes()
                self._sink.write(Frame(float(sent.times_s[index]), data, RAW, size), "out")
        return sent

    def receive(self, timeout_s: float) -> Block:
        """Receive, and write down what concerns us.

        What was written is flushed first: whoever kills us shall find it in the file.
        """
        self._sink.flush()
        block = self._link.receive(timeout_s)
        for index in np.flatnonzero(self._concerns(block)).tolist() if len(block) else ():
            self._sink.write(block.packet(index), "in")
        return block

    def drops(self) -> int:
        """As the link says."""
        return self._link.drops()

    def close(self) -> None:
        """Close the link; the sink belongs to whoever made it."""
        self._link.close()


def block_of(frames: Sequence[Frame]) -> Block:
    """A block from single packets, for links that receive one at a time."""
    lengths = np.array([len(frame.data) for frame in frames], np.int64)
    rows = np.zeros((len(frames), int(lengths.max(initial=0))), np.uint8)
    for row, frame in zip(rows, frames, strict=True):
        row[: len(frame.data)] = np.frombuffer(frame.data, np.uint8)
    original_bytes = np.array([frame.original_bytes for frame in frames], np.int64)
    times_s = np.array([frame.time_s for frame in frames], np.float64)
    return Block(rows, lengths, original_bytes, times_s)


class PacketLink(Protocol):
    """A link that handles one packet at a time; `Batched` makes a `Link` of it."""

    name: str

    def send(self, packet: bytes, target: IPAddress) -> Frame:
        """Send one IP packet, header included; returns it as it went out, with the time.

        Raises `LinkError` if the system refuses this packet (no route, local firewall).
        """
        ...

    def receive(self, timeout_s: float) -> Sequence[Frame]:
        """Anybody's packets that have arrived, waiting at most `timeout_s` for the first."""
        ...

    def drops(self) -> int:
        """How many packets the kernel has thrown away so far before they could be received."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class Neighbourhood(Protocol):
    """Knows which targets on our own link are dead: the kernel reports only some of them."""

    def prepare(self, targets: TargetSet, rate_pps: float, stop: Stop) -> None:
        """As `Link.prepare`."""
        ...

    def refusals(self, targets: Addresses) -> Iterable[tuple[int, LinkError]]:
        """Which rows go to dead neighbours."""
        ...


class Batched:
    """Makes batches of a link that sends and receives packets one by one."""

    headroom = 0

    def __init__(
        self, link: PacketLink, rows: int = 64, neighbours: Neighbourhood | None = None
    ) -> None:
        """`rows` packets go in one batch; each may be as large as IP allows.

        `neighbours` finds the dead ones before the kernel is given packets for them.
        """
        self.name = link.name
        self._neighbours = neighbours
        self.buffer = np.zeros((rows, 65_535), np.uint8)
        self._link = link

    def prepare(self, targets: TargetSet, rate_pps: float, stop: Stop) -> None:
        """Find out who is dead."""
        if self._neighbours is not None:
            self._neighbours.prepare(targets, rate_pps, stop)

    def send(self, count: int, size: int, targets: Addresses) -> Sent:
        """Send the rows, one after the other, but for those to dead neighbours."""
        times_s, dead = np.zeros(count), dict[int, LinkError]()
        if self._neighbours is not None:
            dead.update(self._neighbours.refusals(targets))
        refused = list(dead.items())
        for index, target in enumerate(targets):
            if index in dead:
                continue
            try:
                frame = self._link.send(self.buffer[index, :size].tobytes(), target)
                times_s[index] = frame.time_s
            except LinkError as error:
                refused.append((index, error))
        return Sent(times_s, refused)

    def receive(self, timeout_s: float) -> Block:
        """What has arrived, as a block."""
        return block_of(self._link.receive(timeout_s))

    def drops(self) -> int:
        """As the link says."""
        return self._link.drops()

    def close(self) -> None:
        """Close the link."""
        self._link.close()
