"""Ladders as SVG. Pure text; pages bring the colours.

Every ladder is whole without a script; a script hides the rungs that have not happened yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from textwrap import wrap

from rawscan.teach.knows import Knowledge
from rawscan.teach.ladder import Ladder, Rung
from rawscan.teach.words import time_text

WIDTH = 348
"""In units of the picture: so narrow that letters are still read on a telephone."""
_LEFT, _RIGHT = 74, WIDTH - 14
_LINE = 16
_LETTER = 6.7
"""Width in units of a letter of the monospace font at size 11."""


def ladder_svg(ladder: Ladder, knows: Sequence[Knowledge], title: str) -> str:
    """One picture; rung `n` is a group of class `rung` that says what each end knows after it."""
    count = len(ladder.lanes)
    xs = [_LEFT + (_RIGHT - _LEFT) * i / (count - 1) for i in range(count)]
    y, groups = 44.0, []
    for rung, known in zip(ladder.rungs, knows, strict=True):
        group, y = _rung(rung, xs, y)
        data = f'data-asker="{escape(known.asker)}" data-target="{escape(known.target)}"'
        groups.append(f'<g class="rung {rung.kind}" {data}>{group}</g>')
    lanes = "".join(_lane(lane.name, x, y) for lane, x in zip(ladder.lanes, xs, strict=True))
    return (
        f'<svg viewBox="0 0 {WIDTH} {y + 8:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{lanes}{''.join(groups)}</svg>"
    )


def _lane(name: str, x: float, bottom: float) -> str:
    anchor = "end" if x > WIDTH - 40 else "middle"
    at = min(x, WIDTH - 2) if anchor == "middle" else WIDTH - 2
    return (
        f'<text class="lane" x="{at:.0f}" y="18" text-anchor="{anchor}">{escape(name)}</text>'
        f'<line class="lane" x1="{x:.0f}" y1="26" x2="{x:.0f}" y2="{bottom:.0f}"/>'
    )


def _rung(rung: Rung, xs: Sequence[float], y: float) -> tuple[str, float]:
    """The rung's drawing, and where the next one begins."""
    room = int((xs[-1] - xs[0] - 12) / _LETTER)
    parts = []
    if rung.time_s is not None:
        parts.append(f'<text class="time" x="0" y="{y:.0f}">{time_text(rung.time_s)}</text>')
    if rung.frame_number is not None:
        parts.append(f'<text class="time" x="0" y="{y + 13:.0f}">#{rung.frame_number}</text>')
    for line in wrap(rung.label, room):
        parts.append(_text(line, xs[0] + 6, y, "label"))
        y += _LINE
    if rung.kind not in ("silence", "gap"):
        parts.append(_arrow(rung, xs, y - 6))
        y += 8
    for note in rung.notes:
        for line in wrap(note, room):
            parts.append(_text(line, xs[0] + 6, y + 4, "note"))
            y += _LINE - 2
    return "".join(parts), y + 14


def _text(line: str, x: float, y: float, kind: str) -> str:
    """A line with a ground of its own, so that lanes do not run through it."""
    width = len(line) * _LETTER + 2
    return (
        f'<rect class="ground" x="{x - 2:.0f}" y="{y - 11:.0f}" width="{width:.0f}" height="14"/>'
        f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}">{escape(line)}</text>'
    )


def _arrow(rung: Rung, xs: Sequence[float], y: float) -> str:
    start = xs[rung.sender]
    if rung.receiver is None:
        end = start + (xs[-1] - start) * 2 / 3
        return (
            f'<line class="arrow lost" x1="{start:.0f}" y1="{y:.0f}" x2="{end:.0f}" y2="{y:.0f}"/>'
            f'<text class="label" x="{end + 6:.0f}" y="{y + 4:.0f}">?</text>'
        )
    if rung.receiver == rung.sender:
        path = f"M{start:.0f} {y:.0f} h40 v8 h-34"
        return f'<path class="arrow" fill="none" d="{path}"/>{_head(start, y + 8, -1)}'
    end, way = xs[rung.receiver], 1 if xs[rung.receiver] > start else -1
    line = f'x1="{start:.0f}" y1="{y:.0f}" x2="{end - 6 * way:.0f}" y2="{y:.0f}"'
    return f'<line class="arrow" {line}/>{_head(end, y, way)}'


def _head(x: float, y: float, way: int) -> str:
    back = x - 8 * way
    return f'<path class="head" d="M{x:.0f} {y:.0f} L{back:.0f} {y - 4:.0f} v8 z"/>'
