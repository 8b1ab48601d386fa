"""Looking into a run: its events from the end, by type and step, its steps page by page, one step with its input."""

from typing import Any

import httpx
import pytest

from orchestrator.application import event_pages
from orchestrator.application.core import Core
from orchestrator.domain.workflow import Step
from orchestrator.skills import StepContext, skill
from orchestrator.workflows import define, step
from tests.integration.api.test_errors import check
from tests.world.core import register
from tests.world.http import RUNS, finished, trigger, until_status
from tests.world.lines import SKILLS, STRANGE
from tests.world.work import at_work
from tests.world.workflows import workflow

WORKFLOWS = "/api/v1/workflows"
DIAMOND = define(
    "test.diamond",
    "1",
    [
        step("a", "test.large"),
        step("b", "test.read", ["a"]),
        step("c", "test.read", ["b"], input={"all": "steps.a.data"}),
        step("d", "test.write", ["a", "c"], input={"text": "trigger.text"}),
        step("e", "test.read"),
    ],
)

OMITTING = workflow(
    "test.omitting",
    Step("a", "test.read"),
    Step("b", "test.read", ("a",), when="trigger.wanted"),
    Step("c", "test.read", after=("b",)),
)


@skill("test.large")
async def large(asked: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    return {"text": "x" * 40_000}


async def events(client: httpx.AsyncClient, run_id: str, **params: Any) -> dict[str, Any]:
    answer = await client.get(f"{RUNS}/{run_id}/events", params=params)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def test_events_from_the_end(core: Core, client: httpx.AsyncClient) -> None:
    run = await finished(core, client)
    whole = (await events(client, run["id"]))["events"]
    seen: list[dict[str, Any]] = []
    params: dict[str, Any] = {"order": "desc", "limit": 2}
    while True:
        page = await events(client, run["id"], **params)
        assert len(page["events"]) <= 2
        assert page["total"] == len(whole) == run["version"]
        seen += page["events"]
        if page["nextCursor"] is None:
            break
        params["before"] = page["nextCursor"]
    assert seen == whole[::-1]


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_events_of_types_and_of_a_step(core: Core, client: httpx.AsyncClient, order: str) -> None:
    run = await finished(core, client)
    whole = (await events(client, run["id"], order=order))["events"]
    types = ["StepStarted", "RunCompleted"]
    page = await events(client, run["id"], order=order, type=types, limit=2)
    wanted = [each for each in whole if each["type"] in types]
    assert len(wanted) == 3
    assert page["events"] == wanted[:2]
    rest = {"before" if order == "desc" else "after": page["nextCursor"]}
    assert (await events(client, run["id"], order=order, type=types, limit=2, **rest))["events"] == wanted[2:]
    of_step = [each for each in whole if each["data"].get("step") == "read"]
    assert (await events(client, run["id"], order=order, stepId="read"))["events"] == of_step
    page = await events(client, run["id"], order=order, stepId="read", type="StepCompleted")
    assert [each["type"] for each in page["events"]] == ["StepCompleted"]
    assert page["nextCursor"] is None


async def test_the_events_of_a_step_in_pages(core: Core, client: httpx.AsyncClient) -> None:
    run = await finished(core, client)
    whole = (await events(client, run["id"], order="desc"))["events"]
    wanted = [each for each in whole if each["data"].get("step") == "write"]
    query = event_pages.EventQuery("desc", step_id="write", limit=1)
    found: list[int] = []
    while True:
        page = await core.database.call(event_pages.read_event_page, core, "default", run["id"], query)
        found += [each["version"] for each in page["events"]]
        if page["nextCursor"] is None:
            break
        query = event_pages.EventQuery("desc", page["nextCursor"], step_id="write", limit=1)
    assert found == [each["version"] for each in wanted]


@pytest.mark.parametrize(
    ("query", "field", "told"),
    [
        ("type=StepFaild", "type", "did you mean 'StepFailed'?"),
        ("order=desc&after=1", "after", "use before"),
        ("before=1", "before", "use after"),
        ("after=99", "after", "its last is"),
        ("order=desc&before=99", "before", "its last is"),
        ("order=up", "order", "'asc' or 'desc'"),
        ("limit=1001", "limit", "less than or equal to 1000"),
    ],
)
async def test_pages_that_there_are_not(
    core: Core, client: httpx.AsyncClient, query: str, field: str, told: str
) -> None:
    await register(core, DIAMOND)
    run_id = await trigger(client, "test.diamond")
    (fault,) = check(await client.get(f"{RUNS}/{run_id}/events?{query}"), 400, "VALIDATION_ERROR")["details"]["faults"]
    assert fault["path"] == field
    assert told in fault["message"]


async def diamond(core: Core, client: httpx.AsyncClient) -> str:
    await register(core, DIAMOND)
    async with at_work(core, (*SKILLS, large)):
        run_id = await trigger(client, "test.diamond", triggerPayload={"text": "hi"})
        await until_status(client, run_id, "completed")
    return run_id


async def steps(client: httpx.AsyncClient, run_id: str, **params: Any) -> dict[str, Any]:
    answer = await client.get(f"{RUNS}/{run_id}/steps", params=params)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def test_steps_in_pages_and_as_summaries(core: Core, client: httpx.AsyncClient) -> None:
    run_id = await diamond(core, client)
    whole = await steps(client, run_id)
    assert [each["stepId"] for each in whole["steps"]] == ["a", "b", "c", "d", "e"]
    assert (whole["total"], whole["nextCursor"]) == (5, None)
    assert whole["version"] == (await client.get(f"{RUNS}/{run_id}")).json()["version"]
    for view in ("full", "summary"):
        seen: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = await steps(client, run_id, view=view, limit=2, **cursor)
            assert len(page["steps"]) <= 2
            seen += page["steps"]
            if page["nextCursor"] is None:
                break
            cursor = {"cursor": page["nextCursor"]}
        if view == "full":
            assert seen == whole["steps"]
        else:
            known = [{name: each[name] for name in seen[0] if name != "errorCode"} for each in whole["steps"]]
            assert [{**each, "errorCode": None} for each in known] == seen
            assert "data" not in seen[0]


async def test_steps_of_statuses_at_an_earlier_point(core: Core, client: httpx.AsyncClient) -> None:
    run = await finished(core, client, "test.faulty")
    page = await steps(client, run["id"], status=["failed", "pending"], view="summary")
    assert next((each["stepId"], each["errorCode"]) for each in page["steps"]) == ("break", "TEST_BROKEN")
    assert (await steps(client, run["id"], status="completed"))["steps"] == []
    past = await steps(client, run["id"], at=1)
    assert (past["version"], {each["status"] for each in past["steps"]}) == (1, {"pending"})
    now = await steps(client, run["id"], at=run["version"])
    assert [each["status"] for each in now["steps"]] == [
        each["status"] for each in (await steps(client, run["id"]))["steps"]
    ]
    for query, field in (("at=99", "at"), ("cursor=nobody", "cursor"), ("limit=0", "limit"), ("view=x", "view")):
        faults = check(await client.get(f"{RUNS}/{run['id']}/steps?{query}"), 400, "VALIDATION_ERROR")["details"]
        assert faults["faults"][0]["path"] == field


async def test_omitted_steps_are_shown_as_such(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, OMITTING)
    async with at_work(core, SKILLS):
        run_id = await trigger(client, "test.omitting", triggerPayload={"wanted": False})
        await until_status(client, run_id, "completed")
    for view in ("full", "summary"):
        page = await steps(client, run_id, view=view, status="omitted")
        assert [each["stepId"] for each in page["steps"]] == ["b"]
    assert (await client.get(f"{RUNS}/{run_id}/steps/b")).json()["omittedBecause"] == "its condition is false"
    graph = (await client.get(f"{WORKFLOWS}/test.omitting/graph")).json()
    assert [each["level"] for each in graph["steps"]] == [0, 1, 2]  # it waits for `b`, without needing it


async def test_reused_steps_are_in_the_pages_of_an_update(core: Core, client: httpx.AsyncClient) -> None:
    base = await diamond(core, client)
    async with at_work(core, (*SKILLS, large)):
        change = {"changeRequest": {"type": "payload.patch", "payload": {"text": "ho"}}}
        run_id = (await client.post(f"{RUNS}/{base}/update", json=change)).json()["runId"]
        await until_status(client, run_id, "completed")
    whole = (await steps(client, run_id))["steps"]
    assert [each["stepId"] for each in whole if each["hitReason"] == "reused"] == ["a", "b", "c", "e"]
    brief = (await steps(client, run_id, view="summary"))["steps"]
    assert [(each["stepId"], each["status"], each["reusedFromRunId"]) for each in brief] == [
        (each["stepId"], each["status"], each["reusedFromRunId"]) for each in whole
    ]
    detail = (await client.get(f"{RUNS}/{run_id}/steps/c")).json()
    assert detail["reusedFromRunId"] == base
    assert detail["inputBytes"] > 40_000


async def test_one_step_with_its_input(core: Core, client: httpx.AsyncClient) -> None:
    run_id = await diamond(core, client)
    answer = await client.get(f"{RUNS}/{run_id}/steps/d")
    detail = answer.json()
    assert detail["input"] == {"text": "hi"}
    assert (detail["inputBytes"], detail["inputPreview"]) == (len('{"text":"hi"}'), None)
    assert detail["dependsOn"] == ["a", "c"]
    listed = next(each for each in (await steps(client, run_id))["steps"] if each["stepId"] == "d")
    assert {name: detail[name] for name in listed} == listed
    tag = {"If-None-Match": answer.headers["etag"]}
    assert (await client.get(f"{RUNS}/{run_id}/steps/d", headers=tag)).status_code == 304
    past = (await client.get(f"{RUNS}/{run_id}/steps/d?at=1")).json()
    assert (past["status"], past["input"]) == ("pending", None)
    check(await client.get(f"{RUNS}/{run_id}/steps/nobody"), 400, "VALIDATION_ERROR")


async def test_large_values_are_capped_with_a_way_to_the_whole(core: Core, client: httpx.AsyncClient) -> None:
    run_id = await diamond(core, client)
    taken = (await client.get(f"{RUNS}/{run_id}/steps/c")).json()
    assert taken["input"] is None
    assert taken["inputBytes"] == 40_000 + len('{"all":{"text":""}}')
    assert taken["inputPreview"] == '{"all":{"text":"'.ljust(1024, "x")
    made = (await client.get(f"{RUNS}/{run_id}/steps/a")).json()
    assert made["data"] is None
    assert (await client.get(made["dataUrl"])).json() == {"text": "x" * 40_000}


async def test_the_graph_of_a_workflow(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, DIAMOND)
    answer = await client.get(f"{WORKFLOWS}/test.diamond/graph")
    graph = answer.json()
    assert [(each["stepId"], each["level"]) for each in graph["steps"]] == [
        ("a", 0), ("b", 1), ("c", 2), ("d", 3), ("e", 0)
    ]  # fmt: skip
    assert graph["edges"] == [["a", "b"], ["b", "c"], ["a", "d"], ["c", "d"]]
    assert graph["levels"] == 4
    assert graph["skills"] == {"test.large": 1, "test.read": 3, "test.write": 1}
    assert answer.headers["etag"] == f'W/"{DIAMOND.digest}"'
    same = {"If-None-Match": answer.headers["etag"]}
    assert (await client.get(f"{WORKFLOWS}/test.diamond/graph?version=1", headers=same)).status_code == 304
    check(await client.get(f"{WORKFLOWS}/test.diamond/graph?version=2"), 404, "WORKFLOW_NOT_FOUND")


async def test_runs_of_several_statuses_before_a_time(core: Core, client: httpx.AsyncClient) -> None:
    done = await finished(core, client)
    failed = await finished(core, client, "test.faulty")
    await register(core, STRANGE)
    async with at_work(core, SKILLS):
        waits = await trigger(client, "test.strange")
        await until_status(client, waits, "blocked")

    async def listed(**params: Any) -> list[str]:
        answer = await client.get(RUNS, params=params)
        assert answer.status_code == 200, answer.text
        return [each["id"] for each in answer.json()["runs"]]

    assert await listed(status=["completed", "failed"]) == [failed["id"], done["id"]]
    assert await listed(status="blocked") == [waits]
    assert await listed(until=failed["createdAt"]) == [done["id"]]
    assert await listed(status=["failed", "blocked"], since=failed["createdAt"]) == [waits, failed["id"]]
    (fault,) = check(await client.get(f"{RUNS}?until=today"), 400, "VALIDATION_ERROR")["details"]["faults"]
    assert fault["path"] == "until"
    check(await client.get(f"{RUNS}?status=done"), 400, "VALIDATION_ERROR")
