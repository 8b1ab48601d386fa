"""A client on the API of a core: without a network, or through a server as the program starts it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp

from orchestrator.api.app import Api
from orchestrator.api.services import RequestLimits
from orchestrator.application.core import Core
from orchestrator.cli.serving.connections import Connections
from orchestrator.cli.serving.protocol import BoundedProtocol
from tests.waiting import until
from tests.world.core import register
from tests.world.lines import FAULTY, LINE, SKILLS
from tests.world.work import at_work

RUNS = "/api/v1/runs"
LIMITS = RequestLimits(deadline=5.0, read_wait=0.5, readiness=1.0, heartbeat=0.2)


def connect(app: ASGIApp) -> httpx.AsyncClient:
    """A client that calls the app without a network."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


class Server(uvicorn.Server):
    """Leaves the signals to the tests."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(
    app: Api, connections: Connections | None = None, protocol: type[BoundedProtocol] = BoundedProtocol
) -> AsyncIterator[int]:
    """Serve an app as the program does, and yield its port."""
    held = connections or Connections(10_000)

    def make(**options: Any) -> BoundedProtocol:
        return protocol(held, **options)

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_config=None, ws="none", lifespan="on", http=make, timeout_graceful_shutdown=5)  # type: ignore[arg-type]
        server = Server(config)
        task = asyncio.create_task(server.serve(sockets=[bound]))
        await until(lambda: server.started, what="the server has started")
        try:
            yield bound.getsockname()[1]
        finally:
            app.served.close()
            server.should_exit = True
            await task


async def trigger(client: httpx.AsyncClient, workflow: str = "test.line", **body: Any) -> str:
    answer = await client.post(RUNS, json={"workflowName": workflow, **body})
    assert answer.status_code == 202, answer.text
    run_id: str = answer.json()["runId"]
    return run_id


async def until_status(client: httpx.AsyncClient, run_id: str, *statuses: str) -> dict[str, Any]:
    """The run, once it has one of these statuses."""

    async def look() -> dict[str, Any]:
        run: dict[str, Any] = (await client.get(f"{RUNS}/{run_id}")).json()
        return run

    told = f"the run is {' or '.join(statuses)}"
    return await until(look, what=told, right=lambda run: run["status"] in statuses)


async def finished(core: Core, client: httpx.AsyncClient, workflow: str = "test.line", **body: Any) -> dict[str, Any]:
    """A run of a workflow that a worker has seen through, and that is projected."""
    await register(core, LINE, FAULTY)
    async with at_work(core, SKILLS):
        run_id = await trigger(client, workflow, **body)
        return await until_status(client, run_id, "completed", "failed")
