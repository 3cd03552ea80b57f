"""Where the shared captures are. Reads their table of truth; writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "captures"


@pytest.fixture(scope="session")
def shared_captures() -> Path:
    """The folder of real captures beside the repository; skips where there is none."""
    if not SHARED.is_dir():
        pytest.skip(f"no captures at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def true_packets(shared_captures: Path) -> dict[str, int]:
    """How many packets capinfos counts in each file of truth.jsonl, by its path there."""
    lines = (shared_captures / "truth.jsonl").read_text().splitlines()
    return {row["path"]: row["packets"] for row in map(json.loads, lines)}
