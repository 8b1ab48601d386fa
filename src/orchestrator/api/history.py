"""Endpoints for a run's history: its recorded events, page by page or as a stream (Server-Sent Events)."""

import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Header, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from orchestrator.access.identity import Identity, Role
from orchestrator.api import shapes
from orchestrator.api.answers import Json, rendered
from orchestrator.api.authentication import IDENTITY
from orchestrator.api.caller import Viewer
from orchestrator.api.openapi import NO_RUN, RunId, answers
from orchestrator.api.route import Endpoint
from orchestrator.api.runs import BASE
from orchestrator.api.services import Served, Serving
from orchestrator.application.errors import InvalidRequest, RequestError
from orchestrator.application.event_pages import MAX_EVENTS
from orchestrator.domain.errors import Fault
from orchestrator.domain.events import TERMINAL_EVENTS
from orchestrator.eventstore.recorded import Recorded
from orchestrator.projections.views.event_views import event_view

router = APIRouter(prefix=f"{BASE}/runs", tags=["history"], route_class=Endpoint)

_AT_ONCE = 200
_MOST = 2**63 - 1
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

LastEventId = Annotated[
    int | None,
    Header(
        alias="Last-Event-ID",
        ge=0,
        le=_MOST,
        description="Version of the last event received; only later events are sent.",
    ),
]


@router.get("/{runId}/events", response_model=shapes.EventPage, responses=answers(*NO_RUN))
async def list_events(
    serving: Serving,
    caller: Viewer,
    *,
    run_id: RunId,
    order: Annotated[Literal["asc", "desc"], Query(description="Oldest first, or newest first.")] = "asc",
    after: Annotated[
        int | None, Query(ge=0, le=_MOST, description="Version of an event; only later events are returned.")
    ] = None,
    before: Annotated[
        int | None, Query(ge=1, le=_MOST, description="With `order=desc`: only events before this version.")
    ] = None,
    types: Annotated[
        list[str] | None,
        Query(alias="type", max_length=50, description="Only events of this type. May be repeated."),
    ] = None,
    step_id: Annotated[
        str | None, Query(alias="stepId", min_length=1, max_length=255, description="Only events of this step.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_EVENTS)] = _AT_ONCE,
) -> Response:
    """Return the recorded events of a run, oldest or newest first. They are read from the log, so they never lag.

    With `stepId`, one request looks at up to 5,000 events, so a page may be short and still have a next one.
    """
    misplaced = "after" if order == "desc" else "before"
    if (after if order == "desc" else before) is not None:
        fitting = "before" if order == "desc" else "after"
        raise InvalidRequest([Fault(misplaced, f"does not fit order={order}; use {fitting}")])
    page = await serving.calls(caller).event_page(
        str(run_id), order=order, after=after, before=before, types=types, step_id=step_id, limit=limit
    )
    return Json(await rendered(page))


@router.get(
    "/{runId}/events/stream",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One message per event: `id` is its version, `event` its type, `data` the event as listed. "
            "With `progress=true`, `StepProgress` messages without an id tell how far executing steps are. "
            "If the credentials are no longer valid, the last message is `StreamEnded`, without an id; its `data` is "
            "an Error.",
            "content": {"text/event-stream": {}},
        },
        204: {"description": "The run has ended and the client has received its last event. Do not reconnect."},
        **answers(*NO_RUN),
    },
)
async def stream_events(
    *,
    request: Request,
    serving: Serving,
    caller: Viewer,
    run_id: RunId,
    last_event_id: LastEventId = None,
    progress: Annotated[bool, Query(description="Also send the progress that skills report.")] = False,
) -> Response:
    """Stream the recorded events of a run, then each new event as it happens, until the run ends.

    A comment is sent after every 15 s without an event. The stream also ends when the key or token expires, is
    revoked, or loses its tenant or role.
    """
    core, seen = serving.core, last_event_id or 0
    last = await core.database.call(core.reader.history, caller.tenant, str(run_id), max(0, seen - 1), 1)
    if not last:
        raise InvalidRequest([Fault("Last-Event-ID", f"the run has no event {seen}")])
    if seen and isinstance(last[0].event, TERMINAL_EVENTS):
        return Response(status_code=204)
    return StreamingResponse(
        _messages(serving, request, str(run_id), seen, progress=progress),
        media_type="text/event-stream",
        headers=STREAM_HEADERS,
    )


async def _messages(
    serving: Served, request: Request, run_id: str, seen: int, *, progress: bool
) -> AsyncIterator[bytes]:
    """Yield the messages of a stream: the events after version `seen`, then each new event.

    The caller's permission is checked again before anything is sent, and each time the watcher wakes.
    """
    core, check = serving.core, partial(serving.authenticator.check_again, request, Role.VIEWER)
    try:
        async with serving.feed.watch(run_id, progress=progress) as watcher:
            while not watcher.closed:
                events = await core.database.ask(core.log.read, run_id, seen, _AT_ONCE)
                await check()
                if events:
                    seen = events[-1].version
                    yield b"".join(_message(recorded) for recorded in events)
                    if isinstance(events[-1].event, TERMINAL_EVENTS):
                        return
                if len(events) < _AT_ONCE:
                    while not await watcher.changed(pause(request, serving.limits.heartbeat)):
                        await check()
                        yield b"".join(map(_progress_message, watcher.progress())) or b": nothing new\n\n"
    except RequestError as refusal:
        yield stream_ended(refusal)


def pause(request: Request, heartbeat: float) -> float:
    """Return how many seconds to wait for events, at most until the credentials expire."""
    identity: Identity = request.scope[IDENTITY]
    if identity.expires_at is None:
        return heartbeat
    return min(heartbeat, max(0.0, identity.expires_at / 1000 - time.time()))


def _message(recorded: Recorded) -> bytes:
    view = event_view(recorded)
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (recorded.version, view["type"].encode(), orjson.dumps(view))


def _progress_message(view: Mapping[str, Any]) -> bytes:
    """Return a message without an id: clients that reconnect continue after the last event, not after this."""
    return b"event: StepProgress\ndata: %b\n\n" % orjson.dumps(view)


def stream_ended(refusal: RequestError) -> bytes:
    """Return the last message of a stream that ends before its run, with the reason."""
    error = {"error": refusal.code, "message": refusal.message, "details": dict(refusal.details)}
    return b"event: StreamEnded\ndata: %b\n\n" % orjson.dumps(error)
