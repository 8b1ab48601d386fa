from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from orchestrator.api.app import Api, create_app
from orchestrator.application.core import Core
from tests.world.core import open_world
from tests.world.http import LIMITS, connect


@pytest.fixture
def core(database_url: str, tmp_path: Path) -> Iterator[Core]:
    with open_world(database_url, tmp_path) as world:
        yield world.core


@pytest.fixture
def app(core: Core) -> Api:
    return create_app(core, LIMITS)


@pytest.fixture
async def client(app: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(app) as client:
        yield client


@pytest.fixture
def open_on(tmp_path: Path) -> Iterator[Callable[[str], Core]]:
    """Opens a core on a database without a template, once."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(open_world(url, tmp_path)).core
