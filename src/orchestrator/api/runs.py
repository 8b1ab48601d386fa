"""Endpoints for runs: trigger, list, get (now or at an earlier point), cancel, and list steps."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Header, Query
from pydantic import WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.api import shapes
from orchestrator.api.answers import Json, rendered, revalidated
from orchestrator.api.caller import Operator, Viewer
from orchestrator.api.models import CancelRunBody, TriggerRunBody, TriggerRunsBody
from orchestrator.api.openapi import NO_RUN, NOT_MODIFIED, IfNoneMatch, MinPosition, RunId, answers
from orchestrator.api.route import Endpoint
from orchestrator.api.services import Served, Serving
from orchestrator.application.calls import RecordedDocument
from orchestrator.application.commands import Wanted
from orchestrator.application.moments import parse_moment, up_to
from orchestrator.projections.views.values import View
from orchestrator.telemetry.tracing import traceparent

BASE = "/api/v1"

router = APIRouter(prefix=f"{BASE}/runs", tags=["runs"], route_class=Endpoint)

_POSITION = ("X-Log-Position",)

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x20-\x7e]+$",
        description="Makes retries safe: the same key with the same body returns the run that the first request "
        "created. With a different body, the request is refused.",
    ),
]
Trace = Annotated[str | None, Header(alias="traceparent", description="W3C trace context. Ignored if malformed.")]
Moment = Annotated[
    str | None,
    Query(description="A version of the run's history, or a time. Returns the run in its state at that point."),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "format": "date-time"}]}),
]


@router.get("/{runId}", response_model=shapes.RunView, responses={**answers(*NO_RUN), **NOT_MODIFIED})
async def get_run(
    serving: Serving,
    caller: Viewer,
    *,
    run_id: RunId,
    at: Moment = None,
    min_position: MinPosition = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Return a run, in its current state or in its state at an earlier point."""
    if at is not None:
        # The state at a version never changes. The state at a time may: a later append can carry an earlier time.
        past = await _past_run(serving, caller.tenant, str(run_id), at)
        return revalidated(past, if_none_match, forever=at.isdecimal())
    await serving.reach(min_position)
    return revalidated(await serving.run_loader.load(caller.tenant, str(run_id)), if_none_match)


async def _past_run(serving: Served, tenant: str, run_id: str, at: str) -> View:
    core, moment = serving.core, parse_moment(at)

    def fold() -> View:
        history = core.reader.history(tenant, run_id)
        return core.reader.folded_run(core.runs.fold(run_id, up_to(moment, run_id, history)))

    return await core.database.call(fold)


@router.post(
    "",
    status_code=202,
    response_model=shapes.AcceptedRun,
    responses=answers(*NO_RUN, 409, headers={202: ("Location", *_POSITION)}, body=True),
)
async def trigger_run(
    serving: Serving,
    caller: Operator,
    body: Annotated[TriggerRunBody, Body()],
    idempotency_key: IdempotencyKey = None,
    trace: Trace = None,
) -> Response:
    """Trigger a run of a workflow. The run is queued, and starts as soon as a worker is free."""
    accepted = await serving.calls(caller).trigger(
        body.workflow_name,
        body.trigger_payload,
        version=body.workflow_version,
        priority=body.priority,
        labels=body.labels,
        no_cache=body.no_cache,
        force=body.force,
        idempotency_key=idempotency_key,
        traceparent=traceparent(trace),
    )
    return queued(accepted)


@router.post(
    ":batch",
    status_code=202,
    response_model=shapes.AcceptedRuns,
    responses=answers(*NO_RUN, 409, headers={202: _POSITION}, body=True),
)
async def trigger_runs(
    serving: Serving,
    caller: Operator,
    *,
    request: Request,
    body: Annotated[TriggerRunsBody, Body()],
    idempotency_key: IdempotencyKey = None,
    trace: Trace = None,
) -> Response:
    """Trigger several runs, of one or more workflows. If one of them is invalid, no run is created."""
    await serving.authenticator.charge(request, len(body.runs))
    wanted = [
        Wanted(
            one.workflow_name,
            one.workflow_version,
            one.trigger_payload or {},
            one.priority,
            one.labels or {},
            one.forced,
        )
        for one in body.runs
    ]
    accepted = await serving.calls(caller).trigger_all(
        wanted, idempotency_key=idempotency_key, traceparent=traceparent(trace)
    )
    return Json(accepted, 202, {"X-Log-Position": str(accepted.position)})


def queued(accepted: RecordedDocument) -> Json:
    """Return the response to a request that triggered a run."""
    headers = {"Location": f"{BASE}/runs/{accepted['runId']}", "X-Log-Position": str(accepted.position)}
    return Json(accepted, 202, headers)


@router.get("", response_model=shapes.RunPage, responses=answers())
async def list_runs(
    serving: Serving,
    caller: Viewer,
    *,
    status: Annotated[
        list[shapes.RunStatus] | None,
        Query(max_length=10, description="Only runs with this status. May be repeated."),
    ] = None,
    workflow_name: Annotated[str | None, Query(alias="workflowName", min_length=1, max_length=255)] = None,
    label: Annotated[
        str | None,
        Query(
            pattern=r"^[^:\x00]{1,255}:[^\x00]{0,255}$", description="Only runs with this label, written `key:value`."
        ),
    ] = None,
    base_run_id: Annotated[
        UUID | None, Query(alias="baseRunId", description="Only updates and retries of this run.")
    ] = None,
    workflow_version: Annotated[
        str | None,
        Query(
            alias="workflowVersion",
            min_length=1,
            max_length=255,
            description="Only runs of this version. Give `workflowName` too.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        Query(max_length=50, description="Only runs triggered at or after this time."),
        WithJsonSchema({"type": "string", "format": "date-time"}),
    ] = None,
    until: Annotated[
        str | None,
        Query(max_length=50, description="Only runs triggered before this time."),
        WithJsonSchema({"type": "string", "format": "date-time"}),
    ] = None,
    id_prefix: Annotated[
        str | None,
        Query(
            alias="idPrefix",
            pattern=r"^[0-9A-Fa-f-]{4,36}$",
            description="Only runs whose id begins with these 4 to 32 hexadecimal digits. The list is ordered by id, "
            "and has one page: `nextCursor` is null.",
        ),
    ] = None,
    cursor: Annotated[str | None, Query(max_length=100, description="`nextCursor` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    min_position: MinPosition = None,
) -> Response:
    """Return a page of runs, newest first."""
    key, _, value = (label or "").partition(":")
    await serving.reach(min_position)
    page = await serving.calls(caller).run_page(
        status=status,
        workflow=workflow_name,
        version=workflow_version,
        since=since,
        until=until,
        id_prefix=id_prefix,
        base_run_id=None if base_run_id is None else str(base_run_id),
        label=None if label is None else (key, value),
        cursor=cursor,
        limit=limit,
    )
    return Json(await rendered(page))


@router.post(
    "/{runId}/cancel",
    response_model=shapes.RunView,
    responses=answers(*NO_RUN, 409, headers={200: _POSITION}, body=True),
)
async def cancel_run(
    serving: Serving, caller: Operator, run_id: RunId, body: Annotated[CancelRunBody | None, Body()] = None
) -> Response:
    """Cancel a run. No more steps start, running steps are asked to stop, and completed results are kept."""
    cancelled = await serving.calls(caller).cancel(str(run_id), None if body is None else body.reason)
    return Json(cancelled, headers={"X-Log-Position": str(cancelled.position)})
