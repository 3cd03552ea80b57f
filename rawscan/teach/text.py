"""An explanation as plain text. Writes to the stream it is given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import TextIO

from rawscan.output.rules import rule_text
from rawscan.teach.case import Shot
from rawscan.teach.explanation import Explanation
from rawscan.teach.fields import Field
from rawscan.teach.ladder import draw

NARROWEST, WIDEST = 60, 100
LADDER_COLUMNS = 76
"""Wider, its ends would stand too far apart for the eye."""


def write_explanation(explanation: Explanation, stream: TextIO, width: int | None = None) -> None:
    """Write all of it, in lines of at most `width` columns (clamped to 60 and 100)."""
    columns = min(max(width or WIDEST, NARROWEST), WIDEST)
    if not explanation.example:
        _write(stream, [*_wrapped(explanation.claim, columns), ""])
        write_evidence(explanation, stream, columns)
        stream.write("The rule\n\n")
    rule_text(explanation.rule, stream, columns)
    stream.write("\n")
    if explanation.example and explanation.case is not None:
        _write(stream, ["An example", "", *_origin(explanation, columns), ""])
        write_evidence(explanation, stream, columns)
    for heading, lines in _sections(explanation, columns):
        if lines:
            _write(stream, [heading, "", *lines, ""])


def write_evidence(explanation: Explanation, stream: TextIO, columns: int) -> None:
    """Write the ladder, and the bytes that decided."""
    if explanation.ladder is not None:
        _write(stream, [*draw(explanation.ladder, min(columns, LADDER_COLUMNS)), ""])
    for shot, fields in explanation.read:
        _write(stream, [*_field_lines(shot, fields, columns), ""])


def _write(stream: TextIO, lines: Iterable[str]) -> None:
    stream.writelines(f"{line}\n" for line in lines)


def _origin(explanation: Explanation, columns: int) -> list[str]:
    case = explanation.case
    assert case is not None
    name = "/".join(case.origin.replace("\\", "/").split("/")[-3:])
    return _wrapped(f"{name}: {case.port.target} port {case.port.number}", columns)


def _field_lines(shot: Shot, fields: tuple[Field, ...], columns: int) -> Iterator[str]:
    what = "probe" if shot.evidence is None else "reply"
    yield f"The {what} #{shot.frame_number}, bytes from its IP header on:"
    yield ""
    for field in fields:
        shown = field.data.hex(" ")
        head = f"  {field.place:>7}  {shown:<11}  "
        if len(shown) > 11:  # an IPv6 address
            yield head.rstrip()
            head = " " * len(f"  {field.place:>7}  {'':<11}  ")
        text = f"{field.name} {field.value}: {field.meaning}"
        yield from wrap(
            text, columns, initial_indent=head, subsequent_indent=" " * 24, break_on_hyphens=False
        )


def _sections(explanation: Explanation, columns: int) -> Iterator[tuple[str, list[str]]]:
    yield (
        "What would have changed it",
        [
            line
            for change in explanation.otherwise
            for line in _item(
                f"{change.change}: {change.rule.state.value if change.rule.state else 'no verdict'}"
                f" ({change.rule.id})",
                columns,
            )
        ],
    )
    sure = [line for text in explanation.sure for line in _item(text, columns)]
    yield ("How sure" if not explanation.example else "How sure, in the example"), sure
    yield "What else came", [line for text in explanation.beside for line in _item(text, columns)]
    yield (
        "Where tools disagree",
        [
            line
            for each in explanation.departures
            for line in _item(f"{each.tool} {each.version} says {each.says}: {each.why}.", columns)
        ],
    )


def _item(text: str, columns: int) -> list[str]:
    return wrap(
        text, columns, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False
    )


def _wrapped(text: str, columns: int) -> list[str]:
    return wrap(text, columns, break_on_hyphens=False)
