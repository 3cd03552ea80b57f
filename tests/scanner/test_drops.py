"""The kernel drops packets at random moments: no lie, and the recording agrees with the scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rawscan.engine import Settings
from rawscan.model import IPAddress, Port, State
from rawscan.net.link import Block, Link
from rawscan.testing import START_S, Answer, Host
from rawscan.wire import replies
from tests.scanner.around import Around
from tests.scanner.test_loop import SYN, TARGET, UDP, Recorded

NUMBERS = range(1, 10)
PORTS = [Port(TARGET[v], n, kind) for v in (4, 6) for n in NUMBERS for kind in (SYN, UDP)]

Gap = tuple[float, float]
"""From when until when, after the start, everything that arrives is thrown away."""


class Leaky(Around):
    """A link that loses what arrives in the gaps, and counts it as the kernel does.

    At the beginning of a gap a packet of somebody else's is lost, so that there is one to count.
    """

    def __init__(self, link: Link, clock: Callable[[], float], gaps: Sequence[Gap]) -> None:
        super().__init__(link, clock)
        self._gaps = gaps
        self._lost = 0

    def receive(self, timeout_s: float) -> Block:
        block = self.link.receive(timeout_s)
        lost = np.zeros(len(block), bool)
        for start_s, end_s in self._gaps:
            lost |= (block.times_s >= START_S + start_s) & (block.times_s < START_S + end_s)
        self._lost += int(lost.sum())
        columns = block.frames, block.lengths, block.original_bytes, block.times_s
        return Block(*(column[~lost] for column in columns))  # type: ignore[arg-type]

    def drops(self) -> int:
        return self._lost + sum(self.clock() >= START_S + start_s for start_s, _ in self._gaps)


def network(_: IPAddress) -> Host:
    """A third of the ports is open, a third closed, a third silent; answers take up to half a
    second.
    """

    def host(probe: bytes, time_s: float) -> list[Answer]:
        v4 = probe[0] >> 4 == 4
        start = 20 if v4 else 40
        number, is_udp = probe[start + 3], probe[9 if v4 else 6] == 17
        error = (3, 3) if v4 else (1, 4)
        delay_s = number / 20
        if number % 3 == 0:
            return []
        if number % 3 == 1:
            return [(delay_s, replies.datagram(probe) if is_udp else replies.syn_ack(probe))]
        refusal = replies.icmp_error(probe, *error) if is_udp else replies.rst(probe)
        return [(delay_s, refusal)]

    return host


def truth(port: Port) -> State:
    silent = State.OPEN_FILTERED if port.kind is UDP else State.FILTERED
    return (silent, State.OPEN, State.CLOSED)[port.number % 3]


GAPS = st.lists(st.tuples(st.floats(0, 12), st.floats(0.001, 3)), max_size=8).map(
    lambda gaps: [(start_s, start_s + long_s) for start_s, long_s in gaps]
)

# The scan ends while a drop is not noted yet.
WITHOUT_A_PAUSE = [(number / 50, number / 50 + 0.001) for number in range(50)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(GAPS, st.integers(0, 6), st.sampled_from([1e9, 2.0, 5.0]))
@example(WITHOUT_A_PAUSE, 0, 0.2)
@example(WITHOUT_A_PAUSE, 0, 0.36)
def test_live_and_offline_agree_and_neither_lies(
    gaps: list[Gap], retries: int, stop_at_s: float
) -> None:
    leaky: list[Leaky] = []

    def around(link: Link, clock: Callable[[], float]) -> Leaky:
        leaky.append(Leaky(link, clock, gaps))
        return leaky[0]

    with TemporaryDirectory() as directory:
        run = Recorded(
            Path(directory) / "scan.pcapng",
            PORTS,
            network,
            stop_at_s=stop_at_s,
            settings=Settings(max_retries=retries),
            around=around,
        )
        live = run.run()
        offline = {f.verdict.port: f.verdict for f in run.offline().findings}
    assert {port: v.claim for port, v in offline.items()} == {
        port: v.claim for port, v in live.items()
    }
    # What was thrown away may leave a port unknown, but never passes for silence.
    assert {v.state for port, v in live.items() if v.state is not truth(port)} <= {State.UNKNOWN}
    assert run.scan.counters.drops == leaky[0].drops()
    apart_s = np.diff(run.scan.drops_s)[:-1]  # all but the note that the scan ends with
    assert (apart_s > 0.0999).all()
