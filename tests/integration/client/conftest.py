from collections.abc import AsyncIterator

import pytest

from orchestrator.api.app import Api, create_app
from orchestrator.api.services import RequestLimits
from orchestrator.application.core import Core
from orchestrator.bootstrap.showing import open_projector
from orchestrator.client import AsyncClient
from tests.integration.api.conftest import core
from tests.integration.client.relay import Relay
from tests.world.core import register
from tests.world.http import serving
from tests.world.lines import FAULTY, LINE, STRANGE

__all__ = ["core"]


@pytest.fixture
async def app(core: Core) -> Api:
    await register(core, LINE, FAULTY, STRANGE)
    return create_app(core, RequestLimits(deadline=5.0, heartbeat=0.3))


@pytest.fixture
async def server(core: Core, app: Api) -> AsyncIterator[str]:
    """The address of a real server, with a projector behind it."""
    with open_projector(core):
        async with serving(app) as port:
            yield f"http://127.0.0.1:{port}"


@pytest.fixture
async def client(server: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server) as client:
        yield client


@pytest.fixture
async def relay(server: str) -> AsyncIterator[Relay]:
    """A network before the server, that does to connections what tests ask it to."""
    async with Relay(int(server.rpartition(":")[2])) as relay:
        yield relay


@pytest.fixture
async def far(relay: Relay) -> AsyncIterator[AsyncClient]:
    """A client behind the relay."""
    async with AsyncClient(relay.address) as client:
        yield client
