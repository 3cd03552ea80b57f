"""Makes this case. Run it from anywhere."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from scapy.layers.inet import IP, TCP

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from builder import Tape, error  # noqa: E402

ASKER, TARGET, STEADY, ROUTER = "10.0.0.99", "10.0.0.5", "10.0.0.6", "10.0.0.1"
START = datetime(2019, 3, 1, 12, tzinfo=UTC).timestamp()
DAY = 86400


def syn(target: str, number: int) -> IP:
    """A probe; each day's has numbers of its own."""
    segment = TCP(sport=40000 + number, dport=561, flags="S", seq=5000 * number, window=64240)
    return IP(src=ASKER, dst=target, ttl=64, flags="DF") / segment


def reset(probe: IP) -> IP:
    """What a closed port answers (RFC 9293, section 3.5.2)."""
    ports = {"sport": 561, "dport": probe[TCP].sport}
    segment = TCP(**ports, flags="RA", seq=0, ack=probe[TCP].seq + 1, window=0)
    return IP(src=probe.dst, dst=ASKER, ttl=64, flags="DF") / segment


def main() -> None:
    """Write a week of daily questions to two hosts; one is put behind a filter meanwhile."""
    tape = Tape(START)
    for day in range(2):
        tape.at(day * DAY + 0.002, reset(tape.at(day * DAY, syn(TARGET, day + 1))))
    # On the third day the answer is lost twice, which is no change of anything.
    tape.at(2 * DAY, syn(TARGET, 3))
    for day in range(4, 7):
        about = tape.at(day * DAY, syn(TARGET, day + 1))
        tape.at(day * DAY + 0.003, error(ROUTER, about, 3, 13))
    for day in range(7):
        tape.at(day * DAY + 60.002, reset(tape.at(day * DAY + 60, syn(STEADY, day + 1))))
    port = {"type": "port", "port": 561, "protocol": "tcp"}
    closed = {"state": "closed", "reason": "reset"}
    expected = [
        # The strongest evidence of all time makes the state; the history says when it was so.
        port
        | closed
        | {
            "target": TARGET,
            "history": [
                closed
                | {
                    "reason_ip": TARGET,
                    "since": "2019-03-01T12:00:00.000000Z",
                    "until": "2019-03-02T12:00:00.000000Z",
                    "frames": [2, 6],
                },
                {
                    "state": "filtered",
                    "reason": "admin-prohibited",
                    "reason_ip": ROUTER,
                    "since": "2019-03-05T12:00:00.000000Z",
                    "until": "2019-03-07T12:00:00.000000Z",
                    "frames": [15, 19, 23],
                },
            ],
            "history_text": "closed until 2019-03-02, then filtered (admin-prohibited from"
            f" {ROUTER})",
        },
        port | closed | {"target": STEADY, "history_text": "closed"},
    ]
    tape.write(HERE, expected)


if __name__ == "__main__":
    main()
