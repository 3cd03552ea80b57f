"""Makes this case: scans the lab, and writes what the lab's plan expects. Run it from anywhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rawscan.lab.build import Lab

HERE = Path(__file__).parent


def main() -> None:
    """Write `capture.pcapng` and `expected.jsonl`."""
    with Lab.up() as lab:
        plan = lab.plan
        targets = [str(target) for target in plan.targets()]
        command = [sys.executable, "-m", "rawscan", "scan", *targets, "--write-pcap"]
        lab.run([*command, str(HERE / "capture.pcapng")], check=True)
    lines = []
    for _, target, expected in plan.claims():
        responder = plan.responder(target, expected)
        record = {
            "type": "port",
            "target": str(target),
            "port": plan.port,
            "protocol": expected.protocol.value,
            "state": expected.state.value,
            "reason": expected.reason,
            "reason_ip": None if responder is None else str(responder),
        }
        lines.append(json.dumps(record) + "\n")
    (HERE / "expected.jsonl").write_text("".join(lines))


if __name__ == "__main__":
    main()
