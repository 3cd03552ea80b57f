"""When a capture's silence may be believed, and when something in it says that it may not."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from rawscan.analysis import analyse
from rawscan.capture.reader import open_capture
from rawscan.findings import Analysis
from rawscan.model import IPAddress
from rawscan.ports import parse_ports
from rawscan.wire import replies
from tests.capture import forge
from tests.tape import ACK, SCANNER, SYN, TARGET, UDP, Tape

P561 = parse_ports("561")
OTHER: IPAddress = ip_address("10.0.0.9")
SILENT, ONE_WAY = "filtered no-response", "unknown one-way"


def said(found: Analysis) -> dict[tuple[str, str], str]:
    return {
        (str(v.port.target), v.port.kind.value): f"{v.state.value} {v.reason}"
        for v in (finding.verdict for finding in found.findings)
    }


def claim(found: Analysis, target: IPAddress = TARGET, kind: str = "syn") -> str:
    return said(found)[str(target), kind]


def with_proof(at_s: float = 60) -> Tape:
    """A capture that goes on for long, and in which an answer to the scanner is seen."""
    tape = Tape()
    tape.reply(at_s, replies.rst(tape.probe(at_s, target=OTHER)))
    return tape


def foreign(tape: Tape, path: Path) -> Analysis:
    tape.frames.sort(key=lambda frame: frame[0])
    return analyse(tape.foreign(path / "foreign.pcap"), P561)


# A recording that was taken apart


def recording(path: Path) -> Path:
    """A SYN that is reset, one that nobody answers, and a note that vouches for a minute."""
    tape = Tape()
    tape.reply(0.1, replies.rst(tape.probe(0)))
    tape.probe(1, target=OTHER)
    return tape.own(path / "own.pcapng", 60.0)


@pytest.mark.peer
@pytest.mark.parametrize(
    "command",
    [
        ("tshark", "-r", "{own}", "-w", "{cut}", "-Y", "!(tcp.flags.reset == 1)"),
        ("editcap", "{own}", "{cut}", "2"),
    ],
    ids=lambda command: str(command[0]),
)
def test_a_recording_with_packets_taken_out_vouches_for_nothing(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    own, cut = recording(tmp_path), tmp_path / "cut.pcapng"
    assert shutil.which(command[0])
    filled = [part.format(own=own, cut=cut) for part in command]
    subprocess.run(filled, check=True, capture_output=True, timeout=60)
    with open_capture(cut) as reader:
        assert len(list(reader)) == 2
        assert reader.notes[0] is not None  # it outlived the tool
    assert (analyse(own, P561).own, claim(analyse(own, P561), OTHER)) == (True, SILENT)
    found = analyse(cut, P561)
    assert not found.own
    assert claim(found) == claim(found, OTHER) == ONE_WAY


@pytest.mark.peer
def test_a_copy_of_a_recording_is_one(tmp_path: Path) -> None:
    copy = tmp_path / "copy.pcapng"
    subprocess.run(["editcap", recording(tmp_path), copy], check=True, timeout=60)
    assert claim(analyse(copy, P561), OTHER) == SILENT


def test_packets_put_into_a_recording_are_noticed_too(tmp_path: Path) -> None:
    path = recording(tmp_path)
    block = forge.enhanced("<", 1, Tape().probe(0))
    path.write_bytes(path.read_bytes() + block)
    assert not analyse(path, P561).own


def test_a_recorder_that_died_has_not_counted(tmp_path: Path) -> None:
    tape = Tape()
    tape.probe(0)
    tape.probe(4, target=OTHER)
    found = analyse(tape.own(tmp_path / "died.pcapng", None), P561)
    assert found.own
    assert said(found) == {
        (str(TARGET), "syn"): SILENT,  # its last whole frame is 4 s later
        (str(OTHER), "syn"): "unknown cut-short",
    }


# A tap that sees one way


def hang_up(probe: bytes) -> bytes:
    """What the asker's kernel says to a SYN+ACK for which it has no socket."""
    (seq,) = struct.unpack_from("!I", probe, 24)
    tcp = struct.pack("!HHIIBBHHH", *struct.unpack_from("!HH", probe, 20), 0, 0, 80, 4, 0, 0, 0)
    tcp = tcp[:4] + struct.pack("!I", (seq + 1) % 2**32) + tcp[8:]
    return probe[:2] + struct.pack("!H", 40) + probe[4:20] + tcp


def test_who_hangs_up_had_an_answer_that_the_tap_missed(tmp_path: Path) -> None:
    tape = with_proof()
    third = ip_address("10.0.0.10")
    tape.frames.append((0.1, hang_up(tape.probe(0)), "out"))
    tape.probe(0.2, UDP)
    tape.probe(0.3, target=third)
    assert said(foreign(tape, tmp_path)) == {
        (str(TARGET), "syn"): "open syn-ack-unseen",
        (str(TARGET), "udp"): ONE_WAY,  # what comes from there takes the same way
        (str(third), "syn"): SILENT,
        (str(OTHER), "syn"): "closed reset",
    }


def test_a_reset_that_was_seen_outranks_the_inference(tmp_path: Path) -> None:
    """So does a firewall that resets both ends: the asker's RST may be forged like the target's."""
    tape = with_proof()
    packet = tape.probe(0)
    tape.reply(0.05, replies.rst(packet))
    tape.frames.append((0.1, hang_up(packet), "out"))
    assert claim(foreign(tape, tmp_path)) == "closed reset"


def test_a_recording_of_our_own_infers_nothing(tmp_path: Path) -> None:
    """The live scan has no such evidence, and both must say the same."""
    tape = Tape()
    tape.frames.append((0.1, hang_up(tape.probe(0)), "out"))
    found = analyse(tape.own(tmp_path / "own.pcapng", 30), P561)
    assert said(found) == {(str(TARGET), "syn"): SILENT}


def test_who_hangs_up_on_an_answer_that_was_seen_hides_nothing(tmp_path: Path) -> None:
    tape = with_proof()
    packet = tape.probe(0)
    tape.reply(0.1, replies.syn_ack(packet))
    tape.frames.append((0.2, hang_up(packet), "out"))
    tape.probe(0.3, UDP)
    found = foreign(tape, tmp_path)
    assert claim(found) == "open syn-ack"
    assert claim(found, kind="udp") == "open|filtered no-response"


def test_somebody_elses_packets_to_the_asker_are_no_proof(tmp_path: Path) -> None:
    tape = Tape()
    tape.probe(0)
    # A scan of the scanner, a minute later: crosses the tap, and answers nothing.
    scan = Tape().probe(0, target=OTHER).replace(OTHER.packed, b"XXXX")
    tape.reply(60, scan.replace(SCANNER.packed, OTHER.packed).replace(b"XXXX", SCANNER.packed))
    assert claim(foreign(tape, tmp_path)) == ONE_WAY


# Answers that are there, and yet are not


def flagless(reply: bytes) -> bytes:
    return forge.record("<", 1700000001, 0, reply[:32], len(reply))


def test_a_reply_whose_flags_the_snaplen_cut_off_is_no_silence(tmp_path: Path) -> None:
    tape = with_proof()
    probe = tape.probe(0)
    path = tape.foreign(tmp_path / "short.pcap")
    whole = path.read_bytes()
    path.write_bytes(whole + flagless(replies.rst(probe)))
    assert claim(analyse(path, P561)) == "unknown snaplen"
    # Cut all the same, but from another port.
    path.write_bytes(whole + flagless(replies.rst(probe).replace(b"\x02\x31", b"\x02\x32")))
    assert claim(analyse(path, P561)) == SILENT


def test_a_recording_that_was_cut_to_a_snaplen_is_not_silent_either(tmp_path: Path) -> None:
    """As `editcap -s` does: the number of packets stays."""
    tape = Tape()
    tape.reply(0.1, replies.rst(tape.probe(0))[:32])
    path = tape.own(tmp_path / "own.pcapng", 60.0)
    # The length on the wire was 40 bytes.
    data = path.read_bytes()
    block = data.rindex(struct.pack("<II", 32, 32))
    path.write_bytes(data[: block + 4] + struct.pack("<I", 40) + data[block + 8 :])
    found = analyse(path, P561)
    assert found.own
    assert claim(found) == "unknown snaplen"


def test_an_error_delivered_to_somebody_else_is_no_evidence(tmp_path: Path) -> None:
    tape = with_proof()
    error = bytearray(replies.icmp_error(tape.probe(0), 3, 13))
    error[16:20] = OTHER.packed
    tape.reply(0.1, bytes(error))
    assert claim(foreign(tape, tmp_path)) == SILENT


def test_a_reply_that_the_file_has_before_its_probe(tmp_path: Path) -> None:
    tape = Tape()
    packet = tape.probe(0.25)
    tape.frames.insert(0, (0.5, replies.syn_ack(packet), "in"))
    found = analyse(tape.foreign(tmp_path / "swapped.pcap"), P561)
    assert claim(found) == "open syn-ack"
    assert found.findings[0].verdict.rtt_s == pytest.approx(0.25)


def test_of_equal_replies_the_first_by_the_clock_counts(tmp_path: Path) -> None:
    """In a recording it is the first in the file: the scan saw it first."""
    tape = Tape()
    packet = tape.probe(0)
    errors = [replies.icmp_error(packet, 3, code) for code in (13, 10)]
    tape.frames += [(1.5, errors[0], "in"), (1.25, errors[1], "in")]
    assert claim(analyse(tape.foreign(tmp_path / "f.pcap"), P561)) == "filtered host-prohibited"
    assert claim(analyse(tape.own(tmp_path / "own.pcapng", 9), P561)) == "filtered admin-prohibited"


@pytest.mark.parametrize(
    ("source_port", "findings"), [(53, 0), (1023, 0), (561, 1), (1024, 1), (0, 1)]
)
def test_a_datagram_from_a_service_is_no_probe_that_failed(
    source_port: int, findings: int, tmp_path: Path
) -> None:
    """The client's own port was 561, and the capture began after its question."""
    tape = Tape()
    datagram = bytearray(tape.probe(0, UDP))
    datagram[20:22] = source_port.to_bytes(2, "big")
    tape.frames[0] = (0, bytes(datagram), "out")
    assert len(foreign(tape, tmp_path).findings) == findings
    # If it is answered, it was a question; and rawscan knows what it sent.
    tape.reply(1, replies.datagram(bytes(datagram)))
    assert claim(foreign(tape, tmp_path), kind="udp") == "open udp-response"
    del tape.frames[1]
    assert len(analyse(tape.own(tmp_path / "own.pcapng", 9.0), P561).findings) == 1


def test_a_long_conversation_is_no_scan_with_many_retries(tmp_path: Path) -> None:
    tape = Tape()
    for number in range(300):
        packet = tape.probe(number / 10, UDP)
    tape.reply(30, replies.datagram(packet))
    (finding,) = foreign(tape, tmp_path).findings
    assert finding.verdict.tries == 300
    assert finding.verdict.evidence[0].try_number == 299


# Packets in packets


def ip(protocol: int, payload: bytes, fragment: int = 0) -> bytes:
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, fragment, 64, protocol, 0)
    return header + SCANNER.packed + TARGET.packed + payload


def ip6(protocol: int, payload: bytes) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + bytes(32) + payload


INNER = Tape().probe(0)
CARRIERS: list[tuple[str, bytes]] = [
    ("tunnel: IPIP", ip(4, INNER[:19])),
    ("tunnel: 6in4", ip(41, b"\x45")),
    ("tunnel: GRE", ip(47, b"\0\0\x88\x0b" + INNER)),
    ("tunnel: GRE", ip6(47, b"\0\1\x08\0" + INNER)),
    ("tunnel: VXLAN", ip(17, struct.pack("!HHHH", 5, 4789, 16 + len(INNER), 0) + INNER)),
    ("fragment", ip(6, INNER[20:], fragment=5)),
    ("fragment", ip(17, INNER[20:], fragment=0x2005)),
]


@pytest.mark.parametrize(("cause", "frame"), CARRIERS)
def test_what_is_not_looked_into_is_counted(cause: str, frame: bytes, tmp_path: Path) -> None:
    tape = Tape([(0.0, frame, "out"), (1.0, frame, "out")])
    found = foreign(tape, tmp_path)
    assert (dict(found.undecoded), found.findings, found.matched) == ({cause: 2}, (), 0)


@pytest.mark.parametrize(
    "carrier", [ip(4, INNER), ip(47, b"\0\0\x08\0" + INNER), ip6(4, INNER), ip(4, ip(4, INNER))]
)
def test_a_probe_in_a_tunnel_is_a_probe(carrier: bytes, tmp_path: Path) -> None:
    found = foreign(Tape([(0.0, carrier, "out"), (1.0, replies.rst(INNER), "in")]), tmp_path)
    assert (found.counts.syn, found.counts.rst, found.matched) == (1, 1, 2)
    assert said(found)[str(TARGET), "syn"] == "closed reset"
    assert not found.undecoded


@pytest.mark.parametrize(
    ("first", "matched", "unknown"),
    [([ip(6, INNER[20:], 0x2000)], 3, 0), ([ip(6, INNER[:20], 0x2000)], 0, 0), ([], 0, 2)],
    ids=["of the port", "of another", "not seen"],
)
def test_later_fragments_are_joined_to_the_first(
    first: list[bytes], matched: int, unknown: int, tmp_path: Path
) -> None:
    """They are matched with it, and counted no second time as segments: tshark does not either."""
    frames = [*first, ip(6, bytes(8), 0x2003), ip(6, bytes(8), 4)]
    found = foreign(Tape([(0.0, frame, "out") for frame in frames]), tmp_path)
    assert (found.matched, found.undecoded["fragment"]) == (matched, unknown)
    assert found.counts.tcp_to == found.counts.syn == (1 if matched else 0)


@pytest.mark.parametrize("frame", [ip(89, b"hello"), ip(6, INNER[20:], fragment=0x2000), INNER])
def test_what_is_looked_into_or_carries_nothing_is_not(frame: bytes, tmp_path: Path) -> None:
    assert not foreign(Tape([(0.0, frame, "out")]), tmp_path).undecoded


# Which ports


def test_a_recording_names_its_ports(tmp_path: Path) -> None:
    path = recording(tmp_path)
    assert analyse(path).ports == "561"
    other = path.read_bytes().replace(b'"ports":"561"', b'"ports":"562"')
    path.write_bytes(other)
    assert (analyse(path).ports, analyse(path).findings) == ("562", ())
    assert len(analyse(path, P561).findings) == 2
    path.write_bytes(other.replace(b'"562"', b'"xyz"'))
    assert analyse(path).ports == "561"


@pytest.mark.parametrize("write", [Tape.foreign, Tape.timeless])
def test_other_captures_are_asked_for_561(
    write: Callable[[Tape, Path], Path], tmp_path: Path
) -> None:
    assert analyse(write(with_proof(), tmp_path / "x")).ports == "561"


def test_a_probe_of_each_kind_is_known(tmp_path: Path) -> None:
    tape = Tape()
    for number, kind in enumerate((SYN, UDP, ACK)):
        tape.probe(number, kind)
    assert set(said(analyse(tape.own(tmp_path / "own.pcapng", 9.0)))) == {
        (str(TARGET), kind) for kind in ("syn", "udp", "ack")
    }
