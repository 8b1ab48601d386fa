"""Cancelling: what is pending stops, what is executing is told to, what is done stays done."""

import asyncio
import time

import pytest

from orchestrator.application.caller import Caller
from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.errors import RunNotCancellable, RunNotFound
from orchestrator.domain.workflow import CachePolicy, RetryPolicy
from tests.waiting import until
from tests.world.core import CALLER, World, statuses
from tests.world.work import Journal
from tests.world.workflows import step, workflow

LONG = workflow("long", step("a"), step("b", "a", ms="`60000`"), step("c", "b"))


async def test_while_it_executes(world: World, journal: Journal) -> None:
    """R3."""
    await world.register(LONG)
    async with open_worker(world.core, journal.registry()) as worker:
        run_id = await world.trigger("long")
        await journal.begun(2)
        asked = time.monotonic()
        await world.core.commands.cancel(CALLER, run_id, "enough")
        took = time.monotonic() - asked
        run = await world.folded(run_id)
        assert run.status == "cancelled"
        assert took < 3
        await until(lambda: journal.calls[1].cancelled and not worker.driving, 10, "the worker has let it go")
    assert statuses(run) == {"a": "completed", "b": "cancelled", "c": "cancelled"}
    assert world.events(run_id)[-1] == "RunCancelled"
    assert journal.steps(run_id) == ["a", "b"]
    assert world.queue() == {}
    view = world.core.reader.folded_run(world.core.runs.load(run_id))
    assert (view["status"], view["stepsSummary"]["cancelled"], view["stepsSummary"]["completed"]) == ("cancelled", 2, 1)


async def test_what_a_cancelled_run_returns_later_is_discarded(world: World, journal: Journal) -> None:
    """The notification may come late: the append of the owner is refused in any case."""
    await world.register(workflow("short", step("a", ms="`200`"), step("b", "a")))
    async with open_worker(world.core, journal.registry()) as worker:
        world.core.listener.stop()  # no news from here on
        run_id = await world.trigger("short")
        worker._queue_changed.set()
        await journal.begun()
        await world.core.commands.cancel(CALLER, run_id)
        await until(lambda: not worker.driving, 10, "the worker has let it go")
    assert world.events(run_id)[-1] == "RunCancelled"
    assert statuses(await world.folded(run_id)) == {"a": "cancelled", "b": "cancelled"}
    assert journal.steps(run_id) == ["a"]


async def test_while_it_waits_in_the_queue(world: World, journal: Journal) -> None:
    await world.register(LONG)
    run_id = await world.trigger("long")
    await world.core.commands.cancel(CALLER, run_id)
    async with open_worker(world.core, journal.registry()):
        await asyncio.sleep(0.2)  # the time itself is the subject: nothing is executed meanwhile
    assert journal.calls == []
    assert world.events(run_id) == ["RunTriggered", "RunCancelled"]


async def test_while_it_waits_for_a_retry(world: World, journal: Journal) -> None:
    slow = RetryPolicy(max_attempts=2, backoff_ms=60_000)
    await world.register(workflow("retry", step("a", retry=slow, fails="`1`")))
    async with open_worker(world.core, journal.registry()):
        run_id = await world.trigger("retry")
        await until(lambda: world.folded(run_id), 20, "it waits for its retry", right=lambda run: run.due)
        await world.core.commands.cancel(CALLER, run_id)
    assert statuses(await world.folded(run_id)) == {"a": "cancelled"}


async def test_others_that_wait_for_its_result_make_it_themselves(world: World, journal: Journal) -> None:
    kept = CachePolicy()
    await world.register(workflow("same", step("a", cache=kept, ms="trigger.ms")))
    async with open_worker(world.core, journal.registry()):
        maker = await world.trigger("same", ms=500)
        await journal.begun()
        others = [await world.trigger("same", ms=500) for _ in range(5)]
        await asyncio.sleep(0.2)  # the time itself is the subject: nothing is executed meanwhile
        assert len(journal.calls) == 1, "they wait"
        await world.core.commands.cancel(CALLER, maker)
        runs = await world.all_finished(others)
    assert {run.status for run in runs} == {"completed"}
    assert len(journal.calls) == 2, "one of them made it for all"


async def test_a_finished_run_is_refused_and_so_is_another_tenants(world: World, journal: Journal) -> None:
    await world.register(workflow("one", step("a")))
    async with open_worker(world.core, journal.registry()):
        run = await world.run("one")
    with pytest.raises(RunNotCancellable, match="completed"):
        await world.core.commands.cancel(CALLER, run.id)
    run_id = await world.trigger("one")
    with pytest.raises(RunNotFound):
        await world.core.commands.cancel(Caller("other", "eve"), run_id)
    assert (await world.folded(run_id)).status == "queued"


async def test_many_at_any_moment_all_end_cancelled_or_completed(world: World, journal: Journal) -> None:
    """Cancels race with the appends of the owner: each run has one end, and its log ends there."""
    await world.register(workflow("race", *(step(f"s{n}", *([f"s{n - 1}"] if n else []), ms="`2`") for n in range(6))))
    async with open_worker(world.core, journal.registry()):
        ids = await asyncio.gather(*(world.trigger("race") for _ in range(60)))

        async def cancel(run_id: str, pause: float) -> None:
            await asyncio.sleep(pause)  # the time itself is the subject: each is cancelled at another moment
            try:
                await world.core.commands.cancel(CALLER, run_id)
            except RunNotCancellable:
                return

        await asyncio.gather(*(cancel(run_id, place / 500) for place, run_id in enumerate(ids)))
        runs = await world.all_finished(ids)
    for run in runs:
        words = world.events(run.id)
        assert words[-1] == {"cancelled": "RunCancelled", "completed": "RunCompleted"}[run.status]
        assert sum(word.startswith(("RunCancelled", "RunCompleted", "RunFailed")) for word in words) == 1
    assert {"cancelled"} <= {run.status for run in runs}
    assert world.queue() == {}
