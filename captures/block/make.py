"""Makes this case. Run it from anywhere."""

from __future__ import annotations

import sys
from pathlib import Path

from scapy.layers.inet import IP, TCP

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from builder import Talk, Tape  # noqa: E402

BLOCK, UPRIGHT, LEVEL, GUEST = "10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4"
HOSTS = [f"10.0.0.{number}" for number in range(1, 7)]
PORTS = range(561, 581)


def ask(tape: Tape, second: float, source: str, target: str, port: int) -> None:
    """A SYN that is reset at once."""
    segment = TCP(sport=50000, dport=port, flags="S", seq=77, window=64240)
    tape.at(second, IP(src=source, dst=target, ttl=64, flags="DF") / segment)
    answer = TCP(sport=port, dport=50000, flags="RA", seq=0, ack=78, window=0)
    tape.at(second + 0.001, IP(src=target, dst=source, ttl=64, flags="DF") / answer)


def main() -> None:
    """Write four sources, one of each shape."""
    tape = Tape(1_700_000_000)
    for number, (target, port) in enumerate((t, p) for p in PORTS for t in HOSTS):
        ask(tape, number * 0.1, BLOCK, target, port)
    for number, port in enumerate(PORTS):
        ask(tape, 100 + number, UPRIGHT, HOSTS[0], port)
    for number, target in enumerate(HOSTS):
        ask(tape, 200 + number, LEVEL, target, 561)
    # A guest who comes three times to an open door.
    for number in range(3):
        talk = Talk(tape, (GUEST, 41000 + number), ("10.0.0.100", 561), 300 + number)
        talk.open()
        talk.close()
    source = {"type": "source", "tool": None}
    expected = [
        # 120 probes, 0.1 s apart: 119 gaps in 11.9 s. 6 targets failed: ln 4 * 4 passes ln 99.
        source
        | {"address": BLOCK, "pattern": "block", "probes": 120, "targets": 6, "ports": 20,
           "rate_pps": 10.0, "duration_s": 11.9, "walk": "scanner", "busy": True, "failed": 120},
        # One target is one first contact, whatever its ports; 15 ports in five minutes are enough.
        source
        | {"address": UPRIGHT, "pattern": "vertical", "probes": 20, "targets": 1, "ports": 20,
           "rate_pps": 1.0, "duration_s": 19.0, "walk": "pending", "busy": True},
        # Six hosts are no 25, but four failures in a row are a scanner's.
        source
        | {"address": LEVEL, "pattern": "horizontal", "probes": 6, "targets": 6, "ports": 1,
           "walk": "scanner", "busy": False},
        source
        | {"address": GUEST, "pattern": "single", "probes": 3, "targets": 1, "ports": 1,
           "walk": "pending", "busy": False, "answered": 1, "failed": 0},
    ]  # fmt: skip
    tape.write(HERE, expected, ports="T:561-580")


if __name__ == "__main__":
    main()
