"""Who counts as alive: what is unknown does. Only a lease that ran out, or a process that has ended, proves a death."""

import asyncio
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from orchestrator import StepContext, skill
from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.events import RunRecovered
from orchestrator.postgres.listener import CHANNELS
from orchestrator.postgres.sql import load_sql
from orchestrator.skills import SkillRegistry
from tests.waiting import until
from tests.world.core import World, open_world
from tests.world.work import Journal
from tests.world.workflows import step, workflow

SQL = load_sql(__file__)
SLOW = workflow("slow", step("a", ms="`2500`"), step("b", "a"))
QUICK = {"lease_seconds": 2.0, "heartbeat_seconds": 0.3}


@contextmanager
def role(database_url: str) -> Iterator[str]:
    """A database role with no more than it needs, and the connection string of it."""
    name = f"role_{uuid4().hex[:12]}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        for statement in (
            SQL.create_role,
            SQL.grant_schema,
            SQL.grant_tables,
            SQL.grant_functions,
            SQL.grant_sequences,
        ):
            connection.execute(sql.SQL(statement).format(role=sql.Identifier(name)))
        yield database_url.replace("postgresql://orchestrator@", f"postgresql://{name}@")
        for statement in (SQL.drop_owned, SQL.drop_role):
            connection.execute(sql.SQL(statement).format(role=sql.Identifier(name)))


@contextmanager
def no_heartbeats(database_url: str) -> Iterator[None]:
    """Heartbeats of the workers there are wait, and nothing else does."""
    with psycopg.connect(database_url) as connection:
        connection.execute(SQL.hold_heartbeats)
        yield


def recoveries(world: World, run_ids: list[str]) -> list[str]:
    return [run_id for run_id in run_ids for one in world.history(run_id) if isinstance(one.event, RunRecovered)]


async def test_a_worker_whose_sessions_another_role_cannot_see(
    database_url: str, tmp_path: Path, journal: Journal
) -> None:
    with (
        role(database_url) as other_url,
        open_world(database_url, tmp_path, **QUICK) as one,
        open_world(other_url, tmp_path, **QUICK) as other,
    ):
        await one.register(SLOW)
        async with open_worker(one.core, journal.registry()) as worker:
            await worker.has_claimed()
            run_ids = [await one.trigger("slow") for _ in range(4)]
            await journal.begun(4)
            async with open_worker(other.core, journal.registry()):
                runs = await one.all_finished(run_ids)
        assert {run.status for run in runs} == {"completed"}
        assert recoveries(one, run_ids) == []
        assert len(journal.calls) == 8


async def test_a_worker_whose_connections_are_replaced_again_and_again(
    database_url: str, tmp_path: Path, journal: Journal
) -> None:
    """As a pooler does; its heartbeats go on over new ones."""
    with open_world(database_url, tmp_path, **QUICK) as one, open_world(database_url, tmp_path, **QUICK) as other:
        await one.register(SLOW)

        async def replace() -> None:
            while True:
                with psycopg.connect(database_url, autocommit=True) as connection, suppress(psycopg.Error):
                    connection.execute(SQL.terminate_others)
                await asyncio.sleep(0.4)  # the time itself is the subject: the pace of the replacing

        async with open_worker(one.core, journal.registry()) as worker, open_worker(other.core, journal.registry()):
            await worker.has_claimed()
            run_ids = [await one.trigger("slow") for _ in range(4)]
            await journal.begun(4)
            replacing = asyncio.create_task(replace())
            runs = await one.all_finished(run_ids)
            replacing.cancel()
        assert {run.status for run in runs} == {"completed"}
        assert recoveries(one, run_ids) == []
        assert len(journal.calls) == 8


async def test_a_worker_that_cannot_write_heartbeats_stops_in_time_and_goes_on_later(
    database_url: str, tmp_path: Path, journal: Journal
) -> None:
    with open_world(database_url, tmp_path, lease_seconds=1.5, heartbeat_seconds=0.3) as world:
        await world.register(SLOW)
        name = str(psycopg.conninfo.conninfo_to_dict(database_url)["dbname"])
        async with open_worker(world.core, journal.registry()) as worker:
            await worker.has_claimed()
            run_id = await world.trigger("slow")
            await journal.begun()
            with psycopg.connect(database_url, autocommit=True) as connection:
                alter = sql.SQL(SQL.turn_read_only).format(name=sql.Identifier(name))
                connection.execute(alter)
                connection.execute(SQL.terminate_others)
                await until(lambda: journal.calls[0].cancelled, 20, "it has stopped")
                row = connection.execute(SQL.lease_left).fetchone()
                assert row is not None
                assert row[0] > 0, "it stopped before its lease ended"
                connection.execute(SQL.writable_here)
                connection.execute(sql.SQL(SQL.turn_writable).format(name=sql.Identifier(name)))
                connection.execute(SQL.terminate_others)
            run = await world.finished(run_id)
        assert run.status == "completed"
        assert (run.step("a").attempt, run.step("a").lost) == (2, 1)


async def test_a_worker_whose_lease_has_lapsed_takes_no_run(
    database_url: str, tmp_path: Path, journal: Journal
) -> None:
    """The database answers everything but heartbeats: what it gave back may be executed by others from now on."""
    with open_world(database_url, tmp_path, **QUICK) as world:
        await world.register(SLOW)
        async with open_worker(world.core, journal.registry()) as worker:
            await worker.has_claimed()
            first = await world.trigger("slow")
            await journal.begun()
            with no_heartbeats(database_url):
                await until(lambda: journal.calls[0].cancelled)
                second = await world.trigger("slow")
                # the time itself is the subject: nothing is taken meanwhile
                await asyncio.sleep(4 * QUICK["heartbeat_seconds"])
                assert world.queue()[second] is None
                assert len(journal.calls) == 1
            runs = await world.all_finished([first, second])
        assert {run.status for run in runs} == {"completed"}
        assert len(journal.calls) == 5, "one attempt was lost"


async def test_a_worker_whose_first_heartbeat_is_not_written_takes_no_run(
    database_url: str, tmp_path: Path, journal: Journal
) -> None:
    """Others would take its runs at once: they know nothing of it."""
    with open_world(database_url, tmp_path, **QUICK) as world:
        await world.register(SLOW)
        waiting = await world.trigger("slow")
        with psycopg.connect(database_url) as connection:
            connection.execute(SQL.lock_workers)
            async with open_worker(world.core, journal.registry()):
                # the time itself is the subject: nothing is taken meanwhile
                await asyncio.sleep(4 * QUICK["heartbeat_seconds"])
                second = await world.trigger("slow")
                # the time itself is the subject: nothing is taken meanwhile
                await asyncio.sleep(2 * QUICK["heartbeat_seconds"])
                assert world.queue() == {waiting: None, second: None}
                assert journal.calls == []
                connection.rollback()
                runs = await world.all_finished([waiting, second])
        assert {run.status for run in runs} == {"completed"}
        assert len(journal.calls) == 4


async def test_a_run_that_somebody_holds_does_not_hold_up_heartbeats(
    database_url: str, tmp_path: Path, journal: Journal
) -> None:
    with open_world(database_url, tmp_path, **QUICK) as world:
        await world.register(SLOW)
        async with open_worker(world.core, journal.registry()) as worker:
            await worker.has_claimed()
            held = await world.trigger("slow")
            await journal.begun()
            with psycopg.connect(database_url) as connection:
                connection.execute(SQL.orphan, (held,))
                connection.commit()
                connection.execute(SQL.hold_run, (held,))
                mine = await world.trigger("slow")
                assert (await world.finished(mine)).status == "completed"
        assert [call.cancelled for call in journal.calls if call.run == mine] == [False, False]


async def test_a_thread_that_is_not_through_yet_is_not_begun_again(database_url: str, tmp_path: Path) -> None:
    """Nobody can stop a thread from outside, so its run stays here until it has stopped."""
    executed: list[list[float]] = []

    @skill("test.work")
    def stubborn(_input: dict[str, Any], ctx: StepContext) -> int:
        executed.append([time.monotonic(), math.inf])
        ctx.wait(60 if ctx.attempt == 1 else 0.1)
        time.sleep(1.5 if ctx.attempt == 1 else 0)
        executed[-1][1] = time.monotonic()
        return ctx.attempt

    with open_world(database_url, tmp_path, **QUICK) as world:
        await world.register(workflow("thread", step("a")))
        async with open_worker(world.core, SkillRegistry([stubborn])) as worker:
            await worker.has_claimed()
            run_id = await world.trigger("thread")
            await until(lambda: len(executed) == 1)
            with no_heartbeats(database_url):
                await asyncio.sleep(0.9 * QUICK["lease_seconds"])  # the time itself is the subject: most of a lease
            run = await world.finished(run_id)
    assert (run.status, run.step("a").attempt) == ("completed", 2)
    first, second = executed
    assert first[1] <= second[0]


async def test_a_worker_that_ends_while_a_thread_does_not_keeps_its_run_until_its_lease_has_ended(
    database_url: str, tmp_path: Path
) -> None:
    go_on = threading.Event()

    @skill("test.work")
    def stubborn() -> str:
        go_on.wait(30)
        return "late"

    with open_world(database_url, tmp_path, shutdown_grace_seconds=0.1, max_runs=1, **QUICK) as world:
        await world.register(workflow("thread", step("a")))
        async with open_worker(world.core, SkillRegistry([stubborn])) as worker:
            await worker.has_claimed()
            run_id = await world.trigger("thread")
            await until(lambda: "StepStarted a" in world.events(run_id))
        assert world.queue() == {run_id: worker.identity.id}
        async with open_worker(world.core, Journal().registry()):
            run = await world.finished(run_id)
        go_on.set()
    assert (run.status, run.step("a").attempt) == ("completed", 2)


async def test_notifications_of_others_that_mean_nothing_end_no_duty(
    database_url: str, tmp_path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever may connect may notify."""
    with open_world(database_url, tmp_path) as world:
        await world.register(SLOW)
        async with open_worker(world.core, journal.registry()):
            with psycopg.connect(database_url, autocommit=True) as connection:
                for payload in ("rubbish", "-1", "9" * 60, "\u0663", "\ud7ff " * 500, "1e9"):
                    for channel in CHANNELS:
                        connection.execute(SQL.notify, (channel, payload))
            assert (await world.run("slow")).status == "completed"
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
