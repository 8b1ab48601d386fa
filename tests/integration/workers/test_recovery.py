"""A worker that is gone, or looks as if it were: another one takes its runs over, and it can write no more."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.workflow import RetryPolicy
from tests.waiting import until
from tests.world.core import World, open_world
from tests.world.work import Journal
from tests.world.workflows import step, workflow

QUICK = {"lease_seconds": 1.0, "heartbeat_seconds": 0.2}


class Elsewhere:
    """A worker on a loop of its own, which can be frozen in the middle of whatever it does."""

    def __init__(self, world: World, journal: Journal) -> None:
        self.id = ""
        self._world = world
        self._journal = journal
        self._up = threading.Event()
        self._thawed = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._work()))

    async def _work(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        async with open_worker(self._world.core, self._journal.registry()) as worker:
            self.id = worker.identity.id
            self._up.set()
            await self._end.wait()

    def start(self) -> None:
        self._thread.start()
        assert self._up.wait(20)

    def freeze(self) -> None:
        """From here on its loop does not turn: like SIGSTOP, or like a death that nobody was told of."""
        self._loop.call_soon_threadsafe(self._thawed.wait)

    def die(self) -> None:
        """Freeze, and close the session that says the process lives."""
        self.freeze()
        self._world.core.listener.stop()

    def end(self) -> None:
        """Let it wake up, find out that its time is over, and end."""
        self._thawed.set()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)
        assert not self._thread.is_alive()


@contextmanager
def elsewhere(world: World, journal: Journal) -> Iterator[Elsewhere]:
    worker = Elsewhere(world, journal)
    worker.start()
    try:
        yield worker
    finally:
        worker.end()


@pytest.fixture
def worlds(database_url: str, tmp_path: Path) -> Iterator[tuple[World, World]]:
    """Two programs on one database."""
    with open_world(database_url, tmp_path, **QUICK) as one, open_world(database_url, tmp_path, **QUICK) as other:
        yield one, other


@pytest.mark.parametrize("how", ["dies", "hangs"])
async def test_its_runs_are_recovered_within_the_lease_and_a_second(
    worlds: tuple[World, World], journal: Journal, how: str
) -> None:
    """R20: no run is lost, and only what was executing is executed again."""
    one, other = worlds
    await other.register(workflow("three", step("a"), step("b", "a", ms="`1200`"), step("c", "b")))
    with elsewhere(one, journal) as lost:
        ids = [await other.trigger("three") for _ in range(5)]
        await journal.begun(10)
        async with open_worker(other.core, journal.registry()) as heir:
            (lost.die if how == "dies" else lost.freeze)()
            gone = time.monotonic()
            await journal.begun(15)
            took = time.monotonic() - gone
            runs = await other.all_finished(ids)
    assert took < QUICK["lease_seconds"] + 3.0
    for run in runs:
        assert (run.status, run.owner) == ("completed", heir.identity.id)
        assert journal.steps(run.id) == ["a", "b", "b", "c"]
        b = run.step("b")
        assert (b.attempt, b.lost, b.worker) == (2, 1, heir.identity.id)
        assert [(past.number, past.worker, past.error) for past in b.past] == [(1, lost.id, None)]
        assert run.step("a").worker == lost.id


async def test_one_that_was_taken_for_dead_cannot_write_any_more(worlds: tuple[World, World], journal: Journal) -> None:
    """The zombie wakes up, its step comes to an end, and the log refuses what it has to say (the fence)."""
    one, other = worlds
    await other.register(workflow("slow", step("a", ms="`300`"), step("b", "a", ms="`1500`"), step("c", "b")))
    with elsewhere(one, journal) as zombie:
        run_id = await other.trigger("slow")
        await journal.begun(1)
        zombie.freeze()
        async with open_worker(other.core, journal.registry()) as heir:
            await journal.begun(3)  # a again, then b
            zombie.end()
            run = await other.finished(run_id)
    assert (run.status, run.owner) == ("completed", heir.identity.id)
    assert journal.steps(run_id) == ["a", "a", "b", "c"]
    words = other.events(run_id)
    assert [words.count(f"StepCompleted {name}") for name in "abc"] == [1, 1, 1]
    assert words.count("RunRecovered") == 1
    actors = [item.actor for item in other.history(run_id)]
    assert set(actors[3:]) == {heir.identity.id}
    assert other.queue() == {}


async def test_a_zombie_that_goes_on_to_claim_claims_only_what_is_free(
    worlds: tuple[World, World], journal: Journal
) -> None:
    """Taken for dead and awake again, it is a worker like any other."""
    one, other = worlds
    await other.register(workflow("slow", step("a", ms="`100`"), step("b", "a")))
    with elsewhere(one, journal) as zombie:
        first = await other.trigger("slow")
        await journal.begun(1)
        zombie.freeze()
        async with open_worker(other.core, journal.registry()):
            await other.finished(first)
        zombie._thawed.set()
        later = [await other.trigger("slow") for _ in range(5)]
        runs = await other.all_finished(later)
        assert {run.owner for run in runs} == {zombie.id}
    assert all(journal.steps(run_id) == ["a", "b"] for run_id in later)


async def test_a_run_that_waits_for_a_retry_survives(worlds: tuple[World, World], journal: Journal) -> None:
    """R18: timers survive a crash."""
    one, other = worlds
    retry = RetryPolicy(max_attempts=2, backoff_ms=2500, jitter=0.0)
    await other.register(workflow("retry", step("a", retry=retry, fails="`1`")))
    with elsewhere(one, journal) as lost:
        run_id = await other.trigger("retry")
        await journal.begun(1)
        await until(lambda: other.folded(run_id), what="it waits for its retry", right=lambda run: run.due)
        lost.die()
        async with open_worker(other.core, journal.registry()):
            run = await other.finished(run_id)
    first, second = journal.calls
    assert run.status == "completed"
    assert 2.4 <= second.began - (first.ended or 0) < 5
    assert (run.step("a").attempt, run.step("a").lost) == (2, 0)


async def test_all_workers_gone_the_next_one_resumes_at_once(
    database_url: str, tmp_path: Path, journal: Journal
) -> None:
    """R20: a restarted single worker resumes within a second of its start, however long the lease of the dead one."""
    patient = {"lease_seconds": 1.0, "heartbeat_seconds": 0.5}
    with open_world(database_url, tmp_path, **patient) as one, open_world(database_url, tmp_path, **patient) as other:
        await other.register(workflow("two", step("a"), step("b", "a", ms="`400`")))
        with elsewhere(one, journal) as lost:
            ids = [await other.trigger("two") for _ in range(5)]
            await journal.begun(10)
            lost.die()
            await asyncio.sleep(1.5)  # the time itself is the subject: longer than a lease
            started = time.monotonic()
            async with open_worker(other.core, journal.registry()):
                await journal.begun(15)
                took = time.monotonic() - started
                runs = await other.all_finished(ids)
    assert took < 3.0
    assert {run.status for run in runs} == {"completed"}
