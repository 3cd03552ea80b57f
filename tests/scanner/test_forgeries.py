"""A scan under fire: forged replies by the hundred thousand, and not one verdict changes.

The forger is off the path. He knows everything but the key: all addresses and ports, the window of
source ports, how probes look, when the scan runs; he sees none of its packets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rawscan.model import IPAddress, Port, Probe, ProbeKind, State, Verdict
from rawscan.net.link import Block, Link
from rawscan.scanner import make_token
from rawscan.testing import Answer, Host
from rawscan.wire import replies
from rawscan.wire.columns import u16_view, u32_view
from rawscan.wire.craft import craft
from tests.scanner.around import Around
from tests.scanner.test_loop import OWN, ROUTER, SYN, TARGET, TOKEN, UDP, Recorded

COUNT = 100_000
VERSIONS: tuple[Literal[4, 6], ...] = (4, 6)
OPEN, CLOSED, SILENT = 11, 12, 13
NUMBERS = (OPEN, CLOSED, SILENT)
ERRORS = {
    4: [*((3, code) for code in range(16)), (11, 0)],
    6: [*((1, code) for code in range(7)), (3, 0)],
}
IP_BYTES = {4: 20, 6: 40}
Packets = NDArray[np.uint8]
Hosts = dict[int, IPAddress]
"""By IP version."""


def ports_of(target: Hosts) -> list[Port]:
    return [Port(target[v], n, kind) for v in VERSIONS for n in NUMBERS for kind in (SYN, UDP)]


PORTS = ports_of(TARGET)


def network(_: IPAddress) -> Host:
    """Three ports, each answering as it is called: the truth, which has to come out."""

    def host(probe: bytes, time_s: float) -> list[Answer]:
        start = IP_BYTES[probe[0] >> 4]
        is_udp, number = probe[9 if start == 20 else 6] == 17, probe[start + 3]
        error = (3, 3) if start == 20 else (1, 4)
        if number == OPEN:
            return [(0.03, replies.datagram(probe) if is_udp else replies.syn_ack(probe))]
        if number == CLOSED:
            answer = replies.icmp_error(probe, *error) if is_udp else replies.rst(probe)
            return [(0.03, answer)]
        return []

    return host


class Forger:
    """Makes blocks of forgeries. The same seed makes the same ones."""

    def __init__(self, seed: int, own: Hosts, target: Hosts, router: Hosts, window: range) -> None:
        self._dice = np.random.default_rng(seed)
        self._router = router
        self._window = np.array(window)
        self._turn = 0
        # He crafts what we would, with a key of his own.
        wrong = make_token(window, b"a guess")
        self._probes = {
            (port.target.version, port.kind): craft(Probe(port, 0), own[port.target.version], wrong)
            for port in ports_of(target)
        }

    def block(self, count: int) -> Packets:
        """`count` forgeries of one sort; the sorts take turns."""
        sorts = (self._segments, self._errors_about_tcp, self._errors_about_udp, self._enumerated)
        version = VERSIONS[self._turn % 2]
        sort, self._turn = sorts[self._turn // 2 % len(sorts)], self._turn + 1
        return sort(version, count)

    def _ports(self, count: int) -> NDArray[np.int64]:
        return self._dice.choice(self._window, count)

    def _numbers(self, count: int) -> NDArray[np.int64]:
        return self._dice.choice(NUMBERS, count)

    def _segments(self, version: Literal[4, 6], count: int) -> Packets:
        """RST and SYN+ACK from the target, with guessed numbers."""
        how = (replies.rst, replies.syn_ack)[self._turn // 8 % 2]
        packets = copies(how(self._probes[version, SYN]), count)
        segment = packets[:, IP_BYTES[version] :]
        u16_view(segment, 0)[:] = self._numbers(count)
        u16_view(segment, 2)[:] = self._ports(count)
        u32_view(segment, 4)[:] = self._dice.integers(0, 1 << 32, count)
        u32_view(segment, 8)[:] = self._dice.integers(0, 1 << 32, count)
        return packets

    def _error(self, version: Literal[4, 6], kind: ProbeKind, count: int) -> tuple[Packets, int]:
        """ICMP errors of any code from the target or a router; and where their quotes begin."""
        errors = ERRORS[version]
        error = errors[int(self._dice.integers(len(errors)))]
        responder = (None, self._router[version])[int(self._dice.integers(2))]
        forged = replies.icmp_error(self._probes[version, kind], *error, responder=responder)
        packets = copies(forged, count)
        quote = IP_BYTES[version] + 8
        upper = packets[:, quote + IP_BYTES[version] :]
        u16_view(upper, 0)[:] = self._ports(count)
        u16_view(upper, 2)[:] = self._numbers(count)
        return packets, quote

    def _errors_about_tcp(self, version: Literal[4, 6], count: int) -> Packets:
        packets, quote = self._error(version, SYN, count)
        sequences = self._dice.integers(0, 1 << 32, count)
        u32_view(packets, quote + IP_BYTES[version] + 4)[:] = sequences
        return packets

    def _errors_about_udp(self, version: Literal[4, 6], count: int) -> Packets:
        packets, quote = self._error(version, UDP, count)
        identify(packets, version, quote, self._dice.integers(0, 1 << 20, count))
        return packets

    def _enumerated(self, version: Literal[4, 6], count: int) -> Packets:
        """Every source port of the window in turn, so that each that was used is hit.

        The identification is guessed in the ways that cost nothing: none, what many systems start
        with, the port's own number, its bytes swapped, or anything.
        """
        packets, quote = self._error(version, UDP, count)
        round_, at = divmod(self._turn * count // 4 + np.arange(count), len(self._window))
        ports = self._window[at]
        upper = packets[:, quote + IP_BYTES[version] :]
        u16_view(upper, 0)[:] = ports
        u16_view(upper, 2)[:] = np.array(NUMBERS)[(round_ + at) % 3]
        guesses = [np.zeros(count), np.ones(count), ports, ports >> 8 | (ports & 0xFF) << 8]
        guesses += [self._dice.integers(0, 1 << 20, count) for _ in guesses]
        chosen = self._dice.integers(len(guesses), size=count)
        identify(packets, version, quote, np.choose(chosen, guesses).astype(np.int64))
        return packets


def copies(packet: bytes, count: int) -> Packets:
    return np.tile(np.frombuffer(packet, np.uint8), (count, 1))


def identify(packets: Packets, version: int, start: int, numbers: NDArray[np.int64]) -> None:
    """Write identifications or flow labels into IP headers that begin at `start`."""
    if version == 4:
        u16_view(packets, start + 4)[:] = numbers & 0xFFFF
    else:
        u32_view(packets, start)[:] = 6 << 28 | numbers & 0xF_FFFF


class UnderFire(Around):
    """A link on which a block of forgeries follows each block that it receives, while any are left.

    Nothing of the real traffic is changed, and the clock stands still for the forger.
    """

    def __init__(self, link: Link, clock: Callable[[], float], blocks: Iterator[Packets]) -> None:
        super().__init__(link, clock)
        self._blocks = blocks
        self._turn = 0

    def receive(self, timeout_s: float) -> Block:
        self._turn += 1
        forged = next(self._blocks, None) if self._turn % 2 else None
        if forged is None:
            return self.link.receive(timeout_s)
        lengths = np.full(len(forged), forged.shape[1])
        return Block(forged, lengths, lengths, np.full(len(forged), self.clock()))


def outcome(verdicts: Iterable[Verdict]) -> list[tuple[object, ...]]:
    """All that a verdict says, but for when."""
    return sorted((str(v.port), *map(str, v.claim), v.tries, v.hints) for v in verdicts)


def test_a_hundred_thousand_forgeries_change_no_verdict(tmp_path: Path) -> None:
    forger, size = Forger(561, OWN, TARGET, ROUTER, TOKEN.source_ports), 1000
    left = iter(range(COUNT // size))
    blocks = (forger.block(size) for _ in left)
    run = Recorded(
        tmp_path / "forged.pcapng",
        PORTS,
        network,
        around=lambda link, clock: UnderFire(link, clock, blocks),
    )
    live = run.run()
    assert next(left, None) is None  # all were sent while the scan ran
    assert run.scan.listener.unmatched == COUNT  # and all came to ports of ours
    assert run.scan.listener.misquoted > 20  # some to the very port that a UDP probe was sent from

    calm = Recorded(tmp_path / "calm.pcapng", PORTS, network)
    assert outcome(live.values()) == outcome(calm.run().values())
    found = [finding.verdict for finding in run.offline().findings]
    assert outcome(found) == outcome(live.values())
    truth = {OPEN: State.OPEN, CLOSED: State.CLOSED}
    for port, verdict in live.items():
        silent = State.FILTERED if port.kind is SYN else State.OPEN_FILTERED
        assert verdict.state is truth.get(port.number, silent)
