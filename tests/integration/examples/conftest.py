"""The campaigns that the tests look at are built once for all of them."""

import pytest

from tests.integration.examples.workshop import BRIEF, Build, Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("campaigns"))


@pytest.fixture(scope="session")
def build(workshop: Workshop) -> Build:
    return workshop.build("campaign.build.v1", BRIEF)


@pytest.fixture(scope="session")
def build3d(workshop: Workshop, build: Build) -> Build:
    return workshop.build("campaign.build3d.v1", BRIEF)
