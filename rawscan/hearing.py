"""Do answers cross this vantage point? Who was heard, and a second look for who was not.

A capture may hold one direction only, and then its silence means nothing. Whether an asker's
answers cross the tap shows in any of its conversations, not in those with the asked ports alone:
but only for askers whose silence is in question, and not heard in the first place, are the others
looked at. Touches nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from rawscan.ask import Ask, answered_ask, ask_of
from rawscan.errors import DecodeError
from rawscan.model import Frame, Icmp, IPAddress, Packet
from rawscan.wire.decode import decode_frame
from rawscan.wire.sieve import AddressCheck, Sieve

Look = Callable[[Sieve], Iterable[Frame]]
"""Reads the capture from its beginning; gives the frames that the sieve lets through."""

_REMEMBERED_FLOWS = 1 << 16
"""Bound, so that a capture of floods is read in bounded memory; the oldest go first."""


class Hearing:
    """Fed with packets in the order of the file, knows to whom an answer was seen."""

    def __init__(self) -> None:
        self._heard: set[IPAddress] = set()
        # What the sources not yet heard have sent: dictionaries know their oldest, sets do not.
        self._flows: dict[Ask, None] = {}

    def hears(self, source: IPAddress) -> bool:
        """Has an answer to this source been seen?

        Just any packet to it would not do: a tap on the way out sees broadcasts, and others' scans.
        """
        return source in self._heard

    def note(self, source: IPAddress) -> None:
        """An answer to this source was seen."""
        self._heard.add(source)

    def add(self, packet: Packet, ask: Ask, answered: Ask) -> None:
        """Is this an answer to anything that its receiver has sent? Then answers cross the tap."""
        asker = answered.source
        error = isinstance(packet.body, Icmp)
        if packet.destination == asker and asker not in self._heard and answered in self._flows:
            # One's own kernel's "no such neighbour" crosses nothing, and a packet to oneself from
            # the same port answers itself by the look of it.
            alone = answered.target != asker if error else ask == answered
            if packet.source != asker or not alone:
                self._heard.add(asker)
        if packet.source not in self._heard and not error:
            self._flows[ask] = None
            if len(self._flows) > _REMEMBERED_FLOWS:
                del self._flows[next(iter(self._flows))]

    def add_frames(self, frames: Iterable[Frame]) -> Iterator[Packet]:
        """Decode and add frames, as long as somebody takes what comes out."""
        for packet in _decoded(frames):
            ask, answered = ask_of(packet), answered_ask(packet)
            if ask is not None and answered is not None:
                self.add(packet, ask, answered)
                yield packet


def listen_again(mute: Iterable[IPAddress], look: Look) -> set[IPAddress]:
    """Who of `mute` is answered by anybody, on any port?

    In two passes: most who are not heard get nothing at all, and whoever gets something was
    answered only by somebody who sent it.
    """
    askers = frozenset(mute)
    receivers, senders = set[IPAddress](), set[IPAddress]()
    for packet in _decoded(look(Sieve(AddressCheck(to=askers)))):
        answered = answered_ask(packet)
        if answered is not None and packet.destination == answered.source in askers:
            receivers.add(answered.source)
            senders.add(answered.target)
    if not receivers:
        return set()
    hearing, missing = Hearing(), set(receivers)
    for packet in hearing.add_frames(
        look(Sieve(AddressCheck(to=receivers, from_=receivers, with_=senders)))
    ):
        if packet.destination in missing and hearing.hears(packet.destination):
            missing.remove(packet.destination)
            if not missing:
                break
    return receivers - missing


def _decoded(frames: Iterable[Frame]) -> Iterator[Packet]:
    for frame in frames:
        try:
            yield decode_frame(frame)
        except DecodeError:
            continue
