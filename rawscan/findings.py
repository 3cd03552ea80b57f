"""What a capture tells, as frozen records. Touches nothing.

Times are seconds since the Unix epoch (`_s`), as floats; frames are numbered from 1.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rawscan.model import Counts, IPAddress, Protocol, State, Verdict


@dataclass(frozen=True, slots=True)
class Notes:
    """What Wireshark says of some frames: their protocols and its own remarks, each once."""

    protocols: tuple[str, ...]
    expert: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spell:
    """A time in which a port gave one and the same answer; times are those of its probes.

    `frames` are the replies' numbers, or the probes' where silence was the answer.
    """

    state: State
    reason: str
    reason_ip: IPAddress | None
    since_s: float
    until_s: float
    frames: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One port's verdict as the capture tells it, for one source of probes.

    `first_seen_s` and `last_seen_s` are those of all its frames; `probe_frames` are numbered from
    1, as the evidence's frames are. `history` is the port's, in the order of time.
    """

    verdict: Verdict
    source: IPAddress
    first_seen_s: float
    last_seen_s: float
    probe_frames: tuple[int, ...]
    history: tuple[Spell, ...] = ()
    notes: Notes | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One TCP connection or UDP flow that has to do with an asked port.

    `port` is the asked one; it is the server's, unless `port_role` says that it is only the
    client's own. `conn_state` is Zeek's word. Bytes are payload, retransmissions counted once.
    `flags` is Zeek's history: what was seen, capitals from the client. `looks_like` is what the
    listener looks like, with the reason in `looks_why`.
    """

    client: IPAddress
    client_port: int
    server: IPAddress
    server_port: int
    port: int
    port_role: str
    protocol: Protocol
    conn_state: str
    flags: str
    packets_to_server: int
    packets_to_client: int
    bytes_to_server: int
    bytes_to_client: int
    payload_preview: str | None
    service: str | None
    service_why: str | None
    looks_like: str | None
    looks_why: str | None
    first_s: float
    last_s: float
    first_frame: int
    last_frame: int
    notes: Notes | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Who probed the ports, and how.

    `targets` and `ports` are distinct ones. `failed` and `answered` count first contacts with a
    target, of which `walk` is made: "scanner", "benign", "pending" (Threshold Random Walk), None
    if this capture cannot tell. `busy` says that the plain counts of Zeek's old policy are met.
    `rate_pps` is None for a single moment.
    """

    address: IPAddress
    pattern: str
    tool: str | None
    tool_evidence: str | None
    probes: int
    targets: int
    ports: int
    answered: int
    failed: int
    walk: str | None
    busy: bool
    first_s: float
    last_s: float
    rate_pps: float | None


@dataclass(frozen=True, slots=True)
class Contact:
    """The first time that a source asked a port of a target. `answered` is None if nobody knows."""

    time_s: float
    target: IPAddress
    port: int
    answered: bool | None


@dataclass(frozen=True, slots=True)
class Backscatter:
    """Replies from a port to probes that nobody was seen to send.

    `kind` is "syn-ack", "rst" or "icmp". `form` "backscatter": one `victim` is flooded in the name
    of many, to whom its replies go. `form` "reflection": many are asked in the name of one
    `victim`, to whom theirs go. `attack`: by Moore et al.'s measure, as corsaro has it.
    """

    victim: IPAddress
    port: int
    kind: str
    form: str
    packets: int
    senders: int
    destinations: int
    attack: bool
    first_s: float
    last_s: float


@dataclass(frozen=True, slots=True)
class Activity:
    """Frames over time: `counts` has for each kind one number a step of `step_s` from `start_s`."""

    start_s: float
    step_s: float
    counts: dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What else a capture tells of the ports.

    `conn_states` counts all TCP and UDP sessions, those too that `sessions` has no room for;
    `sources_left_out` counts sources with a probe or two that there was no room for.
    """

    sessions: tuple[Session, ...] = ()
    sources: tuple[Source, ...] = ()
    backscatter: tuple[Backscatter, ...] = ()
    activity: Activity | None = None
    conn_states: Counter[str] = field(default_factory=Counter)
    sources_left_out: int = 0


@dataclass(frozen=True, slots=True)
class Analysis:
    """What one capture file holds. `error`, and `error_offset` in bytes, are set if it could not be
    read to its end.

    `own`: rawscan recorded it, and not one packet is missing. `ports`: which were looked for.
    `undecoded` counts, by cause, the frames that could not be read, and the carriers (tunnels,
    later fragments) of packets that were not. `first_s` and `last_s` are None if no frame bears
    a time. `dissect_error` says what kept tshark from looking at all matched frames.
    """

    path: str
    format: str
    linktypes: tuple[int, ...]
    packets: int
    bytes: int
    matched: int
    first_s: float | None
    last_s: float | None
    truncated: bool
    error: str | None
    error_offset: int | None
    counts: Counts
    undecoded: Counter[str]
    findings: tuple[Finding, ...]
    own: bool
    ports: str = ""
    traffic: Traffic = field(default_factory=Traffic)
    dissect_error: str | None = None
