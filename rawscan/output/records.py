"""The records on the outside: what JSON Lines, and all that is made from it, contain. Pure.

One object a line, "type" first, every field always there (null if not known), times in RFC 3339
UTC. Other programs read these: add fields, never rename or drop one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from math import floor
from typing import Any

from rawscan.findings import (
    Activity,
    Analysis,
    Backscatter,
    Finding,
    Notes,
    Session,
    Source,
    Spell,
)
from rawscan.model import Port, Verdict
from rawscan.portstates import in_words

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
        "rtt_ms": None if verdict.rtt_s is None else round(verdict.rtt_s * 1e6) / 1000,
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
        "conn_states": dict(sorted(analysis.traffic.conn_states.items())),
        "sources_left_out": analysis.traffic.sources_left_out,
        "activity": _activity(analysis.traffic.activity),
        "dissect_error": analysis.dissect_error,
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
        "history": [spell_record(spell) for spell in finding.history],
        "history_text": in_words(finding.history),
        **_notes(finding.notes),
    }


def _notes(notes: Notes | None) -> Record:
    """What Wireshark says, null where it was not asked."""
    return {
        "protocols": None if notes is None else list(notes.protocols),
        "expert": None if notes is None else list(notes.expert),
    }


def spell_record(spell: Spell) -> Record:
    """One entry of a `history`."""
    return {
        "state": spell.state.value,
        "reason": spell.reason,
        "reason_ip": None if spell.reason_ip is None else str(spell.reason_ip),
        "since": rfc3339(spell.since_s),
        "until": rfc3339(spell.until_s),
        "frames": list(spell.frames),
    }


def _activity(activity: Activity | None) -> Record | None:
    if activity is None:
        return None
    return {
        "start": rfc3339(activity.start_s),
        "step_s": activity.step_s,
        "counts": {kind: list(counts) for kind, counts in activity.counts.items()},
    }


def session_record(session: Session, capture: str) -> Record:
    """The `session` record of one connection or flow."""
    return {
        "type": "session",
        "client": str(session.client),
        "server": str(session.server),
        "port": session.port,
        "protocol": session.protocol.value,
        "conn_state": session.conn_state,
        "bytes_to_server": session.bytes_to_server,
        "bytes_to_client": session.bytes_to_client,
        "payload_preview": session.payload_preview,
        "service": session.service,
        "first": rfc3339(session.first_s),
        "last": rfc3339(session.last_s),
        "client_port": session.client_port,
        "server_port": session.server_port,
        "port_role": session.port_role,
        "flags": session.flags,
        "packets_to_server": session.packets_to_server,
        "packets_to_client": session.packets_to_client,
        "service_why": session.service_why,
        "looks_like": session.looks_like,
        "looks_why": session.looks_why,
        "duration_s": round(session.last_s - session.first_s, 6),
        "first_frame": session.first_frame,
        "last_frame": session.last_frame,
        "capture": capture,
        **_notes(session.notes),
    }


def source_record(source: Source, capture: str) -> Record:
    """The `source` record of one prober."""
    rate_pps = source.rate_pps
    return {
        "type": "source",
        "address": str(source.address),
        "pattern": source.pattern,
        "tool": source.tool,
        "tool_evidence": source.tool_evidence,
        "probes": source.probes,
        "targets": source.targets,
        "ports": source.ports,
        "first": rfc3339(source.first_s),
        "last": rfc3339(source.last_s),
        "rate_pps": None if rate_pps is None else round(rate_pps, 3),
        "duration_s": round(source.last_s - source.first_s, 6),
        "answered": source.answered,
        "failed": source.failed,
        "walk": source.walk,
        "busy": source.busy,
        "capture": capture,
    }


def backscatter_record(found: Backscatter, capture: str) -> Record:
    """The `backscatter` record of one victim, port and kind of reply."""
    return {
        "type": "backscatter",
        "victim": str(found.victim),
        "port": found.port,
        "kind": found.kind,
        "packets": found.packets,
        "destinations": found.destinations,
        "first": rfc3339(found.first_s),
        "last": rfc3339(found.last_s),
        "form": found.form,
        "senders": found.senders,
        "attack": found.attack,
        "capture": capture,
    }


def history_record(port: Port, spells: Sequence[Spell]) -> Record:
    """The `history` record of a port that changed from one capture to another."""
    return {
        "type": "history",
        "target": str(port.target),
        "port": port.number,
        "protocol": port.protocol.value,
        "probe": port.kind.value,
        "history": [spell_record(spell) for spell in spells],
        "history_text": in_words(spells),
    }


def analysis_records(analysis: Analysis) -> Iterator[Record]:
    """All records of one capture file, in the order in which they are written."""
    path, traffic = analysis.path, analysis.traffic
    yield capture_record(analysis)
    yield from (finding_record(finding, path) for finding in analysis.findings)
    yield from (source_record(source, path) for source in traffic.sources)
    yield from (session_record(session, path) for session in traffic.sessions)
    yield from (backscatter_record(found, path) for found in traffic.backscatter)


def to_line(record: Mapping[str, Any]) -> str:
    """One record as one line of JSON, without the newline."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))
