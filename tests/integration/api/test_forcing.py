"""A run that is told not to use the cache, or not for some steps: through the API, and what comes of it."""

from typing import Any

import httpx
import pytest

from orchestrator.application.core import Core
from tests.integration.api.test_runs import faults
from tests.world.core import register
from tests.world.http import RUNS, trigger, until_status
from tests.world.lines import FAULTY, LINE, SKILLS
from tests.world.work import at_work

BATCH = f"{RUNS}:batch"
NAMED, EVERY = "forced by the trigger", "every step is forced by the trigger (noCache)"
ASKED = {"workflowName": "test.line", "triggerPayload": {"text": "a"}}


async def reasons(client: httpx.AsyncClient, run_id: str) -> dict[str, tuple[str, str]]:
    """Return the verdict and the reason for each step."""
    steps = (await client.get(f"{RUNS}/{run_id}/cache-analysis")).json()["steps"]
    return {step["stepId"]: (step["verdict"], step["reason"]) for step in steps}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, {}),
        ({"noCache": False, "force": []}, {}),
        ({"noCache": True}, {"write": EVERY, "read": EVERY}),
        ({"force": True}, {"write": EVERY, "read": EVERY}),
        ({"noCache": True, "force": ["read"]}, {"write": EVERY, "read": EVERY}),
        ({"force": ["write"]}, {"write": NAMED}),
        ({"force": ["read", "read"]}, {"read": NAMED}),
    ],
)
@pytest.mark.parametrize("batch", [False, True])
async def test_forced_steps_are_executed_and_the_others_are_taken_from_the_cache(
    core: Core, client: httpx.AsyncClient, body: dict[str, Any], why: dict[str, str], batch: bool
) -> None:
    await register(core, LINE)
    async with at_work(core, SKILLS):
        await until_status(client, await trigger(client, triggerPayload={"text": "a"}), "completed")
        asked = {**ASKED, **body}
        answer = await (client.post(BATCH, json={"runs": [asked]}) if batch else client.post(RUNS, json=asked))
        assert answer.status_code == 202, answer.text
        run_id = answer.json()["runs"][0]["runId"] if batch else answer.json()["runId"]
        run = await until_status(client, run_id, "completed")
    assert run["stepsSummary"]["completed"] == len(why)
    hit = ("hit", "the cache had a result for this key")
    assert await reasons(client, run_id) == {
        step: ("miss", why[step]) if step in why else hit for step in ("write", "read")
    }


async def test_what_a_run_without_the_cache_makes_is_stored(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    async with at_work(core, SKILLS):
        run_id = await trigger(client, triggerPayload={"text": "a"}, noCache=True)
        await until_status(client, run_id, "completed")
        later = await trigger(client, triggerPayload={"text": "a"})
        await until_status(client, later, "completed")
    steps = (await client.get(f"{RUNS}/{later}/cache-analysis")).json()["steps"]
    assert {step["comparedWithRunId"] for step in steps} == {run_id}


async def test_a_step_that_the_workflow_does_not_have_is_refused(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE, FAULTY)
    before = core.log.last_position()
    wrong = await client.post(RUNS, json={**ASKED, "force": ["write", "raed"]})
    assert (wrong.status_code, wrong.json()["error"]) == (400, "VALIDATION_ERROR")
    assert "force names step 'raed', which test.line does not have; did you mean 'read'?" in wrong.json()["message"]
    runs = [ASKED, {"workflowName": "test.faulty", "force": ["write"]}]
    wrong = await client.post(BATCH, json={"runs": runs})
    assert wrong.status_code == 400
    assert "runs[1].force names step 'write', which test.faulty does not have" in wrong.json()["message"]
    assert core.log.last_position() == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"noCache": "yes"}, "noCache"),
        ({"noCache": None}, "noCache"),
        ({"force": "write"}, "force"),
        ({"force": [1]}, "force"),
        ({"force": [""]}, "force"),
        ({"force": ["x" * 256]}, "force"),
        ({"force": ["x"] * 10_001}, "force"),
        ({"nocache": True}, "nocache"),
    ],
)
async def test_a_malformed_field_is_named(client: httpx.AsyncClient, body: dict[str, Any], field: str) -> None:
    answer = await client.post(RUNS, json={**ASKED, **body})
    assert answer.status_code == 400
    assert set(faults(answer)) == {field}


async def test_an_idempotency_key_covers_what_is_forced(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)

    async def asked(key: str, **body: Any) -> tuple[int, str | None]:
        answer = await client.post(RUNS, json={**ASKED, **body}, headers={"Idempotency-Key": key})
        return answer.status_code, answer.json().get("runId")

    plain = await asked("plain")
    assert await asked("plain", force=[], noCache=False) == plain
    assert (await asked("plain", noCache=True))[0] == 409
    named = await asked("named", force=["write", "read"])
    assert await asked("named", force=["read", "write", "read"]) == named
    assert (await asked("named", force=["write"]))[0] == 409
    assert (await asked("named"))[0] == 409
    every = await asked("every", noCache=True)
    assert await asked("every", force=True) == every


async def test_a_retry_forces_again_what_was_forced_and_has_to_run_again(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, FAULTY)
    async with at_work(core, SKILLS):
        first = await trigger(client, "test.faulty", noCache=True)
        await until_status(client, first, "failed")
        again = (await client.post(f"{RUNS}/{first}/retry")).json()["runId"]
        await until_status(client, again, "failed")
    history = core.log.read(again)
    assert history[0].event.forced == ("break", "after")  # type: ignore[union-attr]
