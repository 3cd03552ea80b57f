"""Rounds, ratios, goals and the table, with numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import TimeoutExpired

import pytest

from benchmarks.rows import Effort, Goal, RunError, alternate, each, row, table


def program(name: str, diary: list[str], *outcomes: float | Exception) -> Callable[[], float]:
    left = iter(outcomes)

    def run() -> float:
        diary.append(name)
        outcome = next(left)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return run


@pytest.fixture(autouse=True)
def _peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path: name if name == "nmap" else None)


def test_rounds_alternate_and_a_slow_peer_has_fewer() -> None:
    diary: list[str] = []
    programs = {
        "rawscan": program("a", diary, 1, 2, 3),
        "nmap -T4": program("b", diary, 4, 5, 6),
        "nmap": program("c", diary, 7),
    }
    found = alternate(programs, Effort(rounds=3, slow=1), slow=["nmap"])
    assert "".join(diary) == "abcabab"
    assert found == {"rawscan": [1, 2, 3], "nmap -T4": [4, 5, 6], "nmap": [7]}


def test_what_goes_wrong_is_told_in_words() -> None:
    late = TimeoutExpired("nmap", 40.0)
    programs = {
        "rawscan --rate max": program("a", [], 1, RunError("exit code 1: no way"), 3),
        "nmap": program("b", [], late, 5, late),
        "zmap -T1": program("c", []),
    }
    found = alternate(programs, Effort(3, 3))
    assert found["rawscan --rate max"] == [1, "exit code 1: no way", 3]
    assert found["nmap"] == ["hung: killed after 40 s", 5, "hung: killed after 40 s"]
    assert found["zmap -T1"] == ["is missing"] * 3


def test_rest_goes_before_each_run(monkeypatch: pytest.MonkeyPatch) -> None:
    diary: list[str] = []
    monkeypatch.setattr("time.sleep", lambda s: diary.append(f"{s:.0f}"))
    programs = {"rawscan": program("a", diary, 1, 2), "masscan": program("b", diary)}
    alternate(programs, Effort(2, 2), rest_s=7.0)
    assert "".join(diary) == "7a7a"


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    # By rounds 1/4, 2/2, 9/3: the median is 1. The medians' own ratio would be 2/3.
    line = row("w", [1, 2, 9], "{:.1f} s", Goal("ratio", 0.9), ("nmap", [4, 2, 3]))
    assert str(line) == "| w | 2.0 s | 3.0 s (nmap) | 1.00 | ratio ≤ 0.9 | **missed** |"


def test_a_round_that_one_side_lost_has_no_ratio() -> None:
    line = row("w", [1, "exit code 1", 9], "{:.0f}", None, ("masscan", [2, "hung", "hung"]))
    assert line.ours == "5; exit code 1 (1 of 3)"
    assert line.peer == "2; hung (2 of 3) (masscan)"
    assert (line.ratio, line.goal, line.verdict) == ("0.50", "-", "")


@pytest.mark.parametrize(
    ("goal", "ours", "verdict"),
    [
        (Goal("ratio", 0.5), [1, 1, 3], "met"),
        (Goal("ratio", 0.5, least=True), [1, 1, 3], "met"),
        (Goal("ratio", 0.6, least=True), [1, 1, 3], "**missed**"),
        (Goal("median", 1), [1, 1, 3], "met"),
        (Goal("median", 1), [1, 2, 3], "**missed**"),
        (Goal("each", 1), [1, 1, 3], "**missed**"),
        (Goal("each", 3), [1, 1, 3], "met"),
        (Goal("each", 2, least=True), [2, 2, 1], "**missed**"),
        (Goal("median", 1), [1, 1, "exit code 1"], "**not measured**"),
        (Goal("each", 1), ["exit code 1"] * 3, "**not measured**"),
    ],
)
def test_a_goal_is_met_or_missed(goal: Goal, ours: list[float | str], verdict: str) -> None:
    assert row("w", ours, "{}", goal, ("nmap", [2, 2, 2])).verdict == verdict


def test_a_ratio_without_a_peer_is_not_measured() -> None:
    line = row("w", [1, 2], "{:.0f}", Goal("ratio", 1), ("zmap", ["is missing"] * 2))
    assert str(line) == "| w | 2 | is missing (zmap) | - | ratio ≤ 1 | **not measured** |"


def test_where_every_round_counts_every_round_is_told() -> None:
    line = row("w", [65536, 9], "{:.0f}", Goal("each", 65536, least=True), ("nmap", [1, 2]))
    assert str(line) == "| w | 65536, 9 | 1, 2 (nmap) | - | each ≥ 65,536 | **missed** |"


def test_goals_are_written_as_they_are_meant() -> None:
    assert str(Goal("ratio", 1 / 6)) == "ratio ≤ 0.167"
    assert str(Goal("median", 2.304, unit=" s")) == "≤ 2.304 s"


def test_words_cannot_break_the_table() -> None:
    made = table([row("w", ["a | b"], "{}"), row("v", each([2], lambda n: n / 4), "{}")])
    assert made.splitlines() == [
        "| work | rawscan | peer | ratio | goal | |",
        "|---|---|---|---|---|---|",
        "| w | a / b | - | - | - |  |",
        "| v | 0.5 | - | - | - |  |",
    ]
