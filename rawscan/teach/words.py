"""How packets, times and senders are put into words. Pure."""

from __future__ import annotations

from rawscan.model import Flags, Icmp, Packet, ProbeKind, ReplyKind, Signal, State, Tcp, Udp
from rawscan.rules import Rule, rule_for

PROBES = {
    ProbeKind.SYN: "SYN",
    ProbeKind.UDP: "UDP datagram",
    ProbeKind.ACK: "ACK",
}

STATES = {
    State.OPEN: "A program answers, or its kernel does because of it.",
    State.CLOSED: "The host answers, and says that no program listens. The probe got through.",
    State.FILTERED: "Something on the way refuses the probe or swallows it; the port was never"
    " asked, as far as can be seen.",
    State.UNFILTERED: "The probe got through to the host's TCP; whether a program listens, this"
    " probe cannot tell.",
    State.OPEN_FILTERED: "Silence with two explanations: a program that does not care to answer,"
    " or something that swallows.",
    State.CLOSED_FILTERED: "Closed or filtered; no probe of today's gives it.",
    State.UNKNOWN: "No honest verdict: what was seen, or how it was watched, allows none.",
}
"""What each state means, in a sentence."""

_ICMP_TYPES = {
    (4, 3): "destination unreachable",
    (4, 4): "source quench",
    (4, 5): "redirect",
    (4, 11): "time exceeded",
    (4, 12): "parameter problem",
    (6, 1): "destination unreachable",
    (6, 2): "packet too big",
    (6, 3): "time exceeded",
    (6, 4): "parameter problem",
}

_REPLIES = {
    ReplyKind.SILENCE: "no answer, after waiting long enough",
    ReplyKind.SILENCE_CUT_SHORT: "no answer, and the watch ended too soon",
    ReplyKind.SILENCE_DROPS: "no answer, and packets were dropped unseen",
    ReplyKind.SILENCE_ONE_WAY: "no answer, where none could be seen",
    ReplyKind.SILENCE_SNAPLEN: "an answer that is cut off too early to be read",
    ReplyKind.NO_NEIGHBOUR: "nobody on the asker's own link has the address",
    ReplyKind.SEND_FAILED: "the probe could not be sent",
    ReplyKind.SYN_ACK: "a SYN+ACK",
    ReplyKind.SYN: "a SYN without ACK",
    ReplyKind.RST: "a RST",
    ReplyKind.UDP: "a datagram from the probed port",
}


def describe_reply(rule: Rule) -> str:
    """What the row's reply is, in words: `a RST`, `ICMP 3/13 (admin-prohibited)`."""
    if rule.reply not in (ReplyKind.ICMP, ReplyKind.ICMP6):
        return _REPLIES.get(rule.reply, rule.signal)
    name = "ICMP" if rule.reply is ReplyKind.ICMP else "ICMPv6"
    return f"{name} {rule.signal.partition(':')[2]} ({rule.reason})"


def icmp_name(icmp: Icmp) -> str:
    """`ICMP 3/3 port-unreach`: by the rule table where it has a word, else by the type."""
    name = "ICMP" if icmp.version == 4 else "ICMPv6"
    kind = ReplyKind.ICMP if icmp.version == 4 else ReplyKind.ICMP6
    rule = rule_for(ProbeKind.SYN, Signal(kind, icmp.type, icmp.code), from_target=False)
    word = rule.reason if rule else _ICMP_TYPES.get((icmp.version, icmp.type), "")
    return f"{name} {icmp.type}/{icmp.code} {word}".rstrip()


def flag_names(flags: Flags) -> str:
    """`SYN+ACK`, in the order of the handshake's names; `no flags` for none."""
    order = (Flags.SYN, Flags.FIN, Flags.RST, Flags.PSH, Flags.ACK, Flags.URG, Flags.ECE, Flags.CWR)
    return "+".join(str(flag.name) for flag in order if flags & flag) or "no flags"


def describe(packet: Packet) -> str:
    """One line about a packet, from what was captured of it and nothing else."""
    match packet.body:
        case Tcp() as tcp:
            parts = ["TCP" if tcp.flags is None else flag_names(tcp.flags)]
            parts += [] if tcp.seq is None else [f"seq={tcp.seq}"]
            acknowledges = tcp.flags is not None and tcp.flags & Flags.ACK
            parts += [f"ack={tcp.ack}"] if acknowledges and tcp.ack is not None else []
            parts += [f"+{tcp.payload_bytes} bytes"] if tcp.payload_bytes else []
        case Udp() as udp:
            parts = [f"UDP {udp.sport}->{udp.dport}"]
            size = "empty" if udp.payload_bytes == 0 else f"{udp.payload_bytes} bytes"
            parts += [] if udp.payload_bytes is None else [size]
        case Icmp() as icmp:
            parts = [icmp_name(icmp)]
        case _:
            parts = [f"IP protocol {packet.body.protocol}"]
    return " ".join([*parts, f"ttl={packet.ttl}"])


def time_text(seconds: float) -> str:
    """`0.093 ms`, `3.500 s`."""
    return f"{seconds * 1000:.3f} ms" if seconds < 1 else f"{seconds:.3f} s"
