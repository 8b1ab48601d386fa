"""Steps of a pool: taken, executed and recorded by other machines; adopted, lost and blocked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.bootstrap.working import open_worker
from orchestrator.clusters.contract import Record, Work
from orchestrator.clusters.dispatches import Dispatches, Holder, Puller
from orchestrator.domain.output import Output, StepError
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import Step, Workflow
from orchestrator.skills.registry import SkillRegistry
from tests.waiting import until
from tests.world.core import CALLER, World, open_world
from tests.world.workflows import ONCE, UNCACHED

LEASE_SECONDS = 1.0
MADE = Record(Output({"made": True}), 5.0)
FAR = Step("a", "far.work", (), None, UNCACHED, ONCE, executor="far")
GPU = Step("a", "far.work", (), None, UNCACHED, ONCE, executor="far", requires=("gpu",))
PULLER = Puller("default", "far", "p1", [], ["far.work@1"])


def flow(*steps: Step) -> Workflow:
    return Workflow("flow", "1", {one.id: one for one in steps})


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    settings = {"executors": ("far=pull",), "lease_seconds": LEASE_SECONDS, "heartbeat_seconds": 0.2}
    with open_world(database_url, tmp_path, **settings) as world:
        yield world


@pytest.fixture
def table(world: World) -> Dispatches:
    return Dispatches(world.core.database, LEASE_SECONDS)


async def taken(table: Dispatches, puller: Puller = PULLER) -> Work:
    """Poll until there is work."""

    def poll() -> list[Work]:
        table.see(puller)
        return table.take(puller, 1)

    return (await until(poll, what="there is work", right=bool))[0]


def holder(work: Work, pool: str | None = "far") -> Holder:
    return Holder("default", pool, work.name, work.fence)


async def begun(world: World, table: Dispatches, step: Step = FAR) -> tuple[str, Work]:
    """A run whose step a pull worker has taken."""
    await world.register(flow(step))
    run_id = await world.trigger("flow")
    return run_id, await taken(table)


async def kept(world: World, table: Dispatches, work: Work, run_id: str, right: str) -> Run:
    """Beat until the run has a new owner or status."""

    async def look() -> Run:
        table.beat(holder(work))
        return await world.folded(run_id)

    return await until(look, what=right, right=lambda run: right in (run.owner, run.status))


async def test_a_step_of_a_pool_is_taken_and_its_record_is_the_result(world: World, table: Dispatches) -> None:
    async with open_worker(world.core, SkillRegistry()):
        run_id, work = await begun(world, table)
        assert (work.skill, work.call.run_id, work.call.step_id) == ("far.work@1", run_id, "a")
        assert table.beat(holder(work)) is False
        assert table.take(PULLER, 5) == [], "it is taken once"
        assert table.record(holder(work), MADE)
        run = await world.finished(run_id)
        assert (run.status, run.step("a").output) == ("completed", MADE.outcome)
        assert world.events(run_id)[2:5] == ["StepStarted a", "StepDispatched a", "StepCompleted a"]
        await until(lambda: table.states([("default", work.name)]), what="the row is gone", right=lambda got: not got)


async def test_an_error_is_the_steps(world: World, table: Dispatches) -> None:
    async with open_worker(world.core, SkillRegistry()):
        run_id, work = await begun(world, table)
        table.record(holder(work), Record(StepError("TOO_LOUD", "turn it down", retryable=False), 5.0))
        run = await world.finished(run_id)
        assert run.error is not None
        assert (run.status, run.error.code) == ("failed", "TOO_LOUD")


async def test_only_the_first_record_with_the_fence_counts(world: World, table: Dispatches) -> None:
    async with open_worker(world.core, SkillRegistry()):
        run_id, work = await begun(world, table)
        assert not table.record(Holder("default", "far", work.name, "0" * 32), MADE)
        assert not table.record(Holder("other", "far", work.name, work.fence), MADE)
        assert not table.record(holder(work, "near"), MADE)
        assert table.record(holder(work), MADE)
        assert not table.record(holder(work), Record(Output({"made": False}), 5.0))
        assert (await world.finished(run_id)).step("a").output == MADE.outcome


async def test_the_same_record_again_is_accepted(world: World, table: Dispatches) -> None:
    async with open_worker(world.core, SkillRegistry()):
        _, work = await begun(world, table)
    assert table.record(holder(work), MADE), "nobody owns the run, so the row stays"
    assert table.record(holder(work), MADE)
    assert not table.record(holder(work), Record(Output({"made": False}), 5.0))


async def test_another_worker_adopts_what_is_executing(world: World, table: Dispatches) -> None:
    async with open_worker(world.core, SkillRegistry()):
        run_id, work = await begun(world, table)
    async with open_worker(world.core, SkillRegistry()) as second:
        await kept(world, table, work, run_id, second.identity.id)
        table.record(holder(work), MADE)
        run = await world.finished(run_id)
    assert (run.status, run.step("a").attempt, run.step("a").lost) == ("completed", 1, 0)
    assert world.events(run_id).count("StepStarted a") == 1


async def test_a_result_that_arrives_without_an_owner_is_found_by_the_next(world: World, table: Dispatches) -> None:
    async with open_worker(world.core, SkillRegistry()):
        run_id, work = await begun(world, table)
    table.record(holder(work), MADE)
    async with open_worker(world.core, SkillRegistry()):
        run = await world.finished(run_id)
    assert (run.status, run.step("a").attempt) == ("completed", 1)


async def test_an_attempt_that_was_never_submitted_starts_again(world: World, table: Dispatches) -> None:
    async with open_worker(world.core, SkillRegistry()):
        run_id, work = await begun(world, table)
    table.drop("default", [work.name])  # as if its owner had died between the append and the row
    async with open_worker(world.core, SkillRegistry()):
        again = await taken(table)
        assert (again.call.attempt, again.name == work.name, again.fence == work.fence) == (2, False, False)
        table.record(holder(again), MADE)
        assert (await world.finished(run_id)).status == "completed"


async def test_a_silent_machine_loses_its_attempt_and_its_late_result_is_dropped(
    world: World, table: Dispatches
) -> None:
    async with open_worker(world.core, SkillRegistry()):
        run_id, work = await begun(world, table)
        again = await taken(table)  # without a beat for a lease
        assert again.call.attempt == 2
        assert table.beat(holder(work)) is None
        assert not table.record(holder(work), Record(Output("late"), 5.0))
        assert table.record(holder(again), MADE)
        run = await world.finished(run_id)
    assert (run.step("a").output, run.step("a").lost) == (MADE.outcome, 1)
    assert "StepLost a" in world.events(run_id)


async def test_a_cancelled_run_stops_its_machines(world: World, table: Dispatches) -> None:
    async with open_worker(world.core, SkillRegistry()):
        run_id, work = await begun(world, table)
        await world.core.commands.cancel(CALLER, run_id, "enough")
        await until(lambda: table.beat(holder(work)), what="it should stop", right=lambda told: told in (True, None))


async def test_work_of_a_pool_is_for_workers_that_fit(world: World, table: Dispatches) -> None:
    with_gpu = Puller("default", "far", "p2", ["eu", "gpu"], ["far.work@1"])
    async with open_worker(world.core, SkillRegistry()):
        await world.register(flow(GPU))
        table.see(with_gpu)
        run_id = await world.trigger("flow")
        await until(lambda: world.events(run_id), what="dispatched", right=lambda names: "StepDispatched a" in names)
        for other in (
            PULLER,
            Puller("default", "far", "p3", ["gpu"], ["far.work@2"]),
            Puller("default", "near", "p4", ["gpu"], ["far.work@1"]),
            Puller("other", "far", "p5", ["gpu"], ["far.work@1"]),
        ):
            assert table.take(other, 5) == []
        work = await taken(table, with_gpu)
        table.record(holder(work), MADE)
        assert (await world.finished(run_id)).status == "completed"


@pytest.mark.parametrize(
    ("step", "seen", "lacking"),
    [
        (FAR, None, "executor far: no worker has the skill far.work"),
        (GPU, PULLER, "executor far: no worker has the label gpu"),
        (
            GPU,
            Puller("default", "far", "p2", ["gpu"], ["else@1"]),
            "executor far: no worker with gpu has the skill far.work",
        ),
    ],
)
async def test_a_run_that_nobody_fits_is_blocked_until_one_does(
    world: World, table: Dispatches, step: Step, seen: Puller | None, lacking: str
) -> None:
    async with open_worker(world.core, SkillRegistry()):
        if seen is not None:
            table.see(seen)
        await world.register(flow(step))
        run_id = await world.trigger("flow")
        assert (await world.reached(run_id, "blocked")).missing_skills == (lacking,)
        work = await taken(table, Puller("default", "far", "p9", ["gpu"], ["far.work@3"]))
        assert work.skill == "far.work@3"
        table.record(holder(work), MADE)
        assert (await world.finished(run_id)).status == "completed"


async def test_an_executor_that_is_not_configured_blocks(database_url: str, tmp_path: Path) -> None:
    with open_world(database_url, tmp_path, lease_seconds=LEASE_SECONDS, heartbeat_seconds=0.2) as world:
        async with open_worker(world.core, SkillRegistry()):
            await world.register(flow(FAR))
            run_id = await world.trigger("flow")
            run = await world.reached(run_id, "blocked")
            assert run.missing_skills == ("executor far: not configured",)
    settings = {"executors": ("far=pull",), "lease_seconds": LEASE_SECONDS, "heartbeat_seconds": 0.2}
    with open_world(database_url, tmp_path, **settings) as world:
        async with open_worker(world.core, SkillRegistry()):
            table = Dispatches(world.core.database, LEASE_SECONDS)
            table.record(holder(await taken(table)), MADE)
            assert (await world.finished(run_id)).status == "completed"
