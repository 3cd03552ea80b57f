"""The seam between rawscan and the network. Touches nothing itself.

Everything that sends or receives implements `Link`; everything else is written against it. A test
needs no more than an object with these methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from rawscan.model import Frame, IPAddress


class Link(Protocol):
    """Sends and receives whole IP packets. Close it when done."""

    name: str
    """How `--link` calls it."""

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


class FrameSink(Protocol):
    """What a recording is written to; `rawscan.capture.writer` has one."""

    def write(self, frame: Frame, direction: Literal["in", "out"], /) -> None:
        """Append a frame that went `"out"` or came `"in"`."""
        ...


class RecordingLink:
    """A link that writes what passes through it: every probe, and every reply that concerns us."""

    def __init__(self, link: Link, sink: FrameSink, concerns: Callable[[Frame], bool]) -> None:
        self.name = link.name
        self._link = link
        self._sink = sink
        self._concerns = concerns

    def send(self, packet: bytes, target: IPAddress) -> Frame:
        """Send and write down; what could not be sent is not written."""
        frame = self._link.send(packet, target)
        self._sink.write(frame, "out")
        return frame

    def receive(self, timeout_s: float) -> Sequence[Frame]:
        """Receive, and write down what concerns us."""
        frames = self._link.receive(timeout_s)
        for frame in frames:
            if self._concerns(frame):
                self._sink.write(frame, "in")
        return frames

    def drops(self) -> int:
        """As the link says."""
        return self._link.drops()

    def close(self) -> None:
        """Close the link; the sink belongs to whoever made it."""
        self._link.close()
