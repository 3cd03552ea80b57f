"""Makes this case. Run it from anywhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from builder import Talk, Tape, datagram  # noqa: E402

CLIENT = "10.0.0.1"
MISPLACED, OLD, PRETENDING = "misplaced service", "very old system", "something pretending"

# Zeek's words, each by its own description in base/protocols/conn/main.zeek: what each side sends,
# the client's segments beginning with `>`.
STATES = {
    "S0": ">S",
    "S1": ">S <SA >A",
    "SF": ">S <SA >A >FA <FA >A",
    "REJ": ">S <RA",
    "S2": ">S <SA >A >FA <A",
    "S3": ">S <SA >A <FA >A",
    "RSTO": ">S <SA >A >RA",
    "RSTR": ">S <SA >A <RA",
    "RSTOS0": ">S >R",
    "RSTRH": "<SA <R",
    "SH": ">S >F",
    "SHR": "<SA <FA",
    "OTH": ">A <A",
}

# Server's address: what it is asked, what it says and when, and what that must look like.
TLS_HELLO = bytes.fromhex("1603010030010000 2c0303") + bytes(32) + bytes.fromhex("00002f0100")
TLS_ALERT = bytes.fromhex("15030100020228")
SPOKEN: dict[str, tuple[bytes, bytes, bool, str | None, str | None]] = {
    "10.0.2.1": (b"", b"SSH-2.0-OpenSSH_9.2p1\r\n", True, "ssh", MISPLACED),
    "10.0.2.2": (b"", b"SSH-1.5-1.2.27\n", True, "ssh", OLD),
    "10.0.2.3": (b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n", False,
                 "http", MISPLACED),
    "10.0.2.4": (b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 400 No\r\nServer: Apache/1.3.27\r\n\r\n",
                 False, "http", OLD),
    "10.0.2.5": (b"", b"220 mail.example ESMTP Postfix\r\n", True, "smtp", MISPLACED),
    "10.0.2.6": (b"", b"220 ProFTPD FTP Server ready\r\n", True, "ftp", MISPLACED),
    "10.0.2.7": (TLS_HELLO, TLS_ALERT, False, "tls", MISPLACED),
    "10.0.2.8": (b"hello there\n", b"hello there\n", False, "echo", PRETENDING),
    "10.0.2.9": (b"", b"\x00\x01\x02\\[bold]\x1b[2J", True, None, None),
    "10.0.2.10": (b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00",
                  b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x02\x00\x08\x00\x00\x00\x00\x00",
                  False, "rdp", MISPLACED),
}  # fmt: skip

DNS_ASK = bytes.fromhex("abcd01000001000000000000") + b"\x07example\x00\x00\x01\x00\x01"
DNS_SAY = bytes.fromhex("abcd81800001000000000000") + b"\x07example\x00\x00\x01\x00\x01"
SNMP = bytes.fromhex(
    "302602010104067075626c6963a019020101020100020100300e300c06082b060102010101000500"
)
NTP_ASK = b"\x1b" + bytes(47)
NTP_SAY = b"\x1c" + bytes(47)
DATAGRAMS = {
    "10.0.3.1": (DNS_ASK, DNS_SAY, "dns"),
    "10.0.3.2": (SNMP, SNMP.replace(b"\xa0\x19", b"\xa2\x19"), "snmp"),
    "10.0.3.3": (NTP_ASK, NTP_SAY, "ntp"),
}


def session(server: str, **fields: Any) -> dict[str, Any]:
    """What is expected of a TCP session with port 561."""
    return {"type": "session", "client": CLIENT, "server": server, "port": 561,
            "protocol": "tcp", "port_role": "server"} | fields  # fmt: skip


def states(tape: Tape) -> list[dict[str, Any]]:
    """One connection for each of Zeek's words."""
    expected = []
    for number, (state, script) in enumerate(STATES.items()):
        server = f"10.0.1.{number + 1}"
        talk = Talk(tape, (CLIENT, 41000 + number), (server, 561), 10.0 * number)
        sides: dict[str, Callable[[str], Any]] = {">": talk.up, "<": talk.down}
        for segment in script.split():
            sides[segment[0]](segment[1:])
        expected.append(session(server, conn_state=state, bytes_to_server=0, bytes_to_client=0))
    return expected


def services(tape: Tape) -> list[dict[str, Any]]:
    """One connection for each thing that may speak on a port like this."""
    expected = []
    for number, (server, spoken) in enumerate(SPOKEN.items()):
        asked, said, server_first, service, looks = spoken
        talk = Talk(tape, (CLIENT, 42000 + number), (server, 561), 200 + 10.0 * number)
        talk.open()
        if server_first:
            talk.down("PA", said)
            talk.up("A")
        if asked:
            talk.up("PA", asked)
        if not server_first:
            talk.down("PA", said)
        talk.close()
        expected.append(
            session(server, conn_state="SF", bytes_to_server=len(asked),
                    bytes_to_client=len(said), service=service, looks_like=looks)
        )  # fmt: skip
    # Nothing that a terminal would obey is in the preview, and nothing is lost of it.
    expected[8]["payload_preview"] = "< \\x00\\x01\\x02\\\\[bold]\\x1b[2J"
    return expected


def oddities(tape: Tape) -> list[dict[str, Any]]:
    """A port with two faces, a retransmission, and a client whose own port is 561."""
    expected = []
    for number, banner in enumerate((b"SSH-2.0-x\r\n", b"220 x FTP\r\n")):
        talk = Talk(tape, (CLIENT, 43000 + number), ("10.0.4.1", 561), 400 + 10.0 * number)
        talk.open()
        talk.down("PA", banner)
        talk.close()
        expected.append(session("10.0.4.1", client_port=43000 + number, looks_like=PRETENDING,
                                looks_why="the same port spoke ftp and ssh"))  # fmt: skip
    talk = Talk(tape, (CLIENT, 43002), ("10.0.4.2", 561), 420)
    talk.open()
    lost = talk.up("PA", b"twice")
    tape.at(talk.second + 0.3, lost)
    talk.second += 0.5
    talk.close()
    expected.append(
        session(
            "10.0.4.2",
            conn_state="SF",
            bytes_to_server=5,
            packets_to_server=6,
            payload_preview="> twice",
        )
    )
    talk = Talk(tape, ("10.0.4.3", 561), ("10.0.4.4", 80), 430)
    talk.open()
    talk.up("PA", b"GET / HTTP/1.0\r\n\r\n")
    talk.down("PA", b"HTTP/1.0 200 OK\r\n\r\n")
    talk.close()
    expected.append(
        {"type": "session", "client": "10.0.4.3", "client_port": 561, "server": "10.0.4.4",
         "server_port": 80, "port": 561, "port_role": "client", "conn_state": "SF",
         "service": "http", "looks_like": None}
    )  # fmt: skip
    return expected


def flows(tape: Tape) -> list[dict[str, Any]]:
    """UDP: three services, and a question without an answer."""
    expected = []
    for number, (server, (asked, said, service)) in enumerate(DATAGRAMS.items()):
        ends = (CLIENT, 44000 + number), (server, 561)
        tape.at(500 + number, datagram(*ends, asked))
        tape.at(500.2 + number, datagram(*reversed(ends), said))
        expected.append(
            session(server, protocol="udp", conn_state="SF", bytes_to_server=len(asked),
                    bytes_to_client=len(said), service=service, looks_like=MISPLACED)
        )  # fmt: skip
    tape.at(510, datagram((CLIENT, 44100), ("10.0.3.4", 561), b"anybody?"))
    expected.append(session("10.0.3.4", protocol="udp", conn_state="S0", bytes_to_server=8))
    return expected


def main() -> None:
    """Write all of them into one capture."""
    tape = Tape(1_700_000_000)
    tape.write(HERE, [*states(tape), *services(tape), *oddities(tape), *flows(tape)])


if __name__ == "__main__":
    main()
