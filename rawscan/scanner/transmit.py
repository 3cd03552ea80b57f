"""The way out: from the engine's command to packets on the link."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawscan.engine import Send
from rawscan.errors import LinkError
from rawscan.model import IPAddress, ProbeKind
from rawscan.net.link import Outlet
from rawscan.space import Group, Ints, PortSpace
from rawscan.wire.addresses import Addresses
from rawscan.wire.template import Template
from rawscan.wire.token import Token

Sources = Callable[[Addresses], Iterable[tuple[IPAddress | LinkError, Ints]]]
"""Our address on the way to each target: for rows of the batch, or why there is no way."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of some probes: when they left, or why one did not."""

    ordinals: Ints
    times_s: NDArray[np.float64]
    error: LinkError | None = None


class Transmitter:
    """Makes the packets of a command and hands them to the link."""

    def __init__(
        self, space: PortSpace, token: Token, link: Outlet, sources: Sources, udp_payload: bytes
    ) -> None:
        self._space = space
        self._token = token
        self._link = link
        self._sources = sources
        self._udp_payload = udp_payload
        self._templates: dict[tuple[ProbeKind, IPAddress], Template] = {}

    def send(self, command: Send) -> Iterator[Outcome]:
        """Send one try at each port of the command."""
        for group in self._space.groups(command.ordinals):
            for source, rows in self._sources(group.targets):
                if isinstance(source, LinkError):
                    yield Outcome(group.ordinals[rows], np.zeros(len(rows)), source)
                    continue
                size = len(self._link.buffer)
                for start in range(0, len(rows), size):
                    some = rows[start : start + size]
                    yield from self._send_some(group, some, source, command.number)

    def _send_some(
        self, group: Group, rows: Ints, source: IPAddress, number: int
    ) -> Iterator[Outcome]:
        """As many as the link's buffer holds."""
        template = self._template(group.kind, source)
        targets, ports = group.targets.take(rows), group.ports[rows]
        numbers = np.full(len(rows), number, np.int8)
        token = self._token.tokens_of(source, targets, ports, group.kind, numbers)
        packets = self._link.buffer[: len(rows), self._link.headroom :]
        template.fill(packets, targets, ports, *token)
        sent = self._link.send(len(rows), template.size, targets)
        gone = np.ones(len(rows), np.bool_)
        for index, error in sent.refused:
            gone[index] = False
            yield Outcome(group.ordinals[rows[index : index + 1]], sent.times_s[:1], error)
        yield Outcome(group.ordinals[rows[gone]], sent.times_s[gone])

    def _template(self, kind: ProbeKind, source: IPAddress) -> Template:
        key = kind, source
        if key not in self._templates:
            payload = self._udp_payload if kind is ProbeKind.UDP else b""
            template = Template.of(kind, source, payload)
            room = self._link.buffer.shape[1] - self._link.headroom
            if template.size > room:
                raise LinkError(
                    f"a probe of {template.size} bytes is more than the {room} that the "
                    f"{self._link.name} link sends; use a shorter --udp-payload"
                )
            self._templates[key] = template
        return self._templates[key]
