"""Sessions: direction, roles, reuse and bounds. Zeek's words are in tests/test_connstate.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rawscan.findings import Session
from rawscan.model import Flags, Packet, Protocol, Tcp, Udp
from rawscan.ports import parse_ports
from rawscan.sessions import SessionTable
from tests.packets import ME, ME6, STRANGER, TARGET, TARGET6, A, F, R, S

T = 1.7e9


def seg(up: bool, flags: Flags, seq: int = 0, text: bytes = b"", port: int = 40000) -> Packet:
    """A segment between ME:port and TARGET:561."""
    ends = (ME, TARGET, port, 561) if up else (TARGET, ME, 561, port)
    body = Tcp(ends[2], ends[3], seq, 0, flags, 1024, 0, len(text), b"", text)
    return Packet(ends[0], ends[1], 64, body)


def udp(up: bool, text: bytes = b"", other: int = 40000, asked: int = 561) -> Packet:
    ends = (ME, TARGET, other, asked) if up else (TARGET, ME, asked, other)
    return Packet(ends[0], ends[1], 64, Udp(ends[2], ends[3], len(text), text))


def sessions(
    *packets: tuple[float, Packet], ports: str = "561", **bounds: int
) -> tuple[Session, ...]:
    table = SessionTable(parse_ports(ports), **bounds)
    for number, (second, packet) in enumerate(packets, start=1):
        table.add(packet, T + second, number)
    return table.finish()


def test_both_directions_are_one_session() -> None:
    (found,) = sessions(
        (0, seg(True, S, 1)), (1, seg(False, S | A, 9)), (2, seg(True, A, 2, b"hi")),
        (3, seg(False, A, 10, b"there")),
    )  # fmt: skip
    assert (found.client, found.client_port, found.server, found.server_port) == (
        ME, 40000, TARGET, 561,
    )  # fmt: skip
    assert (found.conn_state, found.flags) == ("S1", "ShDd")
    assert (found.bytes_to_server, found.bytes_to_client) == (2, 5)
    assert (found.packets_to_server, found.packets_to_client) == (2, 2)
    assert found.payload_preview == "> hi < there"
    assert (found.first_s, found.last_s, found.first_frame, found.last_frame) == (T, T + 3, 1, 4)


def test_what_was_said_is_put_together_and_cut() -> None:
    packets = [(float(n), seg(True, A, n * 100, b"x" * 100)) for n in range(9)]
    packets.insert(1, (0.5, seg(True, A, 0, b"x" * 99 + b"y")))  # again, and none of it new
    (found,) = sessions(*packets)
    assert found.bytes_to_server == 900
    assert found.payload_preview == "> " + "x" * 64


def test_of_what_is_sent_again_only_the_new_is_said() -> None:
    (found,) = sessions((0, seg(True, A, 1, b"abc")), (1, seg(True, A, 2, b"bcd")))
    assert (found.payload_preview, found.bytes_to_server) == ("> abcd", 4)


def test_who_answers_is_the_server() -> None:
    (found,) = sessions((0, seg(False, S | A)))
    assert (found.server, found.server_port, found.port_role) == (TARGET, 561, "server")


@pytest.mark.parametrize("flags", [A, R, F | A, R | A])
def test_without_a_beginning_the_asked_port_is_the_servers(flags: Flags) -> None:
    for up in (True, False):
        (found,) = sessions((0, seg(up, flags)))
        assert (found.client, found.server, found.port_role) == (ME, TARGET, "server")


def test_the_clients_own_port() -> None:
    """561 sends the SYN, or gets the answer of a service."""
    outward = seg(False, S)
    (found,) = sessions((0, outward))
    assert (found.client, found.client_port, found.server, found.port_role) == (
        TARGET, 561, ME, "client",
    )  # fmt: skip
    (found,) = sessions((0, udp(True, b"answer", other=53)))
    assert (found.server, found.server_port, found.port_role) == (ME, 53, "client")
    (found,) = sessions((0, udp(False, b"question", other=53)))
    assert (found.client, found.client_port, found.port_role) == (TARGET, 561, "client")
    middle = replace(seg(True, A), body=Tcp(80, 561, flags=A))
    assert sessions((0, middle))[0].port_role == "client"
    stray = replace(seg(True, F), body=Tcp(80, 561, flags=F))  # a FIN scan may come from any port
    assert sessions((0, stray))[0].port_role == "server"
    # Two hosts on the same port: one of them asked first.
    (found,) = sessions((0, udp(True, b"x", other=561)), (1, udp(False, b"y", other=561)))
    assert (found.client, found.conn_state, found.port_role) == (ME, "SF", "server")


def test_a_new_syn_after_the_end_is_a_new_session() -> None:
    over = [(0.0, seg(True, S, 1)), (0.1, seg(False, R | A))]
    assert [s.conn_state for s in sessions(*over, (0.2, seg(True, S, 500)))] == ["REJ", "S0"]
    # The same number once more is the network's doing.
    assert [s.conn_state for s in sessions(*over, (0.2, seg(True, S, 1)))] == ["REJ"]


def test_a_syn_that_nobody_answers_is_tried_again() -> None:
    first = (0.0, seg(True, S, 1))
    assert len(sessions(first, (63.0, seg(True, S, 1)))) == 1  # a kernel's last retry
    assert len(sessions(first, (3.0, seg(True, S, 500)))) == 1
    assert len(sessions(first, (6.0, seg(True, S, 500)))) == 2


def test_a_pause_parts_datagrams() -> None:
    assert len(sessions((0, udp(True)), (60, udp(True)))) == 1
    assert len(sessions((0, udp(True)), (61, udp(True)))) == 2


def test_ports_that_were_not_asked_for() -> None:
    assert sessions((0, seg(True, S)), ports="562") == ()
    assert sessions((0, seg(True, S)), ports="U:561") == ()
    assert len(sessions((0, udp(True)), ports="U:561")) == 1


def test_ipv6() -> None:
    six = replace(seg(True, S), source=ME6, destination=TARGET6)
    back = replace(seg(False, S | A), source=TARGET6, destination=ME6)
    (found,) = sessions((0, six), (1, back))
    assert (found.server, found.conn_state) == (TARGET6, "S1")


def test_knows_who_has_spoken() -> None:
    table = SessionTable(parse_ports("561"))
    table.add(seg(True, S), T, 1)
    assert table.knows(ME, 40000, TARGET, 561, Protocol.TCP)
    assert not table.knows(TARGET, 561, ME, 40000, Protocol.TCP)
    assert not table.knows(STRANGER, 40000, TARGET, 561, Protocol.TCP)
    assert not table.knows(ME, 40000, TARGET, 561, Protocol.UDP)


def test_frames_without_times_or_flags() -> None:
    table = SessionTable(parse_ports("561"))
    for number, packet in enumerate((seg(True, S), seg(False, S | A)), start=1):
        table.add(packet, 0.0, number)
    table.add(Packet(ME, TARGET, 64, Tcp(40001, 561)), 0.0, 3)
    one, cut = table.finish()
    assert (one.first_s, one.last_s, one.conn_state) == (0.0, 0.0, "S1")
    assert cut.conn_state == "OTH"


def test_memory_is_bounded_and_everything_is_counted() -> None:
    """Of a flood the number stays; the one that talks is followed through it and kept."""
    table = SessionTable(parse_ports("561"), most_open=16, most_kept=8)
    talk = iter([seg(True, S, 1), seg(False, S | A, 1), seg(True, A, 2, b"hello")])
    for number in range(300):
        table.add(seg(True, S, number, port=1024 + number), T + number, number)
        if number % 4 == 0:
            table.add(next(talk, seg(True, A, 7 + number)), T + number, number)
    found = table.finish()
    assert table.states == {"S0": 300, "S1": 1}
    assert len(found) == 9
    assert [s.payload_preview for s in found if s.payload_preview] == ["> hello"]
