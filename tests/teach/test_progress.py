"""How far somebody has come is kept, and a damaged file harms nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from rawscan.teach.progress import Progress, state_directory


def test_it_is_remembered(tmp_path: Path) -> None:
    Progress(tmp_path / "new").reach("closed", 3)
    again = Progress(tmp_path / "new")
    assert (again.step("closed"), again.is_done("closed"), again.step("open")) == (3, False, 0)
    again.finish("closed")
    done = Progress(tmp_path / "new")
    assert (done.step("closed"), done.is_done("closed")) == (0, True)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["lessons.json"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"steps": 3, "done": []}', '{"steps": {"a": "x"}}']
)
def test_a_damaged_file_is_as_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "lessons.json").write_text(text)
    progress = Progress(tmp_path)
    assert progress.step("a") == 0
    progress.reach("a", 1)
    assert Progress(tmp_path).step("a") == 1


@pytest.mark.parametrize(
    ("environment", "directory"),
    [
        ({"XDG_STATE_HOME": "/state", "HOME": "/home/x"}, "/state/rawscan"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/home/x"}, "/home/x/.local/state/rawscan"),
        ({"HOME": "/home/x"}, "/home/x/.local/state/rawscan"),
    ],
)
def test_where_it_is_kept(environment: dict[str, str], directory: str) -> None:
    assert state_directory(environment) == Path(directory)
