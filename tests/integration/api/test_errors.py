"""Whatever goes wrong, the answer has one shape."""

import asyncio
import logging
import time
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest

from orchestrator.access.identity import Role
from orchestrator.api.app import Api, create_app
from orchestrator.api.errors import answer_to
from orchestrator.api.services import RequestLimits
from orchestrator.application.core import Core
from orchestrator.domain.errors import DomainError, VersionConflict
from orchestrator.postgres.embedded import EmbeddedPostgres
from orchestrator.projections.views.reader import Reader
from tests.waiting import until
from tests.world.core import register
from tests.world.http import LIMITS, RUNS, connect, trigger
from tests.world.lines import LINE


def check(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) == {"error", "message", "details"}
    assert body["error"] == code
    assert body["message"]
    assert isinstance(body["details"], dict)
    return body


async def test_an_unknown_path(client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    for path in ["/", "/api/v1", "/api/v1/runs/", "/api/v2/runs", "/api/v1/workflows/a/b", "//"]:
        with subtests.test(path):
            check(await client.get(path), 404, "NOT_FOUND")


async def test_another_method_says_which_are_allowed(client: httpx.AsyncClient) -> None:
    answer = await client.delete(RUNS)
    check(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "GET, POST"
    answer = await client.put(f"{RUNS}/x/cancel", json={})
    check(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "POST"


class Broken(Reader):
    """A reader with a fault of ours, and one that takes its time."""

    def queues(self) -> dict[str, int]:
        raise LookupError("secret words")

    def runs(self, *_: Any, **__: Any) -> Any:
        time.sleep(1.0)  # the time itself is the subject: it answers late
        return [], None

    def brief_steps(self, *_: Any) -> Any:
        raise TimeoutError("not the deadline")


def with_broken_reader(core: Core, limits: RequestLimits) -> Api:
    return create_app(replace(core, reader=Broken(core.database, core.runs, core.workflows.get)), limits)


async def test_a_fault_of_ours_is_logged_and_not_told(core: Core, caplog: pytest.LogCaptureFixture) -> None:
    async with connect(with_broken_reader(core, LIMITS)) as client:
        answer = await client.get("/api/v1/health/queues")
        check(answer, 500, "INTERNAL_ERROR")
        assert "secret" not in answer.text
        check(await client.get(f"{RUNS}/018f3c2e-0000-7000-8000-000000000001/steps"), 500, "INTERNAL_ERROR")
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == [
        "secret words",
        "not the deadline",
    ]


async def test_every_request_has_a_deadline(core: Core) -> None:
    async with connect(with_broken_reader(core, RequestLimits(deadline=0.2))) as client:
        begun = time.monotonic()
        answer = await client.get(RUNS)
        assert time.monotonic() - begun < 2.5
        check(answer, 503, "DEADLINE_EXCEEDED")
        assert answer.headers["retry-after"] == "1"


async def test_a_database_that_hangs_is_no_hang_of_ours(core: Core, database_url: str) -> None:
    await register(core, LINE)
    async with connect(create_app(core, RequestLimits(deadline=0.5))) as client:
        run_id = await trigger(client)
        with psycopg.connect(database_url) as other:
            other.execute("LOCK TABLE orchestrator.events, orchestrator.runs IN ACCESS EXCLUSIVE MODE")
            begun = time.monotonic()
            answers = await asyncio.gather(
                client.get(f"{RUNS}/{run_id}"),
                client.post(RUNS, json={"workflowName": "test.line"}),
                client.get(f"{RUNS}/{run_id}/events/stream"),
            )
            assert time.monotonic() - begun < 3.0
            for answer in answers:
                check(answer, 503, "DEADLINE_EXCEEDED")
        assert (await client.get(f"{RUNS}/{run_id}")).status_code == 200


def test_an_error_of_the_domain_without_a_status_is_ours() -> None:
    assert answer_to(DomainError("new and unknown")) is None
    conflict = answer_to(VersionConflict("somebody else was first"))
    assert conflict is not None
    assert conflict.status_code == 409


async def test_a_database_that_is_away_is_said_at_once(
    own_postgres: EmbeddedPostgres, open_on: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    core: Core = open_on(own_postgres.conninfo())
    await register(core, LINE)
    async with connect(create_app(core, RequestLimits(deadline=1.5, readiness=0.5))) as client:
        run_id = await trigger(client)
        own_postgres.kill_immediate()
        paths = (RUNS, f"{RUNS}/{run_id}", f"{RUNS}/{run_id}/events", "/api/v1/health/queues")
        answers = [await client.get(path) for path in paths]
        answers.append(await client.post(RUNS, json={"workflowName": "test.line"}))
        for answer in answers:
            assert check(answer, 503, answer.json()["error"])["error"] in ("DATABASE_UNAVAILABLE", "DEADLINE_EXCEEDED")
            assert answer.headers["retry-after"] == "1"
        assert answers[0].json()["error"] == "DATABASE_UNAVAILABLE"  # the broken connection is noticed
        check(await client.get("/api/v1/health/ready"), 503, "NOT_READY")
        assert (await client.get("/api/v1/health/live")).status_code == 200
        own_postgres.restart()

        async def answers_again() -> bool:
            return (await client.get(f"{RUNS}/{run_id}")).status_code == 200

        await until(answers_again)


@pytest.mark.parametrize("path", [RUNS, f"{RUNS}:batch", f"{RUNS}/018f3c2e-0000-7000-8000-000000000001/cancel"])
async def test_who_waits_for_the_database_before_the_body_is_read_is_not_told_that_the_body_was_slow(
    core: Core, database_url: str, path: str
) -> None:
    """The key is looked up first, and a table that is locked holds that up."""
    settings = core.settings.model_copy(update={"auth": ("keys",)})
    _, key = core.keys.create(
        tenant="default", name="test", role=Role.OPERATOR, created_by="test", now=0, expires_at=None
    )
    app = create_app(replace(core, settings=settings), RequestLimits(deadline=0.5))
    async with connect(app) as client:
        with psycopg.connect(database_url) as other:
            other.execute("LOCK TABLE orchestrator.keys IN ACCESS EXCLUSIVE MODE")
            answer = await client.post(path, json={}, headers={"Authorization": f"Bearer {key}"})
    check(answer, 503, "DEADLINE_EXCEEDED")
    assert answer.headers["retry-after"] == "1"
