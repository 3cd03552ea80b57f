"""`rawscan scan` over real kernels: what it sends, where its records go, and how it says no."""

from __future__ import annotations

import csv
import json
from collections import Counter
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from rawscan.lab.build import Lab
from rawscan.model import Flags, Packet, Tcp, Udp
from rawscan.wire.decode import decode_frame
from tests.oracles import frames_of
from tests.story import claim, ports_of, rawscan, read_records

pytestmark = pytest.mark.netns

Records = list[dict[str, Any]]

# The records on the outside, as the design lists their fields, and after these our own.
FIELDS = {
    "scan": "type version started command targets ports protocols interface source link shard"
    " gateway rate_pps host_rate_pps order count digest",
    "port": "type target port protocol probe state reason reason_ip reason_ttl rtt_ms tries"
    " confidence rule hints time revises",
    "summary": "type finished elapsed_s targets results states probes_sent replies unmatched"
    " misquoted drops loss unsure complete",
}


def addresses(lab: Lab, *names: str, families: tuple[Any, ...] = (4, 6)) -> list[str]:
    return [str(lab.plan.host(name).address(family)) for name in names for family in families]


def scan(lab: Lab | None, *arguments: str, code: int = 0, **options: Any) -> Records:
    """Scan with --json and give the records; nothing may be said on standard error."""
    done = rawscan(lab, "scan", "--json", *arguments, **options)
    assert (done.returncode, done.stderr) == (code, "")
    return read_records(done.stdout)


def states(records: Records) -> dict[tuple[str, int, str], str]:
    """By target, port and probe."""
    ports = [r for r in records if r["type"] == "port"]
    found = {(r["target"], r["port"], r["probe"]): r["state"] for r in ports}
    assert len(found) == len(ports)
    return found


def sent(recording: Path) -> list[Packet]:
    """The probes in a recording, in order: what goes to a port below 1024."""
    packets = map(decode_frame, frames_of(recording))
    return [p for p in packets if isinstance(p.body, Tcp | Udp) and p.body.dport < 1024]


def test_json_has_every_field_and_nothing_else_is_printed(lab: Lab) -> None:
    records = scan(lab, *addresses(lab, "closed", "open"))
    kinds = [record["type"] for record in records]
    assert kinds == ["scan", *["port"] * 8, "summary"]
    for record in records:
        assert list(record) == FIELDS[record["type"]].split()
    head, tail = records[0], records[-1]
    assert (head["targets"], head["ports"], head["protocols"]) == (4, [561], ["tcp", "udp"])
    assert head["command"][:3] == ["rawscan", "scan", "--json"]
    assert (head["link"], head["source"]) == ("rawip", str(lab.plan.scanner(4)))
    assert (head["rate_pps"], head["host_rate_pps"]) == (1000, 1000)
    assert tail["states"] == {"closed": 4, "open": 4}
    assert (tail["targets"], tail["results"], tail["complete"], tail["drops"]) == (4, 8, True, 0)
    assert tail["probes_sent"] >= tail["replies"] >= 8
    times = [datetime.fromisoformat(r) for r in (head["started"], tail["finished"])]
    assert (times[1] - times[0]) / timedelta(seconds=1) == pytest.approx(
        tail["elapsed_s"], abs=1e-3
    )
    assert all(times[0] <= datetime.fromisoformat(r["time"]) <= times[1] for r in records[1:-1])


def test_what_is_not_known_is_null_and_says_why() -> None:
    done = rawscan(None, "scan", "192.0.2.1", "--json")
    assert done.returncode == 1
    assert "192.0.2.1" in done.stderr
    assert "Network is unreachable (2 probes not sent)" in done.stderr
    head, *ports, tail = read_records(done.stdout)
    assert (head["interface"], head["source"]) == (None, None)
    for record in ports:
        assert list(record) == FIELDS["port"].split()
        assert claim(record) == ("unknown", "send-failed", None)
        assert (record["reason_ttl"], record["rtt_ms"], record["confidence"]) == (None, None, 0.0)
    assert (tail["probes_sent"], tail["loss"], tail["complete"]) == (0, None, True)


def test_a_way_to_some_is_enough() -> None:
    done = rawscan(None, "scan", "127.0.0.1", "192.0.2.1", "--json")
    assert done.returncode == 0
    assert "192.0.2.1" in done.stderr
    found = ports_of(read_records(done.stdout))
    assert found["127.0.0.1", "tcp"]["state"] == "closed"
    assert found["192.0.2.1", "tcp"]["reason"] == "send-failed"


def test_all_outputs_hold_the_same(lab: Lab, tmp_path: Path) -> None:
    paths = {ending: tmp_path / f"out.{ending}" for ending in ("jsonl", "json", "csv", "txt")}
    outputs = [part for path in paths.values() for part in ("-o", str(path))]
    records = scan(lab, *addresses(lab, "closed", "dead-routed", "open"), *outputs)
    assert read_records(paths["jsonl"].read_text()) == records
    assert json.loads(paths["json"].read_text()) == records
    ports = [record for record in records if record["type"] == "port"]
    assert len(ports) == 12
    with paths["csv"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, record in zip(rows, ports, strict=True):
        assert list(row) == FIELDS["port"].split()[1:]
        for name, value in record.items():
            if name not in ("type", "hints"):
                assert row[name] == ("" if value is None else str(value))
    table = paths["txt"].read_text().splitlines()
    assert table[0].split()[:4] == ["TARGET", "PORT", "STATE", "REASON"]
    cells = {tuple(line.split()[:4]) for line in table[1:13]}
    assert cells == {
        (r["target"], f"{r['port']}/{r['protocol']}", r["state"], r["reason"]) for r in ports
    }


def test_a_table_goes_to_a_pipe_without_trimmings(lab: Lab) -> None:
    done = rawscan(lab, "scan", *addresses(lab, "closed"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert len(done.stdout.splitlines()) == 5


def test_lists_and_excludes(tmp_path: Path) -> None:
    listed, left_out = tmp_path / "targets", tmp_path / "not"
    listed.write_text("# ours\n127.0.0.1-6  # six\n\n::1 127.0.0.9\n")
    left_out.write_text("127.0.0.4 # not this\n")
    arguments = ["-iL", "-", "-iL", str(listed), "--exclude-file", str(left_out)]
    arguments += ["--exclude", "127.0.0.2,3", "--no-udp", "127.0.0.8"]
    records = scan(None, *arguments, input="127.0.0.7\n# 127.0.0.10\n")
    last = (1, 5, 6, 7, 8, 9)
    assert states(records) == {
        **{(f"127.0.0.{n}", 561, "syn"): "closed" for n in last},
        ("::1", 561, "syn"): "closed",
    }
    assert records[0]["targets"] == 7


def test_the_parts_of_one_seed_are_the_whole() -> None:
    asked = Counter(
        record["target"]
        for part in ("1/3", "2/3", "3/3")
        for record in scan(None, "127.0.0.0/27", "--no-udp", "--seed", "561", "--shard", part)
        if record["type"] == "port"
    )
    assert asked == Counter(f"127.0.0.{n}" for n in range(32))


FORMS = {
    "nothing": (None, b""),
    "text": ("text:h\u00e9llo: 561", "h\u00e9llo: 561".encode()),
    "hex": ("hex:00ff 0A", b"\x00\xff\x0a"),
    "file": ("file:{tmp}/probe.bin", bytes(range(256))),
}


@pytest.mark.parametrize("form", FORMS)
def test_udp_payload_arrives(form: str, lab: Lab, tmp_path: Path) -> None:
    said, payload = FORMS[form]
    (tmp_path / "probe.bin").write_bytes(bytes(range(256)))
    recording = tmp_path / "payload.pcapng"
    option = [] if said is None else ["--udp-payload", said.format(tmp=tmp_path)]
    records = scan(
        lab, *addresses(lab, "open"), "--no-syn", *option, "--write-pcap", str(recording)
    )
    # It answers every datagram, whatever is in it, so an answer proves that the whole arrived.
    assert set(states(records).values()) == {"open"}
    probes = [f.data for f in frames_of(recording) if isinstance(decode_frame(f).body, Udp)]
    probes = [data for data in probes if decode_to_monitor(data)]
    assert [data[28 if data[0] >> 4 == 4 else 48 :] for data in probes] == [payload] * 2


def decode_to_monitor(data: bytes) -> bool:
    start = 20 if data[0] >> 4 == 4 else 40
    return data[start + 2 : start + 4] == (561).to_bytes(2, "big")


def test_source_address_is_the_one_asked_for(tmp_path: Path) -> None:
    recording = tmp_path / "source.pcapng"
    arguments = ["127.0.0.1", "--source-ip", "127.0.0.9", "--write-pcap", str(recording)]
    records = scan(None, *arguments)
    assert records[0]["source"] == "127.0.0.9"
    assert set(states(records).values()) == {"closed"}
    # Loopback: what leaves comes back to the same machine, and is recorded as sent only.
    assert {p.source for p in sent(recording)} == {ip_address("127.0.0.9")}


def test_source_address_of_one_version_leaves_the_other_alone() -> None:
    done = rawscan(None, "scan", "127.0.0.1", "::1", "--source-ip", "127.0.0.9", "--json")
    assert done.returncode == 0
    assert "--source-ip 127.0.0.9 is used for IPv4 only" in done.stderr
    assert set(states(read_records(done.stdout)).values()) == {"closed"}


def test_interface_is_the_one_asked_for(lab: Lab) -> None:
    target = addresses(lab, "closed")
    name = scan(lab, *target)[0]["interface"]
    records = scan(lab, *target, "--interface", name)
    assert records[0]["interface"] == name
    assert set(states(records).values()) == {"closed"}
    # (An IPv4 kernel takes every address for a neighbour on an interface without routes.)
    astray = rawscan(lab, "scan", target[1], "--interface", "lo", "--json")
    assert astray.returncode == 1
    assert {r["reason"] for r in ports_of(read_records(astray.stdout)).values()} == {"send-failed"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--no-udp"], {"syn": Flags.SYN}),
        (["--no-syn"], {"udp": None}),
        (["--ack", "--no-syn", "--no-udp"], {"ack": Flags.ACK}),
        (["--ack"], {"syn": Flags.SYN, "udp": None, "ack": Flags.ACK}),
    ],
    ids=" ".join,
)
def test_kinds_of_probe(
    options: list[str], expected: dict[str, Flags | None], lab: Lab, tmp_path: Path
) -> None:
    recording = tmp_path / "kinds.pcapng"
    records = scan(lab, *addresses(lab, "closed"), *options, "--write-pcap", str(recording))
    found = states(records)
    assert {probe for _, _, probe in found} == set(expected)
    said = {"syn": "closed", "udp": "closed", "ack": "unfiltered"}
    assert all(state == said[probe] for (_, _, probe), state in found.items())
    seen = {p.body.flags if isinstance(p.body, Tcp) else None for p in sent(recording)}
    assert seen == set(expected.values())
    protocols = {"udp" if probe == "udp" else "tcp" for probe in expected}
    assert records[0]["protocols"] == sorted(protocols)


def test_each_protocol_has_its_ports(lab: Lab, tmp_path: Path) -> None:
    recording = tmp_path / "ports.pcapng"
    (target,) = addresses(lab, "closed", families=(4,))
    records = scan(lab, target, "-p", "561,T:80,U:53", "--write-pcap", str(recording))
    assert records[0]["ports"] == [53, 80, 561]
    assert set(states(records)) == {
        (target, port, probe)
        for port, probe in ((80, "syn"), (561, "syn"), (53, "udp"), (561, "udp"))
    }
    asked = {(type(p.body), p.body.dport) for p in sent(recording) if isinstance(p.body, Tcp | Udp)}
    assert asked == {(Tcp, 80), (Tcp, 561), (Udp, 53), (Udp, 561)}


def test_rate_is_kept(lab: Lab) -> None:
    records = scan(lab, "127.0.0.1", "-p", "1-30", "--no-udp", "--rate", "30", "--max-retries", "0")
    assert records[-1]["probes_sent"] == 30
    assert 0.8 < records[-1]["elapsed_s"] < 3


def test_retries_are_as_many_as_wanted(lab: Lab, tmp_path: Path) -> None:
    recording = tmp_path / "tries.pcapng"
    (target,) = addresses(lab, "drop", families=(4,))
    arguments = [target, "--no-udp", "--max-retries", "2", "--write-pcap", str(recording)]
    records = scan(lab, *arguments)
    (port,) = (r for r in records if r["type"] == "port")
    assert claim(port) == ("filtered", "no-response", None)
    assert port["tries"] == len(sent(recording)) == 3
    assert 0.9 < port["confidence"] < 0.9999
