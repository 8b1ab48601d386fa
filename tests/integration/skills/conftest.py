"""What tests of skills share."""

from collections.abc import Iterator

import pytest

from orchestrator.skills import kept


@pytest.fixture(params=["kept", "grouped"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """How programs are run: with keepers, as on Linux, and with process groups only, as elsewhere."""
    found = kept.IS_AVAILABLE
    kept.IS_AVAILABLE = found and request.param == "kept"
    yield str(request.param)
    kept.IS_AVAILABLE = found
