"""Which port comes when: ordinals to ports and back, with no memory for each. Touches nothing.

The ports of a scan are numbered by index: probe kind and port number first, then target. A keyed
permutation makes positions of the indexes, a shard takes every N-th position, and what the engine
calls an ordinal counts the positions of this shard.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from rawscan.model import Port, ProbeKind
from rawscan.permute import Permutation, Shard
from rawscan.ports import PortSpec
from rawscan.rules import PROBES
from rawscan.targets import TargetSet
from rawscan.wire.addresses import Addresses

Ints = NDArray[np.int64]

_MAX_SPANS = 1 << 20
"""Target sets of more spans than this (huge octet patterns) are looked up one by one."""

_MEMORY, _MEMORABLE = 32, 4096
"""Batches whose ports are remembered, and the size of the largest of them: 3 MB in all."""

_VECTOR_LIMIT = 1 << 62
_WORD = (1 << 64) - 1


Places = Ints | list[int]
"""Places in the target set; a list where they may exceed an array's numbers."""


@dataclass(frozen=True, slots=True)
class Group:
    """Ports that one template serves: the same kind of probe, the same IP version.

    `rows` says where they were among the ordinals asked for, `hosts` is as from `PortSpace.hosts`.
    """

    rows: Ints
    ordinals: Ints
    kind: ProbeKind
    targets: Addresses
    ports: NDArray[np.uint16]
    hosts: NDArray[np.uint64]


class _Ipv4Spans:
    """The IPv4 part of a target set as sorted spans, for whole arrays at once."""

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self._lows = np.array([low for low, _ in spans], np.int64)
        self._highs = np.array([high for _, high in spans], np.int64)
        sizes = self._highs - self._lows + 1
        self._starts = np.cumsum(sizes) - sizes

    def at(self, places: Ints) -> NDArray[np.uint64]:
        span = np.searchsorted(self._starts, places, side="right") - 1
        found: NDArray[np.uint64] = (self._lows[span] + places - self._starts[span]).astype(
            np.uint64
        )
        return found

    def index(self, addresses: NDArray[np.uint64]) -> Ints:
        numbers = addresses.astype(np.int64)
        span = np.searchsorted(self._lows, numbers, side="right") - 1
        span = np.maximum(span, 0)
        inside = (numbers >= self._lows[span]) & (numbers <= self._highs[span])
        found: Ints = np.where(inside, self._starts[span] + numbers - self._lows[span], -1)
        return found


class _Memory:
    """What was found for the latest batches: each is asked about several times within a turn."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, int, int], tuple[Ints, Ints, Places]] = {}

    def get(self, ordinals: Ints) -> tuple[Ints, Places] | None:
        """Rows and places of exactly these ordinals, if they are remembered."""
        if not 0 < len(ordinals) <= _MEMORABLE:
            return None
        known = self._found.get(self._key(ordinals))
        if known is None or not np.array_equal(known[0], ordinals):
            return None
        return known[1:]

    def keep(self, ordinals: Ints, rows: Ints, places: Places) -> None:
        """Remember them, in the place of the oldest."""
        if 0 < len(ordinals) <= _MEMORABLE:
            self._found[self._key(ordinals)] = ordinals.copy(), rows, places
            if len(self._found) > _MEMORY:
                del self._found[next(iter(self._found))]

    @staticmethod
    def _key(ordinals: Ints) -> tuple[int, int, int]:
        return len(ordinals), int(ordinals[0]), int(ordinals[-1])


class PortSpace:
    """The ports of one scan, or of one shard of it.

    `key` chooses the order; the same key gives the same order. `count` is this shard's share.
    """

    def __init__(
        self,
        targets: TargetSet,
        ports: PortSpec,
        kinds: Iterable[ProbeKind],
        key: bytes,
        shard: Shard | None = None,
    ) -> None:
        self.targets = targets
        self._rows = [(kind, number) for kind in kinds for number in ports.of(kind.protocol)]
        self._row_kinds = np.array([PROBES.index(kind) for kind, _ in self._rows], np.uint8)
        self._row_ports = np.array([number for _, number in self._rows], np.uint16)
        # Row by kind and port number, -1 for none: looked up for every reply.
        self._row_of = np.full((len(PROBES), 1 << 16), -1, np.int64)
        self._row_of[self._row_kinds, self._row_ports] = np.arange(len(self._rows))
        self.total = len(self._rows) * targets.count
        """Ports in all shards together."""
        self._shard = shard or Shard(1, 1)
        self.count = self._shard.share(self.total)
        self.hosts = targets.count
        self._permutation = Permutation(max(self.total, 1), key)
        self._v4_count = targets.v4.count
        self._vector = self.total < _VECTOR_LIMIT
        self._memory = _Memory()
        spans = list(islice(targets.spans(4), _MAX_SPANS + 1))
        self._v4 = _Ipv4Spans(spans) if spans and len(spans) <= _MAX_SPANS else None

    def identify(self, ordinals: Ints) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
        """Which probe each port is asked by, as an index into `rawscan.rules.PROBES`, and a number
        for its host: equal for equal hosts."""
        rows, places = self._split(ordinals)
        return self._row_kinds[rows], _numbers(places)

    def ports(self, ordinals: Ints) -> list[Port]:
        """Ports by their ordinals."""
        found: dict[int, Port] = {}
        for group in self.groups(ordinals):
            kind = group.kind
            for ordinal, target, number in zip(
                group.ordinals.tolist(), group.targets, group.ports.tolist(), strict=True
            ):
                found[ordinal] = Port(target, number, kind)
        return [found[ordinal] for ordinal in ordinals.tolist()]

    def groups(self, ordinals: Ints) -> Iterator[Group]:
        """The same ports, sorted into groups that one template serves."""
        rows, places = self._split(ordinals)
        kinds, numbers, hosts = self._row_kinds[rows], self._row_ports[rows], _numbers(places)
        if isinstance(places, list):
            is_v4 = np.array([place < self._v4_count for place in places], np.bool_)
        else:
            is_v4 = places < self._v4_count
        for kind in np.flatnonzero(np.bincount(kinds)).tolist():
            for those in ((kinds == kind) & is_v4, (kinds == kind) & ~is_v4):
                chosen = np.flatnonzero(those)
                if len(chosen):
                    yield Group(
                        rows=chosen,
                        ordinals=ordinals[chosen],
                        kind=PROBES[kind],
                        targets=self._addresses(places, chosen),
                        ports=numbers[chosen],
                        hosts=hosts[chosen],
                    )

    def ordinals(
        self, kinds: NDArray[np.uint8], targets: Addresses, ports: NDArray[np.uint16]
    ) -> Ints:
        """The ordinal of each (kind, target, port), -1 for what this scan does not ask."""
        rows, places = self._row_of[kinds, ports], self._places(targets)
        found = np.full(len(targets), -1, np.int64)
        step, first = self._shard.count, self._shard.index - 1
        if isinstance(places, list):
            for at, (row, place) in enumerate(zip(rows.tolist(), places, strict=True)):
                if row >= 0 and place >= 0:
                    position = self._permutation.position(row * self.targets.count + place)
                    if position % step == first:
                        found[at] = position // step
            return found
        asked = np.flatnonzero((rows >= 0) & (places >= 0))
        indexes = (rows[asked] * self.targets.count + places[asked]).astype(np.uint64)
        positions = self._permutation.inverse(indexes).astype(np.int64)
        ours = positions % step == first
        answered = positions[ours] // step
        asked = asked[ours]
        found[asked] = answered
        self._memory.keep(answered, rows[asked], places[asked])
        return found

    def _split(self, ordinals: Ints) -> tuple[Ints, Places]:
        """Row (kind and port number) and place in the target set, for each ordinal."""
        if known := self._memory.get(ordinals):
            return known
        step, first = self._shard.count, self._shard.index - 1
        if self._vector:
            positions = (ordinals * step + first).astype(np.uint64)
            indexes = self._permutation.batch(positions).astype(np.int64)
            rows, places = np.divmod(indexes, self.targets.count)
            self._memory.keep(ordinals, rows, places)
            return rows, places
        pairs = [
            divmod(self._permutation.at(ordinal * step + first), self.targets.count)
            for ordinal in ordinals.tolist()
        ]
        return np.array([row for row, _ in pairs], np.int64), [place for _, place in pairs]

    def _addresses(self, places: Places, chosen: Ints) -> Addresses:
        if isinstance(places, list):
            return Addresses.of(self.targets.at(places[index]) for index in chosen.tolist())
        places = places[chosen]
        if self._v4 is not None and places[0] < self._v4_count:
            return Addresses(4, None, self._v4.at(places))
        return Addresses.of(self.targets.at(place) for place in places.tolist())

    def _places(self, targets: Addresses) -> Places:
        if targets.version == 4 and self._v4 is not None:
            return self._v4.index(targets.low)
        places = [self.targets.index(address) for address in targets]
        return np.array(places, np.int64) if self._vector else places


def _numbers(places: Places) -> NDArray[np.uint64]:
    if isinstance(places, list):
        return np.array([place & _WORD for place in places], np.uint64)
    return places.astype(np.uint64)
