"""Makes this case. Run it from anywhere."""

from __future__ import annotations

import sys
from pathlib import Path

from scapy.layers.inet import IP, TCP

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from builder import Tape, datagram  # noqa: E402

SCANNER, ANSWERED, SILENT = "10.0.0.1", "10.0.0.5", ("10.0.0.6", "10.0.0.7")


def main() -> None:
    """Write the capture of a tap that sees only what goes to the hosts."""
    tape = Tape(1_700_000_000)
    for second, target in enumerate((ANSWERED, *SILENT)):
        probe = TCP(sport=40000, dport=561, flags="S", seq=7000, window=1024)
        tape.at(second, IP(src=SCANNER, dst=target, ttl=64) / probe)
    # The scanner's system has no such connection and refuses the SYN+ACK, which is not in here.
    reset = TCP(sport=40000, dport=561, flags="R", seq=7001, window=0)
    tape.at(0.02, IP(src=SCANNER, dst=ANSWERED, ttl=64, flags="DF", id=0) / reset)
    # The tap works on for two minutes.
    for second in range(0, 120, 10):
        tape.at(second, datagram(("10.0.0.9", 5000), ("10.0.0.8", 53), b"?"))
    port = {"type": "port", "port": 561, "protocol": "tcp", "reason_ip": None}
    expected = [
        port
        | {
            "target": ANSWERED,
            "state": "open",
            "reason": "syn-ack-unseen",
            "rule": "syn-hung-up",
            "hints": ["inferred"],
        }
    ]
    expected += [
        port | {"target": target, "state": "unknown", "reason": "one-way"} for target in SILENT
    ]
    # A random walk needs outcomes, and one of three is known here.
    expected.append(
        {
            "type": "source",
            "address": SCANNER,
            "pattern": "horizontal",
            "probes": 3,
            "targets": 3,
            "failed": 0,
            "walk": "pending",
            "tool": None,
        }
    )
    tape.write(HERE, expected)


if __name__ == "__main__":
    main()
