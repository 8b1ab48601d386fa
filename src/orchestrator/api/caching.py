"""Endpoint for the cache analysis of a run: which steps used the cache, which did not, and why."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from orchestrator.api import shapes
from orchestrator.api.answers import Json, rendered
from orchestrator.api.caller import Viewer
from orchestrator.api.openapi import NO_RUN, RunId, answers
from orchestrator.api.route import Endpoint
from orchestrator.api.runs import BASE
from orchestrator.api.services import Serving

router = APIRouter(prefix=f"{BASE}/runs", tags=["cache"], route_class=Endpoint)


@router.get("/{runId}/cache-analysis", response_model=shapes.CacheAnalysis, responses=answers(*NO_RUN))
async def analyse_cache(
    serving: Serving,
    caller: Viewer,
    run_id: RunId,
    step_id: Annotated[
        str | None, Query(alias="stepId", min_length=1, max_length=255, description="Only this step.")
    ] = None,
) -> Response:
    """Return, for each step, whether its result came from the cache, its cache key, and what changed.

    It is computed from the log, so it never lags behind.
    """
    steps = await serving.calls(caller).cache_analysis(str(run_id), step_id=step_id)
    return Json(await rendered({"runId": str(run_id), "steps": steps}))
