"""The border between tenants, tried at every call there is: what belongs to another is as if it were not there.

The calls come from the app's own routes: a new one without a case here fails.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from fastapi.routing import APIRoute

from orchestrator.access.identity import Role
from orchestrator.api.app import ROUTERS, Api
from orchestrator.application.core import Core
from orchestrator.clusters.contract import Work, attempt_name
from orchestrator.clusters.dispatches import Dispatches
from orchestrator.skills.call import SkillCall
from orchestrator.workflows import define, step
from tests.integration.api.test_authentication import guarded, issue
from tests.integration.api.test_errors import check
from tests.world.core import register
from tests.world.http import RUNS, connect, until_status
from tests.world.lines import FAULTY, LINE, SKILLS
from tests.world.work import at_work

SECRET = "the words of the others"
ARTIFACTS = "/api/v1/artifacts"
WORKFLOWS = "/api/v1/workflows"
POLL = "/api/v1/pools/far/poll"
THEIRS = define("theirs.only", "1", [step("write", "test.write", input={"text": "trigger.text"})])
CHANGE = {"changeRequest": {"type": "payload.patch", "payload": {"text": "x"}}}


@dataclass
class Border:
    """What one tenant has, and a client of another: an admin there."""

    core: Core
    us: httpx.AsyncClient
    them: httpx.AsyncClient
    completed: str
    failed: str
    queued: str
    artifact: str

    async def unseen(self, method: str, path: str, theirs: str, **request: Any) -> None:
        """Their thing and one that nobody has are answered alike."""
        answers = [await self.us.request(method, path.format(id=which), **request) for which in (theirs, uuid4())]
        found = [check(answer, 404, answer.json()["error"]) for answer in answers]
        assert found[0]["error"] == found[1]["error"]
        ids = [answer.request.url.path.split("/")[4] for answer in answers]
        assert answers[0].text.replace(ids[0], "") == answers[1].text.replace(ids[1], "")
        assert dict(answers[0].headers).keys() == dict(answers[1].headers).keys()

    async def unseen_runs(self, method: str, path: str, **request: Any) -> None:
        for run_id in (self.completed, self.failed, self.queued):
            await self.unseen(method, f"{RUNS}/{{id}}{path}", run_id, **request)


@pytest.fixture
async def border(core: Core) -> AsyncIterator[Border]:
    await register(core, LINE, FAULTY, THEIRS, tenant="them")
    await register(core, LINE, tenant="us")
    app = guarded(core)
    async with AsyncExitStack() as stack:
        us, them = [await stack.enter_async_context(connect(app)) for _ in range(2)]
        us.headers.update(issue(core, Role.ADMIN, "us"))
        them.headers.update(issue(core, Role.ADMIN, "them"))
        runs: dict[str, str] = {}
        async with at_work(core, SKILLS):
            for name in ("test.line", "test.faulty"):
                body = {"workflowName": name, "triggerPayload": {"text": SECRET}, "labels": {"of": "them"}}
                answer = await them.post(RUNS, json=body, headers={"Idempotency-Key": name})
                runs[name] = answer.json()["runId"]
                await until_status(them, runs[name], "completed", "failed")
            (artifact,) = (await them.get(f"{RUNS}/{runs['test.line']}/artifacts")).json()["artifacts"]
        queued = (await them.post(RUNS, json={"workflowName": "theirs.only"})).json()["runId"]
        yield Border(core, us, them, runs["test.line"], runs["test.faulty"], queued, artifact["id"])


async def trigger(border: Border) -> None:
    check(await border.us.post(RUNS, json={"workflowName": "theirs.only"}), 404, "WORKFLOW_NOT_FOUND")
    # Their key is free for us, and says nothing: neither a conflict nor their run.
    body = {"workflowName": "test.line", "triggerPayload": {"text": "ours"}}
    answer = await border.us.post(RUNS, json=body, headers={"Idempotency-Key": "test.line"})
    assert answer.status_code == 202
    assert answer.json()["runId"] != border.completed


async def trigger_many(border: Border) -> None:
    ours = {"workflowName": "test.line", "triggerPayload": {"text": "ours"}}
    batch = {"runs": [ours, {"workflowName": "theirs.only"}]}
    check(await border.us.post(f"{RUNS}:batch", json=batch), 404, "WORKFLOW_NOT_FOUND")
    key = {"Idempotency-Key": "both"}
    (theirs,) = (await border.them.post(f"{RUNS}:batch", json={"runs": [ours]}, headers=key)).json()["runs"]
    (run,) = (await border.us.post(f"{RUNS}:batch", json={"runs": [ours]}, headers=key)).json()["runs"]
    assert run["runId"] != theirs["runId"]


async def list_runs(border: Border) -> None:
    queries = ("", "?status=completed", f"?baseRunId={border.completed}", "?label=of:them", "?workflowName=test.faulty")
    for query in queries:
        assert (await border.us.get(f"{RUNS}{query}")).json() == {"runs": [], "nextCursor": None}
    cursor = (await border.them.get(f"{RUNS}?limit=1")).json()["nextCursor"]
    assert (await border.us.get(f"{RUNS}?cursor={cursor}")).json()["runs"] == []


async def get_run(border: Border) -> None:
    for query in ("", "?at=1", "?at=2020-01-01T00:00:00Z"):
        await border.unseen_runs("GET", query)


async def steps(border: Border) -> None:
    for query in ("", "?at=1", "?view=summary&limit=1", "?status=completed"):
        await border.unseen_runs("GET", f"/steps{query}")


async def step_alone(border: Border) -> None:
    for query in ("", "?at=1"):
        await border.unseen_runs("GET", f"/steps/write{query}")


async def events(border: Border) -> None:
    for query in ("", "?order=desc", "?order=desc&type=StepCompleted", "?stepId=write"):
        await border.unseen_runs("GET", f"/events{query}")


async def stream(border: Border) -> None:
    await border.unseen_runs("GET", "/events/stream")
    await border.unseen_runs("GET", "/events/stream", headers={"Last-Event-ID": "1"})


async def update(border: Border) -> None:
    await border.unseen_runs("POST", "/update", json=CHANGE)
    await border.unseen_runs("POST", "/update", json={**CHANGE, "expectedPlanHash": "0" * 64})


async def content(border: Border) -> None:
    plain: list[dict[str, str]] = [{}, {"If-None-Match": "*"}, {"Range": "bytes=0-1"}]
    for headers in plain:
        await border.unseen("GET", f"{ARTIFACTS}/{{id}}/content", border.artifact, headers=headers)


async def list_workflows(border: Border) -> None:
    listed = (await border.us.get(WORKFLOWS)).json()["workflows"]
    assert [workflow["workflowName"] for workflow in listed] == ["test.line"]


async def get_workflow(border: Border) -> None:
    for query in ("", "?version=1", "/graph", "/graph?version=1"):
        check(await border.us.get(f"{WORKFLOWS}/theirs.only{query}"), 404, "WORKFLOW_NOT_FOUND")


async def register_workflow(border: Border) -> None:
    """The name and version are theirs; with other content it is ours all the same."""
    definition = {"workflowName": "theirs.only", "version": "1", "steps": [{"stepId": "a", "skillId": "x"}]}
    assert (await border.us.post(WORKFLOWS, json=definition)).status_code == 201
    assert (await border.them.get(f"{WORKFLOWS}/theirs.only")).json()["digest"] == THEIRS.digest


def change_workflow(verb: str) -> Callable[[Border], Awaitable[None]]:
    async def case(border: Border) -> None:
        answer = await border.us.post(f"{WORKFLOWS}/test.faulty/{verb}", json={})
        check(answer, 404, "WORKFLOW_NOT_FOUND")
        assert (await border.us.post(f"{WORKFLOWS}/test.line/{verb}", json={})).status_code == 200  # ours, not theirs
        assert (await border.them.get(f"{WORKFLOWS}/test.line")).json()["retiredAt"] is None

    return case


def runs(method: str, path: str, **request: Any) -> Callable[[Border], Awaitable[None]]:
    return lambda border: border.unseen_runs(method, path, **request)


def not_ours(method: str, path: str, **request: Any) -> Callable[[Border], Awaitable[None]]:
    """A call about all tenants is not for ours, whatever the role."""

    async def case(border: Border) -> None:
        check(await border.us.request(method, path, **request), 403, "FORBIDDEN")

    return case


async def me(border: Border) -> None:
    assert (await border.us.get("/api/v1/me")).json()["tenant"] == "us"


async def sign_in(border: Border) -> None:
    """A session of ours is of our tenant."""
    answer = await border.us.post("/api/v1/session")
    assert answer.json()["tenant"] == "us"
    border.us.cookies.clear()


async def sign_out(border: Border) -> None:
    """Whoever got hold of their cookie ends nothing with a key of ours."""
    cookie = (await border.them.post("/api/v1/session")).headers["set-cookie"].partition(";")[0]
    border.them.cookies.clear()
    assert (await border.us.delete("/api/v1/session", headers={"Cookie": cookie})).status_code == 204
    async with connect(guarded(border.core)) as browser:
        assert (await browser.get("/api/v1/me", headers={"Cookie": cookie})).json()["tenant"] == "them"


async def says_nothing(_: Border) -> None:
    """For everybody: it tells nothing of any tenant."""


async def poll(border: Border) -> None:
    """Their work is not ours, and our poll frees nothing of theirs."""
    waiting = replace(work_of("them"), call=replace(work_of("them").call, run_id=border.queued))
    table = Dispatches(border.core.database, 15.0)
    table.put("far", waiting)
    body = {"worker": "w", "skills": [waiting.skill], "slots": 5, "waitSeconds": 0}
    assert (await border.us.post(POLL, json=body)).json()["works"] == []
    (taken,) = (await border.them.post(POLL, json=body)).json()["works"]
    assert taken["name"] == waiting.name


async def beat(border: Border) -> None:
    attempt, fence = f"/api/v1/attempts/{work_of('them').name}", {"X-Fence": work_of("them").fence}
    for body in ({}, {"abandon": True}):
        check(await border.us.post(f"{attempt}/beat", json=body, headers=fence), 409, "STALE_ATTEMPT")


async def put_result(border: Border) -> None:
    attempt, fence = f"/api/v1/attempts/{work_of('them').name}", {"X-Fence": work_of("them").fence}
    body = {"output": {"data": 1}, "durationMs": 1.0}
    check(await border.us.put(f"{attempt}/result", json=body, headers=fence), 409, "STALE_ATTEMPT")


def work_of(tenant: str) -> Work:
    call = SkillCall("018f0000-0000-7000-8000-000000000009", "a", 1, tenant, "far.work", SECRET)
    return Work(attempt_name(call.run_id, "a", 1), "f" * 32, call, "far.work@1")


CASES: dict[str, Callable[[Border], Awaitable[None]]] = {
    "POST /api/v1/runs": trigger,
    "POST /api/v1/runs:batch": trigger_many,
    "GET /api/v1/runs": list_runs,
    "POST /api/v1/pools/{pool}/poll": poll,
    "POST /api/v1/attempts/{name}/beat": beat,
    "PUT /api/v1/attempts/{name}/result": put_result,
    "GET /api/v1/runs/{runId}": get_run,
    "DELETE /api/v1/runs/{runId}": runs("DELETE", "?reason=x"),
    "POST /api/v1/runs/{runId}/cancel": runs("POST", "/cancel", json={}),
    "POST /api/v1/runs/{runId}/update": update,
    "POST /api/v1/runs/{runId}/update/plan": runs("POST", "/update/plan", json=CHANGE),
    "POST /api/v1/runs/{runId}/retry": runs("POST", "/retry"),
    "GET /api/v1/runs/{runId}/steps": steps,
    "GET /api/v1/runs/{runId}/steps/{stepId}": step_alone,
    "GET /api/v1/runs/{runId}/artifacts": runs("GET", "/artifacts"),
    "GET /api/v1/runs/{runId}/steps/{stepId}/data": runs("GET", "/steps/make/data"),
    "GET /api/v1/runs/{runId}/events": events,
    "GET /api/v1/runs/{runId}/logs": runs("GET", "/logs"),
    "GET /api/v1/runs/{runId}/logs/stream": runs("GET", "/logs/stream"),
    "GET /api/v1/runs/{runId}/steps/{stepId}/logs": runs("GET", "/steps/make/logs"),
    "GET /api/v1/runs/{runId}/steps/{stepId}/logs/stream": runs("GET", "/steps/make/logs/stream"),
    "GET /api/v1/runs/{runId}/events/stream": stream,
    "GET /api/v1/runs/{runId}/cache-analysis": runs("GET", "/cache-analysis"),
    "GET /api/v1/artifacts/{artifactId}/content": content,
    "GET /api/v1/workflows": list_workflows,
    "GET /api/v1/workflows/{workflowName}": get_workflow,
    "GET /api/v1/workflows/{workflowName}/graph": get_workflow,
    "POST /api/v1/workflows": register_workflow,
    "POST /api/v1/workflows/{workflowName}/retire": change_workflow("retire"),
    "POST /api/v1/workflows/{workflowName}/restore": change_workflow("restore"),
    "GET /api/v1/projections": not_ours("GET", "/api/v1/projections"),
    "POST /api/v1/projections/{name}/rebuild": not_ours("POST", "/api/v1/projections/runs/rebuild"),
    "GET /api/v1/health/live": says_nothing,
    "GET /api/v1/health/ready": says_nothing,
    "GET /api/v1/health/queues": not_ours("GET", "/api/v1/health/queues"),
    "GET /api/v1/me": me,
    "POST /api/v1/session": sign_in,
    "DELETE /api/v1/session": sign_out,
    "GET /health/live": says_nothing,
    "GET /health/ready": says_nothing,
    "GET /health/queues": not_ours("GET", "/health/queues"),
    "GET /metrics": not_ours("GET", "/metrics"),
}


def calls(app: Api) -> set[str]:
    return {f"{method} {route.path}" for route in app.routes if isinstance(route, APIRoute) for method in route.methods}


def test_every_call_has_a_case(core: Core) -> None:
    assert calls(guarded(core)) == set(CASES)
    assert sum(len(router.routes) for router in ROUTERS) == len(CASES)


async def test_nothing_crosses_the_border(border: Border, database_url: str, subtests: pytest.Subtests) -> None:
    def their_log() -> list[Any]:
        with psycopg.connect(database_url) as connection:
            streams = [border.completed, border.failed, border.queued]
            found = connection.execute(
                "SELECT originator_id, originator_version FROM orchestrator.events"
                " WHERE originator_id = ANY(%s::uuid[]) ORDER BY 1, 2",
                (streams,),
            )
            return found.fetchall()

    before = their_log()
    for call, case in CASES.items():
        with subtests.test(call):
            await case(border)
    assert their_log() == before
    assert (await border.them.get(f"{RUNS}/{border.queued}")).json()["status"] == "queued"
    assert (await border.them.get(f"{ARTIFACTS}/{border.artifact}/content")).text == SECRET


async def test_the_same_work_is_done_anew_for_another_tenant(border: Border) -> None:
    """Neither a result nor the bytes of another tenant are found again: not by key, not by hash."""
    async with at_work(border.core, SKILLS):
        body = {"workflowName": "test.line", "triggerPayload": {"text": SECRET}}
        run_id = (await border.us.post(RUNS, json=body)).json()["runId"]
        await until_status(border.us, run_id, "completed")
        steps = (await border.us.get(f"{RUNS}/{run_id}/steps")).json()["steps"]
        assert [each["cacheHit"] for each in steps] == [False, False]
        (ours,) = (await border.us.get(f"{RUNS}/{run_id}/artifacts")).json()["artifacts"]
        (theirs,) = (await border.them.get(f"{RUNS}/{border.completed}/artifacts")).json()["artifacts"]
        assert ours["contentHash"] == theirs["contentHash"]
        assert ours["id"] != theirs["id"]
        assert "/us/" in ours["uri"]
        assert "/them/" in theirs["uri"]
        analysis = (await border.us.get(f"{RUNS}/{run_id}/cache-analysis")).json()["steps"]
        assert {each["comparedWithRunId"] for each in analysis} == {None}
