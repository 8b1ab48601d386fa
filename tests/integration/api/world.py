"""What the API tests work with: workflows, skills, and a worker and projector to run them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from orchestrator.application.core import Core
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.workflow import Workflow
from orchestrator.skills import SkillError, StepContext, skill
from orchestrator.skills.registry import SkillRegistry
from orchestrator.workflows import define, step
from tests.waiting import until

RUNS = "/api/v1/runs"
TENANT = "default"

LINE = define(
    "test.line",
    "1",
    [step("write", "test.write", input={"text": "trigger.text"}), step("read", "test.read", ["write"])],
    payload_schema={"type": "object", "properties": {"text": {"type": "string"}}},
)
FAULTY = define("test.faulty", "1", [step("break", "test.break"), step("after", "test.read", ["break"])])
STRANGE = define("test.strange", "1", [step("nobody", "test.nobody_knows")])


@skill("test.write")
async def write(asked: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    text = asked["text"] or "nothing"
    ctx.artifact(text.encode(), type="text/plain", filename="notes/what is ö é.txt")
    return {"length": len(text)}


@skill("test.read")
async def read(asked: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    return {}


@skill("test.break")
async def fail(asked: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    raise SkillError("TEST_BROKEN", "it broke", retryable=False, details={"why_not": 1})


async def register(core: Core, *workflows: Workflow, tenant: str = TENANT) -> None:
    for workflow in workflows:
        await core.workflows.register(workflow, tenant=tenant, actor="test")


@asynccontextmanager
async def at_work(core: Core) -> AsyncIterator[None]:
    """A worker that knows the skills above, and a projector."""
    with open_projector(core):
        async with open_worker(core, SkillRegistry([write, read, fail])):
            yield


async def trigger(client: httpx.AsyncClient, workflow: str = "test.line", **body: Any) -> str:
    answer = await client.post(RUNS, json={"workflowName": workflow, **body})
    assert answer.status_code == 202, answer.text
    run_id: str = answer.json()["runId"]
    return run_id


async def until_status(client: httpx.AsyncClient, run_id: str, *statuses: str) -> dict[str, Any]:
    """The run, once it has one of these statuses."""

    async def look() -> dict[str, Any]:
        run: dict[str, Any] = (await client.get(f"{RUNS}/{run_id}")).json()
        return run

    told = f"the run is {' or '.join(statuses)}"
    return await until(look, what=told, right=lambda run: run["status"] in statuses)


async def finished(core: Core, client: httpx.AsyncClient, workflow: str = "test.line", **body: Any) -> dict[str, Any]:
    """A run of a workflow that a worker has seen through, and that is projected."""
    await register(core, LINE, FAULTY)
    async with at_work(core):
        run_id = await trigger(client, workflow, **body)
        return await until_status(client, run_id, "completed", "failed")
