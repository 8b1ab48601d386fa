"""Ways to pull plugs while runs are under way. Each goes on for some seconds, then waits until every run is over
and returns what is wrong with the log: nothing, one hopes."""

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psycopg

from orchestrator.domain.events import RunRecovered, RunStarted
from orchestrator.postgres.embedded import EmbeddedPostgres
from orchestrator.postgres.sql import load_sql
from tests.chaos.fleet import LEASE_SECONDS, Fleet, WorkerProcess, open_fleet
from tests.chaos.ledger import Ledger, open_ledger
from tests.chaos.wire import Wire

_SQL = load_sql(__file__)
EVENTS_OF_A_CAMPAIGN = 29
"""RunTriggered, RunStarted, two for each of the 13 steps, RunCompleted."""

_AT_THE_ENDS = (1, EVENTS_OF_A_CAMPAIGN - 1, EVENTS_OF_A_CAMPAIGN)
"""Before there is an owner, and once the last append is written, there is nothing to take over."""

_LANES = 4  # runs at a time in `kill_after_events`
_TRIES = 6  # the next append, and the end, may be quicker than a kill
_MAX_EXTRA_SECONDS = 20.0  # a machine that is busy may need longer until something has happened


async def kill_after_events(database_url: str, folder: Path, versions: Sequence[int]) -> list[str]:
    """Kill -9 the owner of a run when its log reaches an event; one run for each event.

    A few runs are under way at a time, each on a worker of its own; one worker more stands by.
    """
    with (
        open_ledger(database_url, folder) as ledger,
        open_fleet(database_url, folder, step_seconds=0.08, max_runs=1) as fleet,
    ):
        await ledger.register()
        fleet.start(_LANES + 1)
        undisturbed = await ledger.trigger()
        await ledger.all_over()
        expected = ledger.outputs(undisturbed)
        disturbed: list[str] = []
        missed: list[int] = []

        async def lane(share: Sequence[int]) -> None:
            for version in share:
                for _ in range(_TRIES):
                    run_id = await ledger.trigger()
                    await ledger.reaches(run_id, version)
                    _kill_owner(fleet, ledger, run_id)
                    disturbed.append(run_id)
                    await asyncio.to_thread(fleet.launch().await_ready)
                    await ledger.all_over(run_id)
                    if ledger.takeovers(run_id) or version in _AT_THE_ENDS:
                        break
                else:
                    missed.append(version)

        await asyncio.gather(*(lane(versions[number::_LANES]) for number in range(_LANES)))
        different = [f"run {run_id} made something else" for run_id in disturbed if ledger.outputs(run_id) != expected]
        return [*ledger.faults(), *different, *_expect(not missed, f"nothing was taken over after {missed}")]


def _kill_owner(fleet: Fleet, ledger: Ledger, run_id: str) -> None:
    """Kill the process that owns a run, or any when none does yet."""
    owners = [one.event.worker for one in ledger.read(run_id) if isinstance(one.event, RunStarted | RunRecovered)]
    (fleet.owner(owners[-1]) if owners else next(worker for worker in fleet.alive if worker.id)).kill()


async def kill_and_freeze(database_url: str, folder: Path, chance: random.Random, seconds: float) -> list[str]:
    """Kill -9, SIGSTOP past the lease and SIGCONT, SIGTERM, over three workers."""
    with open_ledger(database_url, folder) as ledger, open_fleet(database_url, folder, step_seconds=0.05) as fleet:
        await ledger.register()
        fleet.start(3)
        thawing: set[asyncio.Task[None]] = set()
        zombies: set[str] = set()
        deadline = time.monotonic() + seconds
        async with ledger.feeding(chance):
            while time.monotonic() < deadline or (
                not ledger.taken_from(zombies) and time.monotonic() < deadline + _MAX_EXTRA_SECONDS
            ):
                await asyncio.sleep(chance.uniform(0.1, 0.5))
                awake = [worker for worker in fleet.alive if worker.id and not worker.frozen]
                if len(awake) < 2:
                    continue
                victim, blow = chance.choice(awake), chance.choice(("kill", "freeze", "freeze", "end"))
                if blow == "freeze":
                    zombies.add(victim.id)
                    victim.freeze()
                    thawing.add(asyncio.create_task(_thaw_later(victim, chance.uniform(0.8, 2.5) * LEASE_SECONDS)))
                    continue
                if blow == "kill":
                    victim.kill()
                else:
                    victim.ask_to_end()
                await asyncio.to_thread(fleet.launch().await_ready)
        await asyncio.gather(*thawing)
        await ledger.all_over()
        return [
            *ledger.faults(zombies=True),
            *_expect(ledger.taken_from(zombies) > 0, "no frozen worker was ever taken for dead"),
        ]


async def _thaw_later(worker: WorkerProcess, seconds: float) -> None:
    await asyncio.sleep(seconds)
    worker.thaw()


async def crash_postgres(folder: Path, chance: random.Random, seconds: float) -> list[str]:
    """Stop Postgres in immediate mode and start it again, also while workers recover; kill connections in between."""
    with EmbeddedPostgres(folder) as server:
        url = server.conninfo()
        with open_ledger(url, folder) as ledger, open_fleet(url, folder) as fleet:
            await ledger.register()
            fleet.start(2)
            deadline = time.monotonic() + seconds
            crashes = 0
            async with ledger.feeding(chance):
                while time.monotonic() < deadline or not crashes:
                    await asyncio.sleep(chance.choice((0.02, 0.1, 0.3, 1.0)))
                    if chance.random() < 0.5:
                        fresh = fleet.launch()
                        chance.choice([worker for worker in fleet.alive if worker.id]).kill()
                        await asyncio.to_thread(fresh.await_ready)
                    for _ in range(chance.randrange(4)):
                        await asyncio.to_thread(_cut_one, url)
                    await asyncio.to_thread(server.kill_immediate)
                    await asyncio.sleep(chance.uniform(0.0, 0.3))
                    await asyncio.to_thread(server.restart)
                    crashes += 1
            await ledger.all_over()
            return ledger.faults()


async def cut_connections(database_url: str, folder: Path, chance: random.Random, seconds: float) -> list[str]:
    """A stream of pg_terminate_backend."""
    with open_ledger(database_url, folder) as ledger, open_fleet(database_url, folder) as fleet:
        await ledger.register()
        fleet.start(2)
        deadline = time.monotonic() + seconds
        cut = 0
        async with ledger.feeding(chance):
            while time.monotonic() < deadline or cut < 5:
                cut += await asyncio.to_thread(_cut_one, database_url)
                await asyncio.sleep(chance.uniform(0.0, 0.1))
        await ledger.all_over()
        return ledger.faults()


def _cut_one(database_url: str) -> int:
    """Terminate a backend; returns how many that was."""
    with suppress(psycopg.OperationalError), psycopg.connect(database_url, autocommit=True) as connection:
        return connection.execute(_SQL.cut_one).rowcount
    return 0


async def lose_answers(database_url: str, folder: Path, chance: random.Random, seconds: float) -> list[str]:
    """Drop the workers' connections around commits: before a statement arrives, or with its answer."""
    with (
        open_ledger(database_url, folder) as ledger,
        Wire(database_url, folder, chance, likelihood=0.03) as wire,
        open_fleet(wire.url, folder) as fleet,
    ):
        await ledger.register()
        fleet.start(2)
        deadline = time.monotonic() + seconds
        async with ledger.feeding(chance):
            while time.monotonic() < deadline or (
                min(wire.dropped_before, wire.dropped_after) <= 3 and time.monotonic() < deadline + _MAX_EXTRA_SECONDS
            ):
                await asyncio.sleep(0.05)
        wire.calm = True
        await ledger.all_over()
        dropped = min(wire.dropped_before, wire.dropped_after)
        return [*ledger.faults(), *_expect(dropped > 3, f"only {dropped} connections were dropped")]


async def race_cancels(database_url: str, folder: Path, chance: random.Random, seconds: float) -> list[str]:
    """Cancel runs that complete, wait for a retry or are taken over, and change others meanwhile."""
    with open_ledger(database_url, folder) as ledger, open_fleet(database_url, folder) as fleet:
        await ledger.register()
        fleet.start(2)
        deadline = time.monotonic() + seconds
        cancelled = updated = 0
        async with ledger.feeding(chance):
            while time.monotonic() < deadline or (
                not (cancelled and updated) and time.monotonic() < deadline + _MAX_EXTRA_SECONDS
            ):
                await asyncio.sleep(chance.uniform(0.0, 0.1))
                if chance.random() < 0.1:
                    fresh = fleet.launch()
                    chance.choice([worker for worker in fleet.alive if worker.id]).kill()
                    await asyncio.to_thread(fresh.await_ready)
                if (left := ledger.under_way()) and chance.random() < 0.5:
                    cancelled += await ledger.cancel(_nearly_over(ledger, left) if chance.random() < 0.5 else left[0])
                if (done := ledger.completed()) and chance.random() < 0.3:
                    run_id = await ledger.update(chance.choice(done), seed=chance.randrange(10**9))
                    updated += 1
                    if chance.random() < 0.5:
                        await asyncio.sleep(chance.uniform(0.0, 0.2))
                        cancelled += await ledger.cancel(run_id)
        await ledger.all_over()
        return [*ledger.faults(), *_expect(bool(cancelled and updated), f"{cancelled} cancelled, {updated} updated")]


def _nearly_over(ledger: Ledger, runs: list[str]) -> str:
    return max(runs, key=lambda run_id: len(ledger.history.get(run_id, [])))


def _expect(held: bool, otherwise: str) -> list[str]:
    """A storm that did nothing has shown nothing."""
    return [] if held else [otherwise]
