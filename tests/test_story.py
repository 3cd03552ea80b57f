"""The main job, over real kernels: every host's expected verdict, live and offline, row for row.

And the same lab through nmap's eyes: the differences are those that the design departs by.
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from rawscan.lab.build import Lab
from rawscan.lab.plan import BASIC, Expected, Host
from rawscan.model import IPAddress
from tests.oracles import compare_with_tshark
from tests.story import Key, Story, claim, ports_of, rawscan, read_records

pytestmark = pytest.mark.netns

CLAIMS = list(BASIC.claims())
IDS = [f"{host.name}-v{e.family}-{e.protocol.value}" for host, _, e in CLAIMS]


@pytest.mark.parametrize(("host", "target", "expected"), CLAIMS, ids=IDS)
def test_scan_finds_what_the_plan_expects(
    host: Host, target: IPAddress, expected: Expected, story: Story
) -> None:
    responder = BASIC.responder(target, expected)
    record = story.live[str(target), expected.protocol.value]
    assert claim(record) == (
        expected.state.value,
        expected.reason,
        None if responder is None else str(responder),
    )


@pytest.mark.parametrize(("host", "target", "expected"), CLAIMS, ids=IDS)
def test_recording_gives_the_same_verdict(
    host: Host, target: IPAddress, expected: Expected, story: Story
) -> None:
    key = str(target), expected.protocol.value
    live, offline = story.live[key], story.offline[key]
    same = ("state", "reason", "reason_ip", "reason_ttl", "rule", "tries", "hints", "probe")
    assert {name: offline[name] for name in same} == {name: live[name] for name in same}


def test_nothing_else_is_reported(story: Story) -> None:
    keys = {(str(target), e.protocol.value) for _, target, e in CLAIMS}
    assert set(story.live) == set(story.offline) == keys
    assert story.summary["results"] == len(keys)
    assert story.summary["complete"]
    assert story.summary["drops"] == 0
    assert story.capture["own"]
    assert not story.capture["truncated"]


def test_silence_carries_its_number_and_replies_their_time(story: Story) -> None:
    for record in story.live.values():
        if record["reason"] == "no-response":
            assert record["tries"] >= 6
            assert 0.9999 <= record["confidence"] < 1
        elif record["state"] != "unknown":
            assert record["confidence"] == 1.0
            assert 0 <= record["rtt_ms"] < 5000


@pytest.mark.peer
def test_tshark_decodes_every_packet_of_the_recording_as_we_do(story: Story) -> None:
    assert compare_with_tshark(story.recording) == story.capture["packets"] > 160


# Where rawscan and nmap 7.93 differ on purpose: host, IP version -> what nmap says instead.
DEPARTURES = {
    # nmap merges ICMPv6 1/5 (source address failed policy) into 1/1.
    ("net-prohibited", 6): {"tcp": "filtered admin-prohibited", "udp": "filtered admin-prohibited"},
    # nmap ignores ICMPv6 time exceeded.
    ("expired", 6): {"tcp": "filtered no-response", "udp": "open|filtered no-response"},
    # nmap finds nobody on its own link by ARP and leaves the host out, even with -Pn.
    ("dead-onlink", 4): {"tcp": "nothing", "udp": "nothing"},
    ("dead-onlink", 6): {"tcp": "nothing", "udp": "nothing"},
}
# The same where nmap's answer depends on its luck or haste: it may also say what we say.
IMPATIENCE = {
    # The router speaks after 3 s, when nmap has mostly given up.
    ("dead-routed", 4): {"tcp": "filtered no-response", "udp": "open|filtered no-response"},
    ("dead-routed", 6): {"tcp": "filtered no-response", "udp": "open|filtered no-response"},
    # Two probes are too few on a path that loses one exchange in five.
    ("lossy", 4): {"tcp": "filtered no-response", "udp": "open|filtered no-response"},
    ("lossy", 6): {"tcp": "filtered no-response", "udp": "open|filtered no-response"},
}


def run_nmap(lab: Lab, family: int) -> dict[Key, str]:
    """State and reason of each port, as nmap has them."""
    targets = [str(target) for target in lab.plan.targets(4 if family == 4 else 6)]
    version = ["-6"] if family == 6 else []
    command = ["nmap", *version, "-n", "-Pn", "-sS", "-sU", "-p561", "--reason", "-oX", "-"]
    done = lab.run([*command, *targets], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = {}
    for host in ET.fromstring(done.stdout).iter("host"):
        address = host.find("address[@addrtype!='mac']")
        assert address is not None
        for port in host.iter("port"):
            state = port.find("state")
            assert state is not None
            key = address.attrib["addr"], port.attrib["protocol"]
            found[key] = f"{state.attrib['state']} {state.attrib['reason']}"
    return found


@pytest.mark.peer
@pytest.mark.parametrize("family", [4, 6])
def test_nmap_differs_exactly_by_the_departures(lab: Lab, story: Story, family: int) -> None:
    theirs = run_nmap(lab, family)
    differing = {}
    for host, target, expected in CLAIMS:
        if expected.family != family:
            continue
        key = str(target), expected.protocol.value
        ours = f"{story.live[key]['state']} {story.live[key]['reason']}"
        nmaps = theirs.get(key, "nothing")
        if nmaps != ours:
            differing[host.name, family, expected.protocol.value] = nmaps
    wanted, allowed = (
        {(*at, protocol): said for at, by in table.items() if at[1] == family
         for protocol, said in by.items()}
        for table in (DEPARTURES, IMPATIENCE)
    )  # fmt: skip
    assert {at: said for at, said in differing.items() if at not in allowed} == wanted
    assert {at: said for at, said in differing.items() if at in allowed}.items() <= allowed.items()


def test_scapy_link_agrees(lab: Lab, story: Story) -> None:
    names = ("open", "closed", "drop", "admin-prohibited", "router-port-unreach", "dead-onlink")
    targets = [str(lab.plan.host(name).address(family)) for name in names for family in (4, 6)]
    scanned = rawscan(lab, "scan", *targets, "--json", "--link", "scapy", "--max-retries", "2")
    assert scanned.returncode == 0, scanned.stderr
    records = read_records(scanned.stdout)
    assert records[0]["link"] == "scapy"
    for key, record in ports_of(records).items():
        # Scapy itself asks for the neighbour, so nobody has said anything about a dead one.
        ours = claim(story.live[key])
        assert claim(record)[:2] == ours[:2]
        if ours[1] != "no-arp-response":
            assert claim(record) == ours


def test_ack_probes_tell_filtered_from_unfiltered(lab: Lab, tmp_path: Path) -> None:
    names = {"open": "unfiltered", "closed": "unfiltered", "drop": "filtered"}
    recording = tmp_path / "ack.pcapng"
    targets = [str(lab.plan.host(name).address(family)) for name in names for family in (4, 6)]
    scanned = rawscan(
        lab, "scan", *targets, "--no-syn", "--no-udp", "--ack", "--json",
        "--write-pcap", str(recording),
    )  # fmt: skip
    assert scanned.returncode == 0, scanned.stderr
    live = ports_of(read_records(scanned.stdout))
    for (target, _), record in live.items():
        assert record["probe"] == "ack"
        assert record["state"] == names[lab.plan.host(_address(target)).name]
    offline = ports_of(read_records(rawscan(None, "pcap", str(recording), "--json").stdout))
    assert {k: claim(r) for k, r in offline.items()} == {k: claim(r) for k, r in live.items()}


def _address(text: str) -> IPAddress:
    from ipaddress import ip_address

    return ip_address(text)


TUN = """
import fcntl, os, struct, subprocess, sys
from rawscan.wire import replies
fd = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", b"tun561", 0x0001 | 0x1000))  # TUN, NO_PI
subprocess.run(["ip", "addr", "add", "10.57.0.1/24", "dev", "tun561"], check=True)
subprocess.run(["ip", "addr", "add", "fd57::1/64", "dev", "tun561", "nodad"], check=True)
subprocess.run(["ip", "link", "set", "tun561", "up"], check=True)
print("up", flush=True)
for _ in range(1000):
    packet = os.read(fd, 65535)
    protocol = packet[9] if packet[0] >> 4 == 4 else packet[6]
    if protocol == 6:
        os.write(fd, replies.rst(packet))
    elif protocol == 17:
        os.write(fd, replies.icmp_error(packet, *((3, 3) if packet[0] >> 4 == 4 else (1, 4))))
"""


def test_scan_over_a_tun_device(lab: Lab) -> None:
    """A tunnel has no link layer: a program at its other end answers as a closed host would."""
    if not Path("/dev/net/tun").exists():
        pytest.skip("this kernel has no tun devices")
    far_end = lab.popen([sys.executable, "-c", TUN], host="closed", stdout=-1, text=True)
    try:
        assert far_end.stdout is not None
        assert far_end.stdout.readline() == "up\n"
        command = [sys.executable, "-m", "rawscan", "scan", "10.57.0.9", "fd57::9", "--json"]
        done = lab.run(command, host="closed", capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        records = [json.loads(line) for line in done.stdout.splitlines()]
        assert records[0]["interface"] == "tun561"
        assert {key: r["state"] for key, r in ports_of(records).items()} == {
            (target, protocol): "closed"
            for target in ("10.57.0.9", "fd57::9")
            for protocol in ("tcp", "udp")
        }
    finally:
        far_end.kill()
        far_end.wait()


@pytest.mark.parametrize("target", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("link", ["rawip", "scapy"])
def test_scan_of_loopback(target: str, link: str, lab: Lab) -> None:
    done = rawscan(lab, "scan", target, "--json", "--link", link)
    assert done.returncode == 0, done.stderr
    found = ports_of(read_records(done.stdout))
    assert {key: claim(r) for key, r in found.items()} == {
        (target, "tcp"): ("closed", "reset", target),
        (target, "udp"): ("closed", "port-unreach", target),
    }
