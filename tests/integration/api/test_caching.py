from typing import Any
from uuid import uuid4

import httpx

from orchestrator.application.core import Core
from tests.world.core import register
from tests.world.http import RUNS, trigger, until_status
from tests.world.lines import LINE, SKILLS
from tests.world.work import at_work


async def analysed(client: httpx.AsyncClient, run_id: str, **query: str) -> dict[str, Any]:
    answer = await client.get(f"{RUNS}/{run_id}/cache-analysis", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert body["runId"] == run_id
    return {step.pop("stepId"): step for step in body["steps"]}


async def test_each_step_says_where_its_result_came_from_and_why(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    async with at_work(core, SKILLS):
        first = await trigger(client, triggerPayload={"text": "one"})
        await until_status(client, first, "completed")
        second = await trigger(client, triggerPayload={"text": "two"})
        await until_status(client, second, "completed")
    steps = await analysed(client, second)
    run = (await client.get(f"{RUNS}/{second}/steps")).json()["steps"]
    assert steps == {
        "write": {
            "verdict": "miss",
            "reason": "no result with this key",
            "cacheKey": run[0]["cacheKey"],
            "components": {
                "workflow": "test.line",
                "step": "write",
                "inputHash": run[0]["inputHash"],
                "skill": "test.write@1",
                "input": {"text": "two"},
            },
            "comparedWithRunId": first,
            "differences": [{"field": "input.text", "before": "one", "after": "two"}],
        },
        "read": {
            "verdict": "hit",
            "reason": "the cache had a result for this key",
            "cacheKey": run[1]["cacheKey"],
            "components": {
                "workflow": "test.line",
                "step": "read",
                "inputHash": run[1]["inputHash"],
                "skill": None,
                "input": {},
            },
            "comparedWithRunId": first,
            "differences": [],
        },
    }
    assert await analysed(client, second, stepId="read") == {"read": steps["read"]}


async def test_a_run_that_waits_can_be_analysed_at_once(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    steps = await analysed(client, await trigger(client))
    assert {name: (step["verdict"], step["components"]) for name, step in steps.items()} == {
        "write": ("pending", None),
        "read": ("pending", None),
    }


async def test_what_cannot_be_analysed(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    run_id = await trigger(client)
    answers = {
        path: await client.get(f"{RUNS}/{path}")
        for path in (
            f"{uuid4()}/cache-analysis",
            "nonsense/cache-analysis",
            f"{run_id}/cache-analysis?stepId=nothing",
            f"{run_id}/cache-analysis?step=read",
        )
    }
    assert [(answer.status_code, answer.json()["error"]) for answer in answers.values()] == [
        (404, "RUN_NOT_FOUND"),
        (400, "VALIDATION_ERROR"),
        (400, "VALIDATION_ERROR"),
        (400, "VALIDATION_ERROR"),
    ]
