"""What is made from the code is not stale, and what the guides promise is there."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import click
import pytest

from rawscan.cli.lab import command as lab_command
from rawscan.cli.lesson import command as lesson_command
from rawscan.cli.quiz import command as quiz_command
from rawscan.lab.menu import TOPOLOGIES
from rawscan.lab.own import FIELDS, read_plan
from rawscan.lab.records import REJECT_REASONS
from rawscan.teach.lesson import lessons

DOCS = Path(__file__).parents[1] / "docs"


def test_the_reference_of_the_rules_is_fresh() -> None:
    spec = spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    made = module_from_spec(spec)
    spec.loader.exec_module(made)
    assert made.reference() == (DOCS / "rules.md").read_text(), "run `make docs`"


def test_the_teachers_guide_has_every_lesson_with_its_time_and_its_picture() -> None:
    guide = (DOCS / "teaching.md").read_text()
    for lesson in lessons():
        row = f"| {lesson.number} | {lesson.title} | {lesson.minutes} | `{lesson.id}.svg` |"
        assert row in guide


@pytest.mark.parametrize(
    ("command", "guide"),
    [(lab_command, "lab.md"), (lesson_command, "teaching.md"), (quiz_command, "teaching.md")],
    ids=["lab", "lesson", "quiz"],
)
def test_every_option_is_documented(command: click.Command, guide: str) -> None:
    text = (DOCS / guide).read_text()
    commands = [command, *getattr(command, "commands", {}).values()]
    for each in commands:
        for parameter in each.params:
            for option in parameter.opts:
                if option.startswith("--") and option != "--help":
                    assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), option


def test_the_guide_to_labs_names_every_lab_field_and_code() -> None:
    text = (DOCS / "lab.md").read_text()
    for name in (*TOPOLOGIES, *FIELDS, *REJECT_REASONS[4], *REJECT_REASONS[6]):
        assert f"`{name}`" in text, name


def test_the_example_of_ones_own_lab_can_be_built(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (DOCS / "lab.md").read_text(), re.DOTALL)
    path = tmp_path / "mine.toml"
    path.write_text(example)
    name, _, plan = read_plan(path)
    assert name == "two-floors"
    assert len(plan.hosts) == 4
