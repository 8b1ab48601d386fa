"""The logs of steps: read page by page, or followed in a stream that is opened again when it breaks."""

import json
from collections.abc import AsyncGenerator
from typing import cast

from orchestrator.client.documents import LogLine, LogPage
from orchestrator.client.errors import ClientError, NoAnswer
from orchestrator.client.exchange import Exchange, Request
from orchestrator.client.messages import Messages

_PAGE = 1000
_ENDED = "StreamEnded"
_NO_CONTENT = 204
# Three missed keep-alive comments; the server sends one every 15 s.
_SILENCE_SECONDS = 45.0


async def read_logs(exchange: Exchange, path: str, attempt: int | None) -> AsyncGenerator[LogLine, None]:
    """Yield the stored lines of a log."""
    cursor: str | None = None
    while True:
        query = {"attempt": attempt, "after": cursor, "limit": _PAGE}
        page = cast("LogPage", (await exchange.ask(Request("GET", path, query))).document)
        for line in page["lines"]:
            yield line
        cursor = page["nextCursor"]
        if cursor is None:
            return


async def follow_logs(exchange: Exchange, path: str, attempt: int | None) -> AsyncGenerator[LogLine, None]:
    """Yield the stored lines of a log, then new ones, until its run, step or attempt is over.

    Raises:
        ApiError: the server returned an error.
        NoAnswer: the server cannot be reached, even after all retries.
    """
    trials, after = exchange.trials(), ""
    while True:
        try:
            async with exchange.opened(_request(path, attempt, after), _SILENCE_SECONDS) as answer:
                if answer.status == _NO_CONTENT:
                    return
                messages = Messages()
                async for chunk in answer.chunks:
                    for message in messages.feed(chunk):
                        if message.event == _ENDED:
                            raise NoAnswer("the server ended the stream: the credentials are no longer valid")
                        if message.event == "end":
                            return
                        if message.data:
                            after = message.id or after
                            trials.reset()
                            yield cast("LogLine", json.loads(message.data))
                raise NoAnswer("the server ended the stream before the log was complete")
        except ClientError as error:
            await exchange.wire.pause(trials.pause_after(error))


def _request(path: str, attempt: int | None, after: str) -> Request:
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if after:
        headers["Last-Event-ID"] = after
    return Request("GET", f"{path}/stream", {"attempt": attempt}, headers=headers, fresh=False)
