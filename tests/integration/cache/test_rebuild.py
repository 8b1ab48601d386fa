"""The step cache follows from the log: made again from it, it is the same table, whatever happened."""

import asyncio
import random
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils import uuid7

from orchestrator.cache.catalogue import PruneLimits
from orchestrator.cache.rebuild import CacheFault, StepCacheRebuild
from orchestrator.domain.commands import (
    CancelRun,
    Command,
    CompleteRun,
    CompleteStep,
    FailRun,
    FailStep,
    ReuseResult,
    StartStep,
    TakeRun,
    TriggerRun,
)
from orchestrator.domain.decide import decide, decide_trigger
from orchestrator.domain.errors import CommandRefused
from orchestrator.domain.evolve import begin, evolve
from orchestrator.domain.output import Artifact, Output, StepError
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import CachePolicy, RetryPolicy
from orchestrator.postgres.sql import load_sql
from orchestrator.skills import skill
from orchestrator.workflows import define, step
from tests.world.core import World
from tests.world.work import at_work

SQL = load_sql(__file__)
TENANTS = ("one", "two")
WORKFLOWS = {
    name: define(
        name,
        "1",
        [
            step("a", "test.s", retry=RetryPolicy(max_attempts=2)),
            step("b", "test.s", ["a"], cache=CachePolicy(scope="run_only")),
            step("c", "test.s", ["a"], cache=False),
            step("d", "test.s"),
        ],
    )
    for name in ("w1", "w2")
}
VALUES = [None, 1.0, 1e20, -0.0, {"b": [1, "\u2028é"], "a": 5e-324}, "x" * 5000]


class Happenings:
    """Runs of two tenants that go on at random, and withdrawals in between."""

    def __init__(self, world: World, source: random.Random) -> None:
        self._core = world.core
        self._source = source
        self._runs: list[tuple[str, Run]] = []

    async def happen(self) -> None:
        match self._source.choices(["begin", "go on", "invalidate", "prune"], [3, 30, 1, 1])[0]:
            case "begin":
                await self._begin()
            case "go on" if self._runs:
                await self._go_on(*self._source.choice(self._runs))
            case "invalidate":
                await self._invalidate(self._source.choice(TENANTS))
            case "prune":
                await self._prune(self._source.choice(TENANTS))

    async def _begin(self) -> None:
        tenant, workflow = self._source.choice(TENANTS), self._source.choice(list(WORKFLOWS.values()))
        first = decide_trigger(TriggerRun(self._now(), "initial", {}), workflow)
        run = begin(str(uuid7()), workflow, first)
        await self._core.runs.save(run, [first], tenant=tenant, actor="test")
        self._runs.append((tenant, run))

    async def _go_on(self, tenant: str, run: Run) -> None:
        try:
            events = decide(self._command(run), run)
        except CommandRefused:
            return
        for event in events:
            evolve(run, event)
        await self._core.runs.save(run, events, tenant=tenant, actor="test")
        if run.is_finished:
            self._runs.remove((tenant, run))

    def _command(self, run: Run) -> Command:
        at, choose = self._now(), self._source.choice
        commands: list[Command] = (
            [TakeRun(at, choose(["v", "w"]))] if run.owner is None or choose([0] * 9 + [1]) else []
        )
        for name, attempt in run.executing.items():
            error = StepError("TEST", "no", retryable=choose([True, False, True]))
            output = Output(choose(VALUES), (Artifact("i", "t", "u", "h", 1),) if choose([0, 1]) else ())
            commands += [CompleteStep(at, name, attempt, output, f"hash {at}", 1.0)] * 3
            commands.append(FailStep(at, name, attempt, error, 1.0))
        for name in (*run.ready, *run.due):
            key = f"{run.workflow.name}:{name}:{choose('xyz')}"
            attempt = run.step(name).attempt + 1
            commands += [StartStep(at, name, attempt, f"test.s@{choose('12')}", "hash", key)] * 3
            commands.append(ReuseResult(at, name, "hash", key, Output(1), str(uuid7()), "cache"))
        commands += [CompleteRun(at), FailRun(at)] if not run.unfinished or run.failed_step else []
        commands += [CancelRun(at, None, "test")] if choose([0] * 19 + [1]) else []
        return choose(commands or [TakeRun(at, "w")])

    async def _invalidate(self, tenant: str) -> None:
        workflow, name, letter = (self._source.choice(words) for words in (["w1", "w2"], "abcd", "xyz"))
        chosen: dict[str, Any] = self._source.choice(
            [{"keys": [f"{workflow}:{name}:{letter}", "nothing"]}, {"workflow": workflow}]
            + [{"workflow": workflow, "step": name}] * 3
        )
        await self._core.cache.invalidate(tenant, "test", **chosen)

    async def _prune(self, tenant: str) -> None:
        limits = [
            PruneLimits(before=self._now() - 30),
            PruneLimits(entries=4),
            PruneLimits(bytes=6000),
            PruneLimits(self._now() - 50, 6, 9000),
        ]
        await self._core.cache.prune(tenant, "test", self._source.choice(limits))

    def _now(self) -> int:
        return self._core.log.last_position()


@pytest.fixture
async def registered(world: World) -> World:
    for tenant in TENANTS:
        for workflow in WORKFLOWS.values():
            await world.core.workflows.register(workflow, tenant=tenant, actor="test")
    return world


def rebuild_of(world: World) -> StepCacheRebuild:
    return StepCacheRebuild(world.core.database, world.core.log, world.core.workflows.get)


def contents(world: World) -> list[Any]:
    with psycopg.connect(world.core.database.conninfo) as connection:
        return connection.execute(SQL.contents).fetchall()


def change(world: World, statement: str) -> None:
    with psycopg.connect(world.core.database.conninfo, autocommit=True) as connection:
        assert connection.execute(statement).rowcount == 1


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_after_any_mixture_the_table_is_what_the_log_says(registered: World, seed: int) -> None:
    async def mix() -> None:
        history = Happenings(registered, random.Random(seed))
        for _ in range(120):
            await history.happen()

    asyncio.run(mix())
    assert rebuild_of(registered).verify() == []


def test_a_table_that_was_tampered_with_is_put_right(registered: World) -> None:
    async def mix() -> None:
        history = Happenings(registered, random.Random(5))
        for _ in range(300):
            await history.happen()

    asyncio.run(mix())
    right = contents(registered)
    assert len(right) > 5
    change(registered, SQL.delete_oldest)
    change(registered, SQL.alter_newest)
    change(registered, SQL.add_alien)
    rebuild = rebuild_of(registered)
    faults = rebuild.verify()
    assert sorted(fault.fault for fault in faults) == ["alien", "different", "missing"]
    assert CacheFault("alien", "one", "alien", "00000000-0000-0000-0000-000000000001") in faults
    assert rebuild.rebuild() == faults
    assert contents(registered) == right
    assert rebuild.verify() == []
    assert rebuild.rebuild() == []


def test_an_empty_table_is_filled_again(registered: World) -> None:
    async def mix() -> None:
        history = Happenings(registered, random.Random(6))
        for _ in range(300):
            await history.happen()

    asyncio.run(mix())
    right = contents(registered)
    with psycopg.connect(registered.core.database.conninfo, autocommit=True) as connection:
        connection.execute(SQL.forget)
    assert len(rebuild_of(registered).rebuild()) == len(right) > 5
    assert contents(registered) == right


async def test_what_is_put_right_reaches_the_quick_tiers(world: World) -> None:
    calls = 0

    @skill("test.s")
    async def count(given: dict[str, Any]) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        return {"call": calls}

    await world.register(define("test.one", "1", [step("a", "test.s")]))
    async with at_work(world.core, [count]):
        await world.run("test.one")
        change(world, SQL.alter_newest)
        await world.invalidate("unrelated")  # the quick tiers forget, and learn the altered result
        assert (await world.run("test.one")).step("a").output == Output("altered")
        await world.core.database.call(rebuild_of(world).rebuild)
        assert (await world.run("test.one")).step("a").output == Output({"call": 1})


async def test_workers_go_on_while_the_table_is_rebuilt(world: World) -> None:
    @skill("test.s")
    async def echo(given: dict[str, Any]) -> dict[str, Any]:
        return given

    await world.register(define("test.many", "1", [step("a", "test.s", input={"n": "trigger.n"})]))
    async with at_work(world.core, [echo]):
        running = asyncio.gather(*(world.run("test.many", {"n": number % 40}) for number in range(80)))
        rebuilds = 0
        while not running.done():
            assert await world.core.database.call(rebuild_of(world).rebuild) == []
            rebuilds += 1
        assert rebuilds > 0
        assert [run.status for run in await running] == ["completed"] * 80
    assert len(contents(world)) == 40
