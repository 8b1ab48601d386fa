"""The process's connections: what they are told, and how soon they are back after an outage."""

import asyncio
import threading
import time
from collections.abc import Awaitable
from importlib.resources import files

import psycopg
import pytest

from orchestrator.postgres.database import Connection, Database
from orchestrator.postgres.embedded import EmbeddedPostgres
from orchestrator.postgres.migrate import migrate
from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable
from tests.integration.eventstore.logs import append, new_stream, open_database, open_log, workers_of

SQL = load_sql(__file__)
BACK_AGAIN_SECONDS = 2.0


def test_a_statement_that_takes_too_long_is_ended(database_url: str) -> None:
    with open_database(database_url, statement_timeout_ms=200) as database, database.connection() as connection:
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="statement timeout"):
            connection.execute(SQL.sleep)
        assert time.monotonic() - started < 4


def test_the_whole_connection_string_is_used(database_url: str) -> None:
    joint = "&" if "?" in database_url else "?"
    url = f"{database_url}{joint}application_name=painter"
    with open_database(url) as database, database.connection() as connection:
        assert connection.execute(SQL.application).fetchone() == {"name": "painter"}


def test_statements_commit_by_themselves_and_transactions_together(database_url: str) -> None:
    with open_database(database_url) as database:
        with database.connection() as connection:
            assert connection.autocommit
        with database.transaction() as connection:
            assert connection.info.transaction_status.name == "INTRANS"


def test_a_connection_that_is_lost_within_a_transaction_is_known_for_what_it_is_at_once(database_url: str) -> None:
    """And not only at its end: what comes in between may take the driver's error for the statement's fault."""
    with open_database(database_url) as database, psycopg.connect(database_url, autocommit=True) as killer:

        def lose(statement: str) -> None:
            with database.transaction() as connection:
                connection.execute(SQL.one)
                killer.execute(SQL.terminate, (connection.info.backend_pid,))
                with pytest.raises(DatabaseUnavailable):
                    connection.execute(statement)
                raise ZeroDivisionError

        for statement in (SQL.one, SQL.application):
            with pytest.raises(ZeroDivisionError):
                lose(statement)
        with database.connection() as connection:
            assert connection.execute(SQL.one).fetchone() == {"one": 1}


async def hold_connections(database: Database, count: int) -> None:
    """Use so many connections at once that the pool has as many idle ones afterwards."""
    together = threading.Barrier(count)

    def hold() -> None:
        with database.connection() as connection:
            connection.execute(SQL.one)
            together.wait(20)

    await asyncio.gather(*(database.call(hold) for _ in range(count)))


async def test_a_question_is_asked_again_until_it_is_answered(database_url: str) -> None:
    with open_database(database_url) as database:
        await hold_connections(database, 8)
        with psycopg.connect(database_url, autocommit=True) as killer:
            killer.execute(SQL.terminate_others)

        def question(connections: list[Connection]) -> object:
            with database.connection() as connection:
                connections.append(connection)
                return connection.execute(SQL.one).fetchone()

        tries: list[Connection] = []
        assert await database.ask(question, tries) == {"one": 1}
        assert len(tries) <= 3, "one broken connection is enough to look at all of them"


async def test_a_question_is_asked_again_though_the_pool_was_never_used(database_url: str) -> None:
    database = Database(database_url)
    answers = iter([DatabaseUnavailable("not yet"), "now"])

    def answer() -> str:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    try:
        assert await database.ask(answer) == "now"
    finally:
        database.close()


async def test_an_error_of_its_own_is_not_asked_again(database_url: str) -> None:
    with open_database(database_url) as database:
        tries = []

        def question() -> None:
            tries.append(1)
            with database.connection() as connection:
                connection.execute("no sql")

        with pytest.raises(Exception, match="syntax error"):
            await database.ask(question)
        assert tries == [1]


async def test_after_an_outage_appends_and_questions_go_on_at_once(own_postgres: EmbeddedPostgres) -> None:
    url = own_postgres.conninfo()
    migrate(url, [files("orchestrator.postgres") / "migrations"])
    with open_log(url) as log:
        database, stream = log.recorder._database, new_stream()
        await append(log, stream, 0, "before")
        await hold_connections(database, 6)
        own_postgres.kill_immediate()
        waiting: list[Awaitable[object]] = [
            asyncio.create_task(append(log, stream, 1, "during")),
            asyncio.create_task(database.ask(log.last_position)),
        ]
        with pytest.raises(DatabaseUnavailable):
            await database.call(log.last_position)
        # the time itself is the subject: a pool that doubles its pauses tries after 3 s, then after 7
        await asyncio.sleep(3.6)
        await asyncio.to_thread(own_postgres.revive)
        async with asyncio.timeout(BACK_AGAIN_SECONDS):
            await asyncio.gather(*waiting)
        assert workers_of(log.read(stream)) == ["before", "during"]
