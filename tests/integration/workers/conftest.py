"""What most tests of workers begin with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.world.core import World, open_world
from tests.world.work import Journal


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def journal() -> Journal:
    return Journal()
