"""Single flight: what many ask for at once is made once; if its maker dies, exactly one other makes it (R12)."""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from uuid_utils import uuid7

from orchestrator.application.commands import Wanted
from orchestrator.cache.answers import Answer, Granted, Hit, Taken
from orchestrator.cache.cold_tier import NO_RESULT, ColdTier, Spoiled
from orchestrator.cache.flights import LOOK_AGAIN_SECONDS
from orchestrator.domain.output import Output
from orchestrator.postgres.sql import load_sql
from orchestrator.skills import SkillError, StepContext, skill
from orchestrator.workflows import define, step
from tests.integration.cache.tiers import question
from tests.servers import ValkeyServer
from tests.waiting import until
from tests.world.core import CALLER, World, open_world, statuses
from tests.world.programs import Program
from tests.world.work import at_work

SQL = load_sql(__file__)
SLOW = define(
    "test.slow",
    "1",
    [step("wait", "test.slow", input={"journal": "trigger.journal", "seconds": "trigger.seconds"}, retry=5)],
)

SKILLS = Path(__file__).with_name("slow_skill.py")


def lines(journal: Path) -> list[tuple[str, int]]:
    words = [line.split() for line in journal.read_text().splitlines()] if journal.exists() else []
    return [(what, int(pid)) for what, pid in words]


async def begun(journal: Path, times: int = 1) -> int:
    """Wait until the skill has begun so often, in other processes; the one it did last."""

    def makers() -> list[int]:
        return [pid for what, pid in lines(journal) if what == "begin"]

    return (await until(makers, what=f"it has begun {times} times", right=lambda pids: len(pids) >= times))[-1]


async def trigger(world: World, count: int, journal: Path, seconds: float) -> list[str]:
    payload = {"journal": str(journal), "seconds": seconds}
    accepted = await asyncio.gather(
        *(world.core.commands.trigger(CALLER, Wanted("test.slow", payload=payload)) for _ in range(count))
    )
    return [each.run_id for each in accepted]


def two_workers(stack: ExitStack, world: World) -> list[Program]:
    """Two worker processes that are ready."""
    settings = world.core.settings
    env = {
        "ORCHESTRATOR_DATABASE_URL": settings.database_url or "",
        "ORCHESTRATOR_DATA_DIR": str(settings.data_dir),
        "ORCHESTRATOR_REDIS_URL": settings.redis_url or "",
        "ORCHESTRATOR_MAX_RUNS": str(settings.max_runs),
        "ORCHESTRATOR_LOG_LEVEL": "warning",
    }
    workers = [stack.enter_context(Program("worker", "--skills", SKILLS, env=env)) for _ in range(2)]
    for worker in workers:
        worker.ready()
    return workers


@pytest.mark.parametrize("redis", [False, True])
async def test_a_hundred_identical_steps_in_two_processes_execute_once(
    database_url: str, tmp_path: Path, valkey: ValkeyServer, redis: bool
) -> None:
    journal = tmp_path / "journal"
    settings = {"redis_url": valkey.url if redis else None, "max_runs": 60}  # so that both have a share
    with open_world(database_url, tmp_path, **settings) as world, ExitStack() as stack:
        await world.register(SLOW)
        two_workers(stack, world)
        run_ids = await trigger(world, 100, journal, 0.5)
        runs = await world.all_finished(run_ids)
        assert [what for what, _ in lines(journal)] == ["begin", "end"]
        made = [statuses(run)["wait"] for run in runs]
        assert (made.count("completed"), made.count("skipped")) == (1, 99)
        maker = next(run.id for run in runs if statuses(run)["wait"] == "completed")
        assert {run.maker("wait") for run in runs} == {maker}
        assert len({run.owner for run in runs}) == 2


@pytest.mark.chaos
async def test_when_the_maker_is_killed_exactly_one_other_takes_over(database_url: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with open_world(database_url, tmp_path, max_runs=60) as world, ExitStack() as stack:
        await world.register(SLOW)
        workers = {worker.process.pid: worker for worker in two_workers(stack, world)}
        run_ids = await trigger(world, 100, journal, 3.0)
        maker = await begun(journal)
        await asyncio.sleep(1.0)  # nothing tells when: the others wait for it
        workers[maker].kill()
        killed = time.monotonic()
        heir = await begun(journal, 2)
        took = time.monotonic() - killed
        runs = await world.all_finished(run_ids)
    assert heir != maker
    assert [what for what, _ in lines(journal)] == ["begin", "begin", "end"]
    assert [run.status for run in runs] == ["completed"] * 100
    assert took < world.core.settings.lease_seconds + 2.0


async def test_a_maker_that_fails_is_followed_by_the_next_at_once(world: World) -> None:
    attempts = 0

    @skill("test.slow")
    async def slow(given: dict[str, Any]) -> dict[str, Any]:
        nonlocal attempts
        attempts += 1
        number = attempts
        await asyncio.sleep(0.2)
        if number <= 3:
            raise SkillError("TEST_FAILED", "no", retryable=False)
        return {"made": number}

    await world.register(SLOW)
    async with at_work(world.core, [slow]):
        started = time.monotonic()
        runs = await world.all_finished(await trigger(world, 20, Path("/"), 0))
        took = time.monotonic() - started
    assert attempts == 4
    assert sorted(run.status for run in runs) == ["completed"] * 17 + ["failed"] * 3
    assert took < 4 * LOOK_AGAIN_SECONDS  # they were woken


async def test_a_forced_step_neither_waits_for_another_run_nor_makes_others_wait(world: World) -> None:
    begun, released = asyncio.Queue[str](), asyncio.Event()

    @skill("test.slow")
    async def slow(given: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
        begun.put_nowait(ctx.run_id)
        await released.wait()
        return {"made": ctx.run_id}

    await world.register(SLOW)
    payload = {"journal": "/", "seconds": 0}

    async def begin(force: bool = False) -> str:
        accepted = await world.core.commands.trigger(CALLER, Wanted("test.slow", payload=payload, force=force))
        return accepted.run_id

    async with at_work(world.core, [slow]), asyncio.timeout(60):
        forced = await begin(force=True)
        assert await begun.get() == forced
        maker = await begin()
        assert await begun.get() == maker  # the forced run serves nobody before its result is there
        another = await begin(force=True)
        assert await begun.get() == another  # nor does it wait
        waiting = await begin()
        await asyncio.sleep(0.2)  # nothing tells when
        assert begun.empty()
        released.set()
        runs = await world.all_finished([forced, maker, another, waiting])
    assert [statuses(run)["wait"] for run in runs] == ["completed", "completed", "completed", "skipped"]
    assert begun.empty()


async def test_a_maker_that_is_cancelled_is_followed_by_the_next_at_once(world: World) -> None:
    begun = asyncio.Event()
    attempts = 0

    @skill("test.slow")
    async def slow(given: dict[str, Any]) -> dict[str, Any]:
        nonlocal attempts
        attempts += 1
        begun.set()
        await asyncio.sleep(60 if attempts == 1 else 0)
        return {}

    await world.register(SLOW)
    async with at_work(world.core, [slow]):
        run_ids = await trigger(world, 10, Path("/"), 0)
        await begun.wait()
        await asyncio.sleep(0.3)  # nothing tells when: the others wait for it
        runs = [await world.folded(run_id) for run_id in run_ids]
        maker = next(run.id for run in runs if statuses(run)["wait"] == "running")
        await world.core.commands.cancel(CALLER, maker)
        runs = await world.all_finished(run_ids)
    assert attempts == 2
    assert sorted(run.status for run in runs) == ["cancelled"] + ["completed"] * 9


class Askers:
    """Runs that ask the cold tier, each in the queue and of a worker that lives."""

    def __init__(self, world: World) -> None:
        self._core = world.core
        self.worker = "worker"
        self.tier = ColdTier(world.core.database, self.worker)
        self._run(SQL.register_worker, {"id": self.worker})

    def queued(self) -> str:
        run_id = str(uuid7())
        self._run(SQL.queue_run, {"run_id": run_id, "worker": self.worker})
        return run_id

    def end(self, run_id: str) -> None:
        self._run(SQL.end_run, {"run_id": run_id})

    def give_back(self, run_id: str) -> None:
        self._run(SQL.give_back, {"run_id": run_id})

    def lose_worker(self) -> None:
        self._run(SQL.lose_worker, {"id": self.worker})

    def ask(self, run_id: str, *keys: str, spoiled: Sequence[Spoiled] = ()) -> list[Answer]:
        return self.tier.consult("t", run_id, [run_id], [question(key) for key in keys], spoiled)

    def _run(self, statement: str, parameters: dict[str, Any]) -> None:
        with self._core.database.connection() as connection:
            connection.execute(statement, parameters)


def put(run_id: str, key: str, at: int = 1) -> str:
    """The inline rows of a result."""
    row = {
        "tenant": "t", "key": key, "run_id": run_id, "step_id": "make", "workflow": "w", "skill": "test.make@1",
        "scope": "global", "output": '{"data": 1}', "output_hash": "h", "stored_at": at,
    }  # fmt: skip
    return orjson.dumps({"cache_put": [row]}).decode()


@pytest.fixture
def askers(world: World) -> Askers:
    return Askers(world)


LEAVE = Granted(NO_RESULT)


def test_one_run_has_leave_and_the_others_wait(askers: Askers) -> None:
    one, other = askers.queued(), askers.queued()
    assert askers.ask(one, "b", "a") == [LEAVE, LEAVE]
    assert askers.ask(one, "a") == [LEAVE]  # it may ask again: after a crash of its worker, say
    assert askers.ask(other, "a", "c", "b") == [Taken(), LEAVE, Taken()]


def test_leave_ends_with_the_run_that_has_it(askers: Askers) -> None:
    one, other = askers.queued(), askers.queued()
    assert askers.ask(one, "a") == [LEAVE]
    askers.end(one)
    assert askers.ask(other, "a") == [LEAVE]


def test_leave_ends_when_the_run_that_has_it_is_given_back(askers: Askers) -> None:
    """Else two runs of which only one may be claimed could wait for each other."""
    one, other = askers.queued(), askers.queued()
    assert askers.ask(one, "a") == [LEAVE]
    askers.give_back(one)
    assert askers.ask(other, "a") == [LEAVE]


def test_leave_ends_with_the_worker_that_has_it(askers: Askers) -> None:
    one, other = askers.queued(), askers.queued()
    assert askers.ask(one, "a") == [LEAVE]
    askers.lose_worker()
    assert askers.ask(other, "a") == [LEAVE]


@pytest.mark.parametrize("end", ["queue_drop", "queue_cancel", "flight_drop"])
def test_what_ends_a_flight_wakes_those_who_wait_for_it(askers: Askers, world: World, end: str) -> None:
    one, other = askers.queued(), askers.queued()
    assert askers.ask(one, "a", "b") == [LEAVE, LEAVE]
    assert askers.ask(other, "a") == [Taken()]
    rows = {end: [one] if end != "flight_drop" else [{"run_id": one, "step_id": "make"}]}
    with psycopg.connect(world.core.database.conninfo, autocommit=True) as ear:
        ear.execute(SQL.listen)
        with world.core.database.connection() as connection:
            connection.execute(SQL.apply, (orjson.dumps(rows).decode(),))
        heard = [notification.payload for notification in ear.notifies(timeout=10, stop_after=1)]
    assert heard == [hashlib.md5(b"a", usedforsecurity=False).hexdigest()]  # nobody waits for b
    assert askers.ask(other, "a", "b") == [LEAVE, LEAVE]


def test_a_spoiled_result_is_no_answer_but_another_of_its_key_is(askers: Askers, world: World) -> None:
    one, other = askers.queued(), askers.queued()
    with world.core.database.connection() as connection:
        connection.execute(SQL.apply, (put(one, "a", at=1),))
        connection.execute(SQL.apply, (put(other, "a", at=2),))
    asker = askers.queued()
    assert askers.ask(asker, "a") == [Hit(Output(1), other, "cold")]
    assert askers.ask(asker, "a", spoiled=[("b", other)]) == [Hit(Output(1), other, "cold")]
    assert askers.ask(asker, "a", spoiled=[("a", other)]) == [Hit(Output(1), one, "cold")]
    assert askers.ask(asker, "a", spoiled=[("a", None)]) == [LEAVE]
    assert askers.ask(asker, "a", spoiled=[("a", other), ("a", one)]) == [LEAVE]


async def test_a_result_that_lands_while_leave_is_given_is_the_answer(askers: Askers, world: World) -> None:
    maker, asker = askers.queued(), askers.queued()
    assert askers.ask(maker, "a") == [LEAVE]
    with world.core.database.transaction() as connection:
        connection.execute(SQL.apply, (put(maker, "a"),))
        # looks, sees no result yet, and comes to wait for the flight that is being taken away
        asking = asyncio.create_task(world.core.database.call(askers.ask, asker, "a", "b"))
        await asyncio.sleep(0.5)  # the time itself is the subject: it is not answered meanwhile
        assert not asking.done()
    assert await asking == [Hit(Output(1), maker, "cold"), LEAVE]
    assert askers.ask(maker, "a", spoiled=[("a", None)]) == [LEAVE]  # and the leave that was given too much is gone


async def test_of_many_that_ask_at_once_one_has_leave(askers: Askers) -> None:
    """The first is answered on the loop's own connection, the others meanwhile on those of threads."""
    runs = [askers.queued() for _ in range(20)]
    answers = await asyncio.gather(*(askers.tier.ask("t", run_id, [run_id], [question("a")]) for run_id in runs))
    askers.tier.close()
    assert sorted(map(repr, chain.from_iterable(answers))) == sorted([repr(LEAVE), *[repr(Taken())] * 19])


async def test_it_answers_also_when_the_connection_was_lost(askers: Askers, database_url: str) -> None:
    run_id = askers.queued()
    for key in ("a", "b", "c"):
        assert await askers.tier.ask("t", run_id, [run_id], [question(key)]) == [LEAVE]
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(SQL.terminate_others)
    askers.tier.close()


async def test_both_ways_to_ask_answer_alike(askers: Askers, world: World) -> None:
    maker, run_id, other = askers.queued(), askers.queued(), askers.queued()
    with world.core.database.connection() as connection:
        connection.execute(SQL.apply, (put(maker, "hit"),))
    askers.ask(other, "taken")
    for spoiled in ([], [("hit", maker)], [("hit", None)], [("hit", None), ("else", other)]):
        asked = ("t", run_id, [run_id, maker], [question(key) for key in ("new", "hit", "taken")], spoiled)
        answers = await askers.tier.ask(*asked)
        assert answers == askers.tier.consult(*asked)
        assert isinstance(answers[1], Granted if spoiled else Hit)
        assert answers[::2] == [LEAVE, Taken()]
    askers.tier.close()
