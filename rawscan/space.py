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

_VECTOR_LIMIT = 1 << 62
_WORD = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Group:
    """Ports that one template serves: the same kind of probe, the same IP version."""

    ordinals: Ints
    kind: ProbeKind
    targets: Addresses
    ports: NDArray[np.uint16]


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
        spans = list(islice(targets.spans(4), _MAX_SPANS + 1))
        self._v4 = _Ipv4Spans(spans) if spans and len(spans) <= _MAX_SPANS else None

    def target_blocks(self, size: int = 1 << 16) -> Iterator[Addresses]:
        """All targets, whatever the shard, in blocks of at most `size`."""
        for low, high in self.targets.spans(4):
            for first in range(low, high + 1, size):
                last = min(first + size, high + 1)
                yield Addresses(4, None, np.arange(first, last, dtype=np.uint64))
        v6 = iter(self.targets.v6)
        while block := list(islice(v6, size)):
            yield Addresses.of(block)

    def identify(self, ordinals: Ints) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
        """Which probe each port is asked by, as an index into `rawscan.rules.PROBES`, and a number
        for its host: equal for equal hosts."""
        rows, places = self._split(ordinals)
        if isinstance(places, list):
            hosts = np.array([place & _WORD for place in places], np.uint64)
        else:
            hosts = places.astype(np.uint64)
        return self._row_kinds[rows], hosts

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
        kinds, numbers = self._row_kinds[rows], self._row_ports[rows]
        if isinstance(places, list):
            is_v4 = np.array([place < self._v4_count for place in places], np.bool_)
        else:
            is_v4 = places < self._v4_count
        for kind in np.unique(kinds).tolist():
            for those in ((kinds == kind) & is_v4, (kinds == kind) & ~is_v4):
                if those.any():
                    chosen = np.flatnonzero(those)
                    addresses = self._addresses(places, chosen)
                    yield Group(ordinals[chosen], PROBES[kind], addresses, numbers[chosen])

    def ordinals(
        self, kinds: NDArray[np.uint8], targets: Addresses, ports: NDArray[np.uint16]
    ) -> Ints:
        """The ordinal of each (kind, target, port), -1 for what this scan does not ask."""
        rows, places = self._row_of[kinds, ports], self._places(targets)
        asked = np.flatnonzero((rows >= 0) & np.array([place >= 0 for place in places], np.bool_))
        found = np.full(len(targets), -1, np.int64)
        if not len(asked):
            return found
        step, first = self._shard.count, self._shard.index - 1
        for at, position in zip(asked.tolist(), self._positions(rows, places, asked), strict=True):
            if position % step == first:
                found[at] = position // step
        return found

    def _split(self, ordinals: Ints) -> tuple[Ints, Ints | list[int]]:
        """Row (kind and port number) and place in the target set, for each ordinal."""
        step, first = self._shard.count, self._shard.index - 1
        if self._vector:
            positions = (ordinals * step + first).astype(np.uint64)
            indexes = self._permutation.batch(positions).astype(np.int64)
            rows, places = np.divmod(indexes, self.targets.count)
            return rows, places
        pairs = [
            divmod(self._permutation.at(ordinal * step + first), self.targets.count)
            for ordinal in ordinals.tolist()
        ]
        return np.array([row for row, _ in pairs], np.int64), [place for _, place in pairs]

    def _positions(self, rows: Ints, places: Ints | list[int], asked: Ints) -> list[int]:
        """Where in the order these (row, place) stand; `asked` chooses which of them."""
        size = self.targets.count
        if self._vector and not isinstance(places, list):
            indexes = (rows * size + places)[asked].astype(np.uint64)
            found: list[int] = self._permutation.inverse(indexes).tolist()
            return found
        numbers = (int(rows[at]) * size + int(places[at]) for at in asked.tolist())
        return [self._permutation.position(number) for number in numbers]

    def _addresses(self, places: Ints | list[int], chosen: Ints) -> Addresses:
        if isinstance(places, list):
            return Addresses.of(self.targets.at(places[index]) for index in chosen.tolist())
        places = places[chosen]
        if self._v4 is not None and places[0] < self._v4_count:
            return Addresses(4, None, self._v4.at(places))
        return Addresses.of(self.targets.at(place) for place in places.tolist())

    def _places(self, targets: Addresses) -> Ints | list[int]:
        if targets.version == 4 and self._v4 is not None:
            return self._v4.index(targets.low)
        return [self.targets.index(address) for address in targets]
