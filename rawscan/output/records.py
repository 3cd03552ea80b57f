"""The records on the outside: what JSON Lines, and all that is made from it, contain. Pure.

One object a line, "type" first, every field always there (null if not known), times in RFC 3339
UTC. Other programs read these: add fields, never rename or drop one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from math import floor
from typing import Any

from rawscan.findings import Analysis, Finding
from rawscan.model import Verdict

Record = dict[str, Any]


def rfc3339(time_s: float | None) -> str | None:
    """`2026-11-23T08:00:00.123456Z` (RFC 3339, section 5.6); null for no time."""
    if not time_s:  # 0 is how a frame without a time says so
        return None
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def port_record(verdict: Verdict) -> Record:
    """The `port` record of a verdict. `rtt_ms` to the microsecond."""
    return {
        "type": "port",
        "target": str(verdict.port.target),
        "port": verdict.port.number,
        "protocol": verdict.port.protocol.value,
        "probe": verdict.port.kind.value,
        "state": verdict.state.value,
        "reason": verdict.reason,
        "reason_ip": None if verdict.reason_ip is None else str(verdict.reason_ip),
        "reason_ttl": verdict.reason_ttl,
        "rtt_ms": None if verdict.rtt_s is None else round(verdict.rtt_s * 1000, 3),
        "tries": verdict.tries,
        # Rounded down: silence is never certain.
        "confidence": floor(verdict.confidence * 1e9) / 1e9,
        "rule": verdict.rule,
        "hints": list(verdict.hints),
        "time": rfc3339(verdict.time_s),
        "revises": None if verdict.revises is None else verdict.revises.value,
    }


def capture_record(analysis: Analysis) -> Record:
    """The `capture` record of one file."""
    # asdict() would rebuild the counters from pairs, which is not what a Counter takes.
    counts = {f.name: getattr(analysis.counts, f.name) for f in fields(analysis.counts)}
    return {
        "type": "capture",
        "path": analysis.path,
        "format": analysis.format,
        "linktypes": list(analysis.linktypes),
        "packets": analysis.packets,
        "bytes": analysis.bytes,
        "matched": analysis.matched,
        "first": rfc3339(analysis.first_s),
        "last": rfc3339(analysis.last_s),
        "truncated": analysis.truncated,
        "error": analysis.error,
        "counts": counts,
        "undecoded": dict(analysis.undecoded),
        "own": analysis.own,
    }


def finding_record(finding: Finding, capture: str) -> Record:
    """The `port` record of a capture: as that of a scan, and where and when it was seen.

    `frames` are the replies' frame numbers, `probe_frames` the probes', both counted from 1.
    """
    verdict = finding.verdict
    frames = [e.frame_number for e in verdict.evidence if e.frame_number is not None]
    return port_record(verdict) | {
        "source": str(finding.source),
        "first_seen": rfc3339(finding.first_seen_s),
        "last_seen": rfc3339(finding.last_seen_s),
        "capture": capture,
        "frames": frames,
        "probe_frames": list(finding.probe_frames),
    }


def to_line(record: Mapping[str, Any]) -> str:
    """One record as one line of JSON, without the newline."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))
