"""Follows the event stream of a run, and reconnects when it breaks."""

import json
import time
from collections.abc import AsyncGenerator
from typing import cast

from orchestrator.client.deadline import Deadline
from orchestrator.client.documents import RecordedEvent, StepProgress
from orchestrator.client.errors import ClientError, NoAnswer
from orchestrator.client.exchange import Exchange, Request
from orchestrator.client.messages import Message, Messages

_LAST = frozenset({"RunCompleted", "RunFailed", "RunCancelled"})
# The server sends the reason in this message, and returns it as an error when the client reconnects.
_ENDED = "StreamEnded"
_PROGRESS = "StepProgress"
_NO_CONTENT = 204
# Three missed keep-alive comments; the server sends one every 15 s.
_SILENCE_SECONDS = 45.0
_SETTLED_SECONDS = 5.0


async def follow(
    exchange: Exchange, run_id: str, after: int, deadline: Deadline | None = None, *, progress: bool = False
) -> AsyncGenerator[RecordedEvent | StepProgress, None]:
    """Yield the events of a run after a version, up to the one that ends the run.

    Args:
        exchange: the connection to the server.
        run_id: id of a run, as a percent-encoded path segment.
        after: version of the last known event; 0 if none is known.
        deadline: when to stop waiting; None waits forever.
        progress: whether to yield the progress that skills report, too.

    Raises:
        WaitTimedOut, RunIsBlocked: the deadline has passed.
        ApiError: the server returned an error.
        NoAnswer: the server cannot be reached, even after all retries.
    """
    trials = exchange.trials()
    while True:
        silence, until = _SILENCE_SECONDS, None if deadline is None else deadline.at
        if deadline is not None and until is not None:
            silence = min(silence, until - time.monotonic())
            if silence <= 0:
                raise deadline.error()
        opened = time.monotonic()
        try:
            async with exchange.opened(_request(run_id, after, progress=progress), silence) as answer:
                if answer.status == _NO_CONTENT:
                    return  # the run is over, and `after` was its last event
                messages = Messages()
                async for chunk in answer.chunks:
                    found = messages.feed(chunk)
                    for message in found:
                        if message.event == _ENDED:
                            raise NoAnswer("the server ended the stream: the credentials are no longer valid")
                        if message.event == _PROGRESS:
                            yield cast("StepProgress", json.loads(message.data))
                        elif message.data:
                            event = cast("RecordedEvent", json.loads(message.data))
                            after = event["version"]
                            exchange.saw(event["position"])
                            trials.reset()
                            yield event
                            if event["type"] in _LAST:
                                return
                            if deadline is not None:
                                deadline.note(event)
                    if deadline is not None and _must_reconnect(deadline.at, until, opened, found):
                        break
                else:
                    raise NoAnswer("the server ended the stream before the run was over")
        except ClientError as error:
            until = None if deadline is None else deadline.at
            if until is None or time.monotonic() < until:
                await exchange.wire.pause(trials.pause_after(error))


def _must_reconnect(now_until: float | None, until: float | None, opened: float, found: list[Message]) -> bool:
    """Return whether to reconnect, so that the read timeout of the connection ends at the deadline.

    That is necessary when the deadline moved closer, when it has passed, and when an idle stream has less time left.
    """
    if now_until is None:
        return False
    if until is None or now_until < until:
        return True
    now = time.monotonic()
    return now >= now_until or (now - opened > _SETTLED_SECONDS and any(not message.data for message in found))


def _request(run_id: str, after: int, *, progress: bool) -> Request:
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if after:
        headers["Last-Event-ID"] = str(after)
    query = {"progress": "true"} if progress else {}
    return Request("GET", f"/runs/{run_id}/events/stream", query, headers=headers, fresh=False)
