"""`rawscan explain`: every rule can be found, by what it is called and by what it is about."""

from __future__ import annotations

import subprocess

import click.testing
import pytest

from rawscan.cli.explain import command
from rawscan.errors import UsageError
from rawscan.model import State
from rawscan.rules import RULES, Rule, rules_for_state
from rawscan.teach.words import STATES
from tests.story import RAWSCAN


def explain(*arguments: str) -> str:
    done = click.testing.CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def ids(text: str) -> set[str]:
    """The rules in a table: its first column."""
    names = {rule.id for rule in RULES}
    return {word for line in text.splitlines() for word in line.split()[:1] if word in names}


def test_the_whole_table_has_every_rule() -> None:
    assert ids(explain()) == {rule.id for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_is_shown_in_full(rule: Rule) -> None:
    text = " ".join(explain(rule.id).split())
    for part in (rule.id, rule.why, rule.reason, rule.signal, f"{rule.rfc}, ", rule.section):
        if part != ", ":
            assert " ".join(part.split()) in text
    assert (rule.state.value if rule.state else "(a hint only)") in text


@pytest.mark.parametrize("state", [s for s in State if rules_for_state(s)], ids=lambda s: s.value)
def test_a_state_shows_the_rules_that_give_it(state: State) -> None:
    rules = rules_for_state(state)
    text = explain(state.value)
    assert rules[0].id in text
    if len(rules) > 1:
        assert f"{state.value}: {STATES[state]}" in text
    if len(rules) > 1:
        assert ids(text) == {rule.id for rule in rules}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["reset"], {"syn-rst", "ack-rst"}),
        (["--reply", "rst"], {"syn-rst", "ack-rst"}),
        (["--probe", "udp", "--reply", "icmp:3/3"], {"udp-port-unreach", "udp-port-unreach-other"}),
        (["open", "--probe", "syn"], {"syn-syn-ack", "syn-split-handshake", "syn-hung-up"}),
    ],
    ids=" ".join,
)
def test_rules_are_chosen_by_what_they_are_about(arguments: list[str], expected: set[str]) -> None:
    assert ids(explain(*arguments)) == expected


@pytest.mark.parametrize(
    ("arguments", "like"),
    [
        (["OPEN"], ["open"]),
        (["Syn-RST"], ["syn-rst"]),
        (["RESET"], ["reset"]),
        (["rst"], ["--reply", "rst"]),
        (["icmp6:1/4"], ["--reply", "icmp6:1/4"]),
        (["--reply", "ICMP:3/03"], ["--reply", "icmp:3/3"]),
        (["--reply", "icmp:3"], ["--reply", "icmp:3/*"]),
        (["silence", "--probe", "UDP"], ["udp-no-response"]),
    ],
    ids=str,
)
def test_other_ways_to_say_the_same(arguments: list[str], like: list[str]) -> None:
    assert explain(*arguments) == explain(*like)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_reply_is_taken_as_it_is_shown(rule: Rule) -> None:
    assert rule.id in explain("--reply", rule.signal, "--probe", rule.probe.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--probe", "udp", "--reply", "rst"], "no rule speaks of udp rst: such a reply gives no"),
        (["--reply", "icmp:0/0"], "no rule speaks of icmp:0/0: such a reply gives no verdict"),
        (["tcp-other"], "no rule speaks of tcp-other: such a reply gives no verdict"),
        (["open", "--reply", "silence"], "no rule is about all of open silence"),
        (["syn-rst", "--probe", "ack"], "no rule is about all of syn-rst ack"),
        (["closed|filtered"], "no rule is about all of closed|filtered"),
    ],
    ids=str,
)
def test_what_no_rule_is_about_is_an_answer(arguments: list[str], said: str) -> None:
    assert said in explain(*arguments)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nonsense"], "'nonsense' is no state .* no reply"),
        (["--reply", "nosuch"], "'nosuch' is no reply; replies are .*rst.*icmp:TYPE/CODE"),
        (["--reply", "icmp:999/1"], "'icmp:999/1' is no reply"),
        (["--reply", "rst:3"], "'rst:3' is no reply"),
        (["--reply", ""], "'' is no reply"),
        (["icmp:3/256"], "'icmp:3/256' is no state"),
        (["icmp:3/"], "'icmp:3/' is no state"),
    ],
    ids=str,
)
def test_a_slip_of_the_pen_is_said_to_be_one(arguments: list[str], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        explain(*arguments)


def test_it_reaches_the_shell() -> None:
    done = subprocess.run(
        [*RAWSCAN, "explain", "nonsense"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "nonsense" in done.stderr
    assert "Traceback" not in done.stderr
