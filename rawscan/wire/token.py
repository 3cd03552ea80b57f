"""The token: what makes a reply prove that it answers our probe. Touches nothing.

A keyed function of both addresses, the port and the kind of probe chooses the source port (and so
carries the try number), and a second one over all of these the TCP sequence number. Nobody off the
path can compute them, and no memory of what was sent is needed to check them. The idea is that of
SYN cookies (RFC 4987, section 3.6) and of zmap's stateless validation.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2s

from rawscan.model import IPAddress, Port

MAX_TRIES = 16
"""Tries that can be told apart for one port."""


@dataclass(frozen=True, slots=True)
class Token:
    """Makes and checks tokens.

    `key`: up to 32 secret bytes. `source_ports`: the ports that probes may come from; more ports
    make a UDP reply harder to forge, since it has no sequence number.
    """

    key: bytes
    source_ports: range

    def __post_init__(self) -> None:
        if len(self.source_ports) < MAX_TRIES:
            raise ValueError(f"a token needs at least {MAX_TRIES} source ports")

    def source_port(self, source: IPAddress, port: Port, number: int) -> int:
        """Source port for try `number` (0 to 15) at `port` from the address `source`."""
        if not 0 <= number < MAX_TRIES:
            raise ValueError(f"try {number} is outside 0..{MAX_TRIES - 1}")
        return self.source_ports[(self._home(source, port) + number) % len(self.source_ports)]

    def sequence(self, source: IPAddress, port: Port, number: int) -> int:
        """TCP sequence number, 32 bits, for the same probe."""
        return self._hash(b"seq", source, port, number)

    def try_number(self, source: IPAddress, port: Port, source_port: int) -> int | None:
        """Which try came from `source_port`; None: none of ours did."""
        if source_port not in self.source_ports:
            return None
        slot = self.source_ports.index(source_port)
        number = (slot - self._home(source, port)) % len(self.source_ports)
        return number if number < MAX_TRIES else None

    def _home(self, source: IPAddress, port: Port) -> int:
        return self._hash(b"port", source, port, 0)

    def _hash(self, use: bytes, source: IPAddress, port: Port, number: int) -> int:
        data = b"%b%b%b%b%d/%d" % (
            source.packed,
            port.target.packed,
            use,
            port.kind.value.encode(),
            port.number,
            number,
        )
        return int.from_bytes(blake2s(data, key=self.key, digest_size=4).digest(), "big")
