"""Replies to probes that nobody sent: what a flood with forged sources leaves. Touches nothing.

Fed with replies from asked ports of which no probe was seen. That alone may also be a capture that
began late; it is backscatter when it goes to several destinations.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rawscan.distinct import Distinct
from rawscan.findings import Backscatter
from rawscan.model import IPAddress

_MOST_VICTIMS = 1 << 14
_SEVERAL = 3
"""Destinations. Fewer may be the ends of conversations that began before the capture."""

# corsaro's libcorsaro_dos, after Moore et al., Inferring Internet Denial-of-Service Activity.
_ATTACK_PACKETS, _ATTACK_S, _ATTACK_PER_MINUTE = 25, 60.0, 30.0


@dataclass(slots=True)
class _Victim:
    first_s: float
    last_s: float
    packets: int = 0
    destinations: Distinct = field(default_factory=Distinct)


class BackscatterTable:
    """All hosts that answer what nobody asked, in bounded memory."""

    def __init__(self, most: int = _MOST_VICTIMS) -> None:
        self._most = most
        self._victims: dict[tuple[IPAddress, int, str], _Victim] = {}

    def add(
        self, victim: IPAddress, port: int, kind: str, destination: IPAddress, time_s: float
    ) -> None:
        """Take a reply of `victim`'s `port`, or an error about it, into account."""
        key = (victim, port, kind)
        entry = self._victims.get(key)
        if entry is None:
            if len(self._victims) >= self._most:
                self._forget_the_least()
            entry = self._victims[key] = _Victim(time_s, time_s)
        entry.packets += 1
        if time_s:
            entry.first_s = min(entry.first_s or time_s, time_s)
            entry.last_s = max(entry.last_s, time_s)
        entry.destinations.add(int(destination))

    def finish(self) -> tuple[Backscatter, ...]:
        """Every victim whose replies went to several destinations, the busiest first."""
        found = [
            Backscatter(
                victim=victim,
                port=port,
                kind=kind,
                packets=entry.packets,
                destinations=len(entry.destinations),
                attack=_is_attack(entry),
                first_s=entry.first_s,
                last_s=entry.last_s,
            )
            for (victim, port, kind), entry in self._victims.items()
            if len(entry.destinations) >= _SEVERAL
        ]
        return tuple(sorted(found, key=lambda b: (-b.packets, int(b.victim), b.port, b.kind)))

    def _forget_the_least(self) -> None:
        by_packets = sorted(self._victims.items(), key=lambda item: item[1].packets)
        for key, _ in by_packets[: max(self._most // 2, 1)]:
            del self._victims[key]


def _is_attack(entry: _Victim) -> bool:
    duration_s = entry.last_s - entry.first_s
    if entry.packets < _ATTACK_PACKETS or duration_s < _ATTACK_S:
        return False
    return entry.packets * 60.0 / duration_s >= _ATTACK_PER_MINUTE
