"""Scans that end at any moment and are taken up again, over simulated networks, until complete."""

from __future__ import annotations

import os
import tracemalloc
from collections import Counter
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import Any

import pytest

from rawscan.ask import ask_of
from rawscan.engine import Settings
from rawscan.errors import UsageError
from rawscan.model import Frame, IPAddress, ProbeKind
from rawscan.net.link import Batched
from rawscan.output.files import open_output, resume_journal
from rawscan.output.journal import open_locked, read_lines
from rawscan.output.records import port_record, to_line
from rawscan.output.sink import Sink
from rawscan.permute import Shard
from rawscan.ports import parse_ports
from rawscan.scanner import Request, Scan, make_token
from rawscan.scanner.request import each_source
from rawscan.scanner.resume import Earlier, check_same, read_earlier
from rawscan.targets import TargetSet
from rawscan.testing import Answer, FakeClock, Host, SimulatedLink, Weather
from rawscan.wire import replies
from rawscan.wire.decode import decode_frame
from rawscan.wire.linklayer import RAW

OWN = {4: ip_address("10.0.0.1"), 6: ip_address("fd00::1")}
SPECS = ["10.9.0.0/28", "fd09::/126"]


def host(address: IPAddress) -> Host | None:
    """Some are open, some closed, some silent, some slow, and some have a firewall that lies."""
    kind = int(address) % 7

    def answer(probe: bytes, time_s: float) -> list[Answer]:
        udp = (probe[9] if address.version == 4 else probe[6]) == 17
        version = (3, 3) if address.version == 4 else (1, 4)
        closed = replies.icmp_error(probe, *version) if udp else replies.rst(probe)
        if kind == 0:
            return [(0.01, replies.datagram(probe) if udp else replies.syn_ack(probe))]
        if kind == 1 and not udp:  # first refused by somebody, then, late, open
            return [(0.01, closed), (2.0, replies.syn_ack(probe))]
        return [(2.2 if kind == 2 else 0.02, closed)]

    return None if kind == 3 else answer


def request(**options: Any) -> Request:
    return Request(TargetSet.parse(SPECS), parse_ports("561-562"), **options)


class Run:
    """One run into a journal: until `stop_s`, or to the end. `sent` are the ports it asked."""

    def __init__(self, what: Request, path: Path, seed: int, stop_s: float | None) -> None:
        self.earlier: Earlier | None = None
        space, clock = what.space, FakeClock()
        if path.exists():
            self.earlier = read_earlier(path, space)
            sink = resume_journal(open_locked(path), self.earlier.size_bytes)
        else:
            sink = open_output(path)
            sink.write({"type": "scan"})
        start_s = clock()
        weather = Weather(loss_out=0.1, loss_back=0.1, duplicate=0.1, jitter_s=0.5)
        link = SimulatedLink(host, clock, weather, seed)
        scan = Scan(
            space,
            Batched(link),
            make_token(range(16384, 32768), seed.to_bytes(8, "big")),
            kinds=what.kinds,
            sources=each_source(lambda target: OWN[target.version]),
            settings=Settings(rate_pps=100.0, max_retries=3),
            clock=clock,
            stop=lambda: stop_s is not None and clock() - start_s >= stop_s,
            done=self.earlier.done if self.earlier else None,
        )
        self._record(scan, sink)
        self.complete = scan.complete
        self.sent = {asked(frame.data) for frame in link.sent}

    def _record(self, scan: Scan, sink: Sink) -> None:
        sink.write({"type": "resumed"})
        for verdict in scan.run():
            sink.write(port_record(verdict))
        sink.write({"type": "summary", "complete": scan.complete})
        sink.close()


def asked(packet: bytes) -> tuple[str, int, str]:
    ask = ask_of(decode_frame(Frame(0.0, packet, RAW, len(packet))))
    assert ask is not None
    return str(ask.target), ask.port, ask.protocol.value


def key(record: dict[str, Any]) -> tuple[str, int, str]:
    return record["target"], record["port"], record["protocol"]


def ports_of(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        return [line.record for line in read_lines(file, "x") if line.record["type"] == "port"]


EXPECTED = {
    (str(target), number, kind.protocol.value)
    for target in TargetSet.parse(SPECS)
    for number in (561, 562)
    for kind in (ProbeKind.SYN, ProbeKind.UDP)
}


def run_until_complete(path: Path, random: Random, **options: Any) -> int:
    """End each run at a random moment, as a signal or as a kill does; returns how many it took."""
    what = request(seed=random.choice([None, 561]), **options)
    before: set[tuple[str, int, str]] = set()
    for runs in range(1, 100):
        start_bytes = path.stat().st_size if path.exists() else 0
        stop_s = random.choice([random.uniform(0, 6), None])
        run = Run(what, path, random.getrandbits(32), stop_s)
        if run.earlier is not None:
            start_bytes = run.earlier.size_bytes
            # What was decided is not asked again.
            assert not run.sent & before
        if run.complete and random.random() < 0.5:
            return runs
        if random.random() < 0.5:
            os.truncate(path, random.randint(start_bytes, path.stat().st_size))
        before = {key(record) for record in ports_of(path) if record["reason"] != "cut-short"}
    raise AssertionError("it never ends")


@pytest.mark.parametrize("seed", range(18))
def test_all_runs_together_are_one_scan(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    run_until_complete(path, Random(seed))
    records = ports_of(path)
    first = Counter(key(record) for record in records if record["revises"] is None)
    assert first == Counter(EXPECTED)
    states: dict[tuple[str, int, str], str] = {}
    for record in records:
        assert record["revises"] == (states.get(key(record)) if record["revises"] else None)
        states[key(record)] = record["state"]
        assert record["reason"] != "cut-short"
    earlier = read_earlier(path, request(seed=561).space)
    assert earlier.states == Counter(states.values())
    assert earlier.done.tolist() == list(range(len(EXPECTED)))


def test_shards_that_were_interrupted_are_the_whole(tmp_path: Path) -> None:
    found: Counter[tuple[str, int, str]] = Counter()
    for index in (1, 2, 3):
        path, shard = tmp_path / f"{index}.jsonl", Shard(index, 3)
        what = request(order=bytes(32), shard=shard)
        for run_seed, stop_s in enumerate((0.2, 0.2, None)):
            Run(what, path, run_seed, stop_s)
        found.update(key(record) for record in ports_of(path) if not record["revises"])
    assert found == Counter(EXPECTED)


def test_an_interrupt_loses_nothing_that_was_known(tmp_path: Path) -> None:
    """What was still open is at the end of the journal, so cutting it off takes nothing else."""
    path = tmp_path / "x.jsonl"
    Run(request(), path, 1, 0.3)
    reasons = [record["reason"] == "cut-short" for record in ports_of(path)]
    assert 0 < sum(reasons) < len(reasons)
    assert reasons == sorted(reasons)


def journal(path: Path, *lines: dict[str, Any] | str) -> Path:
    path.write_text(
        "".join(each if isinstance(each, str) else to_line(each) + "\n" for each in lines)
    )
    return path


PORT: dict[str, Any] = {
    "type": "port", "target": "10.9.0.1", "port": 561, "protocol": "tcp", "probe": "syn",
    "state": "closed", "reason": "reset", "revises": None,
}  # fmt: skip
CUT = PORT | {"port": 562, "state": "unknown", "reason": "cut-short"}
HEAD: dict[str, Any] = {"type": "scan"}
SUMMARY: dict[str, Any] = {"type": "summary", "complete": False}


def sizes(*lines: dict[str, Any]) -> int:
    return sum(len(to_line(each)) + 1 for each in lines)


@pytest.mark.parametrize(
    ("lines", "kept", "decided"),
    [
        ((HEAD,), (HEAD,), 0),
        ((HEAD, PORT, '{"type":"po'), (HEAD, PORT), 1),
        ((HEAD, PORT, CUT, SUMMARY), (HEAD, PORT), 1),
        ((HEAD, CUT, SUMMARY, PORT), (HEAD, CUT, SUMMARY, PORT), 1),
        ((HEAD, PORT, PORT | {"state": "open", "revises": "closed"}), None, 1),
    ],
)
def test_what_stays_of_a_journal(
    lines: tuple[dict[str, Any], ...],
    kept: tuple[dict[str, Any], ...] | None,
    decided: int,
    tmp_path: Path,
) -> None:
    earlier = read_earlier(journal(tmp_path / "x", *lines), request().space)
    assert earlier.size_bytes == sizes(*(lines if kept is None else kept))
    assert (len(earlier.done), earlier.states.total()) == (decided, decided)


def test_a_later_record_takes_the_earlier_ones_place(tmp_path: Path) -> None:
    late = PORT | {"state": "open", "revises": "closed"}
    earlier = read_earlier(journal(tmp_path / "x", HEAD, PORT, late), request().space)
    assert earlier.states == Counter(open=1)


WRONG = {
    "another target": (PORT | {"target": "10.9.1.1"}, "line 2: is about a port that this scan"),
    "another port": (PORT | {"port": 563}, "line 2: is about a port that this scan"),
    "no target": (PORT | {"target": "here"}, "lines 2 to 2: not all are records of a scan"),
    "no probe": ({k: v for k, v in PORT.items() if k != "probe"}, "lines 2 to 2"),
    "no number": (PORT | {"port": 70_000}, "lines 2 to 2"),
    "null": (PORT | {"port": None}, "lines 2 to 2"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_journal_of_something_else_is_refused(name: str, tmp_path: Path) -> None:
    record, message = WRONG[name]
    with pytest.raises(UsageError, match=message):
        read_earlier(journal(tmp_path / "x", HEAD, record), request().space)


def head(what: Request) -> dict[str, Any]:
    shard = str(what.shard)
    targets = what.targets.count
    return {"digest": what.digest, "count": what.count, "shard": shard, "targets": targets}


def test_a_scan_of_something_else_is_refused() -> None:
    check_same(head(request()), request(), "x")
    other = Request(TargetSet.parse([*SPECS, "10.9.9.9"]), parse_ports("561-562"))
    with pytest.raises(UsageError, match=r"x: .* 84 ports of 21 targets, then 80 of 20"):
        check_same(head(request()), other, "x")
    same_size = Request(TargetSet.parse(["10.9.1.0/28", "fd09::/126"]), parse_ports("561-562"))
    with pytest.raises(UsageError, match="host name"):
        check_same(head(request()), same_size, "x")
    with pytest.raises(UsageError, match="then 40 of 20"):
        check_same(head(request(shard=Shard(1, 2))), request(), "x")


def test_memory_does_not_grow_with_the_records(tmp_path: Path) -> None:
    """8 bytes are kept of each port; the records themselves, 300 bytes as text, are let go."""
    what = Request(TargetSet.parse(["10.0.0.0/18"]), parse_ports("T:561"), (ProbeKind.SYN,))
    space = what.space
    records = [PORT | {"target": f"10.0.{n >> 8}.{n & 255}"} for n in range(1 << 14)]
    peaks = []
    for size in (1 << 12, 1 << 14):
        path = journal(tmp_path / "x", HEAD, *records[:size])
        tracemalloc.start()
        done = read_earlier(path, space).done
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert done.tolist() == list(range(1 << 14))
    remembered = 3 * 8 * len(records)  # the space's latest batches, which are bounded
    assert peaks[1] - peaks[0] < 3 * 8 * (len(records) - (1 << 12)) + remembered
