import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest

from orchestrator.api.app import Api, create_app
from orchestrator.application.core import Core
from orchestrator.projections.views.reader import Reader
from tests.waiting import until
from tests.world.core import register
from tests.world.http import LIMITS, RUNS, connect, finished, trigger
from tests.world.lines import FAULTY, LINE, SKILLS
from tests.world.work import at_work

Message = dict[str, Any]


async def test_the_history_is_as_recorded(core: Core, client: httpx.AsyncClient) -> None:
    run = await finished(core, client, triggerPayload={"text": "hi", "snake_case": {"at_all": 1}})
    body = (await client.get(f"{RUNS}/{run['id']}/events")).json()
    assert body["nextCursor"] is None
    events = body["events"]
    recorded = core.reader.history("default", run["id"])
    assert [(each["version"], each["position"], each["actor"]) for each in events] == [
        (each.version, each.position, each.actor) for each in recorded
    ]
    assert [each["type"] for each in events] == [type(each.event).__name__ for each in recorded]
    assert events[0]["at"] == run["createdAt"]
    data = events[0]["data"]
    assert data["workflowName"] == "test.line"
    assert data["baseRunId"] is None
    assert data["payload"] == {"text": "hi", "snake_case": {"at_all": 1}}  # what users wrote is not ours to rename
    assert "at" not in data
    written = next(each for each in events if each["type"] == "StepCompleted")["data"]
    assert written["step"] == "write"
    assert written["output"]["data"] == {"length": 2}
    assert written["output"]["artifacts"][0]["contentHash"]


async def test_an_error_keeps_the_names_of_its_details(core: Core, client: httpx.AsyncClient) -> None:
    run = await finished(core, client, "test.faulty")
    events = (await client.get(f"{RUNS}/{run['id']}/events")).json()["events"]
    error = next(each for each in events if each["type"] == "StepFailed")["data"]["error"]
    assert error["details"] == {"why_not": 1}
    assert error["retryAfterMs"] is None


async def test_the_history_in_pages(core: Core, client: httpx.AsyncClient) -> None:
    run = await finished(core, client)
    url = f"{RUNS}/{run['id']}/events"
    whole = (await client.get(url)).json()["events"]
    seen: list[Message] = []
    after: int | None = 0
    while after is not None:
        page = (await client.get(url, params={"after": after, "limit": 2})).json()
        assert len(page["events"]) <= 2
        seen += page["events"]
        after = page["nextCursor"]
    assert seen == whole
    last = (await client.get(url, params={"after": len(whole)})).json()
    assert last == {"events": [], "nextCursor": None, "total": len(whole)}
    beyond = await client.get(url, params={"after": len(whole) + 1})
    assert beyond.json()["details"]["faults"] == [
        {"path": "after", "message": f"the run has no event {len(whole) + 1}; its last is {len(whole)}"}
    ]
    for query in (
        "after=9223372036854775807",
        "after=1_0",
        "after=%D9%A1",
        "after=1.0",
        "after=-1",
        "limit=0",
        "limit=1001",
        "after=x",
        "before=1",
    ):
        assert (await client.get(f"{url}?{query}")).status_code == 400


async def read_messages(answer: httpx.Response) -> AsyncIterator[Message]:
    """Parse a stream of Server-Sent Events; comments come as `{"comment": text}`."""
    message: Message = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            message[name or "comment"] = value
            continue
        yield message
        message = {}


async def test_a_finished_run_is_streamed_whole_and_ends(core: Core, client: httpx.AsyncClient) -> None:
    run = await finished(core, client)
    url = f"{RUNS}/{run['id']}/events"
    answer = await client.get(f"{url}/stream")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    messages = [message async for message in read_messages(answer)]
    events = (await client.get(url)).json()["events"]
    assert [json.loads(message["data"]) for message in messages] == events
    assert [int(message["id"]) for message in messages] == [event["version"] for event in events]
    assert [message["event"] for message in messages] == [event["type"] for event in events]


async def test_a_stream_is_taken_up_where_it_was_left(core: Core, client: httpx.AsyncClient) -> None:
    run = await finished(core, client)
    url, last = f"{RUNS}/{run['id']}/events/stream", run["version"]
    answer = await client.get(url, headers={"Last-Event-ID": str(last - 2)})
    assert [int(message["id"]) async for message in read_messages(answer)] == [last - 1, last]
    over = await client.get(url, headers={"Last-Event-ID": str(last)})
    assert (over.status_code, over.content) == (204, b"")
    for bad in (str(last + 2), "-1", "x", str(2**63)):
        answer = await client.get(url, headers={"Last-Event-ID": bad})
        assert answer.status_code == 400, bad


@pytest.mark.parametrize("workflow", ["test.line", "test.faulty"])
async def test_a_stream_sends_what_happens_as_it_happens(
    core: Core, app: Api, client: httpx.AsyncClient, workflow: str
) -> None:
    await register(core, LINE, FAULTY)
    run_id = await trigger(client, workflow)
    watching = asyncio.create_task(client.get(f"{RUNS}/{run_id}/events/stream"))
    await until(lambda: app.served.feed.watched == 1)
    await asyncio.sleep(0.5)  # the time itself is the subject: longer than a heartbeat
    async with asyncio.timeout(20), at_work(core, SKILLS):
        answer = await watching
    messages = [message async for message in read_messages(answer)]
    comments = [message for message in messages if "comment" in message]
    assert comments
    assert messages[1 : 1 + len(comments)] == comments  # after the trigger nothing happened for a while
    events = [json.loads(message["data"]) for message in messages if "data" in message]
    assert events == (await client.get(f"{RUNS}/{run_id}/events")).json()["events"]
    assert events[-1]["type"] in ("RunCompleted", "RunFailed")
    assert app.served.feed.watched == 0


class Counting(Reader):
    """Counts how often it is asked which runs were touched."""

    asked = 0

    def touched_since(self, position: int, run_ids: Sequence[str]) -> tuple[int, list[str]]:
        self.asked += 1
        return super().touched_since(position, run_ids)


async def test_many_watchers_ask_once(core: Core) -> None:
    await register(core, LINE)
    reader = Counting(core.database, core.runs, core.workflows.get)
    app = create_app(replace(core, reader=reader), LIMITS)
    async with connect(app) as client:
        await watch_in_crowds(app, client, reader)


async def watch_in_crowds(app: Api, client: httpx.AsyncClient, reader: Counting) -> None:
    idle, busy = await trigger(client), await trigger(client)
    watching = [asyncio.create_task(client.get(f"{RUNS}/{run_id}/events/stream")) for run_id in (idle, busy) * 50]
    await until(lambda: app.served.feed.watched == 100)
    async with asyncio.timeout(20):
        await asyncio.sleep(0.3)  # nothing tells when: all who watch have looked once
        before = reader.asked
        await client.post(f"{RUNS}/{busy}/cancel")
        await asyncio.gather(*watching[1::2])
    assert 1 <= reader.asked - before <= 3
    await asyncio.sleep(0.2)  # nothing tells when: all who were woken have looked
    settled = reader.asked
    await asyncio.sleep(0.5)  # the time itself is the subject: nobody asks meanwhile
    assert reader.asked == settled  # who waits for nothing that happens costs nothing
    assert app.served.feed.watched == 50
    assert not any(task.done() for task in watching[::2])
    app.served.feed.close()
    answers = await asyncio.gather(*watching)
    for answer in answers[::2]:
        assert b"RunCancelled" not in answer.content
    for answer in answers[1::2]:
        assert answer.content.count(b"RunCancelled") >= 1
    assert app.served.feed.watched == 0


async def test_a_stream_misses_nothing_when_watchers_come_and_go(
    core: Core, app: Api, client: httpx.AsyncClient
) -> None:
    await register(core, LINE)
    for pause in (0.005, 0.1) * 8:
        run_id = await trigger(client)
        watching = asyncio.create_task(client.get(f"{RUNS}/{run_id}/events/stream"))
        await asyncio.sleep(pause)  # the time itself is the subject: the run is cancelled at another moment each time
        await client.post(f"{RUNS}/{run_id}/cancel")
        async with asyncio.timeout(5):
            answer = await watching
        assert [message["id"] async for message in read_messages(answer) if "id" in message] == ["1", "2"]
