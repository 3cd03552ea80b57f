"""Verdicts of a scan in columns: the same as one by one, and told apart by who answered."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from pathlib import Path

import numpy as np

from rawscan.engine import Settings
from rawscan.model import IPAddress, Port, ProbeKind, State
from rawscan.testing import Host
from rawscan.wire import replies
from tests.scanner.test_loop import Recorded, host_of

SYN = ProbeKind.SYN


def test_of_several_routers_each_is_named(tmp_path: Path) -> None:
    ports = [Port(ip_address(f"10.0.0.{n}"), 561, SYN) for n in range(1, 41)]
    routers = {port.target: ip_address(f"10.9.0.{int(port.target) % 7}") for port in ports}

    def host_behind(target: IPAddress) -> Host:
        return host_of(lambda probe: replies.icmp_error(probe, 3, 13, responder=routers[target]))

    run = Recorded(tmp_path / "s.pcapng", ports, host_behind, settings=Settings(rate_pps=1e6))
    found = run.run()
    assert {port.target: verdict.reason_ip for port, verdict in found.items()} == routers


def test_batches_are_the_same_verdicts_in_columns(tmp_path: Path) -> None:
    ports = [Port(ip_address(f"10.0.0.{n}"), 561, SYN) for n in range(1, 41)]
    answers = [replies.rst, replies.syn_ack, lambda probe: replies.icmp_error(probe, 3, 13)]

    def host_at(target: IPAddress) -> Host | None:
        which = int(target) % 4
        return host_of(answers[which]) if which < 3 else None

    runs = [
        Recorded(tmp_path / f"{n}.pcapng", ports, host_at, settings=Settings(rate_pps=1e6))
        for n in range(2)
    ]
    batches = list(runs[0].scan.batches())
    assert [verdict for batch in batches for verdict in batch] == list(runs[1].scan.run())
    assert sum(map(len, batches)) == len(ports)
    for batch in batches:
        assert (np.diff(batch.alike) >= 0).all()  # rows that are alike stand together
    states: Counter[State] = sum((batch.states() for batch in batches), Counter())
    assert states == {State.CLOSED: 10, State.OPEN: 10, State.FILTERED: 20}
