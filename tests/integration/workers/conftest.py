"""What most tests of workers begin with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.workers.site import Journal, Site, open_site


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    with open_site(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def journal() -> Journal:
    return Journal()
