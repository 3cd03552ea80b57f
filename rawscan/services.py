"""What speaks on a port, guessed from the first bytes of both sides, as a table. Touches nothing.

One row is one `Service`. `recognise` names the protocol, `appraise` says what that means for a port
on which nothing should answer. To teach it a protocol, add a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rawscan.model import Protocol

TCP, UDP = Protocol.TCP, Protocol.UDP
MISPLACED, OLD, PRETENDING = "misplaced service", "very old system", "something pretending"

_SHORTEST_ECHO_BYTES, _SHORTEST_TAIL_BYTES = 4, 2
_ECHO_BYTES = 64
_ECHO_PORT = 7


@dataclass(frozen=True, slots=True)
class Service:
    """One row: a protocol, where it lives, and how its first bytes begin.

    `client` and `server` are patterns for what the client and the server send; either may be None.
    The server's word outranks the client's, who may be asking in vain. `ports` are IANA's.
    """

    name: str
    protocol: Protocol
    ports: frozenset[int]
    server: re.Pattern[bytes] | None
    client: re.Pattern[bytes] | None
    source: str


def _row(
    name: str, protocol: Protocol, ports: Iterable[int], server: bytes, client: bytes, source: str
) -> Service:
    said, asked = (re.compile(p, re.DOTALL) if p else None for p in (server, client))
    return Service(name, protocol, frozenset(ports), said, asked, source)


_HTTP_ASK = rb"(GET|HEAD|POST|PUT|DELETE|OPTIONS|CONNECT|TRACE|PATCH|PROPFIND) \S+ HTTP/\d"
_SNMP = rb"\x30(\x81.|\x82..|[\x00-\x7f])\x02\x01[\x00\x01\x03]"

SERVICES: tuple[Service, ...] = (
    _row("ssh", TCP, (22,), rb"SSH-\d", rb"SSH-\d", "RFC 4253, section 4.2"),
    _row(
        "tls",
        TCP,
        (443, 465, 563, 636, 853, 989, 990, 992, 993, 995, 8443),
        rb"[\x14-\x16]\x03[\x00-\x04]",
        rb"\x16\x03[\x00-\x04]..\x01",
        "RFC 8446, section 5.1",
    ),
    _row(
        "sslv2",
        TCP,
        (443,),
        rb"[\x80-\xff].\x04[\x00\x01]\x01\x00\x02",
        rb"[\x80-\xff].\x01\x00\x02",
        "RFC 6101, appendix E",
    ),
    _row("http", TCP, (80, 591, 8008, 8080), rb"HTTP/\d", _HTTP_ASK, "RFC 9112, section 3"),
    _row("rtsp", TCP, (554,), rb"RTSP/\d", rb"[A-Z_]+ rtsp:", "RFC 7826, section 20"),
    _row("sip", TCP, (5060,), rb"SIP/2", rb"[A-Z]+ sips?:", "RFC 3261, section 7"),
    _row("ftp", TCP, (21,), rb"[12]20[ -][^\n]*(FTP|ftp|FileZilla)", rb"", "RFC 959, section 4.2"),
    _row(
        "smtp",
        TCP,
        (25, 465, 587),
        rb"[25]\d\d[ -][^\n]*(SMTP|smtp|[Mm]ail|Sendmail|Postfix)",
        rb"(EHLO|HELO|ehlo|helo) ",
        "RFC 5321, section 4.2",
    ),
    _row(
        "nntp",
        TCP,
        (119, 563),
        rb"20[01] [^\n]*(NNTP|[Nn]ews)",
        rb"MODE READER",
        "RFC 3977, section 5.1",
    ),
    _row("pop3", TCP, (110, 995), rb"\+OK", rb"(USER|CAPA|APOP|AUTH)[ \r]", "RFC 1939, section 3"),
    _row(
        "imap",
        TCP,
        (143, 993),
        rb"\* (OK|PREAUTH|BYE)",
        rb"\S+ (CAPABILITY|LOGIN|STARTTLS)",
        "RFC 9051, section 7.1",
    ),
    _row("telnet", TCP, (23, 107, 992), rb"(\xff[\xfb-\xfe].)+", rb"\xff[\xfb-\xfe].", "RFC 854"),
    _row(
        "rdp",
        TCP,
        (3389,),
        rb"\x03\x00..[\x06-\x20]\xd0",
        rb"\x03\x00..[\x06-\xff]\xe0",
        "RFC 1006; MS-RDPBCGR, 2.2.1.1",
    ),
    _row(
        "vnc",
        TCP,
        range(5900, 5910),
        rb"RFB \d{3}\.\d{3}\n",
        rb"RFB \d{3}\.\d{3}\n",
        "RFC 6143, section 7.1.1",
    ),
    _row(
        "smb", TCP, (139, 445), rb"\x00...[\xff\xfe]SMB", rb"\x00...[\xff\xfe]SMB", "MS-SMB2, 2.1"
    ),
    _row(
        "netbios-session",
        TCP,
        (139,),
        rb"[\x82\x83]\x00\x00[\x00\x01]",
        rb"\x81\x00\x00D",
        "RFC 1002, section 4.3",
    ),
    _row(
        "mysql",
        TCP,
        (3306,),
        rb"...\x00\x0a\d+\.\d+[^\x00]*\x00",
        rb"",
        "MySQL, protocol::Handshake",
    ),
    _row("rsync", TCP, (873,), rb"@RSYNCD:", rb"@RSYNCD:", "rsync, clientserver.c"),
    _row(
        "redis",
        TCP,
        (6379,),
        rb"(\+PONG|-NOAUTH|-DENIED|-ERR unknown command)",
        rb"\*\d+\r\n\$\d+\r\n",
        "RESP",
    ),
    _row(
        "ldap",
        TCP,
        (389,),
        rb"\x30.{1,5}\x02\x01.\x61",
        rb"\x30.{1,5}\x02\x01.\x60",
        "RFC 4511, section 4.2",
    ),
    _row(
        "sunrpc",
        TCP,
        (111,),
        rb"[\x80\x00].......\x00\x00\x00\x01\x00\x00\x00[\x00\x01]",
        rb"\x80\x00.{6}\x00\x00\x00\x00\x00\x00\x00\x02",
        "RFC 5531, section 9",
    ),
    _row(
        "dns",
        TCP,
        (53,),
        rb"..(?=.{12})..[\x80-\x87].\x00[\x00\x01]",
        rb"..(?=.{12})..[\x00-\x07].\x00\x01\x00\x00",
        "RFC 1035, section 4.2.2",
    ),
    _row(
        "bittorrent",
        TCP,
        range(6881, 6890),
        rb"\x13BitTorrent protocol",
        rb"\x13BitTorrent protocol",
        "BEP 3",
    ),
    _row("snmp", UDP, (161, 162), _SNMP, _SNMP, "RFC 3417; RFC 1157, section 4"),
    _row(
        "ntp",
        UDP,
        (123,),
        rb"[\x0c\x14\x1c\x24\x4c\x54\x5c\x64\x8c\x94\x9c\xa4\xcc\xd4\xdc\xe4].{47}",
        rb"[\x0b\x13\x1b\x23\xcb\xd3\xdb\xe3].{47}",
        "RFC 5905, section 7.3",
    ),
    _row(
        "tftp",
        UDP,
        (69,),
        rb"\x00[\x03\x05\x06]\x00",
        rb"\x00[\x01\x02][\x20-\x7e]+\x00(octet|netascii)\x00",
        "RFC 1350, section 5",
    ),
    _row("sip", UDP, (5060,), rb"SIP/2", rb"[A-Z]+ sips?:", "RFC 3261, section 7"),
    _row(
        "ssdp",
        UDP,
        (1900,),
        rb"HTTP/1\.1 200 OK\r\n(.*\r\n)?ST:",
        rb"M-SEARCH \* HTTP",
        "UPnP, section 1.3",
    ),
    _row(
        "netbios-ns",
        UDP,
        (137,),
        rb"..[\x84\x85].\x00\x00\x00\x01.{4}\x20[A-P]{32}",
        rb"..\x00.\x00\x01\x00{6}\x20[A-P]{30}",
        "RFC 1002, section 4.2",
    ),
    _row(
        "sunrpc",
        UDP,
        (111,),
        rb".{4}\x00\x00\x00\x01\x00\x00\x00[\x00\x01]",
        rb".{4}\x00\x00\x00\x00\x00\x00\x00\x02",
        "RFC 5531, section 9",
    ),
    _row(
        "dtls",
        UDP,
        (443, 853),
        rb"[\x15\x16]\xfe[\xff\xfd]",
        rb"\x16\xfe[\xff\xfd]",
        "RFC 6347, section 4.1",
    ),
    _row(
        "dns",
        UDP,
        (53, 5353),
        rb"..[\x80-\x87][\x00-\x05\x20-\x25\x80-\x85\xa0-\xa5]\x00[\x00\x01].{6}",
        rb"..[\x00-\x07].\x00\x01\x00\x00\x00\x00",
        "RFC 1035, section 4.1",
    ),
)
"""The most telling first, the ones that chance fits most easily last."""

# What only old software says of itself, and how old that makes it.
_OLD: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), why)
    for pattern, why in (
        (rb"SSH-1\.[0-8]", "it speaks SSH 1 only, which RFC 4253 replaced in 2006"),
        (rb"SSH-\S+OpenSSH_[1-4]\.", "an OpenSSH from before 2008"),
        (rb"\x16\x03\x00", "it speaks SSL 3.0, forbidden since 2015 (RFC 7568)"),
        (
            rb"[\x80-\xff].\x04[\x00\x01]\x01\x00\x02",
            "it speaks SSL 2.0, forbidden since 2011 (RFC 6176)",
        ),
        (
            rb"HTTP/.*Server: (Apache/1\.|Microsoft-IIS/[1-6]\.|NCSA|CERN)",
            "a web server of the 1990s or early 2000s",
        ),
        (rb"220[ -].*(Sendmail (8\.([0-9]|1[01])[./]|[4-7]\.)|SMI-)", "a Sendmail before 2004"),
        (
            rb"220[ -].*Microsoft ESMTP MAIL Service, Version: [56]\.0",
            "the mail server of Windows 2000 or 2003",
        ),
        (rb"220[ -].*(wu-2|UNIX\(r\) System V)", "an FTP server of the 1990s"),
        (
            rb".*\b(SunOS|HP-UX|IRIX|ULTRIX|OSF/1|4\.[23] ?BSD|OpenVMS|VAX/VMS)\b",
            "it names an operating system of the last century",
        ),
    )
)


@dataclass(frozen=True, slots=True)
class Guess:
    """The protocol, and by which bytes. `answered`: the server speaks it, not only the client."""

    name: str
    why: str
    answered: bool


def recognise(
    protocol: Protocol, from_client: bytes, from_server: bytes, server_first: bool
) -> Guess | None:
    """Guess the protocol by the first bytes of each side; None if no row fits.

    `server_first` says that the server spoke before it was asked.
    """
    if not from_client and not from_server:
        return None
    if _echoes(from_client, from_server, server_first):
        return Guess("echo", "the server sends back what it was sent (RFC 862)", answered=True)
    rows = [row for row in SERVICES if row.protocol is protocol]
    for row in rows:
        if row.server and row.server.match(from_server):
            return Guess(row.name, f"the server begins as {row.source} has it", answered=True)
    for row in rows:
        if row.client and row.client.match(from_client):
            return Guess(row.name, f"the client begins as {row.source} has it", answered=False)
    return None


def _echoes(from_client: bytes, from_server: bytes, server_first: bool) -> bool:
    """Both sides may greet with the same words (SSH, VNC); an echo comes after what it repeats."""
    asked = from_client.strip()[:_ECHO_BYTES]
    if asked and asked == from_server.strip():
        return not server_first
    if len(asked) >= _SHORTEST_TAIL_BYTES and from_server.strip().endswith(asked):
        return True
    at = from_server.find(asked) if len(asked) >= _SHORTEST_ECHO_BYTES else -1
    return at > 0 or (at == 0 and not server_first)


def appraise(
    protocol: Protocol, port: int, guess: Guess | None, from_server: bytes
) -> tuple[str, str] | None:
    """What the listener looks like, and why; None if it is where it belongs, or nobody can tell."""
    if guess and guess.name == "echo" and port != _ECHO_PORT:
        return PRETENDING, f"{guess.why}, as simple honeypots and test programs do"
    old = next((why for pattern, why in _OLD if pattern.match(from_server)), None)
    if old:
        return OLD, old
    if guess is None or not guess.answered or _is_at_home(guess.name, protocol, port):
        return None
    if guess.name == "sunrpc":
        return OLD, "the RPC services of old Unixes took any free port below 1024"
    return MISPLACED, f"it speaks {guess.name}, which does not belong on port {port}"


def _is_at_home(name: str, protocol: Protocol, port: int) -> bool:
    return name == "echo" or any(
        row.name == name and row.protocol is protocol and port in row.ports for row in SERVICES
    )


def preview(from_client: bytes, from_server: bytes, most_bytes: int = 64) -> str | None:
    """The first bytes of each side, safe to print: `> GET / HTTP/1.0\\r\\n < HTTP/1.0 200 OK`.

    Printable ASCII stands for itself; all else, and the backslash, is escaped. None if nobody said
    anything.
    """
    sides = (("> ", from_client), ("< ", from_server))
    return " ".join(mark + _safe(said[:most_bytes]) for mark, said in sides if said) or None


_NAMED = {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x5C: "\\\\"}


def _safe(data: bytes) -> str:
    return "".join(
        _NAMED.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}")
        for byte in data
    )
