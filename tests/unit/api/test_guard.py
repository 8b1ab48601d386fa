"""The deadline of a request and its answer may meet."""

import asyncio
from typing import Any

import orjson
from starlette.types import Message, Receive, Scope, Send

from orchestrator.api.guard import Guard
from orchestrator.api.incoming import IncomingBodies


async def begins_too_late(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:  # as a framework does that cleans up, and answers all the same
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"late"})


async def test_an_answer_that_begins_while_its_request_is_cancelled_gives_way_to_the_error() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("there is no body")

    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    guard = Guard(begins_too_late, deadline=0.01, body_bytes=100, bodies=IncomingBodies(10))
    await guard(scope, receive, send)
    start, body = sent
    assert start["status"] == 503
    assert orjson.loads(body["body"])["error"] == "DEADLINE_EXCEEDED"
