"""The words of the field as types: enums and frozen records. Touches nothing.

Integers are in host order. Times are seconds since the Unix epoch (`_s`), as floats.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, IntEnum, IntFlag
from ipaddress import IPv4Address, IPv6Address

IPAddress = IPv4Address | IPv6Address

NO_TIME_S = 0.0
"""`Frame.time_s` of a packet whose file does not say when it was: a Simple Packet Block has no
timestamp (pcapng draft, section 4.4), and a time past the year 9999 is none."""

DEFAULT_PORT = 561
"""`monitor`: assigned to TCP and UDP, obsolete, answered by almost nothing (IANA)."""


class State(Enum):
    """What is said of a port: nmap's six, and `UNKNOWN` where there is no honest verdict."""

    OPEN = "open"
    CLOSED = "closed"
    FILTERED = "filtered"
    UNFILTERED = "unfiltered"
    OPEN_FILTERED = "open|filtered"
    CLOSED_FILTERED = "closed|filtered"
    UNKNOWN = "unknown"


class Protocol(Enum):
    """Transport protocols that have ports; `number` is IANA's IP protocol number."""

    TCP = "tcp"
    UDP = "udp"

    @property
    def number(self) -> int:
        """IANA protocol number: 6 or 17."""
        return 6 if self is Protocol.TCP else 17


class ProbeKind(Enum):
    """What is sent to a port."""

    SYN = "syn"
    UDP = "udp"
    ACK = "ack"

    @property
    def protocol(self) -> Protocol:
        """The transport that carries this probe."""
        return Protocol.UDP if self is ProbeKind.UDP else Protocol.TCP


class Flags(IntFlag):
    """TCP control bits (RFC 9293, section 3.1)."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10
    URG = 0x20
    ECE = 0x40
    CWR = 0x80


class ReplyKind(IntEnum):
    """What came back. The ICMP kinds carry a type and a code beside them (`Signal`).

    `SYN_ACK_UNSEEN` came back by another way than past the tap: the asker's own RST tells of it.
    """

    SILENCE = 0
    SILENCE_CUT_SHORT = 1
    SILENCE_DROPS = 2
    SILENCE_ONE_WAY = 3
    SILENCE_SNAPLEN = 4
    NO_NEIGHBOUR = 5
    SEND_FAILED = 6
    SYN_ACK = 7
    SYN = 8
    RST = 9
    TCP_OTHER = 10
    UDP = 11
    SYN_ACK_UNSEEN = 12
    ICMP = 13
    ICMP6 = 14


@dataclass(frozen=True, slots=True)
class Signal:
    """A reply reduced to what the rules look at. `type` and `code` are 0 unless it is ICMP.

    Unknown types and codes are values, not errors.
    """

    kind: ReplyKind
    type: int = 0
    code: int = 0

    def __str__(self) -> str:
        if self.kind in (ReplyKind.ICMP, ReplyKind.ICMP6):
            return f"{self.kind.name.lower()}:{self.type}/{self.code}"
        return self.kind.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class Tcp:
    """A TCP header, or as much of it as was captured or quoted: the rest is None.

    `options` are its option bytes as far as captured, `payload` the first bytes of what follows.
    """

    sport: int
    dport: int
    seq: int | None = None
    ack: int | None = None
    flags: Flags | None = None
    window: int | None = None
    options_bytes: int | None = None
    payload_bytes: int | None = None
    options: bytes = b""
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Udp:
    """A UDP header; `payload_bytes` is from its length field and None when that was cut off.

    `payload` is the first bytes of it.
    """

    sport: int
    dport: int
    payload_bytes: int | None = None
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Icmp:
    """An ICMP (`version` 4) or ICMPv6 (`version` 6) message.

    `quoted` is the packet that provoked it, None when it is no error message or quotes too little
    to name the ports (RFC 792 promises 8 bytes of transport header).
    """

    version: int
    type: int
    code: int
    quoted: Packet | None = None


@dataclass(frozen=True, slots=True)
class Other:
    """Something without ports: another protocol, or a fragment that is not the first."""

    protocol: int


@dataclass(frozen=True, slots=True)
class Packet:
    """One decoded IP packet.

    `identification` is IPv4's field of that name, or IPv6's flow label; `dont_fragment` is IPv4's
    flag, None for IPv6. `piece_of` is the identification of the datagram of which it is a fragment,
    None if it is whole.
    """

    source: IPAddress
    destination: IPAddress
    ttl: int
    body: Tcp | Udp | Icmp | Other
    dont_fragment: bool | None = None
    identification: int | None = None
    piece_of: int | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """Bytes as they crossed a link. `data` is at most `original_bytes` long (snaplen)."""

    time_s: float
    data: bytes
    linktype: int
    original_bytes: int


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """What a verdict is about: one port of one target, asked by one kind of probe."""

    target: IPAddress
    number: int
    kind: ProbeKind

    @property
    def protocol(self) -> Protocol:
        """TCP or UDP."""
        return self.kind.protocol


@dataclass(frozen=True, slots=True)
class Probe:
    """One try at a port. `number` counts tries from 0."""

    port: Port
    number: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reply (or one considered silence) about one port, and what proves that it is about it.

    `responder` is who sent it, None for silence. `try_number` says which try it answers, None when
    the reply cannot tell. `frame_number` counts from 1 in a capture, None in a live scan.
    """

    signal: Signal
    responder: IPAddress | None
    from_target: bool
    time_s: float
    try_number: int | None = None
    ttl: int | None = None
    rtt_s: float | None = None
    window: int | None = None
    options_bytes: int | None = None
    frame_number: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state of one port, the reason, and how sure it is.

    `confidence` is the chance that lost packets did not make this verdict, 0 to 1. `reason_ip`,
    `reason_ttl` and `rtt_s` are None for silence. `rule` is the id of the row in `rawscan.rules`.
    `revises` is the state that an earlier verdict on this port had, if this one takes its place.
    `evidence` is kept where there is more than one piece of it.
    """

    port: Port
    state: State
    reason: str
    rule: str
    tries: int
    confidence: float
    time_s: float
    reason_ip: IPAddress | None = None
    reason_ttl: int | None = None
    rtt_s: float | None = None
    hints: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    revises: State | None = None

    @property
    def claim(self) -> tuple[State, str, IPAddress | None]:
        """State, reason and responder: what a live scan and its recording must agree upon."""
        return self.state, self.reason, self.reason_ip


@dataclass(slots=True)
class Counts:
    """Frames by what they are, as `capture` records have them.

    `tcp_to` and `udp_to` have the port as destination, `tcp_from` and `udp_from` as source; `syn`
    goes to it without ACK, `syn_ack` and `rst` come from it. `icmp` and `icmp6` count errors, by
    `type/code`, whose quoted packet went to it; ports inside a quote count nowhere else.
    """

    tcp_to: int = 0
    tcp_from: int = 0
    udp_to: int = 0
    udp_from: int = 0
    syn: int = 0
    syn_ack: int = 0
    rst: int = 0
    icmp: Counter[str] = field(default_factory=Counter)
    icmp6: Counter[str] = field(default_factory=Counter)
