from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import ValkeyServer
from tests.world.core import World, open_world


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    """A core without Redis."""
    with open_world(database_url, tmp_path) as world:
        yield world


@pytest.fixture
def hot_world(database_url: str, tmp_path: Path, valkey: ValkeyServer) -> Iterator[World]:
    """A core with a hot tier."""
    with open_world(database_url, tmp_path, redis_url=valkey.url) as world:
        yield world
