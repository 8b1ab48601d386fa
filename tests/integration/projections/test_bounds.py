"""Times and numbers beyond what a date, a column or a timer can hold, in logs of before there were bounds."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from orchestrator.access.identity import Role
from orchestrator.application.commands import Wanted
from orchestrator.bootstrap.serving import build_api
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.errors import InvalidPayload
from orchestrator.domain.workflow import CachePolicy, RetryPolicy
from orchestrator.projections.views.values import timestamp
from tests.waiting import until
from tests.world.core import CALLER, World, open_world
from tests.world.work import Journal
from tests.world.workflows import step, workflow

LAST = "9999-12-31T23:59:59.999Z"
HUGE = 900_000_000_000_000


@pytest_asyncio.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    with open_world(database_url, tmp_path) as world, open_projector(world.core):
        async with open_worker(world.core, Journal().registry()):
            yield world


@pytest.mark.parametrize(
    "retry",
    [RetryPolicy(3, HUGE, 2**53 - 1), RetryPolicy(3, 2**53 - 1, 2**53 - 1, 1000.0, 1.0)],
    ids=["a backoff of 28,000 years", "the longest backoff that JSON carries"],
)
async def test_a_retry_that_is_due_after_the_last_year_stops_no_read_model(world: World, retry: RetryPolicy) -> None:
    """The definition is put into the log as an older program would have: its loader would refuse it today."""
    await world.register(
        workflow("patient", step("a", fails="`1`", retry=retry, timeout_ms=HUGE)),
        workflow("plain", step("a", cache=CachePolicy(ttl_seconds=2**53 - 1))),
    )
    run_id = await world.trigger("patient")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(build_api(world.core)), base_url="http://localhost"
    ) as client:

        async def look() -> list[dict[str, Any]]:
            steps: list[dict[str, Any]] = (await client.get(f"/api/v1/runs/{run_id}/steps")).json()["steps"]
            assert steps[0]["status"] in ("pending", "running")
            return steps

        steps = await until(look, what="it waits for its retry", right=lambda steps: steps[0]["dueAt"])
        events = (await client.get(f"/api/v1/runs/{run_id}/events")).json()["events"]
    assert steps[0]["dueAt"] == LAST
    assert [event["data"]["dueAt"] for event in events if event["type"] == "StepRetried"] == [LAST]
    assert (await world.run("plain")).status == "completed"
    await world.projected()
    assert world.core.reader.run("default", run_id)["status"] == "running"
    await world.core.commands.cancel(CALLER, run_id)
    assert (await world.finished(run_id)).status == "cancelled"


async def test_a_key_that_never_ends_is_listed(world: World) -> None:
    from orchestrator.cli.local.keys import _view

    key, _ = world.core.keys.create(
        tenant="default", name="old", role=Role.VIEWER, created_by="test", now=0, expires_at=2**62
    )
    assert [_view(one)["expiresAt"] for one in world.core.keys.list()] == [LAST]
    assert key.is_valid(HUGE)


@pytest.mark.parametrize("priority", [2**31, -(2**31) - 1, 10**400])
async def test_a_priority_that_no_queue_holds_is_refused(world: World, priority: int) -> None:
    await world.register(workflow("plain", step("a")))
    before = world.core.log.last_position()
    with pytest.raises(InvalidPayload, match="priority: must be from -2,147,483,648 to 2,147,483,647"):
        await world.core.commands.trigger(CALLER, Wanted("plain", priority=priority))
    assert world.core.log.last_position() == before


@pytest.mark.parametrize("at", [253_402_300_800_000, 2**63, 10**400, -(10**400), -62_135_596_800_001])
def test_a_time_that_cannot_be_written_is_shown_as_the_nearest(at: int) -> None:
    assert timestamp(at) == (LAST if at > 0 else "0001-01-01T00:00:00.000Z")


def test_times_that_can_be_written_are_exact() -> None:
    assert timestamp(253_402_300_799_999) == LAST
    assert timestamp(1_767_225_599_999) == "2025-12-31T23:59:59.999Z"
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(None) is None
