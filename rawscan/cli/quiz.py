"""`rawscan quiz`: asks, scores, and explains what was missed."""

from __future__ import annotations

import sys
from pathlib import Path
from secrets import token_hex
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rawscan.teach.quiz import Question

_WIDEST = 78


@click.command("quiz", short_help="Which state is it? Questions from real exchanges.")
@click.argument("captures", nargs=-1, metavar="[CAPTURE...]", type=click.Path(path_type=Path))
@click.option(
    "--count",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    metavar="N",
    help="How many questions.",
)
@click.option("--seed", metavar="WORD", help="The same word asks the same questions again.")
def command(captures: tuple[Path, ...], count: int, seed: str | None) -> int:
    """Show exchanges and ask for the state; score, and explain each miss by its rule.

    The exchanges are those of the curated captures, or of captures of your own.
    """
    from rawscan.teach.quiz import bank, choose

    seed = seed or token_hex(4)
    questions = choose(bank(captures), seed, count)
    return _ask_all(questions, seed)


def _ask_all(questions: list[Question], seed: str) -> int:
    columns = min(get_terminal_size().columns, _WIDEST)
    right = asked = 0
    for number, question in enumerate(questions, start=1):
        click.echo(f"Question {number} of {len(questions)}\n")
        answer = _ask(question, columns)
        if answer is None:
            break
        asked += 1
        right += _judge(question, answer)
    click.echo(f"{right} of {asked} right (--seed {seed} asks these again)")
    return 0


def _ask(question: Question, columns: int) -> str | None:
    """The state that was chosen; None if nobody wants to go on."""
    from rawscan.teach.ladder import draw, ladder_of

    click.echo("\n".join(draw(ladder_of(question.case), columns)))
    port = question.case.port
    click.echo(f"\nIn which state is port {port.number}/{port.protocol.value}?\n")
    names = [state.value for state in question.choices]
    for number, name in enumerate(names, start=1):
        click.echo(f"  {number}  {name}")
    while True:
        try:
            typed = click.prompt("\nYour answer", default="", show_default=False).strip().lower()
        except click.Abort:
            click.echo()
            return None
        if typed in ("q", "quit"):
            return None
        if typed in names:
            return str(typed)
        if typed.isascii() and typed.isdecimal() and 0 < int(typed) <= len(names):
            return names[int(typed) - 1]
        click.echo(f"Type a number from 1 to {len(names)}, or q to leave.")


def _judge(question: Question, answer: str) -> bool:
    from rawscan.output.rules import rule_text

    right = answer == question.answer.value
    rule = question.case.rule
    if right:
        click.echo(f"\nRight: {answer}, {rule.reason}.\n")
    else:
        click.echo(f"\nNo: {question.answer.value}. The rule:\n")
        rule_text(rule, sys.stdout, min(get_terminal_size().columns, _WIDEST))
        click.echo()
    return right
