"""Histories: a run's events as recorded, page by page or as they happen (Server-Sent Events)."""

import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

import orjson
from fastapi import APIRouter, Header, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from orchestrator.access.identity import Identity, Role
from orchestrator.api import shapes
from orchestrator.api.answers import Json, rendered
from orchestrator.api.authentication import IDENTITY
from orchestrator.api.caller import Viewer
from orchestrator.api.openapi import RunId, answers
from orchestrator.api.route import Endpoint
from orchestrator.api.runs import BASE
from orchestrator.api.services import Served, Serving
from orchestrator.application.errors import InvalidRequest, RequestError
from orchestrator.domain.errors import Fault
from orchestrator.domain.events import TERMINAL_EVENTS
from orchestrator.eventstore.recorded import Recorded
from orchestrator.projections.views.event_views import event_view

router = APIRouter(prefix=f"{BASE}/runs", tags=["history"], route_class=Endpoint)

_AT_ONCE = 200
_MOST = 2**63 - 1
_STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

LastEventId = Annotated[
    int | None,
    Header(alias="Last-Event-ID", ge=0, le=_MOST, description="Version of the last event seen; what follows is sent."),
]


@router.get("/{runId}/events", response_model=shapes.EventPage, responses=answers(404))
async def list_events(
    serving: Serving,
    caller: Viewer,
    run_id: RunId,
    after: Annotated[int, Query(ge=0, le=_MOST, description="Version after which to begin.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = _AT_ONCE,
) -> Response:
    """Return the events of a run as recorded, oldest first. They come from the log itself and never lag."""
    core = serving.core
    known = min(after, 1)  # the event `after` is read too: there may be none
    events = await core.database.call(core.reader.history, caller.tenant, str(run_id), after - known, limit + 1 + known)
    if known and not events:
        raise InvalidRequest([Fault("after", f"the run has no event {after}")])
    del events[:known]
    page = events[:limit]
    following = page[-1].version if len(events) > limit else None
    return Json(await rendered({"events": [event_view(recorded) for recorded in page], "nextCursor": following}))


@router.get(
    "/{runId}/events/stream",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One message an event: `id` is its version, `event` its type, `data` as in the list. "
            "A last message `StreamEnded` without an id says that the credentials are no longer valid; its `data` is "
            "an Error.",
            "content": {"text/event-stream": {}},
        },
        204: {"description": "The run is over and its last event was seen: there is nothing to reconnect for."},
        **answers(404),
    },
)
async def stream_events(
    request: Request, serving: Serving, caller: Viewer, run_id: RunId, last_event_id: LastEventId = None
) -> Response:
    """Send the events of a run, those there are and then each as it happens; ends after the terminal one.

    A comment is sent every 15 s while nothing happens. The stream also ends when the key or the token is revoked or
    expires, or loses its tenant or role.
    """
    core, seen = serving.core, last_event_id or 0
    last = await core.database.call(core.reader.history, caller.tenant, str(run_id), max(0, seen - 1), 1)
    if not last:
        raise InvalidRequest([Fault("Last-Event-ID", f"the run has no event {seen}")])
    if seen and isinstance(last[0].event, TERMINAL_EVENTS):
        return Response(status_code=204)
    return StreamingResponse(
        _messages(serving, request, str(run_id), seen), media_type="text/event-stream", headers=_STREAM_HEADERS
    )


async def _messages(serving: Served, request: Request, run_id: str, seen: int) -> AsyncIterator[bytes]:
    """Yield the messages of a stream: what is recorded after version `seen`, then what is recorded from now on.

    Whether whoever watches still may is checked before anything is sent, and each time the watcher wakes.
    """
    core, check = serving.core, partial(serving.authenticator.check_again, request, Role.VIEWER)
    try:
        async with serving.feed.watch(run_id) as watcher:
            while not watcher.closed:
                events = await core.database.ask(core.log.read, run_id, seen, _AT_ONCE)
                await check()
                if events:
                    seen = events[-1].version
                    yield b"".join(_message(recorded) for recorded in events)
                    if isinstance(events[-1].event, TERMINAL_EVENTS):
                        return
                if len(events) < _AT_ONCE:
                    while not await watcher.changed(_pause(request, serving.limits.heartbeat)):
                        await check()
                        yield b": nothing new\n\n"
    except RequestError as refusal:
        yield _goodbye(refusal)


def _pause(request: Request, heartbeat: float) -> float:
    """Return for how many seconds to wait for events: not beyond the end of the credentials."""
    identity: Identity = request.scope[IDENTITY]
    if identity.expires_at is None:
        return heartbeat
    return min(heartbeat, max(0.0, identity.expires_at / 1000 - time.time()))


def _message(recorded: Recorded) -> bytes:
    view = event_view(recorded)
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (recorded.version, view["type"].encode(), orjson.dumps(view))


def _goodbye(refusal: RequestError) -> bytes:
    """Return the last message of a stream that ends before its run: why."""
    error = {"error": refusal.code, "message": refusal.message, "details": dict(refusal.details)}
    return b"event: StreamEnded\ndata: %b\n\n" % orjson.dumps(error)
