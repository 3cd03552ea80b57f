"""Frames over time as a plot of plain characters, for terminals of any width and pipes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from math import ceil, log

from rawscan.output.records import Record

RAMP = ".:-=+*#%@"
"""From one frame to the most there are in a column; a space is none. The scale is logarithmic."""

_LABELS = {
    "syn": "SYN",
    "syn-ack": "SYN+ACK",
    "rst": "RST",
    "tcp": "TCP to",
    "tcp-reply": "TCP from",
    "udp": "UDP to",
    "udp-reply": "UDP from",
    "icmp": "ICMP error",
}
_NARROWEST = 8


def plot(activity: Record | None, width: int) -> Iterator[str]:
    """Lines of at most `width` columns for a capture record's `activity`; none if it is empty.

    Each kind of frame is a line, each column the same length of time; the last line says which.
    """
    if activity is None or len(next(iter(activity["counts"].values()))) < 2:
        return
    kinds = [kind for kind in _LABELS if any(activity["counts"].get(kind, ()))]
    totals = {kind: str(sum(activity["counts"][kind])) for kind in kinds}
    label = max(len(_LABELS[kind]) for kind in kinds)
    number = max(map(len, totals.values()))
    room = max(width - label - number - 3, _NARROWEST)
    columns = {kind: _columns(activity["counts"][kind], room) for kind in kinds}
    most = max(max(counts) for counts in columns.values())
    for kind in kinds:
        marks = "".join(_mark(count, most) for count in columns[kind])
        yield f"{_LABELS[kind]:<{label}}  {totals[kind]:>{number}} {marks}".rstrip()
    yield from _axis(activity, " " * (label + number + 3), room)


def _columns(counts: Sequence[int], room: int) -> list[int]:
    each = _steps_a_column(counts, room)
    return [sum(counts[i : i + each]) for i in range(0, len(counts), each)]


def _steps_a_column(counts: Sequence[int], room: int) -> int:
    return ceil(len(counts) / room)


def _mark(count: int, most: int) -> str:
    if not count:
        return " "
    share = log(count) / log(most) if most > 1 else 0.0
    return RAMP[round(share * (len(RAMP) - 1))]


def _axis(activity: Record, indent: str, room: int) -> Iterator[str]:
    counts = next(iter(activity["counts"].values()))
    step_s = activity["step_s"] * _steps_a_column(counts, room)
    start = datetime.fromisoformat(activity["start"])
    end = start + timedelta(seconds=activity["step_s"] * len(counts))
    whole = f"{_short(start, step_s)} to {_short(end, step_s)} UTC, {_span(step_s)} a column"
    yield indent + whole if len(whole) <= room else whole


def _short(moment: datetime, step_s: float) -> str:
    return moment.strftime("%Y-%m-%d %H:%M" if step_s >= 60 else "%Y-%m-%d %H:%M:%S")


def _span(seconds: float) -> str:
    """`250 ms`, `2.5 s`, `3 min`, `4.6 h`, `2 d`."""
    for unit, length_s in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= length_s:
            return f"{seconds / length_s:.3g} {unit}"
    return f"{seconds * 1000:.3g} ms"
