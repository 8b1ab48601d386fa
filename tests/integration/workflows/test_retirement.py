"""A retired workflow takes no new runs, whoever asks for one, and what was accepted goes on."""

import asyncio
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from orchestrator.application.caller import Caller
from orchestrator.application.calls import Calls
from orchestrator.domain.errors import FormatNotFinished, WorkflowIsRetired, WorkflowNotFound
from orchestrator.domain.events import WorkflowRestored, WorkflowRetired
from orchestrator.domain.workflow import Step, Workflow
from orchestrator.eventstore.recorded import workflow_stream
from tests.world.core import World, open_world


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def other(database_url: str, tmp_path: Path) -> Iterator[World]:
    """Another process: nothing of it is known to the first."""
    with open_world(database_url, tmp_path) as opened:
        yield opened


def calls(world: World) -> Calls:
    return Calls(world.core, Caller("default", "ann"))


async def register(world: World, *versions: str) -> None:
    for version in versions:
        workflow = Workflow("w", version, {"a": Step("a", "test.skill")})
        await world.core.workflows.register(workflow, tenant="default", actor="ann")


async def test_the_newest_version_that_takes_runs_is_triggered(world: World, other: World) -> None:
    await register(world, "1", "2", "3")
    await calls(other).trigger("w")  # it has the third in memory now
    assert (await calls(world).retire_workflow("w", version="3"))["versions"] == ["3"]
    for each in (world, other):
        run_id = (await calls(each).trigger("w"))["runId"]
        assert each.core.runs.load(run_id).run.workflow.version == "2"
    await register(world, "4")
    run_id = (await calls(other).trigger("w"))["runId"]
    assert other.core.runs.load(run_id).run.workflow.version == "4"


async def test_a_retired_version_is_refused_by_every_process(world: World, other: World) -> None:
    await register(world, "1")
    accepted = (await calls(other).trigger("w", version="1", idempotency_key="before"))["runId"]
    await calls(world).retire_workflow("w", reason="use x")
    for each in (world, other):
        for version in (None, "1"):
            with pytest.raises(WorkflowIsRetired, match=r"was retired at .* by ann: use x; .*restore w"):
                await calls(each).trigger("w", version=version)
            with pytest.raises(WorkflowIsRetired):
                await calls(each).trigger_many("w", [{}, {}], version=version)
        assert (await calls(each).trigger("w", version="1", idempotency_key="before"))["runId"] == accepted
    assert (await calls(world).restore_workflow("w"))["versions"] == ["1"]
    for each in (world, other):
        await calls(each).trigger("w")
        await calls(each).trigger("w", version="1")


async def test_no_run_is_accepted_after_the_answer(world: World, other: World) -> None:
    """Triggers that are under way are accepted before the retirement, or refused."""
    await register(world, "1")
    done = asyncio.Event()

    async def trigger(version: str | None) -> list[int]:
        positions = []
        while True:
            is_last = done.is_set()
            try:
                positions.append((await calls(other).trigger("w", version=version)).position)
            except WorkflowIsRetired:
                pass
            else:
                assert not is_last, "a run was accepted after the answer"
            if is_last:
                return positions

    triggering = [asyncio.create_task(trigger(version)) for version in ("1", None) * 8]
    while world.core.log.last_position() < 50:
        await asyncio.sleep(0)
    await calls(world).retire_workflow("w")
    done.set()
    accepted = sorted(chain.from_iterable(await asyncio.gather(*triggering)))
    history = world.core.log.read(workflow_stream("default", "w"))
    assert len(accepted) > 20
    assert accepted[-1] < history[-1].position


async def test_updates_and_retries_of_a_retired_workflow_are_refused(world: World) -> None:
    await register(world, "1")
    run_id = (await calls(world).trigger("w"))["runId"]
    await calls(world).cancel(run_id)
    await calls(world).retire_workflow("w")
    with pytest.raises(WorkflowIsRetired):
        await calls(world).retry(run_id)


async def test_both_are_recorded_once(world: World) -> None:
    await register(world, "1", "2")
    assert (await calls(world).retire_workflow("w", version="1", reason="old"))["versions"] == ["1"]
    assert (await calls(world).retire_workflow("w"))["versions"] == ["2"]
    assert (await calls(world).retire_workflow("w"))["versions"] == []
    assert (await calls(world).restore_workflow("w", version="2"))["versions"] == ["2"]
    assert (await calls(world).restore_workflow("w", version="2"))["versions"] == []
    recorded = world.core.log.read(workflow_stream("default", "w"))
    changes = [each.event for each in recorded if isinstance(each.event, WorkflowRetired | WorkflowRestored)]
    assert [(type(event).__name__, event.versions) for event in changes] == [
        ("WorkflowRetired", ("1",)),
        ("WorkflowRetired", ("2",)),
        ("WorkflowRestored", ("2",)),
    ]
    assert {each.actor for each in recorded[-3:]} == {"ann"}


async def test_what_is_not_there_cannot_be_retired(world: World) -> None:
    await register(world, "1")
    with pytest.raises(WorkflowNotFound, match="did you mean 'w'"):
        await calls(world).retire_workflow("ww")
    with pytest.raises(WorkflowNotFound, match="has no version '9'"):
        await calls(world).restore_workflow("w", version="9")


async def test_lists_leave_out_what_is_retired(world: World) -> None:
    await register(world, "1", "2")
    await calls(world).retire_workflow("w", version="2")
    (listed,) = await calls(world).workflows()
    assert (listed["version"], listed["retiredAt"]) == ("1", None)
    await calls(world).retire_workflow("w")
    assert await calls(world).workflows() == []
    (listed,) = await calls(world).workflows(retired=True)
    assert listed["version"] == "2"
    assert listed["retiredAt"] is not None
    assert (await calls(world).workflow("w"))["retiredAt"] == listed["retiredAt"]


async def test_older_programs_may_still_be_running(world: World) -> None:
    await register(world, "1")
    world.core.log.mapper.formats.finished = 1
    with pytest.raises(FormatNotFinished, match="migrate --finish"):
        await calls(world).retire_workflow("w")
    await calls(world).trigger("w")
