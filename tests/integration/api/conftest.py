from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from orchestrator.api.app import Api, create_app
from orchestrator.api.services import RequestLimits
from orchestrator.application.core import Core
from orchestrator.bootstrap.core import open_core
from orchestrator.settings import Settings

LIMITS = RequestLimits(deadline=5.0, read_wait=0.5, readiness=1.0, heartbeat=0.2)


@pytest.fixture
def core(database_url: str, tmp_path: Path) -> Iterator[Core]:
    settings = Settings(database_url=database_url, artifact_url=str(tmp_path / "artifacts"), data_dir=tmp_path)
    with open_core(settings) as core:
        yield core


@pytest.fixture
def app(core: Core) -> Api:
    return create_app(core, LIMITS)


def connect(app: Api) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


@pytest.fixture
async def client(app: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(app) as client:
        yield client


@pytest.fixture
def open_on(tmp_path: Path) -> Iterator[Callable[[str], Core]]:
    """Opens a core on a database without a template, once."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(open_core(Settings(database_url=url, data_dir=tmp_path)))
