"""The pages of all lessons, as a folder of files. Writes them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

from rawscan.errors import UsageError
from rawscan.model import ProbeKind
from rawscan.teach.case import Case, example_of
from rawscan.teach.lesson import Lesson, Run, Show, lessons
from rawscan.teach.machine import machine_svg
from rawscan.teach.page import inline, lesson_page, page, quiz_page, slide
from rawscan.teach.quiz import bank, choose
from rawscan.teach.stage import ShelfStage

_QUESTIONS = 12


def write_site(folder: Path) -> list[Path]:
    """Write every lesson, an index, a quiz, and a picture for slides of each lesson.

    The packets are those of the recorded labs. Raises `UsageError` if the folder cannot be written.
    """
    every = lessons()
    files = {"index.html": _index(every)}
    for lesson in every:
        stories = stories_of(lesson)
        files[f"{lesson.id}.html"] = lesson_page(lesson, stories, _links(every, lesson))
        files[f"{lesson.id}.svg"] = slide(_picture(stories))
    quiz = choose(bank(), "pages", _QUESTIONS)
    files["quiz.html"] = quiz_page(quiz, '<a href="index.html">All lessons</a>')
    return write_pages(folder, files, "--html")


def write_pages(folder: Path, files: Mapping[str, str], option: str) -> list[Path]:
    """Write files into a folder, which is made if need be; `option` is who named it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)
    except OSError as error:
        raise UsageError(f"{option} {folder}: cannot be written: {error.strerror}") from error
    return [folder / name for name in files]


def stories_of(lesson: Lesson) -> dict[int, list[Case]]:
    """The cases that each step shows, by the step's index."""
    stage = ShelfStage(lesson.topology)
    found: dict[int, list[Case]] = {}
    for index, step in enumerate(lesson.steps):
        if isinstance(step, Run):
            found[index] = stage.cases(step)
        elif isinstance(step, Show):
            example = example_of(step.rule)
            found[index] = [] if example is None else [example]
    return found


def _picture(stories: dict[int, list[Case]]) -> Case:
    """The first single exchange of a lesson."""
    return min(stories.values(), key=lambda cases: (len(cases) != 1, len(cases)))[0]


def _links(every: tuple[Lesson, ...], lesson: Lesson) -> str:
    links = ['<a href="index.html">All lessons</a>']
    for other, word in ((lesson.number - 1, "Before"), (lesson.number + 1, "Next")):
        if 0 < other <= len(every):
            near = every[other - 1]
            links.append(f'{word}: <a href="{near.id}.html">{escape(near.title)}</a>')
    return " &middot; ".join(links)


def _index(every: tuple[Lesson, ...]) -> str:
    items = "".join(
        f'<li><a href="{lesson.id}.html">{escape(lesson.title)}</a> ({lesson.minutes} min)<br>'
        f"{inline(lesson.goal)}</li>"
        for lesson in every
    )
    machines = "".join(f"<figure>{machine_svg(kind)}</figure>" for kind in ProbeKind)
    return page(
        "Why is it closed and not filtered?",
        [
            "<h1>Why is it closed and not filtered?</h1>",
            f"<ol>{items}</ol>",
            '<p><a href="quiz.html">The quiz</a></p>',
            "<h2>What each probe can find</h2>",
            machines,
        ],
    )
