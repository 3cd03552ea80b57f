"""What goes into the engine and what comes out of it, as columns: one entry a port. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rawscan.engine.loss import MIN_LOSS, tries_needed
from rawscan.engine.window import Floats, Ints


class Book(Protocol):
    """Tells the engine about ports, which it knows by their ordinals only."""

    @property
    def count(self) -> int:
        """How many ports there are."""
        ...

    @property
    def hosts(self) -> int:
        """How many hosts they belong to, at most."""
        ...

    def identify(self, ordinals: Ints) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
        """Which probe each port is asked by, as an index into `rawscan.rules.PROBES`, and a number
        for its host: equal for equal hosts."""
        ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user may set.

    `max_window` bounds the ports in flight, and so the memory; `host_rate_pps` is what any one host
    gets at most.
    """

    rate_pps: float = 1000.0
    max_retries: int = 10
    confidence: float = 0.9999
    max_window: int = 1 << 20
    host_rate_pps: float = 1000.0

    @property
    def least_tries(self) -> int:
        """Fewer silent tries than this are never believed, whatever the path looks like."""
        return min(tries_needed(MIN_LOSS, self.confidence), self.max_retries + 1)

    @property
    def contradictory(self) -> bool:
        """Do so few retries not allow that confidence, however clean the path is?"""
        return self.max_retries + 1 < tries_needed(MIN_LOSS, self.confidence)


@dataclass(frozen=True, slots=True)
class Send:
    """Command: send try `number` at each of these ports now."""

    ordinals: Ints
    number: int


class Answer(NamedTuple):
    """One reply in full. The fields are those of `rawscan.model.Evidence`, as numbers.

    `responder` is `TARGET`, or an index that only the receiver understands; `try_number` is -1 and
    `rtt_s` NaN where they are not known, `window` and `options_bytes` -1 where there are none.
    """

    kind: int
    type: int
    code: int
    from_target: bool
    try_number: int
    ttl: int
    responder: int
    time_s: float
    rtt_s: float
    window: int
    options_bytes: int


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Replies that were proved to be about our ports, in the order of their arrival.

    The columns are the fields of `Answer`, but for the round-trip time, which the engine knows.
    """

    ordinals: Ints
    kind: NDArray[np.uint8]
    type: NDArray[np.uint8]
    code: NDArray[np.uint8]
    from_target: NDArray[np.bool_]
    try_number: NDArray[np.int8]
    ttl: NDArray[np.uint8]
    responder: NDArray[np.int32]
    time_s: Floats
    window: NDArray[np.int32]
    options_bytes: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.ordinals)

    def answer(self, index: int, rtt_s: float) -> Answer:
        """The reply number `index`, whole."""
        columns = (getattr(self, name)[index].item() for name in _ARRIVAL_COLUMNS)
        return Answer(**dict(zip(_ARRIVAL_COLUMNS, columns, strict=True)), rtt_s=rtt_s)


_ARRIVAL_COLUMNS = tuple(f.name for f in fields(Arrivals) if f.name != "ordinals")


@dataclass(frozen=True, slots=True)
class Decided:
    """Nothing more is awaited for these ports.

    `rule` is a row's number in `rawscan.rules.RULES`; `responder` as in `Arrivals`, `NOBODY` for
    silence, where `rtt_s` is NaN. `extras` holds, for the few ports about which more than one thing
    is known, all their replies in the order of arrival. `revised` holds, for decisions
    that replace earlier ones, the row that each was decided by before; None for first decisions.
    """

    ordinals: Ints
    rule: NDArray[np.uint8]
    tries: NDArray[np.uint8]
    confidence: Floats
    ttl: NDArray[np.uint8]
    rtt_s: NDArray[np.float32]
    responder: NDArray[np.int32]
    time_s: float
    extras: dict[int, tuple[Answer, ...]]
    revised: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.ordinals)
