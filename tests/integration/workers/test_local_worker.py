"""A run that is asked for beside a worker is that worker's from its first moment."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest

from orchestrator.application.commands import RunCommands, Wanted
from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.errors import IdempotencyConflict
from orchestrator.domain.workflow import CachePolicy
from orchestrator.eventstore.runs import LoadedRun
from orchestrator.postgres.listener import EVENTS, QUEUE
from orchestrator.workers.worker import Worker
from tests.world.core import CALLER, World, open_world
from tests.world.work import Journal
from tests.world.workflows import step, workflow

LONG = workflow("long", step("a", ms="trigger.ms"))


@dataclass(frozen=True, slots=True)
class Slow:
    """A worker that gets its runs later."""

    worker: Worker
    received: list[LoadedRun] = field(default_factory=list)

    def reserve(self, run_id: str) -> str | None:
        return self.worker.reserve(run_id)

    def accept(self, loaded: LoadedRun) -> None:
        self.received.append(loaded)

    def release(self, run_id: str) -> None:
        self.worker.release(run_id)


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(database_url, tmp_path, max_runs=2) as opened:
        yield opened


async def test_it_is_never_in_the_queue_of_others(world: World, journal: Journal) -> None:
    """The row names its owner in the transaction of the first event, and no notification calls for a claim."""
    await world.register(LONG)
    called: list[str] = []
    async with open_worker(world.core, journal.registry()) as worker:
        world.core.listener.on(QUEUE, called.append)
        run_id = await world.trigger("long", ms=200)
        assert world.queue() == {run_id: worker.identity.id}
        assert (await world.finished(run_id)).status == "completed"
        assert called == []
    assert world.queue() == {}


async def test_what_finds_no_room_waits_in_the_queue(world: World, journal: Journal) -> None:
    await world.register(LONG)
    async with open_worker(world.core, journal.registry()) as worker:
        ids = [await world.trigger("long", ms=60_000) for _ in range(5)]
        owners = world.queue()
        assert [owners[run_id] for run_id in ids] == [worker.identity.id] * 2 + [None] * 3
        for number, run_id in enumerate(ids):
            await journal.begun(min(number + 2, 5))
            await world.core.commands.cancel(CALLER, run_id)
    assert [call.run for call in journal.calls] == ids, "in the order they were asked for"


async def test_a_request_that_leads_to_no_run_takes_up_no_room(world: World, journal: Journal) -> None:
    await world.register(LONG)
    async with open_worker(world.core, journal.registry()) as worker:
        for _ in range(3):
            await world.core.commands.trigger(CALLER, Wanted("long", payload={"ms": 0}), idempotency_key="one")
            with pytest.raises(IdempotencyConflict):
                await world.core.commands.trigger(CALLER, Wanted("long", payload={"ms": 1}), idempotency_key="one")
        assert worker.reserve("a") == worker.reserve("b") == worker.identity.id
        assert worker.reserve("c") is None
        worker.release("a")
        worker.release("b")


async def test_without_a_worker_here_it_is_left_to_the_others(world: World, journal: Journal) -> None:
    await world.register(LONG)
    async with open_worker(world.core, journal.registry()):
        pass
    run_id = await world.trigger("long", ms=0)
    assert world.queue() == {run_id: None}


async def test_news_that_come_before_the_worker_had_its_first_turn_are_not_missed(
    world: World, journal: Journal, database_url: str, tmp_path: Path
) -> None:
    """A run that may use the cache waits for them: it would wait for ever."""
    await world.register(workflow("cached", step("a", cache=CachePolicy())))
    heard = Event()

    def ask(commands: RunCommands) -> None:
        asyncio.run(commands.trigger(CALLER, Wanted("cached", payload={})))
        assert heard.wait(10)

    async with open_worker(world.core, journal.registry()) as worker:
        world.core.listener.on(EVENTS, lambda _: heard.set())
        with open_world(database_url, tmp_path) as other, ThreadPoolExecutor(1) as elsewhere:
            other.core.local_workers.worker = slow = Slow(worker)
            elsewhere.submit(ask, other.core.commands).result()  # the loop stands still meanwhile
        (loaded,) = slow.received
        worker.accept(loaded)
        assert (await world.finished(loaded.run.id)).status == "completed"
    assert len(journal.calls) == 1
