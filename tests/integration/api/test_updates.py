"""Updates, their plans and retries, as asked for over HTTP."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest

from orchestrator.api.app import create_app
from orchestrator.application.core import Core
from orchestrator.workflows import define, step
from tests.world.core import register
from tests.world.http import LIMITS, RUNS, connect, trigger, until_status
from tests.world.lines import FAULTY, SKILLS
from tests.world.work import at_work


def changeable(version: str = "1", description: str = "") -> Any:
    """Return `write -> read` and `aside`, which no change of the text reaches."""
    return define(
        "test.changeable",
        version,
        [
            step("write", "test.write", input={"text": "trigger.text"}),
            step("read", "test.read", ["write"], input={"length": "steps.write.data.length"}),
            step("aside", "test.read", input={"other": "trigger.other"}),
        ],
        change_types={"text.update": ["write"]},
        payload_schema={"type": "object", "properties": {"text": {"type": "string"}}},
        description=description,
    )


CHANGE: dict[str, Any] = {"changeRequest": {"type": "text.update", "payload": {"text": "longer"}}}


async def completed(core: Core, client: httpx.AsyncClient) -> str:
    """The id of a completed run that can be changed."""
    await register(core, changeable())
    async with at_work(core, SKILLS):
        run_id = await trigger(client, "test.changeable", triggerPayload={"text": "short", "other": 1})
        assert (await until_status(client, run_id, "completed", "failed"))["status"] == "completed"
    return run_id


async def failed(core: Core, client: httpx.AsyncClient) -> str:
    """The id of a run that failed."""
    await register(core, FAULTY)
    async with at_work(core, SKILLS):
        run_id = await trigger(client, "test.faulty")
        await until_status(client, run_id, "failed")
    return run_id


async def test_a_plan_says_what_will_run_and_why_and_does_nothing(core: Core, client: httpx.AsyncClient) -> None:
    base = await completed(core, client)
    before = core.log.last_position()
    answer = await client.post(f"{RUNS}/{base}/update/plan", json=CHANGE)
    assert answer.status_code == 200, answer.text
    plan = answer.json()
    assert core.log.last_position() == before
    assert (plan["baseRunId"], plan["workflowName"], plan["workflowVersion"]) == (base, "test.changeable", "1")
    assert plan["triggerPayload"] == {"text": "longer", "other": 1}
    assert len(plan["planHash"]) == 64
    assert plan["counts"] == {"run": 1, "may_run": 1, "reuse": 1, "omit": 0}
    steps = {each["stepId"]: each for each in plan["steps"]}
    assert {name: each["action"] for name, each in steps.items()} == {
        "write": "run", "read": "may_run", "aside": "reuse",
    }  # fmt: skip
    assert steps["write"]["reason"] == "seed of text.update"
    assert steps["read"]["chain"] == ["write", "read"]
    assert all(each["estimatedMs"] > 0 and not each["forced"] for each in steps.values())
    assert plan["savedMs"] == pytest.approx(steps["aside"]["estimatedMs"])
    assert plan["estimatedMs"] == pytest.approx(steps["write"]["estimatedMs"] + steps["read"]["estimatedMs"])


async def test_an_update_is_accepted_and_runs_what_its_plan_said(core: Core, client: httpx.AsyncClient) -> None:
    base = await completed(core, client)
    plan = (await client.post(f"{RUNS}/{base}/update/plan", json=CHANGE)).json()
    answer = await client.post(f"{RUNS}/{base}/update", json={**CHANGE, "expectedPlanHash": plan["planHash"]})
    assert answer.status_code == 202, answer.text
    run_id = answer.json()["runId"]
    assert answer.json() == {"runId": run_id, "status": "queued", "message": "Update run queued - 2 steps may re-run"}
    assert answer.headers["location"] == f"{RUNS}/{run_id}"
    assert int(answer.headers["x-log-position"]) == core.log.last_position()
    # nobody projects: it comes from the log
    assert (await client.get(f"{RUNS}/{run_id}")).json()["status"] == "queued"
    async with at_work(core, SKILLS):
        run = await until_status(client, run_id, "completed", "failed")
    assert (run["status"], run["triggerType"], run["baseRunId"]) == ("completed", "update", base)
    assert run["changeRequest"] == {"type": "text.update", "payload": {"text": "longer"}, "force": False}
    steps = {each["stepId"]: each for each in (await client.get(f"{RUNS}/{run_id}/steps")).json()["steps"]}
    assert {name: (each["status"], each["reusedFromRunId"]) for name, each in steps.items()} == {
        "write": ("completed", None), "read": ("completed", None), "aside": ("skipped", base),
    }  # fmt: skip


async def test_force_is_a_list_of_steps_or_all_the_seeds(core: Core, client: httpx.AsyncClient) -> None:
    base = await completed(core, client)
    for force, forced in ((True, {"write"}), (["aside"], {"aside"}), (False, set()), ([], set())):
        body = {"changeRequest": {**CHANGE["changeRequest"], "force": force}}
        plan = (await client.post(f"{RUNS}/{base}/update/plan", json=body)).json()
        assert {each["stepId"] for each in plan["steps"] if each["forced"]} == forced, force


async def test_a_plan_made_before_another_registration_is_refused(core: Core, client: httpx.AsyncClient) -> None:
    base = await completed(core, client)
    plan = (await client.post(f"{RUNS}/{base}/update/plan", json=CHANGE)).json()
    guarded = {**CHANGE, "expectedPlanHash": plan["planHash"]}
    await register(core, changeable("2", "newer"))
    before = core.log.last_position()
    answer = await client.post(f"{RUNS}/{base}/update", json=guarded)
    assert (answer.status_code, answer.json()["error"]) == (409, "PLAN_CHANGED")
    again = (await client.post(f"{RUNS}/{base}/update/plan", json=CHANGE)).json()
    assert answer.json()["details"] == {"expected": plan["planHash"], "actual": again["planHash"]}
    assert core.log.last_position() == before


async def test_a_plan_of_another_change_does_not_guard_this_one(core: Core, client: httpx.AsyncClient) -> None:
    base = await completed(core, client)
    plan = (await client.post(f"{RUNS}/{base}/update/plan", json=CHANGE)).json()
    other = {"changeRequest": {"type": "text.update", "payload": {"text": "other"}}}
    answer = await client.post(f"{RUNS}/{base}/update", json={**other, "expectedPlanHash": plan["planHash"]})
    assert (answer.status_code, answer.json()["error"]) == (409, "PLAN_CHANGED")


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "video.update"}, "UNKNOWN_CHANGE_TYPE", "did you mean 'text.update'?"),
    ({"type": "text.update", "force": ["wirte"]}, "VALIDATION_ERROR", "did you mean 'write'?"),
    ({"type": "text.update", "payload": {"text": 1}}, "VALIDATION_ERROR", "text"),
]


async def test_a_change_the_workflow_does_not_know_is_refused(
    core: Core, client: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    base = await completed(core, client)
    before = core.log.last_position()
    for change, code, told in REFUSED:
        for path in ("update", "update/plan"):
            with subtests.test(path, change=change):
                answer = await client.post(f"{RUNS}/{base}/{path}", json={"changeRequest": change})
                assert (answer.status_code, answer.json()["error"]) == (400, code)
                assert told in answer.json()["message"]
    known = await client.post(f"{RUNS}/{base}/update", json={"changeRequest": {"type": "video.update"}})
    assert known.json()["details"] == {"type": "video.update", "known": ["text.update", "payload.patch"]}
    assert core.log.last_position() == before


BAD_BODIES: list[tuple[Any, str]] = [
    (None, "body"),
    ([], "body"),
    ({}, "changeRequest"),
    ({"changeRequest": {}}, "changeRequest.type"),
    ({"changeRequest": {"type": ""}}, "changeRequest.type"),
    ({"changeRequest": {"type": "text.update", "payload": []}}, "changeRequest.payload"),
    ({"changeRequest": {"type": "text.update", "surprise": 1}}, "changeRequest.surprise"),
    ({**CHANGE, "surprise": 1}, "surprise"),
]


async def test_a_bad_body_names_the_field(core: Core, client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    base = await completed(core, client)
    hashes = [({**CHANGE, "expectedPlanHash": wrong}, "expectedPlanHash") for wrong in ("abc", 1)]
    cases = [("update/plan", *case) for case in BAD_BODIES] + [("update", *case) for case in BAD_BODIES + hashes]
    for verb, body, path in cases:
        with subtests.test(verb, body=body):
            answer = await client.post(f"{RUNS}/{base}/{verb}", json=body)
            assert (answer.status_code, answer.json()["error"]) == (400, "VALIDATION_ERROR")
            assert path in {fault["path"] for fault in answer.json()["details"]["faults"]}


async def test_a_base_run_that_is_not_completed_is_refused(core: Core, client: httpx.AsyncClient) -> None:
    broken = await failed(core, client)
    await register(core, changeable())
    queued = await trigger(client, "test.changeable")
    for base, status, kind in ((queued, "queued", "text.update"), (broken, "failed", "payload.patch")):
        for path in ("update", "update/plan"):
            answer = await client.post(f"{RUNS}/{base}/{path}", json={"changeRequest": {"type": kind}})
            assert (answer.status_code, answer.json()["error"]) == (400, "BASE_RUN_NOT_COMPLETED")
            assert answer.json()["details"] == {"status": status}


async def test_a_run_of_nobody_or_of_another_tenant_is_not_found(core: Core, client: httpx.AsyncClient) -> None:
    base = await completed(core, client)
    others = core.settings.model_copy(update={"tenant": "others"})
    async with connect(create_app(replace(core, settings=others), LIMITS)) as stranger:
        for who, run_id in ((stranger, base), (client, str(uuid4()))):
            for path, body in (("update", CHANGE), ("update/plan", CHANGE), ("retry", None)):
                answer = await who.post(f"{RUNS}/{run_id}/{path}", json=body)
                assert (answer.status_code, answer.json()["error"]) == (404, "RUN_NOT_FOUND"), path


async def test_the_same_key_and_change_make_one_update(core: Core, client: httpx.AsyncClient) -> None:
    base = await completed(core, client)
    key = {"Idempotency-Key": "change 1"}
    url = f"{RUNS}/{base}/update"
    answers = await asyncio.gather(*(client.post(url, json=CHANGE, headers=key) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    other = {"changeRequest": {"type": "text.update", "payload": {"text": "other"}}}
    refused = await client.post(url, json=other, headers=key)
    assert (refused.status_code, refused.json()["error"]) == (409, "IDEMPOTENCY_CONFLICT")


async def test_a_failed_run_is_tried_again_and_no_other(core: Core, client: httpx.AsyncClient) -> None:
    broken, good = await failed(core, client), await completed(core, client)
    key = {"Idempotency-Key": "again"}
    answer, repeated = [await client.post(f"{RUNS}/{broken}/retry", headers=key) for _ in range(2)]
    assert answer.status_code == 202, answer.text
    run_id = answer.json()["runId"]
    assert answer.json() == {"runId": run_id, "status": "queued", "message": "Retry run queued - 2 steps to run"}
    assert answer.headers["location"] == f"{RUNS}/{run_id}"
    assert int(answer.headers["x-log-position"]) == core.log.last_position()
    assert repeated.content == answer.content
    run = (await client.get(f"{RUNS}/{run_id}")).json()
    assert (run["triggerType"], run["baseRunId"]) == ("retry", broken)
    for not_failed, status in ((good, "completed"), (run_id, "queued")):
        refused = await client.post(f"{RUNS}/{not_failed}/retry")
        assert (refused.status_code, refused.json()["error"]) == (400, "RUN_NOT_RETRYABLE")
        assert status in refused.json()["message"]
