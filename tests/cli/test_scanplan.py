"""`rawscan scan --dry-run`: the record and the words, with no privilege and no packet."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from rawscan.cli.scanplan import probe_in_words
from tests.oracles import frames_of
from tests.story import RAWSCAN, apart, rawscan

pytestmark = pytest.mark.netns

FIELDS = (
    "type version command targets specs left_out outside needs_yes ports protocols probes results"
    " shard seeded interface source gateway link ways rate_pps host_rate_pps tries_if_silent"
    " least_s silent_s udp_floor_s samples notes"
)
BARE = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]


def plan(*arguments: str) -> dict[str, Any]:
    """The record of a plan that is made without any privilege, among loopback alone."""
    command = apart([*BARE, *RAWSCAN, "scan", "--dry-run", "--json", *arguments])
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    record: dict[str, Any] = json.loads(line)
    assert list(record) == FIELDS.split()
    return record


def test_one_record_says_it_all(tmp_path: Path) -> None:
    files = [part for name in ("a.json", "b.csv") for part in ("-o", str(tmp_path / name))]
    record = plan(
        "127.0.0.1", "::1", "-p", "1-60", "--rate", "max", "--max-host-rate", "50", *files
    )
    assert (record["type"], record["targets"], record["results"]) == ("plan", 2, 240)
    assert record["specs"] == ["127.0.0.1", "::1"]
    assert record["ports"] == list(range(1, 61))
    assert (record["protocols"], record["probes"]) == (["tcp", "udp"], ["syn", "udp"])
    assert (record["left_out"], record["outside"], record["needs_yes"]) == (0, 0, False)
    assert (record["interface"], record["source"], record["gateway"]) == ("lo", "127.0.0.1", None)
    assert (record["link"], record["shard"], record["seeded"]) == ("rawip", "1/1", False)
    assert (record["rate_pps"], record["host_rate_pps"]) == (None, 50)
    assert (record["least_s"], record["udp_floor_s"]) == (54, 54)  # 60 closed UDP ports
    assert [way["targets"] for way in record["ways"]] == [1, 1]
    assert any("CAP_NET_RAW" in note for note in record["notes"])
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_known_is_said() -> None:
    record = plan("192.0.2.1", "--no-udp")
    assert (record["interface"], record["source"], record["samples"]) == (None, None, [])
    assert record["ways"][0]["error"] == "there is no route"
    assert any("192.0.2.1" in note for note in record["notes"])


def test_strangers_and_nobodies_are_counted_and_nothing_is_asked() -> None:
    record = plan("8.8.8.0/23", "224.0.0.0/30", "127.255.255.255")
    assert (record["targets"], record["left_out"]) == (512, 5)
    assert (record["outside"], record["needs_yes"]) == (512, True)
    record = plan("8.8.8.0/23", "224.0.0.0/30", "--include-reserved")
    assert (record["targets"], record["left_out"], record["outside"]) == (516, 0, 516)


def test_samples_are_the_probes_that_the_scan_sends(tmp_path: Path) -> None:
    """With a seed the order and the tokens are the same, so the bytes are."""
    recording = tmp_path / "scan.pcapng"
    arguments = ["127.0.0.1-4", "::1", "-p", "561", "--ack", "--udp-payload", "text:561"]
    arguments += ["--seed", "561"]
    record = plan(*arguments)
    assert record["seeded"] is True
    done = rawscan(None, "scan", *arguments, "--write-pcap", str(recording), "--json")
    assert done.returncode == 0, done.stderr
    sent = {frame.data for frame in frames_of(recording)}
    # Three kinds, two IP versions: one sample each.
    assert len(record["samples"]) == 6
    for sample in record["samples"]:
        assert bytes.fromhex(sample["hex"]) in sent, sample["words"]


def test_words_are_what_scapy_reads_in_the_same_bytes() -> None:
    for sample in plan("127.0.0.1", "::1", "--ack", "--udp-payload", "hex:00ff0a")["samples"]:
        data, words = bytes.fromhex(sample["hex"]), sample["words"]
        packet = IP(data) if data[0] >> 4 == 4 else IPv6(data)
        layer = packet[TCP] if TCP in packet else packet[UDP]
        assert f"from {packet.src} port {layer.sport} to {packet.dst} port 561" in words
        ttl = packet.ttl if IP in packet else packet.hlim
        assert words.endswith(f"TTL {ttl}")
        if UDP in packet:
            assert words.startswith("UDP ")
            assert "3 bytes of payload" in words
        else:
            assert words.startswith({"S": "TCP SYN ", "A": "TCP ACK "}[str(layer.flags)])
            assert f"sequence number {layer.seq}, " in words
            assert (f"acknowledgement {layer.ack}" in words) is (layer.ack > 0)


def test_a_probe_is_put_into_words_from_its_bytes() -> None:
    packet = bytes(IP(src="10.0.0.1", dst="10.0.0.2", ttl=9) / UDP(sport=7, dport=8) / b"12345")
    words = "UDP from 10.0.0.1 port 7 to 10.0.0.2 port 8, 5 bytes of payload, TTL 9"
    assert probe_in_words(packet) == words


def test_words_for_a_reader() -> None:
    done = rawscan(None, "scan", "8.8.8.0/23", "224.0.0.9", "127.0.0.1", "--dry-run", "-p", "1-60")
    assert (done.returncode, done.stderr) == (0, "")
    text = " ".join(done.stdout.split())
    for said in (
        "dry run, no probe is sent",
        "targets 513: 8.8.8.0/23 127.0.0.1",
        "1 reserved, multicast or broadcast addresses are left out; --include-reserved adds them",
        "512 of the targets are outside private and local networks",
        "a scan asks for --yes",
        "ports 1-60; SYN and UDP probes; 61560 results",
        "512 targets have none: there is no route",
        "1 targets: lo (loopback) from 127.0.0.1, on link",
        "at most 1000 packets/s",
        # 61,560 / 1000 s, and six times that and 3.5 s.
        "61.6 s at least",
        "about 6.2 minutes if none answers: 6 tries a port",
        "closed UDP ports take 54 s a host or longer",
    ):
        assert said in text
    assert "Traceback" not in text


def test_a_shard_is_planned_as_its_part() -> None:
    record = plan("127.0.0.0/24", "--no-udp", "--seed", "1", "--shard", "2/3")
    assert (record["shard"], record["results"]) == ("2/3", 85)  # 256 are 86, 85 and 85
