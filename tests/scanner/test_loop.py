"""Whole scans over simulated networks, and the promise that a recording gives the same verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rawscan.analysis import analyse
from rawscan.capture.writer import PcapngWriter
from rawscan.engine import Settings
from rawscan.errors import BusyError, CaptureError, LinkError, NeighbourError
from rawscan.findings import Analysis
from rawscan.model import Frame, IPAddress, Port, ProbeKind, State, Verdict
from rawscan.net.link import Batched, Link, RecordingLink
from rawscan.ports import parse_ports
from rawscan.rules import RULES, Rule
from rawscan.scanner import Scan, make_token, recordable
from rawscan.scanner.request import each_source
from rawscan.space import PortSpace
from rawscan.targets import TargetSet
from rawscan.testing import START_S, Answer, FakeClock, Host, SimulatedLink, Weather
from rawscan.wire import replies

SYN, UDP, ACK = ProbeKind.SYN, ProbeKind.UDP, ProbeKind.ACK
KINDS = (SYN, UDP, ACK)
OWN = {4: ip_address("10.0.0.1"), 6: ip_address("fd00::1")}
TARGET = {4: ip_address("10.0.0.5"), 6: ip_address("fd00::5")}
ROUTER = {4: ip_address("10.0.0.254"), 6: ip_address("fd00::fe")}
TOKEN = make_token(range(16384, 32768), b"561")


class Recorded:
    """A scan of simulated hosts that also writes its recording."""

    def __init__(
        self,
        path: Path,
        ports: Sequence[Port],
        hosts: Callable[[IPAddress], Host | None],
        weather: Weather = Weather(),  # noqa: B008  (frozen)
        seed: int = 0,
        stop_at_s: float = 1e9,
        settings: Settings | None = None,
        around: Callable[[Link, FakeClock], Link] = lambda link, clock: link,
    ) -> None:
        self.path = path
        self.clock = FakeClock()
        self.link = SimulatedLink(hosts, self.clock, weather, seed)
        self.started_s = self.clock()
        self._writer = PcapngWriter(
            path,
            linktype=101,
            interface="sim",
            now_s=self.clock(),
            least_tries=(settings or Settings()).least_tries,
        )
        kinds = [kind for kind in KINDS if any(port.kind is kind for port in ports)]
        numbers = ",".join(str(port.number) for port in ports)
        self.scan = Scan(
            PortSpace(
                TargetSet.parse(sorted({str(port.target) for port in ports})),
                parse_ports(numbers),
                kinds,
                seed.to_bytes(8, "big"),
            ),
            RecordingLink(
                around(Batched(self.link), self.clock), self._writer, recordable(TOKEN, KINDS)
            ),
            TOKEN,
            kinds=KINDS,
            sources=each_source(lambda target: OWN[target.version]),
            settings=settings,
            clock=self.clock,
            stop=lambda: self.clock() - self.started_s >= stop_at_s,
            on_drops=self._writer.drops,
        )

    def run(self) -> dict[Port, Verdict]:
        """The last verdict on each port."""
        found = {verdict.port: verdict for verdict in self.scan.run()}
        self.close()
        return found

    def close(self) -> None:
        self._writer.close(
            self.scan.watched_until_s,
            complete=self.scan.complete,
            drops=self.scan.counters.drops,
            dropped_s=min(self.scan.drops_s, default=None),
        )

    def offline(self) -> Analysis:
        return analyse(self.path, parse_ports("1-1000"))


def host_of(answer: Callable[[bytes], bytes | None], delay_s: float = 0.01) -> Host:
    def host(probe: bytes, time_s: float) -> list[Answer]:
        reply = answer(probe)
        return [] if reply is None else [(delay_s, reply)]

    return host


def answer_for(rule: Rule, version: int) -> Callable[[bytes], bytes] | None:
    """A reply that falls into this rule's cell; None for the rules of silence."""
    plain = {
        "syn-syn-ack": replies.syn_ack,
        "syn-split-handshake": replies.syn,
        "syn-rst": replies.rst,
        "ack-rst": replies.rst,
        "udp-response": replies.datagram,
    }
    if rule.id in plain:
        return plain[rule.id]
    if rule.type is None:
        return None
    responder = ROUTER[version] if rule.from_target is False else None
    type_, code = rule.type, rule.codes[0] if rule.codes else 1
    return lambda probe: replies.icmp_error(probe, type_, code, responder=responder)


REPLY_RULES = [
    (rule, version)
    for rule in RULES
    for version in (4, 6)
    if answer_for(rule, version) is not None
    and not (rule.reply.name == "ICMP" and version == 6)
    and not (rule.reply.name == "ICMP6" and version == 4)
]


@pytest.mark.parametrize(("rule", "version"), REPLY_RULES, ids=lambda x: getattr(x, "id", str(x)))
def test_every_rule_can_be_met_live_and_offline(rule: Rule, version: int, tmp_path: Path) -> None:
    answer = answer_for(rule, version)
    assert answer is not None
    port = Port(TARGET[version], 561, rule.probe)
    run = Recorded(tmp_path / "scan.pcapng", [port], lambda _: host_of(answer))
    verdict = run.run()[port]
    (finding,) = run.offline().findings
    assert finding.verdict.claim == verdict.claim
    if rule.state is None:
        silent = State.OPEN_FILTERED if rule.probe is UDP else State.FILTERED
        assert (verdict.state, verdict.reason) == (silent, "no-response")
        assert verdict.hints == finding.verdict.hints == (f"{rule.reason} from {port.target}",)
    else:
        assert (verdict.rule, verdict.state, verdict.reason) == (rule.id, rule.state, rule.reason)
        assert verdict.reason_ip == (
            ROUTER[version] if rule.from_target is False else TARGET[version]
        )
        assert verdict.reason_ttl == 64
        assert verdict.rtt_s == pytest.approx(0.01)
        assert finding.verdict.rtt_s == pytest.approx(0.01, abs=1e-6)


def test_strongest_reply_wins_whatever_its_order(tmp_path: Path) -> None:
    def host(probe: bytes, time_s: float) -> list[Answer]:
        forged = replies.icmp_error(probe, 3, 13, responder=ROUTER[4])
        return [(0.01, forged), (0.02, replies.rst(probe)), (0.03, replies.syn_ack(probe))]

    port = Port(TARGET[4], 561, SYN)
    run = Recorded(tmp_path / "scan.pcapng", [port], lambda _: host)
    verdict = run.run()[port]
    assert (verdict.state, verdict.reason) == (State.OPEN, "syn-ack")
    assert "rst-and-syn-ack" in verdict.hints
    assert f"admin-prohibited from {ROUTER[4]}" in verdict.hints
    assert run.offline().findings[0].verdict.claim == verdict.claim


def test_syn_proxy_is_hinted_at(tmp_path: Path) -> None:
    port = Port(TARGET[4], 561, SYN)
    proxy = host_of(lambda probe: replies.syn_ack(probe, window=0, mss=0))
    verdict = Recorded(tmp_path / "s.pcapng", [port], lambda _: proxy).run()[port]
    assert verdict.state is State.OPEN
    assert "syn-proxy" in verdict.hints


def test_a_reply_with_another_ttl_stands_out(tmp_path: Path) -> None:
    ports = [Port(TARGET[4], number, SYN) for number in (80, 561)]

    def host(probe: bytes, time_s: float) -> list[Answer]:
        near = len(run.link.sent) > 1
        return [(0.01, replies.rst(probe, ttl=63 if near else 52))]

    run = Recorded(tmp_path / "s.pcapng", ports, lambda _: host)
    found = run.run()
    assert found[ports[0]].hints == ()
    assert found[ports[1]].hints == ("ttl-differs: 63, elsewhere 52",)


def test_a_late_stronger_reply_revises_and_the_recording_agrees(tmp_path: Path) -> None:
    late, silent = Port(TARGET[4], 561, SYN), Port(TARGET[4], 562, SYN)

    def host(probe: bytes, time_s: float) -> list[Answer]:
        if probe[22:24] == (562).to_bytes(2, "big"):
            return []
        return [(0.01, replies.rst(probe)), (2.0, replies.syn_ack(probe))]

    run = Recorded(tmp_path / "s.pcapng", [late, silent], lambda _: host)
    verdicts = [v for v in run.scan.run() if v.port == late]
    assert [v.state for v in verdicts] == [State.CLOSED, State.OPEN]
    assert "revised" in verdicts[1].hints
    assert run.scan.counters.states == {"closed": 0, "open": 1, "filtered": 1}
    assert run.scan.counters.decided == 2


def test_replies_without_a_valid_token_change_nothing(tmp_path: Path) -> None:
    port = Port(TARGET[4], 561, SYN)
    wrong = make_token(TOKEN.source_ports, b"562")

    def host(probe: bytes, time_s: float) -> list[Answer]:
        number = len(run.link.sent) - 1
        real = TOKEN.sequence(OWN[4], port, number).to_bytes(4, "big")
        forged = wrong.sequence(OWN[4], port, number).to_bytes(4, "big")
        assert probe.count(real) == 1
        lie = probe.replace(real, forged)
        return [(0.01, replies.syn_ack(lie)), (0.02, replies.icmp_error(lie, 3, 13))]

    run = Recorded(tmp_path / "s.pcapng", [port], lambda _: host)
    verdict = run.run()[port]
    assert (verdict.state, verdict.reason) == (State.FILTERED, "no-response")
    assert run.scan.listener.unmatched == 2 * len(run.link.sent)
    assert run.offline().findings[0].verdict.claim == verdict.claim


def test_neighbour_that_never_resolves(tmp_path: Path) -> None:
    """The scanner's own kernel says host unreachable, from the scanner's own address."""
    ports = [Port(TARGET[version], 561, kind) for version in (4, 6) for kind in (SYN, UDP)]

    def host(probe: bytes, time_s: float) -> list[Answer]:
        v4 = probe[0] >> 4 == 4
        own = OWN[4 if v4 else 6]
        return [(3.0, replies.icmp_error(probe, *((3, 1) if v4 else (1, 3)), responder=own))]

    run = Recorded(tmp_path / "s.pcapng", ports, lambda _: host)
    found = run.run()
    for port in ports:
        assert found[port].claim == (
            State.UNKNOWN,
            "no-arp-response",
            OWN[port.target.version],
        )
        assert found[port].confidence == 0.0
    assert {f.verdict.port: f.verdict.claim for f in run.offline().findings} == {
        port: verdict.claim for port, verdict in found.items()
    }


@pytest.mark.parametrize(
    ("error", "reason"),
    [(LinkError("no"), "send-failed"), (NeighbourError("no"), "no-arp-response")],
)
def test_what_cannot_be_sent_is_unknown(error: Exception, reason: str, tmp_path: Path) -> None:
    port = Port(TARGET[4], 561, SYN)
    run = Recorded(tmp_path / "s.pcapng", [port], lambda _: None)

    def refuse(packet: bytes, target: IPAddress) -> Frame:
        raise error

    run.link.send = refuse  # type: ignore[method-assign]
    verdict = run.run()[port]
    assert (verdict.state, verdict.reason) == (State.UNKNOWN, reason)
    assert run.scan.counters.probes_sent == 0


def test_drops_make_silence_unknown_live_and_offline(tmp_path: Path) -> None:
    port = Port(TARGET[4], 561, SYN)
    run = Recorded(tmp_path / "s.pcapng", [port], lambda _: None)
    drops = count(1)
    run.link.drops = lambda: next(drops)  # type: ignore[method-assign]  # they never end
    verdict = run.run()[port]
    assert (verdict.state, verdict.reason) == (State.UNKNOWN, "kernel-drops")
    assert verdict.tries == 16  # no more of them can be told apart
    assert run.offline().findings[0].verdict.claim == verdict.claim


def test_tries_after_the_drops_make_silence_a_verdict_again(tmp_path: Path) -> None:
    port = Port(TARGET[4], 561, SYN)
    run = Recorded(tmp_path / "s.pcapng", [port], lambda _: None, settings=Settings(max_retries=0))
    run.link.drops = lambda: 3 if run.link.sent else 0  # type: ignore[method-assign]
    verdict = run.run()[port]
    assert (verdict.state, verdict.reason) == (State.FILTERED, "no-response")
    assert (verdict.tries, run.scan.counters.drops) == (2, 3)
    assert run.offline().findings[0].verdict.claim == verdict.claim


BEHAVIOURS: list[Callable[[bytes], bytes | None] | None] = [
    None,
    replies.rst,
    replies.syn_ack,
    replies.datagram,
    lambda probe: replies.icmp_error(probe, 3, 3),
    lambda probe: replies.icmp_error(probe, 3, 13, responder=ROUTER[4]),
    lambda probe: replies.icmp_error(probe, 3, 4),
]


def _tcp_only(probe: bytes) -> bool:
    return probe[9] == 6


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    behaviours=st.lists(st.integers(0, len(BEHAVIOURS) - 1), min_size=1, max_size=8),
    delay_s=st.floats(0.0005, 2.5),
    weather=st.builds(
        Weather,
        loss_out=st.floats(0, 0.4),
        loss_back=st.floats(0, 0.4),
        duplicate=st.floats(0, 0.3),
        jitter_s=st.floats(0, 0.5),
    ),
    seed=st.integers(0, 2**32),
    stop_at_s=st.one_of(st.just(1e9), st.floats(0, 8)),
)
def test_live_and_offline_agree_in_any_weather(
    tmp_path_factory: pytest.TempPathFactory,
    behaviours: list[int],
    delay_s: float,
    weather: Weather,
    seed: int,
    stop_at_s: float,
) -> None:
    """Loss, reordering, duplicates, delays, and an interrupt at any moment."""
    targets = [ip_address("10.0.1.0") + n for n in range(len(behaviours))]
    ports = [Port(target, 561, kind) for kind in KINDS for target in targets]

    def hosts(target: IPAddress) -> Host | None:
        behaviour = BEHAVIOURS[behaviours[targets.index(target)]]
        if behaviour is None:
            return None

        def answer(probe: bytes) -> bytes | None:
            wants_tcp = behaviour in (replies.rst, replies.syn_ack)
            if behaviour is replies.datagram and _tcp_only(probe):
                return None
            return None if wants_tcp and not _tcp_only(probe) else behaviour(probe)

        return host_of(answer, delay_s)

    path = tmp_path_factory.mktemp("scan") / "scan.pcapng"
    run = Recorded(path, ports, hosts, weather, seed, stop_at_s)
    live = run.run()
    offline = {f.verdict.port: f.verdict for f in run.offline().findings}
    asked = {port for port in live if live[port].tries}
    assert {p: v.claim for p, v in offline.items()} == {p: live[p].claim for p in asked}
    assert {p: v.tries for p, v in offline.items()} == {p: live[p].tries for p in asked}
    if run.scan.complete:
        assert set(live) == set(ports)


def test_a_bottleneck_makes_no_port_filtered() -> None:
    """2,048 closed ports behind a path for 500 packets a second, asked 40 times faster."""
    clock = FakeClock()
    link = SimulatedLink(
        lambda _: host_of(replies.rst, 0.005), clock, Weather(capacity_pps=500.0), seed=561
    )
    scan = Scan(
        PortSpace(TargetSet.parse(["10.1.0.0/21"]), parse_ports("561"), (SYN,), b"order"),
        Batched(link),
        TOKEN,
        kinds=(SYN,),
        sources=each_source(lambda _: OWN[4]),
        settings=Settings(rate_pps=20_000.0, host_rate_pps=float("inf")),
        clock=clock,
    )
    states = [verdict.state for verdict in scan.run()]
    assert states == [State.CLOSED] * 2048
    assert clock() - START_S < 20  # 4.1 s is the least


def test_a_late_refusal_takes_the_place_of_silence_live_and_offline(tmp_path: Path) -> None:
    """Filtered either way, but by whom? The recording holds the answer, so both must say it."""
    ports = [Port(TARGET[4], number, SYN) for number in range(561, 581)]

    def host(probe: bytes, time_s: float) -> list[Answer]:
        return [(6.5, replies.icmp_error(probe, 3, 13, responder=ROUTER[4]))]

    slowly = Settings(rate_pps=5.0, max_retries=0)
    run = Recorded(tmp_path / "s.pcapng", ports, lambda _: host, settings=slowly)
    verdicts = list(run.scan.run())
    first = [verdict for verdict in verdicts if verdict.port == verdicts[0].port]
    assert [verdict.claim for verdict in first] == [
        (State.FILTERED, "no-response", None),
        (State.FILTERED, "admin-prohibited", ROUTER[4]),
    ]
    assert first[1].revises is State.FILTERED
    assert run.scan.counters.states == {"filtered": 20}
    run.close()
    live = {verdict.port: verdict.claim for verdict in verdicts}
    assert {f.verdict.port: f.verdict.claim for f in run.offline().findings} == live


def test_a_first_probe_that_finds_no_room_is_sent_later(tmp_path: Path) -> None:
    port = Port(TARGET[4], 561, SYN)
    run = Recorded(
        tmp_path / "s.pcapng", [port], lambda _: lambda probe, _: [(0.01, replies.rst(probe))]
    )
    send, tried = run.link.send, []

    def refuse_twice(packet: bytes, target: IPAddress) -> Frame:
        tried.append(target)
        if len(tried) <= 2:
            raise BusyError("no room")
        return send(packet, target)

    run.link.send = refuse_twice  # type: ignore[method-assign]
    verdict = run.run()[port]
    assert (verdict.state, verdict.reason, verdict.tries) == (State.CLOSED, "reset", 1)
    assert len(tried) == 3
    assert run.scan.counters.not_sent == {"no room": 2}


def test_a_retry_that_cannot_be_sent_is_no_verdict(tmp_path: Path) -> None:
    port = Port(TARGET[4], 561, SYN)
    run = Recorded(tmp_path / "s.pcapng", [port], lambda _: None)
    send, tried = run.link.send, []

    def refuse_once(packet: bytes, target: IPAddress) -> Frame:
        tried.append(target)
        if len(tried) == 2:
            raise LinkError("no buffer space")
        return send(packet, target)

    run.link.send = refuse_once  # type: ignore[method-assign]
    verdict = run.run()[port]
    assert (verdict.state, verdict.reason) == (State.FILTERED, "no-response")
    assert verdict.tries == len(run.link.sent) == len(tried) - 1 == 6
    finding = run.offline().findings[0].verdict
    assert (finding.claim, finding.tries) == (verdict.claim, verdict.tries)


def test_our_own_probes_that_come_back_are_no_answers(tmp_path: Path) -> None:
    """A scan of our own machine hears itself; by chance a token fits the wrong way round."""
    numbers = range(20_000, 24_000)
    path, clock = tmp_path / "own.pcapng", FakeClock()

    def mirror(probe: bytes, time_s: float) -> list[Answer]:
        tcp = probe[9] == 6
        closed = replies.rst(probe) if tcp else replies.icmp_error(probe, 3, 3)
        return [(0.00001, probe), (0.00002, closed)]

    link = SimulatedLink(lambda _: mirror, clock)
    writer = PcapngWriter(path, linktype=101, interface="sim", now_s=clock())
    ports = parse_ports(f"{numbers[0]}-{numbers[-1]}")
    scan = Scan(
        PortSpace(TargetSet.parse([str(OWN[4])]), ports, (SYN, UDP), b"order"),
        RecordingLink(Batched(link), writer, recordable(TOKEN, (SYN, UDP))),
        TOKEN,
        kinds=(SYN, UDP),
        sources=each_source(lambda _: OWN[4]),
        settings=Settings(rate_pps=1e6),
        clock=clock,
    )
    live = {verdict.port: verdict.claim for verdict in scan.run()}
    writer.close(scan.watched_until_s, complete=True)
    assert {claim[0] for claim in live.values()} == {State.CLOSED}
    offline = {f.verdict.port: f.verdict.claim for f in analyse(path, ports).findings}
    assert offline == live


def test_a_recording_that_cannot_go_on_ends_the_scan_with_what_is_known(tmp_path: Path) -> None:
    ports = [Port(TARGET[4], number, SYN) for number in range(1, 100)]
    run = Recorded(
        tmp_path / "s.pcapng", ports, lambda _: host_of(replies.rst),
        settings=Settings(rate_pps=50.0),
    )  # fmt: skip
    link, turns = run.link.receive, []

    def full_disk(timeout_s: float) -> Sequence[Frame]:
        turns.append(timeout_s)
        if len(turns) == 40:
            raise CaptureError("no space left on device")
        return link(timeout_s)

    run.link.receive = full_disk  # type: ignore[method-assign]
    found = run.run()
    assert str(run.scan.error) == "no space left on device"
    assert not run.scan.complete
    assert 0 < len(found) < len(ports)
    assert {v.state for v in found.values()} <= {State.CLOSED, State.UNKNOWN}
