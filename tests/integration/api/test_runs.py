import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from orchestrator.api.app import create_app
from orchestrator.application.core import Core
from orchestrator.bootstrap.showing import open_projector
from tests.world.core import register
from tests.world.http import LIMITS, RUNS, connect, finished, trigger, until_status
from tests.world.lines import FAULTY, LINE, SKILLS, STRANGE
from tests.world.work import at_work


def faults(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert set(body) == {"error", "message", "details"}
    assert body["error"] == "VALIDATION_ERROR"
    return {fault["path"]: fault["message"] for fault in body["details"]["faults"]}


async def test_a_run_is_accepted_and_can_be_read_at_once(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    answer = await client.post(
        RUNS, json={"workflowName": "test.line", "triggerPayload": {"text": "hi"}, "priority": 3, "labels": {"a": "b"}}
    )
    assert answer.status_code == 202
    body = answer.json()
    assert body == {"runId": body["runId"], "status": "queued", "message": "Run queued - 2 steps"}
    assert UUID(body["runId"]).version == 7
    assert answer.headers["location"] == f"{RUNS}/{body['runId']}"
    assert int(answer.headers["x-log-position"]) == core.log.last_position()
    # nobody projects: it comes from the log
    read = await client.get(answer.headers["location"])
    assert read.status_code == 200
    run = read.json()
    assert run["status"] == "queued"
    assert (run["triggerPayload"], run["priority"], run["labels"]) == ({"text": "hi"}, 3, {"a": "b"})
    assert run["stepsSummary"] == {
        "total": 2, "pending": 2, "running": 0, "completed": 0, "skipped": 0, "omitted": 0, "failed": 0, "cancelled": 0,
    }  # fmt: skip
    assert run["position"] == int(answer.headers["x-log-position"])


async def test_the_read_models_tell_the_same_as_the_log(core: Core, client: httpx.AsyncClient) -> None:
    run = await finished(core, client, triggerPayload={"text": "hi"}, labels={"a": "b"})
    assert run["status"] == "completed"
    history = core.reader.history("default", run["id"])
    assert core.reader.folded_run(core.runs.fold(run["id"], history)) == run


async def test_runs_read_together_are_told_apart(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    with open_projector(core):
        ids = [await trigger(client, triggerPayload={"text": str(number)}) for number in range(20)]
        wanted = [*ids, str(uuid4()), *ids]
        answers = await asyncio.gather(*(client.get(f"{RUNS}/{run_id}") for run_id in wanted))
    assert [answer.json().get("id") for answer in answers] == [*ids, None, *ids]
    assert answers[20].status_code == 404


async def test_the_newest_version_is_run_unless_one_is_named(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    older = await trigger(client, workflowVersion="1")
    assert (await client.get(f"{RUNS}/{older}")).json()["workflowVersion"] == "1"
    answer = await client.post(RUNS, json={"workflowName": "test.line", "workflowVersion": "2"})
    assert (answer.status_code, answer.json()["error"]) == (404, "WORKFLOW_NOT_FOUND")


BAD_REQUESTS: list[tuple[Any, str]] = [
    ({}, "workflowName"),
    ({"workflowName": ""}, "workflowName"),
    ({"workflowName": 1}, "workflowName"),
    ({"workflowName": "x" * 256}, "workflowName"),
    ({"workflowName": "test.line", "surprise": 1}, "surprise"),
    ({"workflowName": "test.line", "workflow_version": "1"}, "workflow_version"),
    ({"workflowName": "test.line", "priority": "1"}, "priority"),
    ({"workflowName": "test.line", "priority": True}, "priority"),
    ({"workflowName": "test.line", "priority": 2**31}, "priority"),
    ({"workflowName": "test.line", "triggerPayload": []}, "triggerPayload"),
    ({"workflowName": "test.line", "triggerPayload": {"text": 1}}, "triggerPayload.text"),
    ({"workflowName": "test.line", "triggerPayload": {"big": 2**60}}, "triggerPayload.big"),
    ({"workflowName": "test.line", "labels": {"a": 1}}, "labels.a"),
    ({"workflowName": "test.line", "labels": {"a": "x" * 256}}, "labels.a"),
    ({"workflowName": "test.line", "labels": {str(number): "" for number in range(65)}}, "labels"),
    ([], "body"),
    (None, "body"),
]


async def test_a_bad_request_names_the_field(core: Core, client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    await register(core, LINE)
    before = core.log.last_position()
    for body, path in BAD_REQUESTS:
        with subtests.test(path, body=body):
            assert path in faults(await client.post(RUNS, json=body))
            assert core.log.last_position() == before


async def test_a_bad_label_key_is_refused(core: Core, client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    await register(core, LINE)
    for key in ["", "x" * 256, "a:b"]:
        with subtests.test(key):
            assert len(faults(await client.post(RUNS, json={"workflowName": "test.line", "labels": {key: "x"}}))) == 1


async def test_the_same_key_and_request_gives_the_first_answer(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    body, key = {"workflowName": "test.line", "triggerPayload": {"text": "a"}}, {"Idempotency-Key": "k 1"}
    answers = await asyncio.gather(*(client.post(RUNS, json=body, headers=key) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert len(core.reader.history("default", answers[0].json()["runId"])) == 1
    other = await client.post(RUNS, json={**body, "priority": 1}, headers=key)
    assert (other.status_code, other.json()["error"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert other.json()["details"] == {"runId": answers[0].json()["runId"]}


async def test_a_bad_idempotency_key_is_refused(
    core: Core, client: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    await register(core, LINE)
    for key in ["", "x" * 256, "caf\u00e9"]:
        with subtests.test(key):
            headers = [(b"Idempotency-Key", key.encode())]
            answer = await client.post(RUNS, json={"workflowName": "test.line"}, headers=headers)
            assert "Idempotency-Key" in faults(answer)


async def test_two_idempotency_keys_are_refused(client: httpx.AsyncClient) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = await client.post(RUNS, json={"workflowName": "test.line"}, headers=headers)
    assert faults(answer) == {"Idempotency-Key": "is given more than once"}


async def test_the_trace_of_the_caller_is_recorded_when_it_is_one(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for given, recorded in ((trace, trace), ("rubbish", None)):
        answer = await client.post(RUNS, json={"workflowName": "test.line"}, headers={"traceparent": given})
        assert core.runs.load(answer.json()["runId"]).run.trigger.trace == recorded


async def test_a_bad_id_is_refused(client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    for run_id in ["1", "x" * 36, f"{uuid4()}0", "%00"]:
        for path in ("", "/steps", "/artifacts", "/events", "/events/stream"):
            with subtests.test(path, run_id=run_id):
                assert "runId" in faults(await client.get(f"{RUNS}/{run_id}{path}"))


async def test_an_unknown_run_is_not_found(client: httpx.AsyncClient) -> None:
    run_id = uuid4()
    for path in ("", "?at=1", "/steps", "/artifacts", "/events", "/events/stream"):
        answer = await client.get(f"{RUNS}/{run_id}{path}")
        assert (answer.status_code, answer.json()["error"]) == (404, "RUN_NOT_FOUND"), path
    assert (await client.post(f"{RUNS}/{run_id}/cancel")).status_code == 404


async def test_another_tenants_run_is_not_found(core: Core, client: httpx.AsyncClient) -> None:
    run = await finished(core, client)
    others = core.settings.model_copy(update={"tenant": "others"})
    async with connect(create_app(replace(core, settings=others), LIMITS)) as stranger:
        for path in ("", "?at=1", "/steps", "/artifacts", "/events", "/events/stream"):
            assert (await stranger.get(f"{RUNS}/{run['id']}{path}")).status_code == 404, path
        assert (await stranger.post(f"{RUNS}/{run['id']}/cancel")).status_code == 404
        assert (await stranger.get(RUNS)).json()["runs"] == []


async def test_pages_hold_every_run_once_newest_first(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    with open_projector(core):
        ids = [await trigger(client) for _ in range(7)]
        fresh = {"X-Min-Position": str(core.log.last_position())}
        seen: list[str] = []
        cursor: str | None = None
        while True:
            query = {"limit": "3"} | ({} if cursor is None else {"cursor": cursor})
            page = (await client.get(RUNS, params=query, headers=fresh)).json()
            seen += [run["id"] for run in page["runs"]]
            cursor = page["nextCursor"]
            if cursor is None:
                break
            assert len(page["runs"]) == 3
            ids.append(await trigger(client))  # what is new while somebody leafs through moves nothing
    assert seen == ids[6::-1]


async def test_runs_are_found_by_what_they_are(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE, STRANGE)
    with open_projector(core):
        plain = await trigger(client)
        marked = await trigger(client, labels={"team": "a:b", "tier": "1"})
        strange = await trigger(client, "test.strange")
        await client.post(f"{RUNS}/{plain}/cancel")
        fresh = {"X-Min-Position": str(core.log.last_position())}
        for query, found in {
            "status=cancelled": [plain],
            "status=queued": [strange, marked],
            "workflowName=test.strange": [strange],
            "label=team:a:b": [marked],
            "label=team:a": [],
            "label=tier:1&status=queued&workflowName=test.line": [marked],
            f"baseRunId={plain}": [],
        }.items():
            answer = await client.get(f"{RUNS}?{query}", headers=fresh)
            assert [run["id"] for run in answer.json()["runs"]] == found, query


BAD_QUESTIONS = [
    ("status=done", "status"),
    ("limit=0", "limit"),
    ("limit=201", "limit"),
    ("limit=x", "limit"),
    ("limit=1&limit=2", "limit"),
    ("label=nocolon", "label"),
    ("label=a:%00", "label"),
    ("workflowName=%00", "workflowName"),
    ("baseRunId=1", "baseRunId"),
    ("cursor=abc", "cursor"),
    ("cursor=cnVuczow", "cursor"),
    ("surprise=1", "surprise"),
    ("workflow_name=x", "workflow_name"),
    ("status=%ff", "query"),
    ("a&" * 101, "query"),
]


async def test_a_bad_question_is_refused(client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    for query, path in BAD_QUESTIONS:
        with subtests.test(query):
            assert path in faults(await client.get(f"{RUNS}?{query}"))


async def test_every_fault_of_a_question_is_told_at_once(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{RUNS}?limit=0&status=x&y=1", headers={"X-Min-Position": "-1"})
    assert set(faults(answer)) == {"limit", "status", "y", "X-Min-Position"}


async def test_a_run_as_it_was(core: Core, client: httpx.AsyncClient) -> None:
    run = await finished(core, client)
    url = f"{RUNS}/{run['id']}"
    history = core.reader.history("default", run["id"])
    statuses = [(await client.get(url, params={"at": str(number)})).json() for number in range(1, len(history) + 1)]
    assert [each["status"] for each in statuses] == ["queued", *["running"] * (len(history) - 2), "completed"]
    assert [each["version"] for each in statuses] == list(range(1, len(history) + 1))
    assert statuses[-1] == run
    begun = (await client.get(url, params={"at": run["createdAt"]})).json()
    assert begun["version"] >= 1
    assert (await client.get(url, params={"at": "2999-01-01T00:00:00+02:00"})).json() == run
    before = await client.get(url, params={"at": "2001-01-01T00:00:00Z"})
    assert (before.status_code, before.json()["error"]) == (404, "RUN_NOT_FOUND")
    assert "at" in faults(await client.get(url, params={"at": str(len(history) + 1)}))


BAD_MOMENTS = ["0", "-1", "", "now", "2024-01-01", "2024-01-01T00:00:00", "2024-13-01T00:00:00Z", "1.5"]


async def test_a_bad_moment_is_refused(core: Core, client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    await register(core, LINE)
    url = f"{RUNS}/{await trigger(client)}"
    for at in BAD_MOMENTS:
        with subtests.test(at):
            assert "at" in faults(await client.get(url, params={"at": at}))


async def test_cancel_ends_a_run_once(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    run_id = await trigger(client)
    answer = await client.post(f"{RUNS}/{run_id}/cancel", json={"reason": "enough"})
    assert answer.status_code == 200
    run = answer.json()
    assert run["status"] == "cancelled"
    assert run["stepsSummary"]["cancelled"] == 2
    assert run["completedAt"] == run["updatedAt"]
    assert int(answer.headers["x-log-position"]) == run["position"] == core.log.last_position()
    assert (await client.get(f"{RUNS}/{run_id}", params={"at": run["version"]})).json() == run
    again = await client.post(f"{RUNS}/{run_id}/cancel")
    assert (again.status_code, again.json()["error"]) == (400, "RUN_NOT_CANCELLABLE")
    event = core.reader.history("default", run_id)[-1].event
    assert (event.reason, event.cancelled_by) == ("enough", "api")  # type: ignore[union-attr]


async def test_a_bad_cancel_is_refused(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    url = f"{RUNS}/{await trigger(client)}/cancel"
    assert "reason" in faults(await client.post(url, json={"reason": 1}))
    assert "why" in faults(await client.post(url, json={"why": "x"}))
    assert (await client.post(url, json={"reason": None})).status_code == 200


async def test_steps_in_order_by_status(core: Core, client: httpx.AsyncClient) -> None:
    run = await finished(core, client, "test.faulty")
    assert run["status"] == "failed"
    assert run["error"]["code"] == "TEST_BROKEN"
    assert run["error"]["failedStepId"] == "break"
    url = f"{RUNS}/{run['id']}/steps"
    body = (await client.get(url)).json()
    assert body["runId"] == run["id"]
    assert [(step["stepId"], step["status"]) for step in body["steps"]] == [("break", "failed"), ("after", "pending")]
    assert body["steps"][0]["error"]["details"] == {"why_not": 1}
    assert [step["stepId"] for step in (await client.get(f"{url}?status=pending")).json()["steps"]] == ["after"]
    assert "status" in faults(await client.get(f"{url}?status=queued"))


async def test_a_run_nobody_can_execute_is_blocked_and_says_why(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, STRANGE, FAULTY)
    async with at_work(core, SKILLS):
        run = await until_status(client, await trigger(client, "test.strange"), "blocked")
        assert run["missingSkills"] == ["test.nobody_knows"]
        queues = await client.get("/api/v1/health/queues")
    assert queues.json() == {"queued": 0, "running": 0, "blocked": 1, "workers": 1}


async def test_lists_since_a_time_of_a_version_and_by_the_beginning_of_an_id(
    core: Core, client: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    run = await finished(core, client)

    async def listed(**query: str) -> list[str]:
        answer = await client.get(RUNS, params=query)
        assert answer.status_code == 200, answer.text
        return [each["id"] for each in answer.json()["runs"]]

    assert await listed(since=run["createdAt"]) == [run["id"]]
    assert await listed(since="2999-01-01T00:00:00+01:00") == []
    assert await listed(workflowName="test.line", workflowVersion="1") == [run["id"]]
    assert await listed(workflowName="test.line", workflowVersion="2") == []
    for prefix in (run["id"], run["id"][:20], run["id"][:4].upper(), run["id"].replace("-", "")):
        assert await listed(idPrefix=prefix) == [run["id"]]
    assert await listed(idPrefix=run["id"][:8], status="failed") == []
    for query, path in (
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-31"}, "since"),
        ({"since": "2026-01-31T12:00:00"}, "since"),
        ({"workflowVersion": "1"}, "workflowVersion"),
        ({"idPrefix": "abc"}, "idPrefix"),
        ({"idPrefix": "----"}, "idPrefix"),
        ({"idPrefix": "xyz0"}, "idPrefix"),
        ({"idPrefix": "0" * 40}, "idPrefix"),
        ({"idPrefix": "abcd", "cursor": "cnVuczo1"}, "cursor"),
    ):
        with subtests.test(str(query)):
            answer = await client.get(RUNS, params=query)
            assert answer.status_code == 400
            assert path in faults(answer)
