"""Lessons as data: each can be loaded, and asks for what there is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rawscan.errors import UsageError
from rawscan.lab.menu import TOPOLOGIES
from rawscan.model import ProbeKind, State
from rawscan.ports import parse_ports
from rawscan.teach.lesson import Lesson, Predict, Read, Run, Show, find_lesson, lessons
from rawscan.teach.stage import ShelfStage, scan_arguments, targets_of


def test_they_are_numbered_from_one() -> None:
    assert [lesson.number for lesson in lessons()] == list(range(1, len(lessons()) + 1))
    assert len({lesson.id for lesson in lessons()}) == len(lessons()) >= 10


@pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.id)
def test_a_lesson_reads_predicts_runs_and_understands(lesson: Lesson) -> None:
    assert lesson.title
    assert lesson.goal
    assert 3 <= lesson.minutes <= 20
    assert isinstance(lesson.steps[0], Read)
    assert any(isinstance(step, Predict) for step in lesson.steps)
    assert any(isinstance(step, Run | Show) for step in lesson.steps)
    assert not isinstance(lesson.steps[-1], Predict)


@pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.id)
def test_every_run_of_a_lesson_has_a_recording_to_fall_back_on(lesson: Lesson) -> None:
    stage = ShelfStage(lesson.topology)
    for step in lesson.steps:
        if isinstance(step, Run):
            ports = len(parse_ports(step.ports).udp)
            assert len(stage.cases(step)) == len(step.hosts) * len(step.probes) * ports


@pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.id)
def test_a_predicted_state_is_the_one_that_the_plan_expects(lesson: Lesson) -> None:
    """Where a prediction is a state, and one port is run next, the lab's plan must agree."""
    plan = TOPOLOGIES[lesson.topology].plan
    states = {state.value for state in State}
    for step, following in zip(lesson.steps, lesson.steps[1:], strict=False):
        single = isinstance(following, Run) and len(following.hosts) == len(following.probes) == 1
        if isinstance(step, Predict) and isinstance(following, Run) and single:
            kind = following.probes[0]
            if set(step.choices) <= states and kind is not ProbeKind.ACK:
                (target,) = targets_of(plan, following)
                assert plan.expected(target, kind.protocol).state.value == step.answer


def test_lessons_are_found_by_number_and_name() -> None:
    assert find_lesson("2") == find_lesson("closed") == find_lesson("CLOSED")
    with pytest.raises(UsageError, match=r"no lesson 'x'; lessons are 1 to .*closed"):
        find_lesson("x")


def test_the_command_shown_asks_just_that() -> None:
    run = Run(("open", "closed"), 4, (ProbeKind.SYN, ProbeKind.ACK), "")
    targets = targets_of(TOPOLOGIES["basic"].plan, run)
    assert scan_arguments(targets, run) == [
        "scan", "10.56.1.10", "10.56.1.11", "--no-udp", "--ack",
    ]  # fmt: skip
    assert scan_arguments(targets[:1], replace(run, ports="561-572"))[2:4] == ["-p", "561-572"]
    six = targets_of(TOPOLOGIES["basic"].plan, replace(run, family=6))
    assert [str(target) for target in six] == ["fd56:1::10", "fd56:1::11"]
