"""Endpoints for updates and retries: plan a change to a completed run, apply it, retry a failed run."""

from typing import Annotated

from fastapi import APIRouter, Body
from starlette.responses import Response

from orchestrator.api import shapes
from orchestrator.api.answers import Json
from orchestrator.api.caller import Operator, Viewer
from orchestrator.api.models import PlanUpdateBody, RetryRunBody, UpdateRunBody
from orchestrator.api.openapi import NO_RUN, RunId, answers
from orchestrator.api.route import Endpoint
from orchestrator.api.runs import BASE, IdempotencyKey, Trace, queued
from orchestrator.api.services import Serving
from orchestrator.telemetry.tracing import traceparent

router = APIRouter(prefix=f"{BASE}/runs", tags=["updates"], route_class=Endpoint)

_MADE = {202: ("Location", "X-Log-Position")}


@router.post("/{runId}/update/plan", response_model=shapes.PlanView, responses=answers(*NO_RUN, body=True))
async def plan_update(
    serving: Serving, caller: Viewer, run_id: RunId, body: Annotated[PlanUpdateBody, Body()]
) -> Response:
    """Return what an update would re-run, may re-run and reuse, and why. It changes nothing."""
    change = body.change_request
    return Json(await serving.calls(caller).plan(str(run_id), change.type, change.payload, force=change.force))


@router.post(
    "/{runId}/update",
    status_code=202,
    response_model=shapes.AcceptedRun,
    responses=answers(*NO_RUN, 409, headers=_MADE, body=True),
)
async def update_run(
    serving: Serving,
    caller: Operator,
    *,
    run_id: RunId,
    body: Annotated[UpdateRunBody, Body()],
    idempotency_key: IdempotencyKey = None,
    trace: Trace = None,
) -> Response:
    """Trigger a run that applies a change to a completed run and reuses all results the change cannot affect."""
    change = body.change_request
    accepted = await serving.calls(caller).update(
        str(run_id),
        change.type,
        change.payload,
        force=change.force,
        priority=body.priority,
        labels=body.labels,
        expected_plan_hash=body.expected_plan_hash,
        idempotency_key=idempotency_key,
        traceparent=traceparent(trace),
    )
    return queued(accepted)


@router.post(
    "/{runId}/retry",
    status_code=202,
    response_model=shapes.AcceptedRun,
    responses=answers(*NO_RUN, 409, headers=_MADE, body=True),
)
async def retry_run(
    serving: Serving,
    caller: Operator,
    *,
    run_id: RunId,
    body: Annotated[RetryRunBody | None, Body()] = None,
    idempotency_key: IdempotencyKey = None,
    trace: Trace = None,
) -> Response:
    """Trigger a run that retries a failed or cancelled run and reuses the results of its completed steps."""
    given = body or RetryRunBody()
    accepted = await serving.calls(caller).retry(
        str(run_id),
        priority=given.priority,
        labels=given.labels,
        idempotency_key=idempotency_key,
        traceparent=traceparent(trace),
    )
    return queued(accepted)
