"""The offline analysis against tshark's counts, hosts of known behaviour, and forged tapes."""

from __future__ import annotations

import json
from dataclasses import fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from rawscan.analysis import analyse
from rawscan.capture import pcapng, source
from rawscan.capture.reader import open_capture
from rawscan.findings import Analysis
from rawscan.model import IPAddress, ProbeKind, State, Verdict
from rawscan.ports import parse_ports
from rawscan.testing import START_S
from rawscan.wire import replies
from rawscan.wire.decode import decode_frame
from tests.capture import forge
from tests.tape import ACK, SCANNER, SYN, TARGET, UDP, Tape

SHARED = Path(__file__).resolve().parents[2] / "shared" / "captures"
ROWS: list[dict[str, Any]] = (
    [json.loads(line) for line in (SHARED / "truth.jsonl").read_text().splitlines()]
    if SHARED.is_dir()
    else []
)
needs_captures = pytest.mark.skipif(not ROWS, reason=f"no captures at {SHARED}")
P561 = parse_ports("561")

# Files whose counts are not tshark's today, and why. A file that begins to agree must leave.
DIFFERING = {
    "scans/snap48_eth.pcap": "14 bytes of TCP were captured: the flags are there, tshark gives up",
}


def counts_of(found: Analysis) -> dict[str, Any]:
    counts = {each.name: getattr(found.counts, each.name) for each in fields(found.counts)}
    return counts | {name: dict(counts[name]) for name in ("icmp", "icmp6")}


def verdicts(found: Analysis) -> dict[tuple[str, str], Verdict]:
    """By target and kind of probe."""
    by_port = {
        (str(f.verdict.port.target), f.verdict.port.kind.value): f.verdict for f in found.findings
    }
    assert len(by_port) == len(found.findings)
    return by_port


def said(verdict: Verdict) -> str:
    return f"{verdict.state.value} {verdict.reason} {verdict.reason_ip or '-'}"


def only(found: Analysis) -> Verdict:
    (finding,) = found.findings
    return finding.verdict


@needs_captures
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['path']}:{row['port']}")
def test_counts_are_tsharks(row: dict[str, Any]) -> None:
    found = analyse(SHARED / row["path"], parse_ports(str(row["port"])))
    assert found.packets == row["packets"]
    assert found.truncated == (found.error is not None) == ("trunc_" in row["path"])
    agrees = counts_of(found) == row["counts"]
    assert agrees == (row["path"] not in DIFFERING), DIFFERING.get(row["path"], counts_of(found))


@needs_captures
def test_the_list_of_differences_names_files_of_the_truth() -> None:
    assert set(DIFFERING) <= {row["path"] for row in ROWS}


@needs_captures
def test_flags_in_a_snaplen_of_48_are_those_of_the_whole_capture() -> None:
    """What the one difference from tshark rests on: the same scan, captured whole."""
    short, whole = (analyse(SHARED / f"scans/{n}.pcap", P561) for n in ("snap48_eth", "any_sll"))
    tcp = ("tcp_to", "tcp_from", "syn", "syn_ack", "rst")
    assert [counts_of(short)[n] for n in tcp] == [counts_of(whole)[n] for n in tcp]


# How each host of the two namespaces behaves (README there), as a scan must see it.
TCP_HOSTS = {
    "10.56.1.2": "closed reset 10.56.1.2",
    "10.56.1.3": "open syn-ack 10.56.1.3",
    "10.56.1.4": "unknown cut-short -",
    "10.56.1.5": "filtered port-unreach 10.56.1.5",
    "10.56.1.6": "filtered admin-prohibited 10.56.1.6",
}
UDP_HOSTS = {
    "10.56.1.2": "closed port-unreach 10.56.1.2",
    "10.56.1.3": "open udp-response 10.56.1.3",
    "10.56.1.4": "unknown cut-short -",
    "10.56.1.5": "closed port-unreach 10.56.1.5",
    "10.56.1.6": "filtered admin-prohibited 10.56.1.6",
}
V6_HOSTS = {"fd56:1::2": "closed reset fd56:1::2", "fd56:1::3": "open syn-ack fd56:1::3"}
ACK_HOSTS = TCP_HOSTS | {
    "10.56.1.2": "unfiltered reset 10.56.1.2",
    "10.56.1.3": "unfiltered reset 10.56.1.3",
}
SCANS = {
    "any_sll": {"syn": TCP_HOSTS, "udp": UDP_HOSTS},
    "masscan_tcp": {"syn": TCP_HOSTS},
    "masscan_udp": {"udp": UDP_HOSTS},
    "nmap_sS": {"syn": TCP_HOSTS},
    "nmap_sU": {"udp": UDP_HOSTS},
    "nmap_6_sS": {"syn": V6_HOSTS},
    # A lone ACK that nobody answers is no probe: the silent host is not in it.
    "nmap_sA": {"ack": {k: v for k, v in ACK_HOSTS.items() if k != "10.56.1.4"}},
    "nmap_sV": {"syn": {k: TCP_HOSTS[k] for k in ("10.56.1.2", "10.56.1.3")}},
    "hping_S": {"syn": {"10.56.1.3": TCP_HOSTS["10.56.1.3"]}},
    "session_tcp": {"syn": {k: (TCP_HOSTS | V6_HOSTS)[k] for k in ("10.56.1.3", "fd56:1::3")}},
    # A session to 561, begun by a SYN in the capture.
    "session_rst": {"syn": {"10.56.1.3": TCP_HOSTS["10.56.1.3"]}},
    # FIN probes are not read yet; SYN+ACKs and RSTs to somebody who never asked are backscatter.
    "nmap_sF": {},
    "telescope_synack": {},
}


@needs_captures
@pytest.mark.parametrize("name", SCANS)
def test_hosts_are_what_they_are_known_to_be(name: str) -> None:
    found = verdicts(analyse(SHARED / f"scans/{name}.pcap", P561))
    expected = {
        (target, kind): claim
        for kind, hosts in SCANS[name].items()
        for target, claim in hosts.items()
    }
    assert {key: said(found[key]) for key in expected} == expected
    # Whoever else was asked did not answer, and the capture is too short to say more.
    rest = {said(verdict) for key, verdict in found.items() if key not in expected}
    assert rest <= {"unknown cut-short -"}
    assert bool(rest) == name.startswith("masscan")


@needs_captures
def test_silence_counts_where_it_was_waited_for() -> None:
    path = SHARED / "scans/any_sll.pcap"
    found = verdicts(analyse(path, P561, silence_wait_s=0.05))
    assert said(found["10.56.1.4", "syn"]) == "filtered no-response -"
    # The last probe of all: nothing comes after it.
    assert said(found["10.56.1.4", "udp"]) == "unknown cut-short -"
    at_once = verdicts(analyse(path, P561, silence_wait_s=0))
    assert said(at_once["10.56.1.4", "udp"]) == "open|filtered no-response -"
    assert 0 < found["10.56.1.4", "syn"].confidence < 1
    assert said(found["10.56.1.2", "syn"]) == TCP_HOSTS["10.56.1.2"]


@needs_captures
def test_a_capture_of_the_probes_alone_says_only_who_was_hung_up_on(tmp_path: Path) -> None:
    path = tmp_path / "one-way.pcap"
    with open_capture(SHARED / "scans/nmap_sS.pcap") as reader:
        frames = [f for f in reader if str(decode_frame(f).source) == "10.56.1.1"]
    late = frames[-1].time_s + 60
    records = [forge.record("<", int(f.time_s), 0, f.data) for f in frames]
    # Goes on for a minute, with somebody else's packets: long enough, yet one-way.
    records.append(forge.record("<", int(late), 0, frames[0].data[:14] + Tape().probe(0, UDP)))
    path.write_bytes(forge.pcap_header(network=1) + b"".join(records))
    found = verdicts(analyse(path, P561))
    del found[str(TARGET), "udp"]
    # To the one open host, nmap's own kernel sent a RST after a SYN+ACK that is not in here.
    hung_up = found.pop(("10.56.1.3", "syn"))
    assert said(hung_up) == "open syn-ack-unseen -"
    assert hung_up.rule == "syn-hung-up"
    assert hung_up.hints == ("inferred",)
    assert 0 < hung_up.confidence < 1
    assert {said(v) for v in found.values()} == {"unknown one-way -"}
    assert set(found) == {(host, "syn") for host in TCP_HOSTS if host != "10.56.1.3"}


def test_561_as_a_clients_own_port_is_no_verdict_on_it(tmp_path: Path) -> None:
    tape = Tape()
    ask = bytearray(tape.probe(0))
    tape.frames.clear()
    ask[20:24] = ask[22:24] + ask[20:22]  # from 561 to some high port
    client = bytes(ask)
    answer = bytearray(replies.syn_ack(client))
    tape.frames += [(0.0, client, "out"), (0.1, bytes(answer), "in")]
    answer[33] = 0x10  # a plain ACK goes on to 561, as in any session
    tape.reply(0.2, bytes(answer))
    tape.reply(0.3, replies.icmp_error(client, 3, 3))
    tape.frames.append((0.4, replies.rst(bytes(answer)), "out"))
    found = analyse(tape.foreign(tmp_path / "client.pcap"), P561)
    assert found.findings == ()
    assert counts_of(found)["icmp"] == {}
    assert (found.counts.tcp_from, found.counts.tcp_to, found.counts.syn_ack) == (2, 2, 0)


def test_an_answer_to_a_datagram_from_561_is_no_probe_of_it(tmp_path: Path) -> None:
    tape = Tape()
    ask = bytearray(Tape().probe(0, UDP))
    ask[20:24] = ask[22:24] + ask[20:22]
    tape.frames.append((0.0, bytes(ask), "out"))
    tape.reply(0.1, replies.datagram(bytes(ask)))
    found = analyse(tape.foreign(tmp_path / "client.pcap"), P561)
    assert (found.counts.udp_from, found.counts.udp_to) == (1, 1)
    assert found.findings == ()


def test_probes_alone_are_one_way_however_long_the_capture(tmp_path: Path) -> None:
    tape = silent()
    tape.probe(90)
    assert said(only(analyse(tape.foreign(tmp_path / "x.pcap"), P561))) == "unknown one-way -"


def test_a_reply_to_nothing_seen_is_no_verdict(tmp_path: Path) -> None:
    tape = Tape()
    for number, reply in enumerate((replies.rst, replies.syn_ack, replies.syn)):
        tape.reply(number, reply(Tape().probe(0, number=number)))
    tape.reply(3, replies.icmp_error(Tape().probe(0), 3, 13))
    tape.reply(4, replies.datagram(Tape().probe(0, UDP)))
    assert analyse(tape.foreign(tmp_path / "late.pcap"), P561).findings == ()


def test_a_reply_before_its_probe_is_no_answer(tmp_path: Path) -> None:
    tape = Tape()
    packet = tape.probe(1)
    tape.frames.insert(0, (0.5, replies.syn_ack(packet), "in"))
    assert said(only(analyse(tape.foreign(tmp_path / "x.pcap"), P561))) == "unknown one-way -"


@pytest.mark.parametrize("delay_s", [0.001, 17.0, 300.0])
def test_a_late_syn_ack_still_opens(delay_s: float, tmp_path: Path) -> None:
    tape = Tape()
    tape.reply(delay_s, replies.syn_ack(tape.probe(0)))
    verdict = only(analyse(tape.foreign(tmp_path / "late.pcap"), P561))
    assert said(verdict) == f"open syn-ack {TARGET}"
    assert verdict.rtt_s == pytest.approx(delay_s, abs=1e-5)


@pytest.mark.parametrize(("goes_on_s", "claim"), [(19.0, "unknown cut-short -"),
                                                  (21.0, "filtered no-response -")])  # fmt: skip
def test_foreign_silence_needs_twenty_seconds(goes_on_s: float, claim: str, tmp_path: Path) -> None:
    other = ip_address("10.0.0.9")
    tape = Tape()
    tape.probe(0)
    tape.reply(goes_on_s, replies.rst(tape.probe(goes_on_s - 0.1, target=other)))
    found = verdicts(analyse(tape.foreign(tmp_path / "x.pcap"), P561))
    assert said(found[str(TARGET), "syn"]) == claim


def silent(kind: ProbeKind = SYN) -> Tape:
    tape = Tape()
    for number in range(3):
        tape.probe(number, kind, number=number)
    return tape


def dropped(*noticed: tuple[float, int]) -> dict[str, Any]:
    """A recording of 3 drops, noticed first at 1 s, and what its blocks say of them."""
    return {"until_s": 4.0, "drops": 3, "dropped_s": 1.0, "noticed": noticed}


@pytest.mark.parametrize(
    ("note", "claim"),
    [
        ({"until_s": 4.0}, "filtered no-response -"),
        ({"until_s": 4.0, "complete": False}, "filtered no-response -"),
        ({"until_s": 3.4}, "unknown cut-short -"),
        ({"until_s": None}, "unknown cut-short -"),
        ({"until_s": 4.0, "drops": 3, "dropped_s": 1.0}, "unknown kernel-drops -"),
        ({"until_s": 9.0, "drops": 3, "dropped_s": 8.0}, "filtered no-response -"),
        # The last try is made at 2 s, and 3.5 s is enough. As the scan noticed them:
        (dropped((1.0, 3)), "filtered no-response -"),
        (dropped((1.0, 1), (1.9, 2), (3.6, 3)), "filtered no-response -"),
        (dropped((1.0, 1), (2.0, 3)), "unknown kernel-drops -"),
        (dropped((1.0, 1), (3.5, 3)), "unknown kernel-drops -"),
        # What the note knows and the blocks do not: some are missing.
        (dropped((1.0, 2)), "unknown kernel-drops -"),
        (dropped((1.1, 3)), "unknown kernel-drops -"),
        ({"until_s": None, "noticed": [(1.0, 3)]}, "unknown cut-short -"),
    ],
)
def test_own_recordings_are_believed(note: dict[str, Any], claim: str, tmp_path: Path) -> None:
    """Not a packet came back, and the note alone tells honest silence from the other kinds."""
    found = analyse(silent().own(tmp_path / "own.pcapng", **note), P561)
    assert found.own
    assert said(only(found)) == claim


def test_own_lone_acks_are_probes_and_foreign_ones_are_not(tmp_path: Path) -> None:
    own = analyse(silent(ACK).own(tmp_path / "own.pcapng", 5.0), P561)
    assert said(only(own)) == "filtered no-response -"
    assert analyse(silent(ACK).foreign(tmp_path / "f.pcap"), P561).findings == ()


@pytest.mark.parametrize(("last_s", "state"), [(2.5, State.UNKNOWN), (9.0, State.FILTERED)])
def test_a_cut_recording_is_judged_by_its_last_whole_frame(
    last_s: float, state: State, tmp_path: Path
) -> None:
    tape = silent()
    other = ip_address("10.0.0.9")
    tape.reply(last_s, replies.rst(Tape().probe(0, target=other)))
    tape.probe(last_s + 30, target=other)
    path = tape.own(tmp_path / "own.pcapng", last_s + 60)
    path.write_bytes(path.read_bytes()[:-20])
    found = analyse(path, P561)
    assert found.truncated
    assert found.error is not None
    assert str(path) in found.error
    assert (found.packets, found.last_s) == (4, START_S + last_s)
    assert only(found).state is state


def test_times_that_are_not_there_are_not_made_up(tmp_path: Path) -> None:
    tape = silent()
    other = ip_address("10.0.0.9")
    tape.reply(60, replies.rst(tape.probe(59, target=other)))
    found = analyse(tape.timeless(tmp_path / "spb.pcapng"), P561, silence_wait_s=0)
    assert (found.first_s, found.last_s) == (None, None)
    answered, mute = verdicts(found)[str(other), "syn"], verdicts(found)[str(TARGET), "syn"]
    assert said(answered) == f"closed reset {other}"
    assert answered.rtt_s is None
    assert said(mute) == "unknown cut-short -"


def test_a_probe_without_time_is_not_silent_for_long(tmp_path: Path) -> None:
    """A capture that mixes blocks with and without times: 1970 is not a very patient wait."""
    tape = silent()
    path = tape.timeless(tmp_path / "mixed.pcapng")
    probe = Tape().probe(0, target=ip_address("10.0.0.9"))
    timed = (forge.enhanced("<", int((START_S + 60) * 1e6), p) for p in (probe, replies.rst(probe)))
    path.write_bytes(path.read_bytes() + b"".join(timed))
    found = analyse(path, P561)
    assert found.last_s == START_S + 60
    assert said(verdicts(found)[str(TARGET), "syn"]) == "unknown cut-short -"


def test_reading_stops_when_told_and_then_promises_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = Tape()
    for number in range(20):
        tape.probe(number)
    path = tape.own(tmp_path / "own.pcapng", 60.0)
    for module in (source, pcapng):  # a buffer that holds a few packets only
        monkeypatch.setattr(module, "CHUNK_BYTES", 140)
    polls = iter([False, True])
    found = analyse(path, P561, stop=lambda: next(polls))
    assert 1 < only(found).tries == found.packets < 20
    assert said(only(found)) == "unknown cut-short -"


def test_two_askers_are_two_findings(tmp_path: Path) -> None:
    tape = Tape()
    packet = tape.probe(0)
    tape.reply(0.1, replies.rst(packet))
    stranger: IPAddress = ip_address("10.0.0.2")
    second = packet.replace(SCANNER.packed, stranger.packed)
    tape.frames += [(0.2, second, "out"), (0.3, replies.syn_ack(second), "in")]
    found = analyse(tape.foreign(tmp_path / "two.pcap"), P561)
    assert [(f.source, f.verdict.state) for f in found.findings] == [
        (SCANNER, State.CLOSED),
        (stranger, State.OPEN),
    ]
    assert [(f.probe_frames, f.verdict.evidence[0].frame_number) for f in found.findings] == [
        ((1,), 2),
        ((3,), 4),
    ]


@needs_captures
def test_an_illegible_icmp_error_may_be_the_answer() -> None:
    """Snaplen 48 cuts the quoted ports off: .5 and .6 rejected the probes, and nobody can know."""
    found = verdicts(analyse(SHARED / "scans/snap48_eth.pcap", P561, silence_wait_s=0.0))
    for host in ("10.56.1.5", "10.56.1.6"):
        assert said(found[host, "syn"]) == "unknown snaplen -"
    assert found["10.56.1.2", "syn"].state is State.CLOSED
