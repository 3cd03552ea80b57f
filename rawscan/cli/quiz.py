"""`rawscan quiz`: asks, scores, explains what was missed; prints quizzes, and grades them."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import click

from rawscan.cli.common import read_ports, warn
from rawscan.errors import UsageError

if TYPE_CHECKING:
    from rawscan.teach.grading import Grade
    from rawscan.teach.quiz import Question

_WIDEST = 78
_PATH = click.Path(path_type=Path)


@click.command("quiz", short_help="Which state is it? Questions from real exchanges.")
@click.argument("files", nargs=-1, metavar="[CAPTURE...]", type=_PATH)
@click.option(
    "--count",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    metavar="N",
    help="How many questions.",
)
@click.option("--seed", metavar="WORD", help="The same word asks the same questions again.")
@click.option(
    "--export",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the quiz to DIR instead: for the screen, and for paper with and without answers.",
)
@click.option(
    "--student",
    metavar="NAME",
    help="A quiz of one's own, a third of it about a lab of one's own (rawscan lab up --student);"
    " the result goes to a file for the teacher.",
)
@click.option("--class", "class_word", default="", metavar="WORD", help="Of the student's class.")
@click.option("--result", type=_PATH, metavar="FILE", help="Where the student's result goes.")
@click.option(
    "--grade",
    is_flag=True,
    help="Check and tabulate result files, named instead of captures.",
)
@click.option(
    "--capture",
    "captures",
    multiple=True,
    type=_PATH,
    metavar="FILE",
    help="Ask about this capture (as CAPTURE does; for --grade, the one that was asked about).",
)
@click.option(
    "-p",
    "--ports",
    metavar="PORTS",
    help="Of captures of your own, ask about these: 80, T:22,U:53. Default: as for pcap.",
)
def command(
    files: tuple[Path, ...],
    count: int,
    seed: str | None,
    export: Path | None,
    student: str | None,
    class_word: str,
    result: Path | None,
    grade: bool,
    captures: tuple[Path, ...],
    ports: str | None,
) -> int:
    """Show exchanges and ask for the state; score, and explain each miss by its rule.

    The exchanges are those of the curated captures, or of captures of your own.
    """
    from rawscan.lab.individual import word_of
    from rawscan.teach.quiz import bank, choose, for_student

    asked_about = None if ports is None else read_ports(ports)
    if grade:
        return _grade_all(files, bank(captures, asked_about))
    every = bank((*files, *captures), asked_about)
    if student is not None:
        if seed is not None:
            raise UsageError("--student has a seed of its own: the name, and the --class")
        questions = for_student(word_of(student, class_word), count, every)
        if export is None:
            return _take(student, class_word, questions, every, result)
        return _export(questions, word_of(student, class_word), student, export)
    if result is not None or class_word:
        raise UsageError("--class and --result go with --student NAME")
    seed = seed or token_hex(4)
    questions = choose(every, seed, count)
    if export is not None:
        return _export(questions, seed, "", export)
    right, answers = _ask_all(questions)
    click.echo(f"{right} of {len(answers)} right (--seed {seed} asks these again)")
    return 0


def _ask_all(questions: Sequence[Question]) -> tuple[int, list[str]]:
    """How many were right, and what was answered, until nobody wanted to go on."""
    columns = min(get_terminal_size().columns, _WIDEST)
    answers: list[str] = []
    right = 0
    for number, question in enumerate(questions, start=1):
        click.echo(f"Question {number} of {len(questions)}\n")
        answer = _ask(question, columns)
        if answer is None:
            break
        answers.append(answer)
        right += _judge(question, answer)
    return right, answers


def _ask(question: Question, columns: int) -> str | None:
    """The state that was chosen; None if nobody wants to go on."""
    from rawscan.teach.ladder import draw, ladder_of

    if question.case is not None:
        click.echo("\n".join(draw(ladder_of(question.case), columns)) + "\n")
    click.echo(f"{question.asked}\n")
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
    """Say whether it is right; where it is not, show the rule."""
    from rawscan.output.rules import rule_text

    right = answer == question.answer.value
    if right:
        click.echo(f"\nRight: {answer}. {question.because}\n")
        return True
    click.echo(f"\nNo: {question.answer.value}. {'' if question.case else question.because}\n")
    if question.case is not None:
        rule_text(question.case.rule, sys.stdout, min(get_terminal_size().columns, _WIDEST))
        click.echo()
    return False


def _export(questions: Sequence[Question], seed: str, student: str, folder: Path) -> int:
    from rawscan.teach.page import paper, quiz_page
    from rawscan.teach.site import write_pages

    pages = {
        "quiz.html": quiz_page(questions),
        "questions.html": paper(questions, seed, answers=False, student=student),
        "answers.html": paper(questions, seed, answers=True, student=student),
    }
    written = write_pages(folder, pages, "--export")
    click.echo(f"{', '.join(map(str, written))} (seed {seed})")
    return 0


def _take(
    student: str,
    class_word: str,
    questions: Sequence[Question],
    every: Sequence[Question],
    path: Path | None,
) -> int:
    """A quiz of a student's, and its result in a file."""
    from rawscan.output.records import rfc3339
    from rawscan.teach.grading import bank_digest, result

    name = re.sub(r"[^A-Za-z0-9]+", "-", student).strip("-").lower() or "student"
    path = path or Path(f"rawscan-quiz-{name}.json")
    if path.exists():
        raise UsageError(f"{path} is there already; --result FILE names another one")
    click.echo("Some questions are about your own lab: `rawscan lab up --student` builds it.\n")
    started = rfc3339(time.time()) or ""
    right, answers = _ask_all(questions)
    times = started, rfc3339(time.time()) or ""
    data = result(student, class_word, questions, answers, times, bank_digest(every))
    try:
        path.write_text(json.dumps(data, indent=1) + "\n")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    click.echo(f"{right} of {len(questions)} right; the result is in {path}")
    return 0


def _grade_all(files: Sequence[Path], every: Sequence[Question]) -> int:
    from rawscan.teach.grading import duplicates, grade

    if not files:
        raise UsageError("--grade needs the result files: rawscan quiz --grade *.json")
    grades: list[Grade] = []
    code = 0
    for path in files:
        try:
            grades.append(grade(path.read_text(), every))
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            warn(f"{path}: cannot be graded: {reason}")
            code = 1
    _print_grades(grades)
    for name in duplicates(grades):
        warn(f"{name} stands on more than one file")
    return code


def _print_grades(grades: Sequence[Grade]) -> None:
    width = max([len(grade.student) for grade in grades] + [len("STUDENT")])
    click.echo(f"{'STUDENT':<{width}}  RIGHT  PERCENT  MINUTES  REMARKS")
    for grade in sorted(grades, key=lambda each: each.student.lower()):
        percent = f"{100 * grade.right / grade.count:.0f} %"
        score = f"{grade.right}/{grade.count}"
        line = f"{grade.student:<{width}}  {score:>5}  {percent:>7}  {grade.minutes:>7.1f}  "
        click.echo((line + "; ".join(grade.remarks)).rstrip())
