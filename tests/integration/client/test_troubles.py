"""What the client makes of networks and servers that fail: nothing twice, nothing lost, one clear error at the end."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import skill
from orchestrator.application.core import Core
from orchestrator.bootstrap.working import open_worker
from orchestrator.client import AsyncClient, Client
from orchestrator.client.errors import (
    ApiError,
    ArtifactGone,
    ContentDamaged,
    NoAnswer,
    RateLimited,
    RunIsBlocked,
    RunNotCancellable,
    ServerError,
    Unavailable,
    WaitTimedOut,
)
from orchestrator.skills import SkillRegistry
from tests.integration.client.relay import Relay
from tests.waiting import until
from tests.world.lines import SKILLS
from tests.world.work import at_work


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


BUSY = answer("503 Service Unavailable", b'{"error":"DATABASE_UNAVAILABLE","message":"away","details":{}}')
PROXY = answer("502 Bad Gateway", b"<html>no upstream</html>", "Content-Type: text/html")


@pytest.mark.parametrize("trouble", ["refuse", "busy", "proxy", "lost", "half"])
async def test_a_run_is_made_once_whatever_happens_to_its_answer(
    core: Core, far: AsyncClient, relay: Relay, trouble: str
) -> None:
    relay.next.append(
        {"refuse": relay.refuse, "busy": relay.say(BUSY), "proxy": relay.say(PROXY), "lost": relay.cut(0)}.get(
            trouble, relay.cut(120)
        )
    )
    accepted = await far.trigger("test.line", {"text": "x"})
    async with at_work(core, SKILLS):
        assert [run["id"] async for run in far.runs()] == [accepted["runId"]]
    keys = {line for request in relay.requests for line in request.splitlines() if b"idempotency-key" in line.lower()}
    assert len(keys) == 1


async def test_two_calls_are_two_runs_unless_they_carry_the_same_key(client: AsyncClient) -> None:
    made = [await client.trigger("test.line") for _ in range(2)]
    keyed = [await client.trigger("test.line", idempotency_key="order 4711") for _ in range(2)]
    assert len({each["runId"] for each in made}) == 2
    assert len({each["runId"] for each in keyed}) == 1


async def test_what_a_run_forces_is_sent_and_nothing_else_is(core: Core, far: AsyncClient, relay: Relay) -> None:
    plain = (await far.trigger("test.line"))["runId"]
    assert not any(b"noCache" in request or b"force" in request for request in relay.requests)
    named = (await far.trigger("test.line", force=["read"]))["runId"]
    one = (await far.trigger("test.line", force="read"))["runId"]
    every = (await far.trigger("test.line", no_cache=True))["runId"]
    (batched,) = (await far.trigger_many("test.line", [{}], force=True))["runs"]
    forced = [core.log.read(run)[0].event.forced for run in (plain, named, one, every, batched["runId"])]  # type: ignore[union-attr]
    assert forced == [(), ("read",), ("read",), ("write", "read"), ("write", "read")]


async def test_a_cancel_whose_answer_was_lost_is_no_error(far: AsyncClient, relay: Relay) -> None:
    run_id = (await far.trigger("test.line"))["runId"]
    relay.next.append(relay.cut(0))
    assert (await far.cancel(run_id))["status"] == "cancelled"
    with pytest.raises(RunNotCancellable, match="can no longer be cancelled"):
        await far.cancel(run_id)


async def test_it_waits_as_long_as_the_server_asks_for(far: AsyncClient, relay: Relay) -> None:
    relay.next.append(relay.say(answer("429 Too Many Requests", b"", "Retry-After: 1")))
    began = time.monotonic()
    await far.workflows()
    assert 1.0 <= time.monotonic() - began < 10


async def test_it_does_not_wait_for_longer_than_anybody_would(far: AsyncClient, relay: Relay) -> None:
    relay.next.append(relay.say(answer("429 Too Many Requests", b"", "Retry-After: 3600")))
    with pytest.raises(RateLimited) as caught:
        await far.workflows()
    assert caught.value.retry_after == 3600


async def test_it_gives_up_in_the_end_and_says_why(relay: Relay) -> None:
    async with AsyncClient(relay.address, tries=3) as client:
        relay.next.extend([relay.say(PROXY)] * 3)
        with pytest.raises(Unavailable, match="502 Bad Gateway") as caught:
            await client.workflows()
        assert (caught.value.status, caught.value.code, caught.value.details) == (502, "HTTP_502", {})
        assert len(relay.requests) == 3
        relay.next.extend([relay.refuse] * 3)
        with pytest.raises(NoAnswer, match="cannot reach"):
            await client.workflows()


async def test_what_will_not_pass_is_not_tried_again(far: AsyncClient, relay: Relay) -> None:
    fault = b'{"error":"INTERNAL_ERROR","message":"oh","details":{}}'
    relay.next.append(relay.say(answer("500 Internal Server Error", fault)))
    with pytest.raises(ServerError, match="oh"):
        await far.workflows()
    assert len(relay.requests) == 1


async def test_a_stream_that_breaks_is_resumed_without_a_gap_or_a_repeat(
    core: Core, far: AsyncClient, client: AsyncClient, relay: Relay
) -> None:
    run_id = (await far.trigger("test.line"))["runId"]
    relay.next.extend([relay.cut(700), relay.refuse, relay.cut(900)])
    async with at_work(core, SKILLS), asyncio.timeout(30):
        seen = [event async for event in far.events(run_id)]
    assert seen == [event async for event in client.history(run_id)]
    assert [event["version"] for event in seen] == list(range(1, len(seen) + 1))
    assert not relay.next
    assert any(b"last-event-id: " in request.lower() for request in relay.requests)


async def test_a_stream_can_begin_where_another_ended(core: Core, client: AsyncClient) -> None:
    run_id = (await client.trigger("test.line"))["runId"]
    async with at_work(core, SKILLS):
        events = [event async for event in client.events(run_id)]
    assert [event async for event in client.events(run_id, after=3)] == events[3:]
    assert [event async for event in client.events(run_id, after=len(events))] == []


async def test_waiting_ends_with_the_run_or_in_time(core: Core, client: AsyncClient) -> None:
    run_id = (await client.trigger("test.line"))["runId"]
    began = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        await client.wait(run_id, timeout=0.5)
    assert isinstance(caught.value, WaitTimedOut)
    assert 0.5 <= time.monotonic() - began < 5
    async with at_work(core, SKILLS):
        assert (await client.wait(run_id, timeout=30))["status"] == "completed"
    assert (await client.wait(run_id, timeout=0))["status"] == "completed"


async def test_a_blocked_run_is_not_waited_for_beyond_its_grace(core: Core, client: AsyncClient) -> None:
    run_id = (await client.trigger("test.strange"))["runId"]
    async with at_work(core, SKILLS), asyncio.timeout(30):
        with pytest.raises(RunIsBlocked, match=r"no worker knows test\.nobody_knows") as first:  # it blocks meanwhile
            await client.wait(run_id, blocked_grace=0.2)
        with pytest.raises(RunIsBlocked) as again:  # it is blocked from the beginning
            await client.wait(run_id, blocked_grace=0)
        with pytest.raises(RunIsBlocked):  # what ends the wait is the time-out, and why is said all the same
            await client.wait(run_id, timeout=0.2, blocked_grace=None)
    assert first.value.skills == again.value.skills == ("test.nobody_knows",)
    assert first.value.run_id == run_id


async def test_a_run_that_is_freed_within_its_grace_is_waited_for(core: Core, client: AsyncClient) -> None:
    run_id = (await client.trigger("test.strange"))["runId"]

    @skill("test.nobody_knows")
    async def known(asked: dict[str, Any]) -> dict[str, Any]:
        while time.monotonic() < grace_ends:  # which it does when a worker takes the run
            await asyncio.sleep(0.05)
        return {}

    async with asyncio.timeout(60):
        async with at_work(core, SKILLS):
            assert await blocked(client, run_id)
        grace_ends = time.monotonic() + 3.2
        waiting = asyncio.create_task(client.wait(run_id, blocked_grace=3.0))
        async with open_worker(core, SkillRegistry([known])):
            assert (await waiting)["status"] == "completed"


async def blocked(client: AsyncClient, run_id: str) -> bool:
    async for event in client.events(run_id):
        if event["type"] == "RunBlocked":
            return True
    return False


async def made(core: Core, client: AsyncClient, text: str) -> dict[str, Any]:
    """The artifact of a run that made a text."""
    run_id = (await client.trigger("test.line", {"text": text}))["runId"]
    async with at_work(core, SKILLS):
        await client.wait(run_id, timeout=30)
    return dict((await client.artifacts(run_id))[0])


LONG = "0123456789" * 30_000


async def test_a_download_that_breaks_is_resumed(
    core: Core, far: AsyncClient, client: AsyncClient, relay: Relay, tmp_path: Path
) -> None:
    artifact = await made(core, client, LONG)
    relay.next.extend([relay.cut(100_000), relay.refuse, relay.cut(100_000)])
    await far.download(artifact["id"], tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == LONG
    assert [path.name for path in tmp_path.glob("*copy*")] == ["copy"]
    ranges = [line for request in relay.requests for line in request.lower().splitlines() if b"range: b" in line]
    assert len(ranges) == 2
    assert int(ranges[1].partition(b"=")[2].rstrip(b"-")) > int(ranges[0].partition(b"=")[2].rstrip(b"-")) > 0


@skill("test.nobody_knows")
async def make_much(asked: dict[str, Any]) -> dict[str, Any]:
    return {"text": LONG}


async def test_a_download_of_data_is_resumed(
    core: Core, far: AsyncClient, client: AsyncClient, relay: Relay, tmp_path: Path
) -> None:
    run_id = (await client.trigger("test.strange"))["runId"]
    async with open_worker(core, SkillRegistry([make_much])):
        await client.wait(run_id, timeout=30)
    relay.next.extend([relay.cut(100_000), relay.refuse, relay.cut(100_000)])
    await far.download_data(run_id, "nobody", tmp_path / "data.json")
    assert (
        json.loads((tmp_path / "data.json").read_text()) == {"text": LONG} == await client.step_data(run_id, "nobody")
    )
    assert sum(b"range: bytes=" in request.lower() for request in relay.requests) == 2
    assert [path.name for path in tmp_path.glob("*data*")] == ["data.json"]


async def test_a_download_is_whole_or_not_at_all(core: Core, client: AsyncClient, relay: Relay, tmp_path: Path) -> None:
    artifact = await made(core, client, LONG)
    (tmp_path / "copy").write_text("as it was")
    async with AsyncClient(relay.address, tries=2) as far:
        relay.next.extend([relay.cut(100_000), relay.refuse, relay.refuse])
        with pytest.raises(NoAnswer):
            await far.download(artifact["id"], tmp_path / "copy")
        damaged = answer("200 OK", b"other bytes", f'ETag: "{artifact["contentHash"]}"')
        relay.next.append(relay.say(damaged))
        with pytest.raises(ContentDamaged):
            await far.download(artifact["id"], tmp_path / "copy")
    for blob in Path(core.settings.artifact_url).rglob(f"*{artifact['contentHash'][4:]}"):
        blob.unlink()
    with pytest.raises(ArtifactGone):
        await client.download(artifact["id"], tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "as it was"
    assert not list(tmp_path.glob(".*"))


async def test_a_download_that_is_cancelled_at_its_very_end(core: Core, client: AsyncClient, tmp_path: Path) -> None:
    artifact = await made(core, client, LONG)
    for number in range(100):
        target = tmp_path / f"copy{number}"
        downloading = asyncio.create_task(client.download(artifact["id"], target))
        while not target.exists():
            await asyncio.sleep(0)
        if downloading.cancel():  # its file is in place, and it does not know yet
            with pytest.raises(asyncio.CancelledError):
                await downloading
            break
    else:
        pytest.fail("no download was cancelled in time")
    assert target.read_bytes() == await client.content(artifact["id"])
    assert not list(tmp_path.glob(".*"))


async def test_reads_know_of_what_the_client_wrote(core: Core, client: AsyncClient) -> None:
    async with at_work(core, SKILLS):
        for number in range(5):
            run_id = (await client.trigger("test.line", labels={"number": str(number)}))["runId"]
            assert [run["id"] async for run in client.runs(label=("number", str(number)))] == [run_id]


async def test_reads_know_of_what_the_client_was_told(core: Core, client: AsyncClient, server: str) -> None:
    async with at_work(core, SKILLS), AsyncClient(server) as other:
        for number in range(5):
            run_id = (await client.trigger("test.line", {"text": str(number)}))["runId"]
            async for _ in other.events(run_id):
                pass
            (newest,) = (await other.run_page(limit=1))["runs"]
            assert (newest["id"], newest["status"]) == (run_id, "completed")


@pytest.mark.parametrize(
    "ask",
    [lambda client: client.run("x"), lambda client: client.trigger("no such"), lambda client: client.run_page(limit=0)],
)
async def test_both_clients_say_the_same(server: str, ask: Callable[[Any], Any]) -> None:
    async with AsyncClient(server) as client:
        with pytest.raises(ApiError) as one:
            await ask(client)

    def asked() -> ApiError:
        with Client(server) as client, pytest.raises(ApiError) as other:
            ask(client)
        return other.value

    other = await asyncio.to_thread(asked)
    assert (type(other), other.status, other.code, str(other), other.details) == (
        type(one.value),
        one.value.status,
        one.value.code,
        str(one.value),
        one.value.details,
    )


async def test_the_blocking_client_meets_the_same_troubles(core: Core, relay: Relay, tmp_path: Path) -> None:
    relay.next.extend([relay.refuse, relay.cut(0), relay.say(BUSY)])

    def asked() -> list[str]:
        with Client(relay.address) as client:
            run_id = client.trigger("test.line", {"text": LONG})["runId"]
            relay.next.extend([relay.cut(700)])
            types = [event["type"] for event in client.events(run_id)]
            artifact = client.artifacts(run_id)[0]["id"]
            relay.next.extend([relay.cut(100_000)])
            client.download(artifact, tmp_path / "copy")
            return types

    async with at_work(core, SKILLS):
        types = await asyncio.to_thread(asked)
    assert (types[0], types[-1]) == ("RunTriggered", "RunCompleted")
    assert (tmp_path / "copy").read_text() == LONG


async def test_who_stops_listening_leaves_nothing_open(app: Any, server: str) -> None:
    def first() -> str:
        with Client(server) as client:
            events = client.events(client.trigger("test.strange")["runId"])
            kind = next(events)["type"]
            events.close()
            return kind

    assert await asyncio.to_thread(first) == "RunTriggered"
    async with AsyncClient(server) as client:
        async for _ in client.events((await client.trigger("test.strange"))["runId"]):
            break
        await until(lambda: app.served.feed.watched, 10, "nobody watches", right=lambda watched: watched == 0)
