"""What acceptance tests share."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.postgres.embedded import EmbeddedPostgres


@pytest.fixture
def home(data_dir: Path) -> Iterator[Path]:
    """A data directory; a server that killed programs left running there is stopped afterwards."""
    yield data_dir
    if (data_dir / "postgres.users").exists() or (data_dir / "postgres.location").exists():
        with EmbeddedPostgres(data_dir):
            pass


@pytest.fixture
def programs(home: Path) -> Iterator[ExitStack]:
    """Enter programs here, so that they are ended before the server they use."""
    with ExitStack() as stack:
        yield stack
