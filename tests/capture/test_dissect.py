"""The dissection adapter, and our decoding of real captures against Wireshark's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from rawscan.capture.dissect import Dissection, dissect
from rawscan.errors import CaptureError, DecodeError
from rawscan.model import Flags, Icmp, Packet, Tcp, Udp
from rawscan.wire.decode import decode_frame
from tests.oracles import assert_same, compare_with_tshark, dissections_of, frames_of

pytestmark = pytest.mark.peer

# How many packets of each capture both sides read: all but those named.
COMPARED = {
    "scans/any_sll.pcap": 22,
    "scans/hping_S.pcap": 15,
    "scans/masscan_udp.pcap": 69,
    "scans/nmap_6_sS.pcap": 5,
    "scans/nmap_sA.pcap": 10,
    "scans/nmap_sF.pcap": 10,
    "scans/nmap_sS.pcap": 15,
    "scans/nmap_sU.pcap": 11,
    "scans/session_tcp.pcap": 101,
    "scans/snap48_eth.pcap": 22,
    "scans/telescope_synack.pcap": 251,
    "variants/eth_snap42.pcap": 70,  # the IPv6 headers of the other 14 are cut off
    "variants/eth_gz.pcap.gz": 84,
    "variants/ip_options_rr.pcap": 70,
    "variants/ipip.pcap": 84,
    "variants/ipv6_hbh_dst_rt.pcap": 14,
    "variants/mpls2.pcap": 84,
    "variants/ng_multi_if_lt_res.pcapng": 84,
    "variants/null_le.pcap": 84,
    "variants/ppp9.pcap": 84,
    "variants/pppoe.pcap": 84,
    "variants/qinq88a8.pcap": 84,
    "variants/trunc_mid_payload.pcap": 83,
    "variants/vxlan.pcap": 84,
}


def tsharks() -> list[int]:
    """Process numbers of our children called tshark, zombies included."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition(") ")
        except OSError:
            continue
        if name.endswith("(tshark") and int(rest.split()[1]) == os.getpid():
            found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize("name", COMPARED)
def test_tshark_decodes_the_same(shared_captures: Path, name: str) -> None:
    assert compare_with_tshark(shared_captures / name) == COMPARED[name]
    assert tsharks() == []


def pairs(path: Path) -> list[tuple[Packet, Dissection]]:
    found = []
    for frame, dissection in zip(frames_of(path), dissections_of(path), strict=True):
        try:
            found.append((decode_frame(frame), dissection))
        except DecodeError:
            continue
    return found


def changed(packet: Packet) -> list[Packet]:
    """The packet with each part that is compared wrong by a little."""
    body = packet.body
    wrong = [
        replace(packet, source=packet.source + 1),
        replace(packet, destination=packet.destination + 1),
    ]
    if isinstance(body, Tcp | Udp):
        wrong.append(replace(packet, body=replace(body, sport=body.sport ^ 1)))
        wrong.append(replace(packet, body=replace(body, dport=body.dport ^ 1)))
    if isinstance(body, Tcp):
        assert None not in (body.seq, body.ack, body.flags)
        wrong.append(replace(packet, body=replace(body, seq=(body.seq or 0) ^ 1)))
        wrong.append(replace(packet, body=replace(body, ack=(body.ack or 0) ^ 1)))
        flags = (body.flags or Flags(0)) ^ Flags.CWR
        wrong.append(replace(packet, body=replace(body, flags=flags)))
    if isinstance(body, Icmp):
        wrong.append(replace(packet, body=replace(body, type=body.type ^ 1)))
        wrong.append(replace(packet, body=replace(body, code=body.code ^ 1)))
        wrong.append(replace(packet, body=replace(body, version=10 - body.version)))
        if body.quoted is not None:
            quotes = changed(body.quoted)
            if isinstance(body.quoted.body, Tcp):
                quotes = quotes[:5]  # a quote's acknowledgement number and flags are not compared
            wrong += [replace(packet, body=replace(body, quoted=quote)) for quote in quotes]
    return wrong


@pytest.mark.parametrize("name", ["scans/nmap_sS.pcap", "scans/nmap_sU.pcap"])
def test_the_comparison_sees_every_difference(shared_captures: Path, name: str) -> None:
    tried = 0
    for packet, dissection in pairs(shared_captures / name):
        assert_same(packet, dissection)
        for wrong in changed(packet):
            with pytest.raises(AssertionError):
                assert_same(wrong, dissection)
            tried += 1
    assert tried > 50


def test_one_icmp_error_field_by_field(shared_captures: Path) -> None:
    found = dissections_of(shared_captures / "scans/nmap_sU.pcap")[3]
    assert found == Dissection(
        frame_number=4,
        layers=("eth", "ip", "icmp"),
        source=ip_address("10.56.1.5"),
        destination=ip_address("10.56.1.1"),
        protocol=1,
        icmp_version=4,
        icmp_type=3,
        icmp_code=3,
        quoted_source=ip_address("10.56.1.1"),
        quoted_destination=ip_address("10.56.1.5"),
        quoted_protocol=17,
        quoted_sport=47702,
        quoted_dport=561,
    )


def test_numbers_are_those_on_the_wire_and_the_tunnel_is_outside(shared_captures: Path) -> None:
    found = dissections_of(shared_captures / "variants/vxlan.pcap")[11]
    assert (found.source, found.sport) == (ip_address("10.56.1.2"), 561)
    assert (found.flags, found.seq, found.ack) == (Flags.RST | Flags.ACK, 0, 1196712)
    assert found.expert == ("Connection reset (RST)",)
    assert found.outer is not None
    assert (found.outer.source, found.outer.dport) == (ip_address("192.168.9.1"), 4789)
    assert found.outer.outer is None


def test_a_quoted_segment_has_its_sequence_number(shared_captures: Path) -> None:
    found = dissections_of(shared_captures / "scans/nmap_sS.pcap")
    asked = {(d.destination, d.seq) for d in found if d.flags == Flags.SYN}
    quotes = {(d.quoted_destination, d.quoted_seq) for d in found if d.icmp_type == 3}
    assert quotes
    assert quotes <= asked


def test_display_filter_chooses_frames(shared_captures: Path) -> None:
    path = shared_captures / "scans/nmap_sU.pcap"
    found = list(dissect(path, display_filter="icmp.code == 13"))
    assert [d.frame_number for d in found] == [6]
    with pytest.raises(CaptureError, match="end of filter"):
        list(dissect(path, display_filter="icmp.code =="))
    assert tsharks() == []


def test_no_tshark_is_left_when_the_iteration_stops_early(shared_captures: Path) -> None:
    path = shared_captures / "scans/masscan_tcp.pcap"
    with closing(dissect(path)) as packets:
        assert next(packets).frame_number == 1
        assert len(tsharks()) == 1  # so the children would be seen
    assert tsharks() == []
    for packet in dissect(path):
        if packet.frame_number == 2:
            break
    assert tsharks() == []

    def consumer() -> None:
        for _ in dissect(path):
            raise LookupError

    with pytest.raises(LookupError):
        consumer()
    assert tsharks() == []
    dissect(path)  # never begun
    assert tsharks() == []


@pytest.mark.parametrize("name", ["trunc_mid_header.pcap", "trunc_mid_payload.pcap"])
def test_a_damaged_file_gives_what_it_has_and_then_says_so(
    shared_captures: Path, name: str
) -> None:
    path = shared_captures / "variants" / name
    found = []

    def consume() -> None:
        for dissection in dissect(path):
            found.append(dissection.frame_number)

    with pytest.raises(CaptureError, match="cut short"):
        consume()
    assert found == list(range(1, len(frames_of(path)) + 1))
    assert tsharks() == []


def test_what_is_no_capture(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no capture\n" * 9)
    with pytest.raises(CaptureError, match="isn't a capture file"):
        list(dissect(text))
    for nothing in (tmp_path, tmp_path / "absent.pcap"):
        with pytest.raises(CaptureError, match="no file"):
            dissect(nothing)
    assert tsharks() == []


def test_a_file_may_be_called_like_standard_input(
    shared_captures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(shared_captures / "scans/nmap_sU.pcap", tmp_path / "-")
    monkeypatch.chdir(tmp_path)
    assert len(list(dissect(Path("-")))) == 11


def test_where_there_is_no_tshark(
    shared_captures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shared_captures / "scans/nmap_sU.pcap"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CaptureError, match="apt install tshark"):
        dissect(path)
    broken = tmp_path / "tshark"
    broken.write_text("#!/nowhere/sh\n")
    broken.chmod(0o755)
    with pytest.raises(CaptureError, match="cannot be dissected"):
        list(dissect(path))


def run_python(script: str, path: Path, folder: Path) -> tuple[str, str, int]:
    """Output, errors and exit code of a fresh Python that shows every warning as an error."""
    head = "import sys; from pathlib import Path; from contextlib import closing\n"
    head += "from rawscan.capture.dissect import dissect\npath = Path(sys.argv[1])\n"
    # Development mode shows resource warnings and turns asyncio's debugging on.
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", head + script, str(path)]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, cwd=folder,
        env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip
    return done.stdout, done.stderr, done.returncode


def test_a_config_file_in_the_folder_names_no_other_program(
    shared_captures: Path, tmp_path: Path
) -> None:
    # pyshark reads config.ini of the current folder, where whoever made the captures can write.
    (tmp_path / "config.ini").write_text("[tshark]\ntshark_path = /bin/false\n")
    path = shared_captures / "scans/nmap_sU.pcap"
    assert run_python("print(len(list(dissect(path))))", path, tmp_path) == ("11\n", "", 0)


def test_a_thread_can_dissect(shared_captures: Path) -> None:
    found: list[int] = []

    def run() -> None:
        found.append(len(list(dissect(shared_captures / "scans/nmap_sU.pcap"))))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert found == [11]


def test_no_warning_leaks_and_pyshark_is_imported_late(
    shared_captures: Path, tmp_path: Path
) -> None:
    script = (
        "assert 'pyshark' not in sys.modules\n"
        "print(len(list(dissect(path))))\n"
        "with closing(dissect(path)) as packets: print(next(packets).frame_number)\n"
    )
    found = run_python(script, shared_captures / "scans/masscan_tcp.pcap", tmp_path)
    assert found == ("263\n1\n", "", 0)
