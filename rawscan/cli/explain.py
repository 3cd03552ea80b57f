"""`rawscan explain`: rules and verdicts, looked up and printed."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawscan.cli.common import terminal_columns
from rawscan.errors import UsageError
from rawscan.model import ProbeKind, ReplyKind, Signal, State
from rawscan.output.files import check_apart
from rawscan.output.rules import rule_table
from rawscan.rules import BY_ID, RULES, Rule, rules_for_state, rules_for_word

if TYPE_CHECKING:
    from rawscan.teach.case import Case
    from rawscan.teach.explanation import Explanation

STATES = [state.value for state in State]
PLAIN = [str(Signal(kind)) for kind in ReplyKind if kind < ReplyKind.ICMP]
_ICMP = re.compile(r"(icmp6?)(?::(\*|[0-9]{1,3})(?:/(\*|[0-9]{1,3}))?)?")


MOST_CASES = 3
"""Several sources may have asked for one port; so many of them are explained in full."""


@click.command("explain", short_help="Explain a verdict, a state or a rule; show the rule table.")
@click.argument(
    "what", required=False, metavar="[STATE | RULE | REASON | REPLY | FILE:TARGET:PORT/PROTO]"
)
@click.option(
    "--probe",
    type=click.Choice([kind.value for kind in ProbeKind], case_sensitive=False),
    help="Rules for this probe.",
)
@click.option("--reply", metavar="R", help="Rules for this reply: rst, silence, icmp:3/13.")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the explanation as a page of its own instead: a rule's, or a verdict's.",
)
def command(what: str | None, probe: str | None, reply: str | None, html: Path | None) -> int:
    """Explain a state (filtered), a rule (syn-rst), a reason (reset), a reply (icmp:3/13), or
    show the whole table. Of a scan's results or of a capture, explain the verdict on one port:
    results.jsonl:10.0.0.5:561/tcp, capture.pcapng:[fd56:1::11]:561/udp.
    """
    cases = _cases(what, probe, reply, html)
    if cases:
        _explain_cases(cases, html)
        return 0
    rules = _chosen(what)
    rules = [rule for rule in rules if probe in (None, rule.probe.value)]
    if reply is not None:
        replied = _reply(reply)
        if replied is None:
            raise UsageError(f"--reply {reply!r} is no reply; replies are {_replies()}")
        rules = [rule for rule in rules if rule.matches(replied)]
    width = None if sys.stdout.isatty() else 160
    if not rules:
        _say_none(what, probe, reply)
    elif len(rules) == 1:
        _explain_rule(rules[0], html)
    elif html is not None:
        raise UsageError(
            f"--html writes one explanation, and this is about {len(rules)} rules: "
            f"{', '.join(rule.id for rule in rules[:3])}, ..."
        )
    else:
        _say_state(what)
        rule_table(rules, sys.stdout, width)
    return 0


def _cases(what: str | None, probe: str | None, reply: str | None, html: Path | None) -> list[Case]:
    """The verdicts that `what` refers to; none if it is no reference to a file."""
    if what is None or ":" not in what or _reply(what) is not None:
        return []
    from rawscan.teach.reference import find, parse_reference

    reference = parse_reference(what)
    if reference is None:
        return []
    if probe is not None or reply is not None:
        raise UsageError(
            f"--probe and --reply choose rules; for a verdict write {reference.path}:"
            f"{reference.target}:{reference.port}/ack"
        )
    if html is not None:
        check_apart([("--html", html)], [reference.path])
    return find(reference)


def _explain_cases(cases: list[Case], html: Path | None) -> None:
    from rawscan.teach.explanation import explain_case
    from rawscan.teach.text import write_explanation

    if html is not None:
        if len(cases) > 1:
            kinds = " or ".join(dict.fromkeys(f"/{case.port.kind.value}" for case in cases))
            raise UsageError(
                f"--html writes one explanation, and here are {len(cases)} verdicts; "
                f"end with {kinds}"
            )
        _write_page(explain_case(cases[0]), html)
        return
    for case in cases[:MOST_CASES]:
        if len(cases) > 1:
            click.echo(f"Asked by {case.asker or 'somebody'}, {case.port.kind.value} probe:\n")
        write_explanation(explain_case(case), sys.stdout, terminal_columns())
    if len(cases) > MOST_CASES:
        others = ", ".join(str(case.asker) for case in cases[MOST_CASES:][:MOST_CASES])
        click.echo(f"{len(cases) - MOST_CASES} more asked for this port: {others}, ...")


def _explain_rule(rule: Rule, html: Path | None) -> None:
    from rawscan.teach.case import example_of
    from rawscan.teach.explanation import explain_rule
    from rawscan.teach.text import write_explanation

    explanation = explain_rule(rule, example_of(rule))
    if html is not None:
        _write_page(explanation, html)
    else:
        write_explanation(explanation, sys.stdout, terminal_columns())


def _say_state(what: str | None) -> None:
    """What the asked state means, above the rules that give it."""
    word = (what or "").lower()
    if word in STATES:
        from rawscan.teach.words import STATES as MEANINGS

        click.echo(f"{word}: {MEANINGS[State(word)]}\n")


def _write_page(explanation: Explanation, path: Path) -> None:
    from rawscan.teach.page import explanation_page

    try:
        path.write_text(explanation_page(explanation))
    except OSError as error:
        raise UsageError(f"--html {path}: cannot be written: {error.strerror}") from error


def _chosen(what: str | None) -> Sequence[Rule]:
    if what is None:
        return RULES
    word = what.lower()
    if word in BY_ID:
        return [BY_ID[word]]
    if word in STATES:
        return rules_for_state(State(word))
    found, replied = rules_for_word(word), _reply(word)
    if found:
        return found
    if replied is None:
        raise UsageError(
            f"{what!r} is no state ({', '.join(STATES)}), no rule, no reason and no reply "
            f"({_replies()}), and not FILE:TARGET:PORT/PROTO; `rawscan explain` lists them all"
        )
    return [rule for rule in RULES if rule.matches(replied)]


def _reply(text: str) -> str | None:
    """`text` as `Rule.matches` takes it; None if no reply is written so."""
    text = text.lower()
    match = _ICMP.fullmatch(text)
    if not match:
        return text if text in PLAIN else None
    name, *numbers = match.groups(default="*")
    if any(number != "*" and int(number) > 255 for number in numbers):  # one octet each: RFC 792
        return None
    type_, code = (number if number == "*" else str(int(number)) for number in numbers)
    return f"{name}:{type_}/{code}"


def _replies() -> str:
    return f"{', '.join(PLAIN)}, icmp:TYPE/CODE and icmp6:TYPE/CODE with numbers up to 255"


def _say_none(what: str | None, probe: str | None, reply: str | None) -> None:
    """Tell a reply that has no meaning anywhere from rules that do not go together."""
    asked = " ".join(filter(None, (what, probe, reply)))
    replied = _reply(reply or what or "")
    spoken_of = replied is not None and any(
        rule.matches(replied) and probe in (None, rule.probe.value) for rule in RULES
    )
    if replied is not None and not spoken_of:
        click.echo(
            f"no rule speaks of {asked}: such a reply gives no verdict and is kept as a hint"
        )
    else:
        click.echo(f"no rule is about all of {asked}; `rawscan explain` lists what there is")
