"""`rawscan explain`: rules, looked up and printed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from rawscan.errors import UsageError
from rawscan.model import State
from rawscan.output.rules import rule_table, rule_text
from rawscan.rules import BY_ID, RULES, Rule, rules_for_state, rules_for_word

STATES = [state.value for state in State]


@click.command("explain", short_help="Explain a state, a rule, or show the whole rule table.")
@click.argument("what", required=False, metavar="[STATE | RULE | REASON]")
@click.option("--probe", type=click.Choice(["syn", "udp", "ack"]), help="Rules for this probe.")
@click.option("--reply", metavar="R", help="Rules for this reply: rst, silence, icmp:3/13.")
def command(what: str | None, probe: str | None, reply: str | None) -> int:
    """Explain a state (filtered), a rule (syn-rst), a reason (reset), or show the whole table."""
    rules = _chosen(what)
    rules = [rule for rule in rules if probe in (None, rule.probe.value)]
    if reply is not None:
        rules = [rule for rule in rules if rule.matches(reply)]
    if not rules:
        raise UsageError(
            f"no rule speaks of {' '.join(filter(None, (what, probe, reply)))}: such a reply gives "
            "no verdict and is kept as a hint"
        )
    width = None if sys.stdout.isatty() else 160
    if len(rules) == 1 or (what in BY_ID):
        rule_text(rules[0], sys.stdout, width)
    else:
        rule_table(rules, sys.stdout, width)
    return 0


def _chosen(what: str | None) -> Sequence[Rule]:
    if what is None:
        return RULES
    if what in BY_ID:
        return [BY_ID[what]]
    found = rules_for_state(State(what)) if what in STATES else rules_for_word(what)
    if not found:
        raise UsageError(
            f"{what!r} is no state ({', '.join(STATES)}), no rule and no reason; "
            "`rawscan explain` lists them all"
        )
    return found
