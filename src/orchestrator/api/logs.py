"""Endpoints for the logs of steps: what their skills print, page by page or as a stream (Server-Sent Events)."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Path, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from orchestrator.access.identity import Role
from orchestrator.api import shapes
from orchestrator.api.answers import Json, rendered
from orchestrator.api.caller import Viewer
from orchestrator.api.history import STREAM_HEADERS, pause, stream_ended
from orchestrator.api.openapi import NO_RUN, RunId, answers
from orchestrator.api.route import Endpoint
from orchestrator.api.runs import BASE
from orchestrator.api.services import Served, Serving
from orchestrator.application.errors import RequestError
from orchestrator.application.step_logs import CURSOR_PATTERN, MAX_LINES, LogScope

router = APIRouter(prefix=f"{BASE}/runs", tags=["logs"], route_class=Endpoint)

_MOST = 2**31 - 1

StepIdPath = Annotated[str, Path(alias="stepId", min_length=1, max_length=255, description="Id of a step.")]
StepIdQuery = Annotated[
    str | None, Query(alias="stepId", min_length=1, max_length=255, description="Only lines of this step.")
]
AttemptNumber = Annotated[int | None, Query(ge=1, le=_MOST, description="Only lines of this attempt.")]
AfterLine = Annotated[
    str | None,
    Query(pattern=CURSOR_PATTERN, description="`nextCursor` of the previous page; only later lines are returned."),
]
LineLimit = Annotated[int, Query(ge=1, le=MAX_LINES, description="Long lines may make a page shorter.")]
LastLineId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        pattern=CURSOR_PATTERN,
        description="Id of the last line received; only later lines are sent.",
    ),
]
_STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One message per line: `id` is its cursor, `event` is `line`, `data` the line as listed. The "
        "last message is `end`, or `StreamEnded` with an Error as `data` if the credentials are no longer valid.",
        "content": {"text/event-stream": {}},
    },
    204: {"description": "The run is over and the client has received its last line. Do not reconnect."},
    **answers(*NO_RUN),
}


@router.get("/{runId}/logs", response_model=shapes.LogPageView, responses=answers(*NO_RUN))
async def list_run_logs(
    serving: Serving,
    caller: Viewer,
    *,
    run_id: RunId,
    step_id: StepIdQuery = None,
    attempt: AttemptNumber = None,
    after: AfterLine = None,
    limit: LineLimit = 200,
) -> Response:
    """Return what the skills of a run printed, in the order in which it was stored."""
    return await _page(serving, LogScope(caller.tenant, str(run_id), step_id, attempt), after, limit)


@router.get("/{runId}/steps/{stepId}/logs", response_model=shapes.LogPageView, responses=answers(*NO_RUN))
async def list_step_logs(
    serving: Serving,
    caller: Viewer,
    *,
    run_id: RunId,
    step_id: StepIdPath,
    attempt: AttemptNumber = None,
    after: AfterLine = None,
    limit: LineLimit = 200,
) -> Response:
    """Return what the skill of a step printed, in all attempts or in one."""
    return await _page(serving, LogScope(caller.tenant, str(run_id), step_id, attempt), after, limit)


@router.get("/{runId}/logs/stream", response_class=StreamingResponse, responses=_STREAMED)
async def stream_run_logs(
    request: Request,
    serving: Serving,
    caller: Viewer,
    *,
    run_id: RunId,
    step_id: StepIdQuery = None,
    attempt: AttemptNumber = None,
    last_event_id: LastLineId = None,
) -> Response:
    """Stream what the skills of a run print, until the run is over and every line was sent."""
    return await _stream(request, serving, LogScope(caller.tenant, str(run_id), step_id, attempt), last_event_id)


@router.get("/{runId}/steps/{stepId}/logs/stream", response_class=StreamingResponse, responses=_STREAMED)
async def stream_step_logs(
    request: Request,
    serving: Serving,
    caller: Viewer,
    *,
    run_id: RunId,
    step_id: StepIdPath,
    attempt: AttemptNumber = None,
    last_event_id: LastLineId = None,
) -> Response:
    """Stream what the skill of a step prints, until the step or attempt is over and every line was sent."""
    return await _stream(request, serving, LogScope(caller.tenant, str(run_id), step_id, attempt), last_event_id)


async def _page(serving: Served, scope: LogScope, after: str | None, limit: int) -> Response:
    logs = serving.step_logs
    await logs.check(scope)
    return Json(await rendered((await logs.page(scope, after, limit)).view()))


async def _stream(request: Request, serving: Served, scope: LogScope, after: str | None) -> Response:
    logs = serving.step_logs
    await logs.check(scope)
    if after is not None and await logs.is_settled(scope) and not (await logs.page(scope, after, 1)).lines:
        return Response(status_code=204)
    return StreamingResponse(
        _messages(serving, request, scope, after), media_type="text/event-stream", headers=STREAM_HEADERS
    )


async def _messages(serving: Served, request: Request, scope: LogScope, after: str | None) -> AsyncIterator[bytes]:
    """Yield the messages of a stream. The caller's permission is checked again before anything is sent."""
    check = partial(serving.authenticator.check_again, request, Role.VIEWER)
    quiet = 0.0
    try:
        async with serving.feed.watch(scope.run_id, logs=True) as watcher:

            async def changed(seconds: float) -> None:
                nonlocal quiet
                wait = min(seconds, pause(request, serving.limits.heartbeat))
                quiet = 0.0 if await watcher.changed(wait) else quiet + wait

            async for lines in serving.step_logs.follow(scope, after, changed):
                await check()
                if watcher.closed:
                    return
                if lines:
                    yield b"".join(_message(cursor, line) for cursor, line in lines)
                elif quiet >= serving.limits.heartbeat:
                    quiet = 0.0
                    yield b": nothing new\n\n"
        yield b"event: end\ndata: {}\n\n"
    except RequestError as refusal:
        yield stream_ended(refusal)


def _message(cursor: str, line: dict[str, Any]) -> bytes:
    return b"id: %b\nevent: line\ndata: %b\n\n" % (cursor.encode(), orjson.dumps(line))
