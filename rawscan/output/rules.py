"""The rule table for people, made with Rich from the rules. Writes to the stream it is given."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TextIO

from rawscan.output.table import STATE_STYLES
from rawscan.rules import Rule

_SENDERS = {True: "the target", False: "anybody else", None: "anybody"}

_COLUMNS_FIT, _SENTENCES_FIT = 90, 140
"""Narrower than that, the table's words, or its sentences, come out one letter or word a line."""

_INDENT = 10


def rule_table(rules: Sequence[Rule], stream: TextIO, width: int | None = None) -> None:
    """Print one line a rule, or one record where lines are too short for the columns.

    `width` is in columns; None: that of the terminal.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console(file=stream, width=width, emoji=False)
    if console.width < _COLUMNS_FIT:
        for rule in rules:
            rule_text(rule, stream, width)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    wide = console.width >= _SENTENCES_FIT
    headings = ("RULE", "PROBE", "REPLY", "FROM", "STATE", "REASON", *(("WHY", "RFC") * wide))
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading in ("RULE", "PROBE"))
    for rule in rules:
        more = (rule.why, citation(rule)) if wide else ()
        sender = _SENDERS[rule.from_target]
        table.add_row(
            rule.id, rule.probe.value, rule.signal, sender, _state(rule), rule.reason, *more
        )
    console.print(table)


def rule_text(rule: Rule, stream: TextIO, width: int | None = None) -> None:
    """Print one rule in full."""
    from rich.console import Console

    console = Console(file=stream, width=width, highlight=False, emoji=False)
    console.print(f"[bold]{rule.id}[/]")
    for name, value in (
        ("probe", rule.probe.value),
        ("reply", f"{rule.signal}, from {_SENDERS[rule.from_target]}"),
        ("state", _state(rule)),
        ("reason", rule.reason),
        ("why", rule.why),
        ("source", citation(rule) or "no RFC speaks of it"),
    ):
        lines = wrap(value, max(console.width - _INDENT, _INDENT))
        console.print(f"  {name:<7}", ("\n" + " " * _INDENT).join(lines))


def _state(rule: Rule) -> str:
    if rule.state is None:
        return "(a hint only)"
    return f"[{STATE_STYLES[rule.state.value]}]{rule.state.value}[/]"


def citation(rule: Rule) -> str:
    """`RFC 9293, section 3.5.2`; "" where no RFC speaks of it."""
    if not rule.rfc:
        return ""
    place = rule.section if not rule.section[:1].isdigit() else f"section {rule.section}"
    return f"{rule.rfc}, {place}"
