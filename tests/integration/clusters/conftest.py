"""Fixtures for attempts on clusters."""

from pathlib import Path

import pytest

from tests.integration.clusters.attempts import Attempts


@pytest.fixture
def attempts(tmp_path: Path) -> Attempts:
    return Attempts(tmp_path)
