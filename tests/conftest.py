"""Fixtures that several parts of the tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rawscan.lab.build import Lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The basic lab, up for the whole run. Tests that use it are marked `netns`."""
    with Lab.up() as lab:
        yield lab
