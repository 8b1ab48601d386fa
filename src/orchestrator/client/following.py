"""Following a run: its event stream, made again wherever it breaks."""

import json
import time
from collections.abc import AsyncGenerator
from typing import cast

from orchestrator.client.deadline import Deadline
from orchestrator.client.documents import RecordedEvent
from orchestrator.client.errors import ClientError, NoAnswer
from orchestrator.client.exchange import Exchange, Request
from orchestrator.client.messages import Message, Messages

_LAST = frozenset({"RunCompleted", "RunFailed", "RunCancelled"})
# The server gives the reason here, and again, as an error, to whoever connects anew.
_ENDED = "StreamEnded"
_NO_CONTENT = 204
# Three of the server's signs of life (one every 15 s) missed.
_SILENCE_SECONDS = 45.0
_SETTLED_SECONDS = 5.0


async def follow(
    exchange: Exchange, run_id: str, after: int, deadline: Deadline | None = None
) -> AsyncGenerator[RecordedEvent, None]:
    """Yield the events of a run that follow a version, up to the one that ends it.

    Args:
        exchange: the server.
        run_id: a run, as part of a path.
        after: version of the last event known; 0 knows none.
        deadline: when to wait no longer; None waits for ever.

    Raises:
        WaitTimedOut, RunIsBlocked: the deadline has passed.
        ApiError: the server refuses.
        NoAnswer: the server does not answer, however often it is tried.
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
            async with exchange.opened(_request(run_id, after), silence) as answer:
                if answer.status == _NO_CONTENT:
                    return  # the run is over, and `after` was its last event
                messages = Messages()
                async for chunk in answer.chunks:
                    found = messages.feed(chunk)
                    for message in found:
                        if message.event == _ENDED:
                            raise NoAnswer("the server ended the stream: the credentials are no longer valid")
                        if message.data:
                            event = cast("RecordedEvent", json.loads(message.data))
                            after = event["version"]
                            exchange.saw(event["position"])
                            trials.begin_anew()
                            yield event
                            if event["type"] in _LAST:
                                return
                            if deadline is not None:
                                deadline.note(event)
                    if deadline is not None and _look_up(deadline.at, until, opened, found):
                        break
                else:
                    raise NoAnswer("the server ended the stream before the run was over")
        except ClientError as error:
            until = None if deadline is None else deadline.at
            if until is None or time.monotonic() < until:
                await exchange.wire.pause(trials.pause_after(error))


def _look_up(now_until: float | None, until: float | None, opened: float, found: list[Message]) -> bool:
    """Say whether to connect again, so that the silence allowed ends with the deadline.

    That is so when the deadline has come nearer, when it has passed, and when nothing happens and less time is left.
    """
    if now_until is None:
        return False
    if until is None or now_until < until:
        return True
    now = time.monotonic()
    return now >= now_until or (now - opened > _SETTLED_SECONDS and any(not message.data for message in found))


def _request(run_id: str, after: int) -> Request:
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if after:
        headers["Last-Event-ID"] = str(after)
    return Request("GET", f"/runs/{run_id}/events/stream", headers=headers, fresh=False)
