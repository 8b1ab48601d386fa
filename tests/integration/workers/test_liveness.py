"""Who counts as alive: what is unknown does. Only a lease that ran out, or a process that has ended, proves a death."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.events import RunRecovered
from orchestrator.eventstore.listener import CHANNELS
from orchestrator.eventstore.sql import load_sql
from tests.integration.workers.site import Journal, Site, open_site, step, workflow

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


@pytest.fixture
def journal() -> Journal:
    return Journal()


def recoveries(site: Site, run_ids: list[str]) -> list[str]:
    return [run_id for run_id in run_ids for one in site.history(run_id) if isinstance(one.event, RunRecovered)]


async def test_a_worker_whose_sessions_another_role_cannot_see(
    database_url: str, tmp_path: Path, journal: Journal
) -> None:
    with (
        role(database_url) as other_url,
        open_site(database_url, tmp_path, **QUICK) as one,
        open_site(other_url, tmp_path, **QUICK) as other,
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
    with open_site(database_url, tmp_path, **QUICK) as one, open_site(database_url, tmp_path, **QUICK) as other:
        await one.register(SLOW)

        async def replace() -> None:
            while True:
                with psycopg.connect(database_url, autocommit=True) as connection, suppress(psycopg.Error):
                    connection.execute(SQL.terminate_others)
                await asyncio.sleep(0.4)

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
    with open_site(database_url, tmp_path, lease_seconds=1.5, heartbeat_seconds=0.3) as site:
        await site.register(SLOW)
        name = str(psycopg.conninfo.conninfo_to_dict(database_url)["dbname"])
        async with open_worker(site.core, journal.registry()) as worker:
            await worker.has_claimed()
            run_id = await site.trigger("slow")
            await journal.begun()
            with psycopg.connect(database_url, autocommit=True) as connection:
                alter = sql.SQL(SQL.turn_read_only).format(name=sql.Identifier(name))
                connection.execute(alter)
                connection.execute(SQL.terminate_others)
                async with asyncio.timeout(20):
                    while not journal.calls[0].cancelled:
                        await asyncio.sleep(0.01)
                row = connection.execute(SQL.lease_left).fetchone()
                assert row is not None
                assert row[0] > 0, "it stopped before its lease ended"
                connection.execute(SQL.writable_here)
                connection.execute(sql.SQL(SQL.turn_writable).format(name=sql.Identifier(name)))
                connection.execute(SQL.terminate_others)
            run = await site.finished(run_id)
        assert run.status == "completed"
        assert (run.step("a").attempt, run.step("a").lost) == (2, 1)


async def test_notifications_of_others_that_mean_nothing_end_no_duty(
    database_url: str, tmp_path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever may connect may notify."""
    with open_site(database_url, tmp_path) as site:
        await site.register(SLOW)
        async with open_worker(site.core, journal.registry()):
            with psycopg.connect(database_url, autocommit=True) as connection:
                for payload in ("rubbish", "-1", "9" * 60, "\u0663", "\ud7ff " * 500, "1e9"):
                    for channel in CHANNELS:
                        connection.execute(SQL.notify, (channel, payload))
            assert (await site.run("slow")).status == "completed"
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
