from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cache.studio import Studio, open_studio
from tests.servers import ValkeyServer


@pytest.fixture
def studio(database_url: str, tmp_path: Path) -> Iterator[Studio]:
    """A core without Redis."""
    with open_studio(database_url, tmp_path) as studio:
        yield studio


@pytest.fixture
def hot_studio(database_url: str, tmp_path: Path, valkey: ValkeyServer) -> Iterator[Studio]:
    """A core with a hot tier."""
    with open_studio(database_url, tmp_path, redis_url=valkey.url) as studio:
        yield studio
