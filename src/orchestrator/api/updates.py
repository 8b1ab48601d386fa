"""Updates: plan a change of a finished run, make it, try a failed run again."""

from typing import Annotated

from fastapi import APIRouter, Body
from starlette.responses import Response

from orchestrator.api import shapes
from orchestrator.api.answers import Json
from orchestrator.api.caller import Asking, Operating
from orchestrator.api.models import ChangeRequest, PlanUpdate, UpdateRun
from orchestrator.api.openapi import RunId, answers
from orchestrator.api.route import Endpoint
from orchestrator.api.runs import BASE, IdempotencyKey, Trace, queued
from orchestrator.api.services import Serving
from orchestrator.domain.change import ChangeRequest as Change
from orchestrator.projections.views.plan_views import plan_view
from orchestrator.telemetry.tracing import traceparent

router = APIRouter(prefix=f"{BASE}/runs", tags=["updates"], route_class=Endpoint)

_MADE = {202: ("Location", "X-Log-Position")}


@router.post("/{runId}/update/plan", response_model=shapes.Plan, responses=answers(404, body=True))
async def plan_update(serving: Serving, caller: Asking, run_id: RunId, body: Annotated[PlanUpdate, Body()]) -> Response:
    """Say what an update would re-run, may re-run and reuse, and why; nothing happens."""
    planned = await serving.core.changes.plan(caller, str(run_id), _change(body.change_request))
    return Json(plan_view(planned.plan, planned.plan_hash, planned.durations))


@router.post(
    "/{runId}/update",
    status_code=202,
    response_model=shapes.AcceptedRun,
    responses=answers(404, 409, headers=_MADE, body=True),
)
async def update_run(
    serving: Serving,
    caller: Operating,
    *,
    run_id: RunId,
    body: Annotated[UpdateRun, Body()],
    idempotency_key: IdempotencyKey = None,
    trace: Trace = None,
) -> Response:
    """Ask for a run that changes a completed one and reuses all that the change cannot reach."""
    accepted = await serving.core.changes.update(
        caller,
        str(run_id),
        _change(body.change_request),
        expected_plan_hash=body.expected_plan_hash,
        idempotency_key=idempotency_key,
        trace=traceparent(trace),
    )
    return queued(accepted, f"Update run queued - {accepted.steps} steps may re-run")


@router.post(
    "/{runId}/retry",
    status_code=202,
    response_model=shapes.AcceptedRun,
    responses=answers(404, 409, headers=_MADE),
)
async def retry_run(
    serving: Serving, caller: Operating, run_id: RunId, idempotency_key: IdempotencyKey = None, trace: Trace = None
) -> Response:
    """Ask for another try of a failed or cancelled run that reuses all that completed."""
    accepted = await serving.core.changes.retry(
        caller, str(run_id), idempotency_key=idempotency_key, trace=traceparent(trace)
    )
    return queued(accepted, f"Retry run queued - {accepted.steps} steps to run")


def _change(asked: ChangeRequest) -> Change:
    force = asked.force if isinstance(asked.force, bool) else tuple(asked.force)
    return Change(asked.type, asked.payload, force)
