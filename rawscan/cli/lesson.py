"""`rawscan lesson`: lists the lessons and takes a learner through one."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import click

from rawscan.cli.common import warn
from rawscan.errors import UsageError

if TYPE_CHECKING:
    from rawscan.teach.lesson import Lesson
    from rawscan.teach.progress import Progress
    from rawscan.teach.stage import Stage

_WIDEST = 78


@click.command("lesson", short_help="Learn port states from first principles, in your own lab.")
@click.argument("which", required=False, metavar="[NUMBER | NAME]")
@click.option("--restart", is_flag=True, help="Begin at the beginning, not where you left off.")
@click.option(
    "--recorded", is_flag=True, help="Build no lab; show what a scan of it has recorded before."
)
@click.option(
    "--html",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write all lessons as pages to DIR, with a quiz and a picture of each for slides.",
)
def command(which: str | None, restart: bool, recorded: bool, html: Path | None) -> int:
    """List the lessons, or take one: predict, run it for real, look, understand.

    The lab needs no root, and touches nothing of this machine's network. A lesson that was left
    goes on where it was left.
    """
    from rawscan.teach.lesson import find_lesson
    from rawscan.teach.progress import Progress, state_directory

    if html is not None:
        if which is not None:
            raise UsageError("--html writes all lessons; leave the number out")
        from rawscan.teach.site import write_site

        written = write_site(html)
        click.echo(f"{len(written)} files; begin with {html / 'index.html'}")
        return 0
    progress = Progress(state_directory())
    if which is None:
        _list(progress)
        return 0
    lesson = find_lesson(which)
    return _teach(lesson, progress, 0 if restart else progress.step(lesson.id), recorded)


def _list(progress: Progress) -> None:
    from rawscan.teach.lesson import lessons

    for lesson in lessons():
        mark = "  (done)" if progress.is_done(lesson.id) else ""
        if step := progress.step(lesson.id):
            mark = f"  (step {step + 1} of {len(lesson.steps)})"
        number, minutes = f"{lesson.number:>2}", f"{lesson.minutes:>2} min"
        click.echo(f"{number}  {lesson.id:<12} {minutes}  {lesson.title}{mark}")
    click.echo("\n`rawscan lesson 1` begins.")


def _teach(lesson: Lesson, progress: Progress, first: int, recorded: bool) -> int:
    from rawscan.teach.runner import LeftError, Teacher, wrapped
    from rawscan.teach.stage import open_stage

    columns = min(get_terminal_size().columns, _WIDEST)

    def reached(step: int) -> None:
        try:
            if step < len(lesson.steps):
                progress.reach(lesson.id, step)
            else:
                progress.finish(lesson.id)
        except OSError as error:
            warn(f"cannot remember how far you came: {error}")

    with ExitStack() as stack:

        def stage() -> Stage:
            return stack.enter_context(open_stage(lesson.topology, recorded, warn))

        teacher = Teacher(click.echo, _typed, stage, columns)
        click.echo(f"Lesson {lesson.number}: {lesson.title}\n")
        click.echo(wrapped(lesson.goal, columns) + "\n")
        if first:
            click.echo(f"(going on at step {first + 1} of {len(lesson.steps)})\n")
        try:
            teacher.teach(lesson, first, reached)
        except LeftError:
            click.echo(f"\nLeft; `rawscan lesson {lesson.number}` goes on from here.")
            return 0
    score = f": {teacher.right} of {teacher.asked} predictions right" if teacher.asked else ""
    click.echo(f"Lesson {lesson.number} is done{score}.")
    return 0


def _typed(prompt: str) -> str:
    """What the learner types. Raises `LeftError` at Ctrl-C, Ctrl-D and the end of a script."""
    from rawscan.teach.runner import LeftError

    try:
        return str(click.prompt(prompt, default="", show_default=False))
    except click.Abort:
        raise LeftError from None
