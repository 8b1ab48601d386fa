"""Ways to pull plugs while runs are under way. Each goes on for some seconds, then waits until every run is over
and returns what is wrong with the log: nothing, one hopes."""

import asyncio
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psycopg

from orchestrator.domain.events import RunRecovered, RunStarted
from orchestrator.eventstore.embedded import EmbeddedPostgres
from orchestrator.eventstore.sql import load_sql
from tests.chaos.fleet import LEASE_SECONDS, Fleet, WorkerProcess, open_fleet
from tests.chaos.ledger import MOODY, STEADY, Ledger, open_ledger
from tests.chaos.wire import Wire

_SQL = load_sql(__file__)
EVENTS_OF_A_CAMPAIGN = 29
"""RunTriggered, RunStarted, two for each of the 13 steps, RunCompleted."""

_MOST_EXTRA_SECONDS = 20.0  # a machine that is busy may need longer until something has happened


async def kill_after_events(database_url: str, folder: Path, versions: Sequence[int]) -> list[str]:
    """Kill -9 the owner of a run when its log reaches an event; one run for each event."""
    with open_ledger(database_url, folder) as ledger, open_fleet(database_url, folder, step_seconds=0.01) as fleet:
        await ledger.register()
        fleet.start(3)
        for version in versions:
            run_id = await ledger.trigger(seed=version)
            await ledger.reaches(run_id, version)
            _kill_owner(fleet, ledger, run_id)
            fresh = fleet.launch()
            await ledger.all_over()
            await asyncio.to_thread(fresh.await_ready)
        return [*ledger.faults(), *_expect(ledger.takeovers() >= len(versions) // 2, "hardly anything was taken over")]


def _kill_owner(fleet: Fleet, ledger: Ledger, run_id: str) -> None:
    """Kill the process that owns a run, or any when none does yet."""
    owners = [one.event.worker for one in ledger.read(run_id) if isinstance(one.event, RunStarted | RunRecovered)]
    (fleet.owner(owners[-1]) if owners else next(worker for worker in fleet.alive if worker.id)).kill()


async def kill_and_freeze(database_url: str, folder: Path, chance: random.Random, seconds: float) -> list[str]:
    """Kill -9, SIGSTOP past the lease and SIGCONT, SIGTERM, over three workers."""
    with (
        open_ledger(database_url, folder) as ledger,
        open_fleet(database_url, folder, step_seconds=0.05) as fleet,
        ThreadPoolExecutor() as threads,
    ):
        await ledger.register()
        fleet.start(3)
        deadline = time.monotonic() + seconds
        feeding = asyncio.create_task(_feed(ledger, chance, deadline + _MOST_EXTRA_SECONDS))
        thawing: set[asyncio.Task[None]] = set()
        while time.monotonic() < deadline or (not ledger.takeovers() and not feeding.done()):
            await asyncio.sleep(chance.uniform(0.1, 0.6))
            awake = [worker for worker in fleet.alive if worker.id and not worker.frozen]
            if len(awake) < 2:
                continue
            victim, blow = chance.choice(awake), chance.choice(("kill", "freeze", "freeze", "end"))
            if blow == "freeze":
                victim.freeze()
                thawing.add(asyncio.create_task(_thaw_later(victim, chance.uniform(0.5, 2.5) * LEASE_SECONDS)))
                continue
            threads.submit(fleet.launch().await_ready)
            if blow == "kill":
                victim.kill()
            else:
                victim.ask_to_end()
            ledger.follow()
        feeding.cancel()
        await asyncio.gather(feeding, *thawing, return_exceptions=True)
        await ledger.all_over()
        return [*ledger.faults(), *_expect(ledger.takeovers() > 0, "nothing was ever taken over")]


async def _thaw_later(worker: WorkerProcess, seconds: float) -> None:
    await asyncio.sleep(seconds)
    worker.thaw()


async def crash_postgres(folder: Path, chance: random.Random, seconds: float) -> list[str]:
    """Stop Postgres in immediate mode and start it again, and kill connections and a worker in between."""
    with EmbeddedPostgres(folder) as server:
        url = server.conninfo()
        with open_ledger(url, folder) as ledger, open_fleet(url, folder) as fleet:
            await ledger.register()
            fleet.start(2)
            deadline = time.monotonic() + seconds
            feeding = asyncio.create_task(_feed(ledger, chance, deadline))
            crashes = 0
            while time.monotonic() < deadline:
                await asyncio.sleep(chance.uniform(0.2, 1.0))
                if chance.random() < 0.3:
                    fresh = fleet.launch()
                    chance.choice([worker for worker in fleet.alive if worker.id]).kill()
                    await asyncio.to_thread(fresh.await_ready)
                for _ in range(chance.randrange(6)):
                    await asyncio.to_thread(_cut_one, url)
                    await asyncio.sleep(chance.uniform(0.0, 0.1))
                await asyncio.to_thread(server.kill_immediate)
                await asyncio.sleep(chance.uniform(0.0, 0.5))
                await asyncio.to_thread(server.restart)
                crashes += 1
            await feeding
            await ledger.all_over()
            return [*ledger.faults(), *_expect(crashes > 0, "the server never crashed")]


async def cut_connections(database_url: str, folder: Path, chance: random.Random, seconds: float) -> list[str]:
    """A stream of pg_terminate_backend."""
    with open_ledger(database_url, folder) as ledger, open_fleet(database_url, folder) as fleet:
        await ledger.register()
        fleet.start(2)
        deadline = time.monotonic() + seconds
        feeding = asyncio.create_task(_feed(ledger, chance, deadline))
        while time.monotonic() < deadline:
            await asyncio.to_thread(_cut_one, database_url)
            await asyncio.sleep(chance.uniform(0.0, 0.15))
        await feeding
        await ledger.all_over()
        return ledger.faults()


def _cut_one(database_url: str) -> None:
    with suppress(psycopg.OperationalError), psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(_SQL.cut_one)


async def lose_answers(database_url: str, folder: Path, chance: random.Random, seconds: float) -> list[str]:
    """Drop the workers' connections around commits: before a statement arrives, or with its answer."""
    with (
        open_ledger(database_url, folder) as ledger,
        Wire(database_url, folder, chance, likelihood=0.03) as wire,
        open_fleet(wire.url, folder) as fleet,
    ):
        await ledger.register()
        fleet.start(2)
        await _feed(ledger, chance, time.monotonic() + seconds)
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
        feeding = asyncio.create_task(_feed(ledger, chance, deadline))
        cancelled = refused = 0
        while time.monotonic() < deadline:
            await asyncio.sleep(chance.uniform(0.0, 0.05))
            if chance.random() < 0.03:
                fresh = fleet.launch()
                chance.choice([worker for worker in fleet.alive if worker.id]).kill()
                await asyncio.to_thread(fresh.await_ready)
            left = ledger.under_way()
            if left:
                accepted = await ledger.cancel(_nearly_over(ledger, left) if chance.random() < 0.5 else left[0])
                cancelled, refused = cancelled + accepted, refused + (not accepted)
            done = ledger.completed()
            if done and chance.random() < 0.2:
                run_id = await ledger.update(chance.choice(done), seed=chance.randrange(10**9))
                if chance.random() < 0.3:
                    await asyncio.sleep(chance.uniform(0.0, 0.2))
                    await ledger.cancel(run_id)
        await feeding
        await ledger.all_over()
        return [*ledger.faults(), *_expect(cancelled > 0, "nothing was cancelled")]


def _nearly_over(ledger: Ledger, runs: list[str]) -> str:
    return max(runs, key=lambda run_id: len(ledger.history.get(run_id, [])))


async def _feed(ledger: Ledger, chance: random.Random, deadline: float) -> None:
    """Ask for runs, some of the same content, but never for more than a few at a time."""
    while time.monotonic() < deadline:
        if len(ledger.under_way()) < 6:
            await ledger.trigger(chance.choice((STEADY, MOODY)), seed=chance.randrange(1000))
        await asyncio.sleep(chance.uniform(0.0, 0.1))


def _expect(held: bool, otherwise: str) -> list[str]:
    """A storm that did nothing has shown nothing."""
    return [] if held else [otherwise]
