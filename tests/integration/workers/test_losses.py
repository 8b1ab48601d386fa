"""A run that takes its workers down is counted, kept away from others, and failed in the end."""

import asyncio
from dataclasses import replace

from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.commands import CompleteStep, StartStep, TakeRun
from orchestrator.domain.decide import decide
from orchestrator.domain.evolve import evolve
from orchestrator.domain.output import Output
from orchestrator.eventstore.runs import LoadedRun
from orchestrator.postgres.sql import load_sql
from orchestrator.workers.claims import Claims
from orchestrator.workers.driver import MAX_LOSSES
from orchestrator.workers.worker import new_identity
from tests.world.core import World
from tests.world.work import Journal
from tests.world.workflows import step, workflow

SQL = load_sql(__file__)
TWO = workflow("two", step("a"), step("b", "a"))


class Doomed:
    """Workers that claim and then die, one after the other."""

    def __init__(self, world: World) -> None:
        self._world = world

    def claims(self) -> Claims:
        core = self._world.core
        identity = replace(new_identity(60), process=None)
        return Claims(core.database, core.log.mapper, core.runs, identity)

    async def claim(self) -> tuple[Claims, list[LoadedRun]]:
        claims = self.claims()
        await claims.beat(["test.work"])
        return claims, (await claims.claim(100, ["test.work"])).runs

    async def die(self, claims: Claims) -> None:
        with self._world.core.database.connection() as connection:
            connection.execute(SQL.lose_worker, {"id": claims._worker.id})
        survivor = self.claims()
        await survivor.beat([])
        await survivor.sweep()

    async def claim_and_die(self) -> list[LoadedRun]:
        claims, runs = await self.claim()
        await self.die(claims)
        return runs


def losses(world: World) -> dict[str, int]:
    with world.core.database.connection() as connection:
        return {row["run_id"]: row["losses"] for row in connection.execute(SQL.losses).fetchall()}


async def get_on(world: World, loaded: LoadedRun) -> None:
    """Complete the first step."""
    run, events = loaded.run, []
    for command in (
        TakeRun(1, "doomed"),
        StartStep(1, "a", 1, "test.work@1", "hash", "key"),
        CompleteStep(2, "a", 1, Output({"made": "a"}), "hash", 1.0),
    ):
        for event in decide(command, run):
            evolve(run, event)
            events.append(event)
    await world.core.runs.save(run, events, tenant="default", actor="doomed")


async def test_a_run_that_loses_worker_after_worker_before_its_first_event_fails(
    world: World, journal: Journal
) -> None:
    await world.register(TWO)
    run_id = await world.trigger("two")
    doomed = Doomed(world)
    for number in range(1, MAX_LOSSES + 1):
        assert [loaded.run.id for loaded in await doomed.claim_and_die()] == [run_id]
        assert losses(world) == {run_id: number}
    async with open_worker(world.core, journal.registry()):
        run = await world.finished(run_id)
    assert (run.status, run.failed_step) == ("failed", "a")
    assert run.error is not None
    assert (run.error.code, run.error.retryable) == ("WORKER_LOST", False)
    assert journal.calls == [], "nothing of it was touched"


async def test_a_run_that_gets_on_in_between_is_not_suspected(world: World, journal: Journal) -> None:
    await world.register(TWO)
    run_id = await world.trigger("two")
    doomed = Doomed(world)
    for _ in range(3):
        await doomed.claim_and_die()
    claims, (loaded,) = await doomed.claim()
    await get_on(world, loaded)
    await doomed.die(claims)
    assert losses(world) == {run_id: 1}
    async with open_worker(world.core, journal.registry()):
        assert (await world.finished(run_id)).status == "completed"


async def test_suspects_are_claimed_one_at_a_time_and_others_beside_them(world: World) -> None:
    await world.register(TWO)
    suspects = {await world.trigger("two") for _ in range(3)}
    doomed = Doomed(world)
    for _ in range(3):
        assert {loaded.run.id for loaded in await doomed.claim_and_die()} == suspects
    others = {await world.trigger("two") for _ in range(4)}
    claims, runs = await doomed.claim()
    claimed = {loaded.run.id for loaded in runs}
    assert len(claimed & suspects) == 1
    assert claimed >= others
    assert (await claims.claim(100, ["test.work"])).runs == []
    (suspect,) = (loaded for loaded in runs if loaded.run.id in suspects)
    await get_on(world, suspect)
    assert len((await claims.claim(100, ["test.work"])).runs) == 1, "the next one, since that one got on"


async def test_two_that_sweep_at_once_count_a_loss_once(world: World) -> None:
    await world.register(TWO)
    run_ids = [await world.trigger("two") for _ in range(20)]
    doomed = Doomed(world)
    claims, _ = await doomed.claim()
    with world.core.database.connection() as connection:
        connection.execute(SQL.lose_worker, {"id": claims._worker.id})
    survivors = [doomed.claims() for _ in range(4)]
    freed = await asyncio.gather(*(survivor.sweep() for survivor in survivors))
    assert sum(freed) == 20
    assert losses(world) == dict.fromkeys(run_ids, 1)
