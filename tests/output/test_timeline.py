"""The plot: every frame is in it, at any width, and in plain characters only."""

from __future__ import annotations

import pytest

from rawscan.output.records import Record
from rawscan.output.timeline import RAMP, plot


def activity(step_s: float = 1.0, **counts: list[int]) -> Record:
    return {"start": "2023-11-14T22:13:20.000000Z", "step_s": step_s,
            "counts": {kind.replace("_", "-"): each for kind, each in counts.items()}}  # fmt: skip


def test_a_plot_by_hand() -> None:
    lines = list(plot(activity(syn=[1, 0, 100, 10], syn_ack=[0, 0, 1, 0]), 80))
    assert lines == [
        "SYN      111 . @+",
        "SYN+ACK    1   .",
        "             2023-11-14 22:13:20 to 2023-11-14 22:13:24 UTC, 1 s a column",
    ]


def test_columns_join_steps_where_there_is_no_room() -> None:
    lines = list(plot(activity(syn=[1] * 256), 40))
    label = "SYN  256 "
    assert lines[0].startswith(label)
    assert len(lines[0]) <= 40
    # 31 columns are left, so nine steps make one; the last is not full.
    marks = lines[0][len(label) :]
    assert marks == "@" * 28 + RAMP[round(8 * 0.631)]  # ln 4 / ln 9
    assert "9 s a column" in lines[-1]


@pytest.mark.parametrize("width", [1, 20, 40, 200])
def test_any_width_and_any_pipe(width: int) -> None:
    counts = [0] * 100 + [10**9] + [1] * 155
    for line in plot(activity(0.001, syn=counts, udp_reply=counts[::-1], icmp=[0] * 256), width):
        assert line.isascii()
        assert line.isprintable()
        assert len(line) <= max(width, 70)  # what cannot be narrower: the times


def test_what_has_no_length_in_time_has_no_plot() -> None:
    assert list(plot(None, 80)) == []
    assert list(plot(activity(syn=[5]), 80)) == []


@pytest.mark.parametrize(
    ("step_s", "text"),
    [(0.001, "1 ms"), (0.5, "500 ms"), (61, "1.02 min"), (7200, "2 h"), (86400 * 30, "30 d")],
)
def test_the_length_of_a_column(step_s: float, text: str) -> None:
    assert list(plot(activity(step_s, syn=[1, 1]), 80))[-1].endswith(f", {text} a column")
