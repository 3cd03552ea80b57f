"""Makes this case. Run it from anywhere."""

from __future__ import annotations

import sys
from pathlib import Path

from scapy.layers.inet import IP, TCP

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from builder import Talk, Tape, datagram, error  # noqa: E402

VICTIM, CLOSED, GUARDED, REFLECTED = "192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.200"


def answer(source: str, target: str, flags: str) -> IP:
    """A segment from port 561 that nobody in this capture has asked for."""
    segment = TCP(sport=561, dport=20000, flags=flags, seq=1, ack=2, window=64240)
    return IP(src=source, dst=target, ttl=60, flags="DF") / segment


def main() -> None:
    """Write what a quiet network sees of floods elsewhere, and of one that it takes part in."""
    tape = Tape(1_700_000_000)
    # Two minutes of a SYN flood with forged sources: one SYN+ACK a second, to 120 addresses.
    for number in range(120):
        tape.at(number, answer(VICTIM, f"198.51.100.{number}", "SA"))
    # A short one of a closed port: four RSTs to four addresses are no attack by any measure.
    for number in range(4):
        tape.at(number + 0.3, answer(CLOSED, f"198.51.100.{number}", "RA"))
    # A guarded one: the guard quotes the forged datagrams.
    for number in range(5):
        about = datagram((f"198.51.100.{number}", 7000), (GUARDED, 561), b"x" * 8)
        tape.at(number + 0.6, error("192.0.2.254", about, 3, 13))
    # The other way round: thirty servers answer one address in whose name they were asked.
    for number in range(30):
        tape.at(number + 0.9, answer(f"203.0.113.{number}", REFLECTED, "SA"))
    # No backscatter: a conversation that was seen to begin, and the end of one that was not.
    talk = Talk(tape, ("10.0.0.1", 40000), ("10.0.0.5", 561), 5)
    talk.open()
    talk.down("RA")
    tape.at(9.5, answer("10.0.0.6", "10.0.0.1", "RA"))

    record = {"type": "backscatter", "port": 561}
    scattered = record | {"form": "backscatter", "senders": 1}
    expected = [
        scattered
        | {"victim": VICTIM, "kind": "syn-ack", "packets": 120, "destinations": 120, "attack": True,
           "first": "2023-11-14T22:13:20.000000Z", "last": "2023-11-14T22:15:19.000000Z"},
        scattered
        | {"victim": CLOSED, "kind": "rst", "packets": 4, "destinations": 4, "attack": False},
        scattered
        | {"victim": GUARDED, "kind": "icmp", "packets": 5, "destinations": 5, "attack": False},
        record
        | {"victim": REFLECTED, "kind": "syn-ack", "form": "reflection", "packets": 30,
           "senders": 30, "destinations": 1, "attack": False},
    ]  # fmt: skip
    expected.append({"type": "port", "target": "10.0.0.5", "state": "open", "reason": "syn-ack"})
    tape.write(HERE, expected)


if __name__ == "__main__":
    main()
