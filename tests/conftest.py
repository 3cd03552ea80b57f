"""Fixtures that several parts of the tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rawscan.lab.build import Lab
from tests.story import Story, tell


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The basic lab, up for the whole run. Tests that use it are marked `netns`."""
    with Lab.up() as lab:
        yield lab


@pytest.fixture(scope="session")
def story(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """One scan of the whole lab, recorded and read back."""
    return tell(lab, tmp_path_factory.mktemp("story"))
