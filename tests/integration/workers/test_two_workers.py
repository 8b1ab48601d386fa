"""Several workers on one queue: they share, hand over, and make each result once."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.events import RunRecovered
from orchestrator.domain.workflow import CachePolicy
from tests.integration.eventstore.logs import stored
from tests.world.core import World, open_world, statuses
from tests.world.work import Journal
from tests.world.workflows import step, workflow

FIVE = workflow(
    "five", step("a", ms="`2`"), step("b", "a"), step("c", "a"), step("d", "b", "c", ms="`2`"), step("e", "d")
)
KEPT = CachePolicy()


@contextmanager
def two_worlds(database_url: str, folder: Path, **settings: object) -> Iterator[tuple[World, World]]:
    """Two programs on one database, each with connections of its own."""
    with open_world(database_url, folder, **settings) as one, open_world(database_url, folder, **settings) as other:
        yield one, other


async def test_they_share_the_runs_and_every_step_executes_once(
    database_url: str, tmp_path: Path, journal: Journal
) -> None:
    with two_worlds(database_url, tmp_path, max_runs=5) as (one, other):
        await one.register(FIVE)
        ids = await asyncio.gather(*(one.trigger("five") for _ in range(50)))
        async with open_worker(one.core, journal.registry()), open_worker(other.core, journal.registry()):
            runs = await one.all_finished(ids)
        assert {run.status for run in runs} == {"completed"}
        assert journal.counts() == {(run_id, name): 1 for run_id in ids for name in "abcde"}
        assert len({run.owner for run in runs}) == 2, "each had a share"
        for run in runs:
            assert not any(isinstance(item.event, RunRecovered) for item in one.history(run.id))
            assert {item.actor for item in one.history(run.id)[1:]} == {run.owner}


async def test_one_that_stops_hands_over_without_waiting_for_a_lease(
    database_url: str, tmp_path: Path, journal: Journal
) -> None:
    """R21: what is executing is finished and kept, the rest goes on elsewhere at once."""
    with two_worlds(database_url, tmp_path, lease_seconds=60, heartbeat_seconds=20) as (one, other):
        await one.register(
            workflow("long", *(step(f"s{n}", *([f"s{n - 1}"] if n else []), ms="`100`") for n in range(8)))
        )
        async with AsyncExitStack() as stack:
            async with open_worker(one.core, journal.registry()) as first:
                ids = [await other.trigger("long") for _ in range(6)]
                await journal.begun(12)
                second = await stack.enter_async_context(open_worker(other.core, journal.registry()))
            async with asyncio.timeout(20):
                runs = await other.all_finished(ids)
        assert {run.status for run in runs} == {"completed"}
        assert {run.owner for run in runs} == {second.identity.id}
        assert set(journal.counts().values()) == {1}, "no step was lost, none was repeated"
        for run in runs:
            assert all(state.lost == 0 for state in run.steps.values())
            assert first.identity.id in {state.worker for state in run.steps.values()}


async def test_one_that_is_given_no_time_leaves_what_was_executing_to_the_next(
    database_url: str, tmp_path: Path, journal: Journal
) -> None:
    with two_worlds(database_url, tmp_path, shutdown_grace_seconds=0.1) as (one, other):
        await one.register(workflow("slow", step("a"), step("b", "a", ms="trigger.ms")))
        async with open_worker(one.core, journal.registry()):
            run_id = await other.trigger("slow", ms=700)
            await journal.begun(2)
        assert other.queue() == {run_id: None}
        assert journal.calls[1].cancelled
        async with open_worker(other.core, journal.registry()):
            run = await other.finished(run_id)
    assert run.status == "completed"
    assert journal.steps(run_id) == ["a", "b", "b"]
    assert run.step("b").attempt == 2


async def test_a_hundred_identical_steps_execute_once(database_url: str, tmp_path: Path, journal: Journal) -> None:
    """R12, with a step so quick that asking and landing meet all the time."""
    with two_worlds(database_url, tmp_path) as (one, other):
        await one.register(
            workflow(
                "same",
                step("a", cache=KEPT, n="trigger.n"),
                step("b", "a", cache=KEPT, got="steps.a.data", n="trigger.n"),
            )
        )
        async with open_worker(one.core, journal.registry()), open_worker(other.core, journal.registry()):
            for turn in range(5):
                ids = await asyncio.gather(*((one, other)[n % 2].trigger("same", n=turn) for n in range(100)))
                runs = await one.all_finished(ids)
                assert {run.status for run in runs} == {"completed"}
                made = [call for call in journal.calls if call.run in set(ids)]
                assert sorted(call.step for call in made) == ["a", "b"]
                maker = {call.step: call.run for call in made}
                assert {run.maker("a") for run in runs} == {maker["a"]}
                assert {run.maker("b") for run in runs} == {maker["b"]}


async def test_a_second_identical_run_executes_nothing(database_url: str, tmp_path: Path, journal: Journal) -> None:
    """R8, also in another program and after a restart."""
    steps = step("a", cache=KEPT, n="trigger.n"), step("b", "a", cache=KEPT, got="steps.a.data")
    with open_world(database_url, tmp_path) as world:
        await world.register(workflow("kept", *steps))
        async with open_worker(world.core, journal.registry()):
            first = await world.run("kept", n=1)
            second = await world.run("kept", n=1)
    with open_world(database_url, tmp_path) as world:
        async with open_worker(world.core, journal.registry()):
            third = await world.run("kept", n=1)
            other = await world.run("kept", n=2)
        for run in (second, third):
            assert statuses(run) == {"a": "skipped", "b": "skipped"}
            assert [run.step(name).output for name in "ab"] == [first.step(name).output for name in "ab"]
            assert {run.maker(name) for name in "ab"} == {first.id}
            view = world.core.reader.folded_steps(world.core.runs.load(run.id))[0]
            assert (view["cacheHit"], view["reusedFromRunId"], view["hitReason"]) == (True, first.id, "cache")
    assert statuses(other)["a"] == "completed", "another input is another result"
    assert journal.counts()[second.id, "a"] == journal.counts()[third.id, "a"] == 0


async def test_a_run_with_an_event_nobody_can_read_does_not_hold_up_the_others(
    database_url: str, tmp_path: Path, journal: Journal
) -> None:
    """A newer program may have written it. This one leaves that run alone and goes on."""
    with open_world(database_url, tmp_path) as world:
        await world.register(FIVE)
        poisoned, sound = await world.trigger("five"), [await world.trigger("five") for _ in range(3)]
        event = stored(poisoned, 2)
        world.core.log.recorder.insert_events([type(event)(event.originator_id, 2, "RunPaused", event.state)])
        async with open_worker(world.core, journal.registry()):
            runs = await world.all_finished(sound)
            later = await world.run("five")
        assert {run.status for run in (*runs, later)} == {"completed"}
        assert journal.steps(poisoned) == []
