"""Health endpoints: liveness, readiness and queue lengths."""

import asyncio
import time
from typing import Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from orchestrator.api.answers import Json
from orchestrator.api.caller import InstallationViewer
from orchestrator.api.errors import READ_ONLY, NotReady
from orchestrator.api.openapi import answers
from orchestrator.api.route import Endpoint
from orchestrator.api.runs import BASE
from orchestrator.api.services import Serving
from orchestrator.api.shapes import Shape
from orchestrator.postgres.unavailable import DatabaseUnavailable

router = APIRouter(prefix=f"{BASE}/health", tags=["health"], route_class=Endpoint)


class Live(Shape):
    """The process is running."""

    status: Literal["live"]


class Readiness(Shape):
    """The database is available and the read models keep up."""

    status: Literal["ready"]
    position: int = Field(description="Log position that the read models have reached.")
    last_position: int = Field(description="Last position of the log.")
    lag: int = Field(description="Number of events between the two.")
    lag_seconds: float = Field(description="Age of the oldest of these events.")


class Queues(Shape):
    """Number of unfinished runs of all tenants, by status, and of workers with a current heartbeat."""

    queued: int
    running: int
    blocked: int
    workers: int = Field(description="Number of workers with a current heartbeat.")


@router.get("/live", response_model=Live, responses=answers())
async def get_liveness() -> Response:
    """Check that the process is running. Nothing else is checked."""
    return Json({"status": "live"})


@router.get("/ready", response_model=Readiness, responses=answers())
async def get_readiness(serving: Serving) -> Response:
    """Check that the database accepts writes and the read models keep up. If not, return 503 with details."""
    limits = serving.limits
    try:
        async with asyncio.timeout(limits.readiness):
            position, last, oldest = await serving.shared.call(serving.core.reader.lag)
            only_reads = await serving.shared.call(serving.core.reader.only_reads)
    except (TimeoutError, DatabaseUnavailable) as error:
        if isinstance(error, DatabaseUnavailable) and error.read_only:
            raise NotReady(READ_ONLY, database=False) from error
        raise NotReady("the database is unavailable", database=False) from error
    seconds = 0.0 if oldest is None else max(0.0, round(time.time() - oldest / 1000, 3))
    found = {"position": position, "lastPosition": last, "lag": last - position, "lagSeconds": seconds}
    if only_reads:
        raise NotReady(READ_ONLY, database=False, **found)
    if seconds > limits.lag:
        raise NotReady(f"the read models are {seconds:g} s behind; is a projector running?", database=True, **found)
    return Json({"status": "ready", **found})


@router.get("/queues", response_model=Queues, responses=answers())
async def get_queues(serving: Serving, caller: InstallationViewer) -> Response:  # noqa: ARG001 - only for authorization
    """Count the unfinished runs of all tenants: queued, running, and blocked because no worker has a needed skill.

    `workers` is the number of workers with a current heartbeat.
    """
    return Json(await serving.shared.call(serving.core.reader.queues))


# The conventional paths for probes.
probes = APIRouter(prefix="/health", include_in_schema=False, route_class=Endpoint)
for path, endpoint in (("/live", get_liveness), ("/ready", get_readiness), ("/queues", get_queues)):
    probes.add_api_route(path, endpoint)
