"""Writes `rules.md`, the reference of the rule table, from the table. `make docs` runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rawscan.output.rules import citation
from rawscan.rules import PROBES, RULES, Rule
from rawscan.teach.departures import departures_from
from rawscan.teach.otherwise import otherwise
from rawscan.teach.words import PROBES as NAMES
from rawscan.teach.words import describe_reply

HERE = Path(__file__).parent
_SENDERS = {True: "the target", False: "anybody else", None: "anybody"}


def reference() -> str:
    """The whole file."""
    lines = [
        "# The rules",
        "",
        "Made from `rawscan/rules.py` by `make docs`; a test fails when it is stale. `rawscan"
        " explain ID` shows each row at work, packet by packet, from its capture in"
        " [captures/rules](../captures/rules/).",
        "",
    ]
    for probe in PROBES:
        lines += [f"## {NAMES[probe]} probes", ""]
        for rule in (rule for rule in RULES if rule.probe is probe):
            lines += _row(rule)
    return "\n".join(lines)


def _row(rule: Rule) -> Iterator[str]:
    state = rule.state.value if rule.state else "no verdict"
    yield f"### `{rule.id}`"
    yield ""
    yield (
        f"{describe_reply(rule)} (`{rule.signal}`), from {_SENDERS[rule.from_target]}: **{state}**,"
        f" `{rule.reason}`. {rule.why}"
    )
    yield ""
    if source := citation(rule):
        yield f"- {source}"
    for change in otherwise(rule):
        found = change.rule.state.value if change.rule.state else "no verdict"
        yield f"- {change.change}: {found} (`{change.rule.id}`)"
    for each in departures_from(rule):
        yield f"- {each.tool} {each.version} says *{each.says}*: {each.why}"
    yield ""


if __name__ == "__main__":
    (HERE / "rules.md").write_text(reference())
