"""Many runs asked for in one go: all of them or none, each once, in few commits."""

import asyncio
from typing import Any

import httpx
import pytest

from orchestrator.application.caller import Caller
from orchestrator.application.commands import MAX_AT_ONCE, Wanted
from orchestrator.application.core import Core
from orchestrator.domain.events import RunTriggered
from tests.integration.api.test_runs import faults
from tests.waiting import until
from tests.world.core import register
from tests.world.http import RUNS, until_status
from tests.world.lines import FAULTY, LINE, SKILLS
from tests.world.work import at_work

BATCH = f"{RUNS}:batch"


def line(text: Any, **others: Any) -> dict[str, Any]:
    return {"workflowName": "test.line", "triggerPayload": {"text": text}, **others}


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 202, answer.text
    return [one["runId"] for one in answer.json()["runs"]]


def triggered(core: Core) -> list[str]:
    """The runs that the log knows of, in its order."""
    return [one.stream_id for one in core.log.read_log(0, 10_000) if isinstance(one.event, RunTriggered)]


async def test_each_is_accepted_as_it_was_asked_for_and_can_be_read_at_once(
    core: Core, client: httpx.AsyncClient
) -> None:
    await register(core, LINE, FAULTY)
    asked = [line("a", priority=2, labels={"team": "red"}), {"workflowName": "test.faulty"}, line("b")]
    answer = await client.post(BATCH, json={"runs": asked}, headers={"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"})
    runs = ids(answer)
    assert [one["message"] for one in answer.json()["runs"]] == ["Run queued - 2 steps"] * 3
    assert {one["status"] for one in answer.json()["runs"]} == {"queued"}
    assert len(set(runs)) == 3
    assert set(triggered(core)) == set(runs)
    assert int(answer.headers["X-Log-Position"]) == core.log.last_position()
    first, second, third = [(await client.get(f"{RUNS}/{run_id}")).json() for run_id in runs]
    assert (first["triggerPayload"], first["priority"], first["labels"]) == ({"text": "a"}, 2, {"team": "red"})
    assert (second["workflowName"], second["triggerPayload"]) == ("test.faulty", {})
    assert (third["triggerPayload"], third["priority"], third["labels"]) == ({"text": "b"}, 0, {})
    assert {core.log.read(run_id)[0].event.trace for run_id in runs} == {f"00-{'1' * 32}-{'2' * 16}-01"}  # type: ignore[union-attr]


async def test_a_worker_beside_it_runs_them_all(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    async with at_work(core, SKILLS):
        runs = ids(await client.post(BATCH, json={"runs": [line(f"{number}") for number in range(40)]}))
        for run_id in runs:
            assert (await until_status(client, run_id, "completed", "failed"))["status"] == "completed"


async def test_as_many_as_are_allowed_share_a_few_commits(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    before = core.log.writer.batches
    runs = ids(await client.post(BATCH, json={"runs": [line(f"{number}") for number in range(MAX_AT_ONCE)]}))
    assert len(set(runs)) == MAX_AT_ONCE
    assert core.log.writer.batches - before <= MAX_AT_ONCE / 10


async def test_when_one_is_wrong_none_is_made(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    before = core.log.last_position()
    wrong = await client.post(BATCH, json={"runs": [line("a"), line(1), line("b"), line(None)]})
    assert set(faults(wrong)) == {"runs[1].triggerPayload.text", "runs[3].triggerPayload.text"}
    wrong = await client.post(BATCH, json={"runs": [line("a"), line("b", priority="high"), {"triggerPayload": []}]})
    assert {"runs[1].priority", "runs[2].workflowName", "runs[2].triggerPayload"} == set(faults(wrong))
    unknown = await client.post(BATCH, json={"runs": [line("a"), {"workflowName": "test.nowhere"}]})
    assert (unknown.status_code, unknown.json()["error"]) == (404, "WORKFLOW_NOT_FOUND")
    assert "test.nowhere" in unknown.json()["message"]
    unknown = await client.post(BATCH, json={"runs": [line("a", workflowVersion="7")]})
    assert (unknown.status_code, unknown.json()["error"]) == (404, "WORKFLOW_NOT_FOUND")
    assert core.log.last_position() == before


async def test_so_many_problems_are_listed_and_no_more(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    answer = await client.post(BATCH, json={"runs": [line(number) for number in range(300)]})
    assert len(faults(answer)) == 20
    assert "and more" in answer.json()["message"]


@pytest.mark.parametrize("runs", [[], [line("a")] * (MAX_AT_ONCE + 1), {"a": 1}, None, [None], ["a"]])
async def test_what_is_no_batch(core: Core, client: httpx.AsyncClient, runs: Any) -> None:
    await register(core, LINE)
    answer = await client.post(BATCH, json={"runs": runs})
    assert all(path.startswith("runs") for path in faults(answer))
    assert triggered(core) == []


async def test_the_same_again_makes_no_other_runs_and_another_request_none(
    core: Core, client: httpx.AsyncClient
) -> None:
    await register(core, LINE)
    key, asked = {"Idempotency-Key": "order-1"}, [line("a"), line("b"), line("b")]
    runs = ids(await client.post(BATCH, json={"runs": asked}, headers=key))
    assert len(set(runs)) == 3
    position = core.log.last_position()
    assert ids(await client.post(BATCH, json={"runs": asked}, headers=key)) == runs
    for other in (asked[:2], [*asked, line("c")], [line("a"), line("b"), line("c")], asked[::-1]):
        answer = await client.post(BATCH, json={"runs": other}, headers=key)
        assert (answer.status_code, answer.json()["error"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert core.log.last_position() == position
    single = await client.post(RUNS, json=line("a"), headers=key)
    assert single.status_code == 202
    assert single.json()["runId"] not in runs, "the key of a single run is another one"


async def test_what_was_broken_off_is_completed_by_the_same_request(core: Core) -> None:
    await register(core, LINE)
    caller, wanted = Caller("default", "test"), [Wanted("test.line", payload={"text": f"{n}"}) for n in range(400)]

    def ask() -> "asyncio.Task[Any]":
        return asyncio.create_task(core.commands.trigger_many(caller, wanted, idempotency_key="all"))

    begun = ask()
    await until(lambda: len(triggered(core)) > 0)
    begun.cancel()
    await asyncio.gather(begun, return_exceptions=True)
    assert begun.cancelled()
    assert 0 < len(triggered(core)) < len(wanted)
    accepted = await ask()
    assert {one.run_id for one in accepted} == set(triggered(core))
    assert len(triggered(core)) == len(wanted)
    payloads = [core.log.read(one.run_id)[0].event.payload for one in accepted]  # type: ignore[union-attr]
    assert payloads == [one.payload for one in wanted]


async def test_others_are_served_while_a_large_one_is_recorded(core: Core, client: httpx.AsyncClient) -> None:
    """Nobody waits for more than a part of it."""
    await register(core, LINE)
    large = asyncio.create_task(client.post(BATCH, json={"runs": [line(f"{n}") for n in range(MAX_AT_ONCE)]}))
    served = 0
    while not large.done():
        assert (await client.get("/api/v1/health/live")).status_code == 200
        await asyncio.sleep(0)
        served += 1
    assert len(ids(await large)) == MAX_AT_ONCE
    assert served >= 10
