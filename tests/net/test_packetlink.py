"""The packet and xdp links over real interfaces: next hops, neighbours, and whole scans."""

from __future__ import annotations

import pytest

from rawscan.lab.build import Lab
from rawscan.net.packetlink import ring_slots
from tests.story import Story, claim, ports_of, rawscan, read_records

pytestmark = pytest.mark.netns

ALIVE = ("open", "closed", "drop", "admin-prohibited", "router-port-unreach", "reset", "expired")


@pytest.mark.parametrize("link", ["packet", "xdp"])
def test_verdicts_are_those_of_the_rawip_link(link: str, lab: Lab, story: Story) -> None:
    targets = [str(lab.plan.host(name).address(family)) for name in ALIVE for family in (4, 6)]
    done = rawscan(lab, "scan", *targets, "--json", "--link", link)
    assert done.returncode == 0, done.stderr
    records = read_records(done.stdout)
    # An interface without AF_XDP is said to be so, and the packet link does the work.
    assert records[0]["link"] == link or "using the packet link" in done.stderr
    found = ports_of(records)
    assert len(found) == 2 * len(targets)
    for key, record in found.items():
        assert claim(record) == claim(story.live[key])
        if record["rtt_ms"] is not None:
            assert 0 <= record["rtt_ms"] < 1000


@pytest.mark.parametrize("family", [4, 6])
def test_neighbours_on_our_own_link_are_asked_and_dead_ones_are_no_silence(
    lab: Lab, family: int
) -> None:
    router = str(lab.plan.router(4 if family == 4 else 6))
    dead = str(lab.plan.host("dead-onlink").address(4 if family == 4 else 6))
    done = rawscan(lab, "scan", router, dead, "--json", "--link", "packet", "--no-udp")
    assert done.returncode == 0, done.stderr
    found = ports_of(read_records(done.stdout))
    assert claim(found[router, "tcp"]) == ("closed", "reset", router)
    assert claim(found[dead, "tcp"]) == ("unknown", "no-arp-response", None)
    assert "nobody answers ARP or neighbour discovery" in done.stderr


def test_what_is_no_ethernet_is_refused_with_the_remedy(lab: Lab) -> None:
    done = rawscan(lab, "scan", "127.0.0.1", "--link", "packet")
    assert done.returncode == 1
    assert "lo is no Ethernet; use --link rawip" in done.stderr


def test_recording_of_a_packet_scan_reads_back(lab: Lab, story: Story, tmp_path: object) -> None:
    recording = f"{tmp_path}/packet.pcapng"
    targets = [str(lab.plan.host(name).v4) for name in ALIVE]
    done = rawscan(lab, "scan", *targets, "--json", "--link", "packet", "--write-pcap", recording)
    live = ports_of(read_records(done.stdout))
    offline = ports_of(read_records(rawscan(None, "pcap", recording, "--json").stdout))
    assert {k: claim(r) for k, r in offline.items()} == {k: claim(r) for k, r in live.items()}


SWEEP = "10.56.1.0/24"


@pytest.mark.parametrize("link", ["auto", "packet"])
def test_shards_together_are_the_whole(lab: Lab, link: str) -> None:
    found: list[tuple[str, str]] = []
    for index in (1, 2, 3):
        done = rawscan(
            lab, "scan", SWEEP, "--json", "--link", link, "--no-udp", "--seed", "561",
            "--shard", f"{index}/3", "--rate", "max", "--max-retries", "0",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        records = read_records(done.stdout)
        assert records[0]["shard"] == f"{index}/3"
        found += ports_of(records)
    assert len(found) == len(set(found)) == 256


def test_many_neighbours_are_asked_by_the_packet_link_and_none_passes_for_filtered(
    lab: Lab,
) -> None:
    """Of many dead neighbours at once the kernel reports only some."""
    done = rawscan(lab, "scan", "10.56.0.16/28", "--json")
    assert done.returncode in (0, 1), done.stderr
    records = read_records(done.stdout)
    assert records[0]["link"] == "packet"
    found = ports_of(records)
    assert len(found) == 32
    assert {claim(record) for record in found.values()} == {("unknown", "no-arp-response", None)}


@pytest.mark.parametrize(
    ("replies", "slots"),
    [(1, 1 << 14), (1 << 14, 1 << 14), (65_536, 65_536), (65_537, 1 << 17), (2**100, 1 << 18)],
)
def test_the_ring_is_as_large_as_the_scan_within_bounds(replies: int, slots: int) -> None:
    assert ring_slots(replies) == slots
