"""How far somebody has come: one small file in the user's state directory. Reads and writes it.

$XDG_STATE_HOME/rawscan/lessons.json, by default under ~/.local/state (XDG Base Directory
Specification).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

_NAME = "lessons.json"


def state_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where this user's state is kept. A relative XDG_STATE_HOME is to be ignored, says XDG."""
    home = Path(environment.get("XDG_STATE_HOME", ""))
    if not home.is_absolute():
        home = Path(environment.get("HOME", "/nonexistent")) / ".local/state"
    return home / "rawscan"


class Progress:
    """The step at which each lesson was left, and which are done."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _NAME
        self._steps: dict[str, int] = {}
        self._done: set[str] = set()
        try:
            data = json.loads(self._path.read_text())
            steps, done = data["steps"], data["done"]
            self._steps = {str(name): int(step) for name, step in steps.items()}
            self._done = set(map(str, done))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            pass  # none yet, or damaged: lessons can be taken again

    def step(self, lesson: str) -> int:
        """Where to go on; 0 for a lesson that was not begun, or is done."""
        return self._steps.get(lesson, 0)

    def is_done(self, lesson: str) -> bool:
        """Was it finished once?"""
        return lesson in self._done

    def reach(self, lesson: str, step: int) -> None:
        """Remember the next step of a lesson. Raises `OSError` if the file cannot be written."""
        self._steps[lesson] = step
        self._save()

    def finish(self, lesson: str) -> None:
        """Remember that it is done."""
        self._steps.pop(lesson, None)
        self._done.add(lesson)
        self._save()

    def _save(self) -> None:
        """Whole or not at all: a new file takes the old one's place."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({"steps": self._steps, "done": sorted(self._done)}) + "\n")
        fresh.replace(self._path)
