"""The token: what makes a reply prove that it answers our probe. Touches nothing.

A keyed hash of both addresses, the port and the kind of probe gives 64 bits: the upper half chooses
the first of 16 source ports (which of them was used says which try it was), the lower half is the
TCP sequence number of try 0. Nobody off the path can compute either, and no memory of what was sent
is needed to check them. The idea is that of SYN cookies (RFC 4987, section 3.6) and of zmap's
stateless validation.

Why one hash will do: SipHash is a pseudorandom function, so who does not know the key learns
nothing from one half about the other, nor from one port's hash about another port's.

Why the try number may be mixed in by mere addition: who knows the sequence number of one try of a
port, and so could compute those of its other tries, can already forge an answer to the try that he
saw, and all answers to a port count for the same verdict. To everybody else each of the 16 is one
unknown number of 32 bits; the source port says which of them is asked for, so a guess does not get
16 chances at once. The step is large and odd, so that tries differ, and by more than the 1 that
acknowledgements add.

A UDP header has no sequence number; what would be it stands, as far as there is room, in the IP
header, which an ICMP error quotes: the lower 16 bits in IPv4's identification, the lower 20 in
IPv6's flow label. Each try has a source port of its own, so that this label is what RFC 6437,
section 3, wants of one: the same within a flow, and not to be guessed.

NumPy is imported only where arrays are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2s
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

from rawscan.model import IPAddress, Port, ProbeKind
from rawscan.wire import siphash

if TYPE_CHECKING:
    from numpy import int8, int64, uint16, uint32, uint64
    from numpy.typing import NDArray

    from rawscan.wire.addresses import Addresses

MAX_TRIES = 16
"""Tries that can be told apart for one port."""

_STEP = 0x9E3779B9
_SEQ = 1 << 32
_WORD = (1 << 64) - 1
_KIND_BYTES = 4
_ONE = (IPv4Address, IPv6Address)
_IDENTIFICATION = {4: 0xFFFF, 6: 0xF_FFFF}


def identification(version: int, sequence: int) -> int:
    """IPv4 identification, or IPv6 flow label, of the probe that has this sequence number.

    Never 0: the kernel would replace that identification (raw(7)), and the label 0 says that there
    is none (RFC 6437, section 2).
    """
    return sequence & _IDENTIFICATION[version] or 1


def identifications(version: int, sequences: NDArray[uint32]) -> NDArray[uint32]:
    """The same of many probes of one IP version."""
    import numpy as np

    found = sequences & np.uint32(_IDENTIFICATION[version])
    found[found == 0] = 1
    return found


def is_identification(version: int, sent: Any, quoted: Any) -> Any:
    """Does an ICMP error quote (`quoted`) what its probe bore (`sent`)? Numbers, or arrays of them.

    Some stacks, of printers mostly, quote IPv4's identification with its bytes swapped (Nmap
    Network Scanning, chapter 8, test RID).
    """
    same = quoted == sent
    return same | (quoted == (sent >> 8 | (sent & 0xFF) << 8)) if version == 4 else same


@dataclass(frozen=True, slots=True)
class Token:
    """Makes and checks tokens.

    `key`: up to 32 secret bytes. `source_ports`: the ports that probes may come from; more ports
    make a UDP reply harder to forge, since it has no sequence number.

    The methods that end in `_of` do for arrays what those without it do for one probe; there,
    `source` is one address or as many as there are targets.
    """

    key: bytes
    source_ports: range
    _start: siphash.State = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.source_ports) < MAX_TRIES:
            raise ValueError(f"a token needs at least {MAX_TRIES} source ports")
        if not 0 <= min(self.source_ports) <= max(self.source_ports) <= 0xFFFF:
            raise ValueError("source ports are within 0..65535")
        # SipHash's key has 16 bytes; a key of any other length is brought down (or up) to these.
        key = blake2s(key=self.key, digest_size=siphash.KEY_BYTES).digest()
        object.__setattr__(self, "_start", siphash.start(key))

    def source_port(self, source: IPAddress, port: Port, number: int) -> int:
        """Source port for try `number` (0 to 15) at `port` from the address `source`."""
        if not 0 <= number < MAX_TRIES:
            raise ValueError(f"try {number} is outside 0..{MAX_TRIES - 1}")
        return self.source_ports[(self._home(source, port) + number) % len(self.source_ports)]

    def sequence(self, source: IPAddress, port: Port, number: int) -> int:
        """TCP sequence number, 32 bits, for the same probe."""
        return (self._hash(source, port) + number * _STEP) % _SEQ

    def try_number(self, source: IPAddress, port: Port, source_port: int) -> int | None:
        """Which try came from `source_port`; None: none of ours did."""
        if source_port not in self.source_ports:
            return None
        slot = self.source_ports.index(source_port)
        number = (slot - self._home(source, port)) % len(self.source_ports)
        return number if number < MAX_TRIES else None

    def _home(self, source: IPAddress, port: Port) -> int:
        # The upper 32 bits as a fraction of the window: even, and cheaper than a remainder.
        return (self._hash(source, port) >> 32) * len(self.source_ports) >> 32

    def _hash(self, source: IPAddress, port: Port) -> int:
        """What is hashed: both addresses as words, then 7 bytes: port, kind and IP versions."""
        target = port.target
        if source.version == target.version == 4:
            words = [int(source) << 32 | int(target)]
        else:
            words = [int(a) >> shift & _WORD for a in (source, target) for shift in (64, 0)]
        last = port.number | _last_block(port.kind, source.version, target.version, len(words))
        return siphash.finish(siphash.absorb(self._start, [*words, last]))

    def source_ports_of(
        self,
        source: IPAddress | Addresses,
        targets: Addresses,
        ports: NDArray[uint16],
        kind: ProbeKind,
        numbers: NDArray[int8],
    ) -> NDArray[uint16]:
        """Source ports of many probes."""
        return self.tokens_of(source, targets, ports, kind, numbers)[0]

    def sequences_of(
        self,
        source: IPAddress | Addresses,
        targets: Addresses,
        ports: NDArray[uint16],
        kind: ProbeKind,
        numbers: NDArray[int8],
    ) -> NDArray[uint32]:
        """TCP sequence numbers of many probes."""
        return self.tokens_of(source, targets, ports, kind, numbers)[1]

    def try_numbers_of(
        self,
        source: IPAddress | Addresses,
        targets: Addresses,
        ports: NDArray[uint16],
        kind: ProbeKind,
        source_ports: NDArray[uint16],
    ) -> NDArray[int8]:
        """Which tries came from `source_ports`; -1: none of ours did."""
        return self.tries_of(source, targets, ports, kind, source_ports)[0]

    def tokens_of(
        self,
        source: IPAddress | Addresses,
        targets: Addresses,
        ports: NDArray[uint16],
        kind: ProbeKind,
        numbers: NDArray[int8],
    ) -> tuple[NDArray[uint16], NDArray[uint32]]:
        """Source ports and sequence numbers of many probes, for the price of one of them."""
        import numpy as np

        tries = np.asarray(numbers)
        if tries.size and not 0 <= tries.min() <= tries.max() < MAX_TRIES:
            raise ValueError(f"a try is outside 0..{MAX_TRIES - 1}")
        hashes = self._hashes(source, targets, ports, kind)
        slots = self._homes(hashes) + tries
        slots[slots >= len(self.source_ports)] -= len(self.source_ports)
        slots *= self.source_ports.step
        slots += self.source_ports.start
        return slots.astype(np.uint16), _sequences(hashes, tries)

    def tries_of(
        self,
        source: IPAddress | Addresses,
        targets: Addresses,
        ports: NDArray[uint16],
        kind: ProbeKind,
        source_ports: NDArray[uint16],
    ) -> tuple[NDArray[int8], NDArray[uint32]]:
        """Which tries came from `source_ports` (-1: none of ours did), and their sequence numbers.

        Where the first is -1, the second means nothing.
        """
        import numpy as np

        hashes = self._hashes(source, targets, ports, kind)
        offsets = source_ports.astype(np.int64) - self.source_ports.start
        slots = offsets // self.source_ports.step
        ours = (slots >= 0) & (slots < len(self.source_ports))
        ours &= slots * self.source_ports.step == offsets
        tries = slots - self._homes(hashes)
        tries[tries < 0] += len(self.source_ports)
        ours &= tries < MAX_TRIES
        tries[~ours] = -1
        return tries.astype(np.int8), _sequences(hashes, tries)

    def _homes(self, hashes: NDArray[uint64]) -> NDArray[int64]:
        import numpy as np

        homes = hashes >> np.uint64(32)
        homes *= np.uint64(len(self.source_ports))
        homes >>= np.uint64(32)
        return homes.astype(np.int64)

    def _hashes(
        self,
        source: IPAddress | Addresses,
        targets: Addresses,
        ports: NDArray[uint16],
        kind: ProbeKind,
    ) -> NDArray[uint64]:
        """What `_hash` gives, for addresses of one version."""
        import numpy as np

        if source.version != targets.version:
            raise ValueError(f"IPv{source.version} addresses ask no IPv{targets.version} addresses")
        last = ports.astype(np.uint64)
        words = 1 if targets.high is None else 4
        last |= np.uint64(_last_block(kind, source.version, targets.version, words))
        if targets.high is None:
            asker = int(source) << 32 if isinstance(source, _ONE) else source.low << np.uint64(32)
            return siphash.hash_arrays(self._start, [targets.low | np.uint64(asker), last])
        blocks = [targets.high, targets.low, last]
        if isinstance(source, _ONE):  # all messages begin alike
            begun = siphash.absorb(self._start, [int(source) >> 64, int(source) & _WORD])
            return siphash.hash_arrays(begun, blocks)
        assert source.high is not None
        return siphash.hash_arrays(self._start, [source.high, source.low, *blocks])


def _sequences(hashes: NDArray[uint64], numbers: NDArray[int8] | NDArray[int64]) -> NDArray[uint32]:
    import numpy as np

    steps = numbers.astype(np.uint32) * np.uint32(_STEP)  # wraps, as sequence numbers do
    return hashes.astype(np.uint32) + steps


@cache
def _last_block(kind: ProbeKind, source_version: int, target_version: int, words: int) -> int:
    """The last block of the hash, but for the port, which is its lowest 16 bits."""
    name = int.from_bytes(kind.value.encode(), "little")
    if name >> 8 * _KIND_BYTES:
        raise ValueError(f"the name of {kind} does not fit into a token")
    versions = source_version << 4 | target_version
    return siphash.last_block(versions << 48 | name << 16, words * 8 + 7)
