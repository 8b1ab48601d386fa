"""Endpoints for the steps of a run: page by page, now or at an earlier point, and one step with its input."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from orchestrator.api import shapes
from orchestrator.api.answers import rendered, revalidated
from orchestrator.api.caller import Viewer
from orchestrator.api.openapi import NO_RUN, NOT_MODIFIED, IfNoneMatch, MinPosition, RunId, answers
from orchestrator.api.route import Endpoint
from orchestrator.api.runs import BASE, Moment
from orchestrator.api.services import Serving
from orchestrator.application.step_pages import MAX_STEPS

router = APIRouter(prefix=f"{BASE}/runs", tags=["runs"], route_class=Endpoint)


@router.get("/{runId}/steps", response_model=shapes.RunStepsView, responses={**answers(*NO_RUN), **NOT_MODIFIED})
async def list_steps(
    serving: Serving,
    caller: Viewer,
    *,
    run_id: RunId,
    statuses: Annotated[
        list[shapes.StepStatus] | None,
        Query(alias="status", max_length=10, description="Only steps with this status. May be repeated."),
    ] = None,
    at: Moment = None,
    view: Annotated[
        Literal["full", "summary"], Query(description="`summary` leaves out results, errors and earlier attempts.")
    ] = "full",
    cursor: Annotated[
        str | None, Query(min_length=1, max_length=255, description="`nextCursor` of the previous page.")
    ] = None,
    limit: Annotated[int | None, Query(ge=1, le=MAX_STEPS, description="By default, all steps are returned.")] = None,
    min_position: MinPosition = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Return the steps of a run in topological order, including those reused from other runs."""
    await serving.reach(min_position)
    page = await serving.calls(caller).step_page(
        str(run_id), at=at, statuses=statuses, view=view, cursor=cursor, limit=limit
    )
    return revalidated(await rendered(page), if_none_match)


@router.get("/{runId}/steps/{stepId}", response_model=shapes.StepDetail, responses={**answers(*NO_RUN), **NOT_MODIFIED})
async def get_step(
    serving: Serving,
    caller: Viewer,
    *,
    run_id: RunId,
    step_id: Annotated[str, Path(alias="stepId", max_length=255)],
    at: Moment = None,
    min_position: MinPosition = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Return one step of a run with its input and, up to 32 KiB, its data; `dataUrl` returns all of larger data."""
    await serving.reach(min_position)
    return revalidated(await serving.calls(caller).step(str(run_id), step_id, at=at), if_none_match)
