"""The pytest plugin: the fixture `orchestrator`. PYTEST_DONT_REWRITE: nothing here is an assertion of a test.

It is imported by every pytest of an environment where this package is installed, so it imports only pytest.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from orchestrator.testing.kit import Kit


@pytest.fixture(name="orchestrator")
def orchestrator_kit() -> "Kit":
    """Call skills and run workflows: `orchestrator.call(skill, input)`, `orchestrator.run(workflow, payload)`."""
    from orchestrator.testing.kit import Kit  # noqa: PLC0415 - costs nothing to tests without this fixture

    return Kit()
