"""The state machine of each probe as SVG, drawn from the rule table. Pure text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from textwrap import wrap

from rawscan.model import ProbeKind, ReplyKind, State
from rawscan.rules import RULES, Rule
from rawscan.teach.svg import WIDTH
from rawscan.teach.words import PROBES

_LINE, _GAP, _LEAST = 14, 16, 30
_BEGIN, _WORDS, _STATES = 70, 100, 244
"""Where the first box ends, the replies begin, and the states begin."""
_LETTERS = 21
_SENDERS = {True: " (target)", False: " (others)", None: ""}


def machine_svg(kind: ProbeKind, chosen: Rule | None = None) -> str:
    """The states that a probe can end in and what leads there; the way of `chosen` stands out."""
    ways = list(_ways(kind))
    heights = [max(_LEAST, _LINE * len(lines)) + _GAP for _, lines in ways]
    middle = 30 + sum(heights) / 2
    y, parts = 30.0, []
    for (state, lines), height in zip(ways, heights, strict=True):
        here = " chosen" if chosen is not None and chosen.state is state else ""
        drawn = _way(state, lines, middle, y + (height - _GAP) / 2)
        parts.append(f'<g class="way{here}">{drawn}</g>')
        y += height
    title = f"What a {PROBES[kind]} probe can find"
    return (
        f'<svg viewBox="0 0 {WIDTH} {y:.0f}" role="img" aria-label="{title}">'
        f"<title>{title}</title>{''.join(parts)}"
        f"{_box(2, middle, _BEGIN - 2, f'{kind.value} sent')}</svg>"
    )


def _way(state: State | None, lines: Sequence[str], start: float, y: float) -> str:
    """From the probe over its replies to one state."""
    path = f"M{_BEGIN} {start:.0f} C92 {start:.0f} 76 {y:.0f} {_WORDS - 4} {y:.0f}"
    first = y + 4 - _LINE * (len(lines) - 1) / 2
    words = "".join(
        f'<text class="note" x="{_WORDS}" y="{first + _LINE * i:.0f}">{escape(line)}</text>'
        for i, line in enumerate(lines)
    )
    name = "no verdict" if state is None else state.value
    box = _box(_STATES, y, WIDTH - _STATES - 2, name)
    return f'<path class="arrow" fill="none" d="{path}"/>{words}{box}'


def _box(x: float, y: float, width: float, name: str) -> str:
    return (
        f'<rect class="state" x="{x:.0f}" y="{y - 13:.0f}" width="{width:.0f}" height="26" rx="6"/>'
        f'<text class="lane" x="{x + width / 2:.0f}" y="{y + 4:.0f}" text-anchor="middle">'
        f"{escape(name)}</text>"
    )


def _ways(kind: ProbeKind) -> Iterator[tuple[State | None, list[str]]]:
    """Each state of a probe, and the replies that lead to it, in lines."""
    rules = [rule for rule in RULES if rule.probe is kind]
    for state in (*State, None):
        here = [rule for rule in rules if rule.state is state]
        if here:
            yield state, [line for text in _replies(here) for line in wrap(text, _LETTERS)]


def _replies(rules: Sequence[Rule]) -> Iterator[str]:
    """The replies of these rows: plain ones by name, ICMP by family with its codes together."""
    for rule in rules:
        if rule.reply not in (ReplyKind.ICMP, ReplyKind.ICMP6):
            yield rule.signal.upper() if rule.reply > ReplyKind.SEND_FAILED else rule.signal
    for reply, name in ((ReplyKind.ICMP, "ICMP"), (ReplyKind.ICMP6, "ICMPv6")):
        for sender, whose in _SENDERS.items():
            signals = [
                rule.signal.partition(":")[2]
                for rule in rules
                if rule.reply is reply and rule.from_target is sender
            ]
            if signals:
                yield f"{name} {' '.join(signals)}{whose}"
