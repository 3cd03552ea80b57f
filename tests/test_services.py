"""Services by their first bytes: each row by a sample from its own specification, and looks."""

from __future__ import annotations

import re

import pytest

from rawscan.model import Protocol
from rawscan.services import MISPLACED, OLD, PRETENDING, SERVICES, appraise, preview, recognise

TCP, UDP = Protocol.TCP, Protocol.UDP

# What the server of each row says, and what the client says; a word or two of each protocol.
SAMPLES: dict[tuple[str, Protocol], tuple[bytes, bytes]] = {
    ("ssh", TCP): (b"SSH-2.0-OpenSSH_9.2\r\n", b"SSH-2.0-PuTTY\r\n"),
    ("tls", TCP): (b"\x16\x03\x03\x00\x40\x02", b"\x16\x03\x01\x00\x40\x01"),
    ("sslv2", TCP): (b"\x84\x2e\x04\x00\x01\x00\x02", b"\x80\x2e\x01\x00\x02"),
    ("http", TCP): (b"HTTP/1.1 404 Not Found\r\n", b"GET / HTTP/1.1\r\n"),
    ("rtsp", TCP): (b"RTSP/1.0 200 OK\r\n", b"OPTIONS rtsp://x RTSP/1.0\r\n"),
    ("sip", TCP): (b"SIP/2.0 200 OK\r\n", b"INVITE sip:x@y SIP/2.0\r\n"),
    ("ftp", TCP): (b"220 (vsFTPd 3.0.3)\r\n", b""),
    ("smtp", TCP): (b"220 mx.example ESMTP\r\n", b"EHLO x\r\n"),
    ("nntp", TCP): (b"200 news.example NNTP ready\r\n", b"MODE READER\r\n"),
    ("pop3", TCP): (b"+OK ready\r\n", b"USER x\r\n"),
    ("imap", TCP): (b"* OK IMAP4rev1\r\n", b"a1 CAPABILITY\r\n"),
    ("telnet", TCP): (b"\xff\xfd\x18\xff\xfd\x20", b"\xff\xfb\x18"),
    ("rdp", TCP): (b"\x03\0\0\x13\x0e\xd0\0\0", b"\x03\0\0\x2a\x25\xe0\0\0"),
    ("vnc", TCP): (b"RFB 003.008\n", b"RFB 003.008\n"),
    ("smb", TCP): (b"\0\0\0\x55\xfeSMB", b"\0\0\0\xa4\xffSMB"),
    ("netbios-session", TCP): (b"\x82\0\0\0", b"\x81\0\0D"),
    ("mysql", TCP): (b"\x4a\0\0\0\x0a8.0.33\0", b""),
    ("rsync", TCP): (b"@RSYNCD: 31.0\n", b"@RSYNCD: 31.0\n"),
    ("redis", TCP): (b"-NOAUTH Authentication required.\r\n", b"*1\r\n$4\r\nPING\r\n"),
    ("ldap", TCP): (b"\x30\x0c\x02\x01\x01\x61\x07", b"\x30\x0c\x02\x01\x01\x60\x07"),
    ("sunrpc", TCP): (
        b"\x80\0\0\x18abcd\0\0\0\x01\0\0\0\0",
        b"\x80\0\0\x28abcd\0\0\0\0\0\0\0\x02",
    ),
    ("dns", TCP): (
        b"\0\x1eab\x84\0\0\x01\0\0\0\0\0\0\x03abc\0",
        b"\0\x1eab\x01\0\0\x01\0\0\0\0\0\0\x03abc\0",
    ),
    ("bittorrent", TCP): (b"\x13BitTorrent protocol", b"\x13BitTorrent protocol"),
    ("snmp", UDP): (b"\x30\x29\x02\x01\x01\x04\x06public", b"\x30\x29\x02\x01\0\x04\x06public"),
    ("ntp", UDP): (b"\x24" + bytes(47), b"\xe3" + bytes(47)),
    ("tftp", UDP): (b"\0\x03\0\x01data", b"\0\x01file\0octet\0"),
    ("sip", UDP): (b"SIP/2.0 200 OK\r\n", b"OPTIONS sip:x SIP/2.0\r\n"),
    ("ssdp", UDP): (b"HTTP/1.1 200 OK\r\nCACHE: 1\r\nST: x\r\n", b"M-SEARCH * HTTP/1.1\r\n"),
    ("netbios-ns", UDP): (
        b"ab\x84\0\0\0\0\x01\0\0\0\0\x20" + b"CK" + b"A" * 30,
        b"ab\0\x10\0\x01\0\0\0\0\0\0\x20" + b"CK" + b"A" * 30,
    ),
    ("sunrpc", UDP): (b"abcd\0\0\0\x01\0\0\0\0", b"abcd\0\0\0\0\0\0\0\x02"),
    ("dtls", UDP): (b"\x16\xfe\xfd", b"\x16\xfe\xff"),
    ("dns", UDP): (b"ab\x81\x80\0\x01\0\x01\0\0\0\0", b"ab\x01\0\0\x01\0\0\0\0\0\0"),
}


def test_every_row_has_a_sample() -> None:
    assert {(row.name, row.protocol) for row in SERVICES} == set(SAMPLES)


@pytest.mark.parametrize("key", SAMPLES, ids=lambda key: f"{key[0]}/{key[1].value}")
def test_samples(key: tuple[str, Protocol]) -> None:
    name, protocol = key
    server, client = SAMPLES[key]
    by_server = recognise(protocol, b"", server, True)
    assert by_server is not None
    assert (by_server.name, by_server.answered) == (name, True)
    by_client = recognise(protocol, client, b"", False)
    if client:
        assert by_client is not None
        assert (by_client.name, by_client.answered) == (name, False)
    # Both have no fear of being cut off anywhere.
    for said in (server, client):
        for end in range(len(said)):
            recognise(protocol, said[:end], b"", False)
            recognise(protocol, b"", said[:end], True)


@pytest.mark.parametrize("said", [b"", b"\0", b"monitor 1.0 ready\r\n", b"OK\n", bytes(300)])
def test_what_nobody_knows(said: bytes) -> None:
    assert recognise(TCP, b"", said, True) is None
    assert recognise(UDP, b"", said, True) is None


def looks(server: bytes, client: bytes = b"", port: int = 561, first: bool = True) -> str | None:
    guess = recognise(TCP, client, server, first)
    found = appraise(TCP, port, guess, server)
    return found and found[0]


def test_a_service_is_misplaced_where_it_does_not_belong() -> None:
    assert looks(b"SSH-2.0-x\r\n") == MISPLACED
    assert looks(b"SSH-2.0-x\r\n", port=22) is None
    # Somebody asked for it, which does not make the server speak it.
    assert looks(b"go away\r\n", b"GET / HTTP/1.0\r\n\r\n", first=False) is None
    assert looks(b"") is None


@pytest.mark.parametrize(
    "banner",
    [
        b"SSH-1.5-OpenSSH_2.3\n",
        b"SSH-2.0-OpenSSH_3.9p1\n",
        b"\x16\x03\x00\x00\x40\x02",
        b"HTTP/1.1 200 OK\r\nServer: Microsoft-IIS/5.0\r\n",
        b"220 host ESMTP Sendmail 8.9.3/8.9.3\r\n",
        b"220 x Microsoft ESMTP MAIL Service, Version: 5.0.2195\r\n",
        b"220 x FTP server (Version wu-2.6.1) ready\r\n",
        b"\r\nSunOS 4.1.4\r\nlogin: ",
        b"\x80\0\0\x18abcd\0\0\0\x01\0\0\0\0",
    ],
)
def test_old_systems(banner: bytes) -> None:
    assert looks(banner) == OLD


@pytest.mark.parametrize(
    "banner",
    [
        b"SSH-1.99-OpenSSH_9.2\n",  # speaks both
        b"HTTP/1.1 200 OK\r\nServer: Apache/2.4.57\r\n",
        b"220 host ESMTP Sendmail 8.17.1/8.17.1\r\n",
        b"\x15\x03\x00\x00\x02\x02\x28",  # an alert to who asks for SSL 3.0
    ],
)
def test_systems_of_today(banner: bytes) -> None:
    assert looks(banner) == MISPLACED


def test_an_echo_comes_after_what_it_repeats() -> None:
    hello = b"\x16\x03\x01\x00\x40\x01hello"
    assert looks(hello, hello, first=False) == PRETENDING
    assert looks(b"ready\r\nok ping", b"ping", first=True) == PRETENDING
    assert looks(b"mon:q1", b"q1\n", first=False) == PRETENDING
    assert looks(hello, hello, port=7, first=False) is None
    # Both greet with the same words, the server first: that is the protocol.
    greeting = b"RFB 003.008\n"
    assert looks(greeting, greeting, port=5901, first=True) is None
    assert looks(greeting, b"", port=561) == MISPLACED
    banner = b"SSH-2.0-OpenSSH_9.2\r\n"
    assert looks(banner + b"\0\0\x05", banner, first=True) == MISPLACED
    assert looks(banner + b"\0\0\x05", banner, first=False) == PRETENDING
    # A word that is in the answer by chance, or nothing at all, is no echo.
    assert looks(b"all is OK here", b"OK", first=False) is None
    assert looks(b"\r\n", b"\r\n", first=False) is None


def test_previews_are_safe_and_short() -> None:
    assert preview(b"", b"") is None
    assert preview(b"a\r\n", b"\x1b]0;title\x07\\") == "> a\\r\\n < \\x1b]0;title\\x07\\\\"
    every = preview(bytes(range(256)), b"", most_bytes=256)
    assert every is not None
    assert re.fullmatch(r"[\x20-\x7e]+", every)
    assert preview(b"x" * 1000, b"y" * 1000, most_bytes=4) == "> xxxx < yyyy"
