"""Runs on a real database, from trigger to end."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.application.commands import Wanted
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.events import RunRecovered, RunStarted, StepStarted
from orchestrator.domain.workflow import Workflow
from orchestrator.workers.claims import Claimed
from tests.world.core import CALLER, World, open_world, statuses
from tests.world.work import Journal
from tests.world.workflows import step, workflow

DIAMOND = workflow("diamond", step("plan"), step("left", "plan"), step("right", "plan"), step("join", "left", "right"))


async def test_a_triggered_run_is_queued_and_every_step_pending_at_once(world: World) -> None:
    """R1: from the moment the trigger is accepted, with no worker and no projector about."""
    await world.register(DIAMOND)
    accepted = await world.core.commands.trigger(
        CALLER, Wanted("diamond", payload={"n": 1}, labels={"team": "red"}, priority=3)
    )
    assert accepted.steps == 4
    view = world.core.reader.run("default", accepted.run_id)
    assert (view["id"], view["status"], view["triggerType"]) == (accepted.run_id, "queued", "initial")
    assert (view["workflowName"], view["workflowVersion"]) == ("diamond", "1")
    assert (view["triggerPayload"], view["labels"], view["priority"]) == ({"n": 1}, {"team": "red"}, 3)
    assert view["stepsSummary"]["pending"] == view["stepsSummary"]["total"] == 4
    steps = world.core.reader.steps("default", accepted.run_id)
    assert [(item["stepId"], item["status"]) for item in steps] == [
        ("plan", "pending"),
        ("left", "pending"),
        ("right", "pending"),
        ("join", "pending"),
    ]


async def test_run_ids_are_unique(world: World) -> None:
    await world.register(DIAMOND)
    ids = await asyncio.gather(*(world.trigger("diamond") for _ in range(50)))
    assert len(set(ids)) == 50


async def test_a_run_completes_level_by_level(world: World, journal: Journal) -> None:
    """R2, and one append a level: what came back and what begins share it."""
    await world.register(DIAMOND)
    async with open_worker(world.core, journal.registry()) as worker:
        run = await world.run("diamond")
    assert run.status == "completed"
    assert statuses(run) == dict.fromkeys(("plan", "left", "right", "join"), "completed")
    assert world.events(run.id) == [
        "RunTriggered",
        "RunStarted",
        "StepStarted plan",
        "StepCompleted plan",
        "StepStarted left",
        "StepStarted right",
        "StepCompleted left",
        "StepCompleted right",
        "StepStarted join",
        "StepCompleted join",
        "RunCompleted",
    ]
    assert [call.step for call in journal.calls] == ["plan", "left", "right", "join"]
    history = world.history(run.id)
    assert [item.version for item in history] == list(range(1, 12))
    assert {item.actor for item in history[1:]} == {worker.identity.id}
    assert history[0].actor == "test"
    assert world.queue() == {}, "a finished run leaves the queue"


async def test_a_steps_input_is_made_of_the_trigger_and_earlier_results(world: World, journal: Journal) -> None:
    await world.register(
        workflow(
            "inputs",
            step("a", returns="trigger.brief"),
            step("b", "a", style="steps.a.data.style", n="trigger.n", run="run.workflowName"),
        )
    )
    async with open_worker(world.core, journal.registry()):
        run = await world.run("inputs", brief={"style": "lo-fi"}, n=7)
    assert run.status == "completed"
    assert journal.calls[1].input == {"style": "lo-fi", "n": 7, "run": "inputs"}


async def test_independent_steps_execute_at_the_same_time(world: World, journal: Journal) -> None:
    wide = workflow("wide", *(step(f"s{number}", ms="`300`") for number in range(20)))
    await world.register(wide)
    async with open_worker(world.core, journal.registry()):
        run = await world.run("wide")
    assert run.status == "completed"
    assert max(call.began for call in journal.calls) < min(call.ended or 0 for call in journal.calls)


@pytest.mark.parametrize("limit", [1, 3])
async def test_a_workflow_bounds_how_many_of_its_steps_execute_at_once(
    world: World, journal: Journal, limit: int
) -> None:
    steps = [step(f"s{number}", ms="`20`") for number in range(9)]
    await world.register(workflow("narrow", *steps, max_parallel_steps=limit))
    async with open_worker(world.core, journal.registry()):
        await world.run("narrow")
    most = max(sum(other.began <= call.began < (other.ended or 0) for other in journal.calls) for call in journal.calls)
    assert most == limit


async def test_runs_of_higher_priority_are_taken_first(database_url: str, tmp_path: Path, journal: Journal) -> None:
    with open_world(database_url, tmp_path, max_runs=1) as world:
        await world.register(workflow("one", step("a")))
        ids = {}
        for priority in (0, 5, 1, 5):
            accepted = await world.core.commands.trigger(CALLER, Wanted("one", priority=priority))
            ids[accepted.run_id] = priority
        async with open_worker(world.core, journal.registry()):
            await world.all_finished(list(ids))
    assert [ids[call.run] for call in journal.calls] == [5, 5, 1, 0]


async def test_all_that_waits_is_taken_at_once_and_the_first_of_it_begins_before_the_last_is_read(
    database_url: str, tmp_path: Path, journal: Journal
) -> None:
    """Without another heartbeat, too."""
    claims: list[Claimed] = []
    with open_world(database_url, tmp_path, lease_seconds=3600, heartbeat_seconds=1800) as world:
        await world.register(workflow("one", step("only", ms="trigger.ms")))
        ids = [await world.trigger("one", ms=60_000) for _ in range(130)]
        async with asyncio.timeout(60), open_worker(world.core, journal.registry()) as worker:
            claim = worker._queue.claim

            async def claim_more(room: int, skills: Sequence[str]) -> Claimed:
                if claims:
                    await journal.begun(len(claims[0].runs))
                claims.append(await claim(room, skills))
                return claims[-1]

            worker._queue.claim = claim_more  # type: ignore[method-assign]
            await journal.begun(len(ids))
            await worker.stop(0)
    assert 0 < len(claims[0].runs) < len(ids)


async def test_a_wake_up_not_a_poll_starts_a_run(world: World, journal: Journal) -> None:
    await world.register(workflow("one", step("a")))
    async with open_worker(world.core, journal.registry()):
        await world.run("one")
        delays = []
        for _ in range(10):
            asked = time.monotonic()
            await world.run("one")
            delays.append(journal.calls[-1].began - asked)
    assert min(delays) < 0.1


@st.composite
def graphs(draw: st.DrawFn) -> Workflow:
    steps: list[str] = []
    made = []
    for number in range(draw(st.integers(1, 12))):
        needs = draw(st.lists(st.sampled_from(steps), unique=True, max_size=3)) if steps else []
        made.append(step(f"s{number}", *needs, ms=f"`{draw(st.sampled_from([0, 5, 20]))}`"))
        steps.append(f"s{number}")
    return workflow(f"graph-{draw(st.uuids())}", *draw(st.permutations(made)))


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(batch=st.lists(graphs(), min_size=4, max_size=4))
async def test_random_graphs_execute_in_order_each_step_once(
    database_url: str, tmp_path: Path, batch: list[Workflow]
) -> None:
    """R4, for real: by the clock of the skills, and by the order of the log."""
    journal = Journal()
    with open_world(database_url, tmp_path) as world, open_projector(world.core):
        await world.register(*batch)
        async with open_worker(world.core, journal.registry()):
            runs = await asyncio.gather(*(world.run(one.name) for one in batch))
        for one, run in zip(batch, runs, strict=True):
            assert run.status == "completed"
            calls = {call.step: call for call in journal.calls if call.run == run.id}
            assert sorted(journal.steps(run.id)) == sorted(one.steps), "each step once"
            words = world.events(run.id)
            for step_id, its_step in one.steps.items():
                for needed in its_step.depends_on:
                    assert calls[step_id].began >= (calls[needed].ended or 0)
                    assert words.index(f"StepCompleted {needed}") < words.index(f"StepStarted {step_id}")
        await world.projected()
        for run in runs:
            view = world.core.reader.run("default", run.id)
            assert view["stepsSummary"]["completed"] == len(run.workflow.steps)


async def test_a_thousand_steps_in_one_run(world: World, journal: Journal) -> None:
    """Nothing in a driver's pass grows with the run: 1,000 steps in a chain of wide levels."""
    names = [[f"l{level}.{number}" for number in range(50)] for level in range(20)]
    steps = [step(name, *(names[level - 1][:3] if level else ())) for level, row in enumerate(names) for name in row]
    await world.register(workflow("large", *steps))
    async with open_worker(world.core, journal.registry()):
        run = await world.run("large")
    assert run.status == "completed"
    assert len(journal.calls) == 1000
    assert len(world.history(run.id)) == 2 + 2 * 1000 + 1


async def test_five_hundred_runs_at_once(world: World, journal: Journal) -> None:
    await world.register(workflow("two", step("a"), step("b", "a")))
    async with open_worker(world.core, journal.registry()):
        ids = await asyncio.gather(*(world.trigger("two") for _ in range(500)))
        runs = await world.all_finished(ids)
    assert {run.status for run in runs} == {"completed"}
    assert set(journal.counts().values()) == {1}
    assert len(journal.calls) == 1000
    kinds = {type(item.event) for run in runs for item in world.history(run.id)}
    assert RunStarted in kinds
    assert RunRecovered not in kinds
    assert StepStarted in kinds
