"""Replies to probes that nobody sent: what a flood with forged sources leaves. Touches nothing.

Fed with replies from asked ports of which no probe was seen. That alone may also be a capture that
began late; it is backscatter when it goes to several, and a reflection when many send it to one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rawscan.distinct import Distinct
from rawscan.findings import Backscatter
from rawscan.model import IPAddress

_MOST_VICTIMS = 1 << 14
_SEVERAL, _MANY = 3, 25
"""Destinations of backscatter, senders of a reflection. Fewer destinations may be the ends of
conversations that began before the capture, fewer senders the servers of one busy client."""

# corsaro's libcorsaro_dos, after Moore et al., Inferring Internet Denial-of-Service Activity.
_ATTACK_PACKETS, _ATTACK_S, _ATTACK_PER_MINUTE = 25, 60.0, 30.0

_Key = tuple[IPAddress, int, str]


@dataclass(slots=True)
class _Victim:
    first_s: float
    last_s: float
    packets: int = 0
    others: Distinct = field(default_factory=Distinct)

    def add(self, other: IPAddress, time_s: float) -> None:
        self.packets += 1
        if time_s:
            self.first_s = min(self.first_s or time_s, time_s)
            self.last_s = max(self.last_s, time_s)
        self.others.add(int(other))


class BackscatterTable:
    """All answers that nobody asked for, by who sent them and by who got them; bounded memory."""

    def __init__(self, most: int = _MOST_VICTIMS) -> None:
        self._most = most
        self._senders: dict[_Key, _Victim] = {}
        self._receivers: dict[_Key, _Victim] = {}

    def add(
        self, sender: IPAddress, port: int, kind: str, destination: IPAddress, time_s: float
    ) -> None:
        """Take a reply of `sender`'s `port`, or an error about it, into account."""
        self._entry(self._senders, (sender, port, kind), time_s).add(destination, time_s)
        self._entry(self._receivers, (destination, port, kind), time_s).add(sender, time_s)

    def finish(self) -> tuple[Backscatter, ...]:
        """Every victim whose replies went to several, or who got those of many; the busiest first.

        A packet may be part of both.
        """
        found = [
            *_found(self._senders, _SEVERAL, "backscatter"),
            *_found(self._receivers, _MANY, "reflection"),
        ]
        return tuple(sorted(found, key=lambda b: (-b.packets, int(b.victim), b.port, b.kind)))

    def _entry(self, entries: dict[_Key, _Victim], key: _Key, time_s: float) -> _Victim:
        entry = entries.get(key)
        if entry is None:
            if len(entries) >= self._most:
                _forget_the_least(entries)
            entry = entries[key] = _Victim(time_s, time_s)
        return entry


def _found(entries: dict[_Key, _Victim], enough: int, form: str) -> Iterator[Backscatter]:
    for (victim, port, kind), entry in entries.items():
        others = len(entry.others)
        if others < enough:
            continue
        scattered = form == "backscatter"
        yield Backscatter(
            victim=victim,
            port=port,
            kind=kind,
            form=form,
            packets=entry.packets,
            senders=1 if scattered else others,
            destinations=others if scattered else 1,
            attack=_is_attack(entry),
            first_s=entry.first_s,
            last_s=entry.last_s,
        )


def _forget_the_least(entries: dict[_Key, _Victim]) -> None:
    """Make room by half."""
    by_packets = sorted(entries, key=lambda key: entries[key].packets)
    for key in by_packets[: max(len(entries) // 2, 1)]:
        del entries[key]


def _is_attack(entry: _Victim) -> bool:
    duration_s = entry.last_s - entry.first_s
    if entry.packets < _ATTACK_PACKETS or duration_s < _ATTACK_S:
        return False
    return entry.packets * 60.0 / duration_s >= _ATTACK_PER_MINUTE
