"""Statements whose answers the loop waits for: each its own, whatever becomes of the others and of the connection."""

import asyncio
import select
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from orchestrator.postgres.arrays import bigint, text_array, to_bigint
from orchestrator.postgres.database import Database
from orchestrator.postgres.loop_session import LoopSession
from orchestrator.postgres.session import Statement
from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable
from tests.integration.eventstore.logs import open_database
from tests.servers import Databases

SQL = load_sql(__file__)
DOUBLE = Statement("double", SQL.double, ("int8",))
SLOW = Statement("slow", SQL.slow, ("int8",))
LENGTH = Statement("length", SQL.length, ("text[]",))
FAULTY = Statement("faulty", SQL.faulty, ("int8",))
WHO = Statement("who", SQL.who, ())
END = Statement("end", SQL.end, ("int8",))


@pytest.fixture(scope="module")
def database(databases: Databases, template_database: str) -> Iterator[Database]:
    name = databases.create(template_database)
    with open_database(databases.url(name)) as opened:
        yield opened
    databases.drop(name)


@pytest.fixture
async def session(database: Database) -> AsyncIterator[LoopSession]:
    made = database.loop_session()
    yield made
    made.close()


async def ask(session: LoopSession, statement: Statement, *values: bytes | None) -> int:
    return to_bigint((await session.run(statement, values)).get_value(0, 0))


async def test_each_of_many_at_once_gets_its_own_answer(session: LoopSession) -> None:
    asked = [ask(session, DOUBLE if number % 2 else SLOW, bigint(number)) for number in range(40)]
    assert await asyncio.gather(*asked) == [number * 2 if number % 2 else number for number in range(40)]


async def test_what_the_server_refuses_disturbs_nobody(session: LoopSession) -> None:
    for number in range(3):
        with pytest.raises(psycopg.errors.DivisionByZero):
            await ask(session, FAULTY, bigint(0))
        assert await ask(session, DOUBLE, bigint(number)) == 2 * number
        assert await ask(session, FAULTY, bigint(5)) == 1


async def test_values_larger_than_what_a_socket_holds(session: LoopSession) -> None:
    large = "x" * 30_000_000
    assert await ask(session, LENGTH, text_array([large, "y"])) == len(large) + 1
    assert await ask(session, DOUBLE, bigint(1)) == 2


class LateLooker(LoopSession):
    """Looks for an answer, after it had much to send, only when there is one."""

    async def _listen(self, descriptor: int, *, until_writable: bool = False) -> None:
        await super()._listen(descriptor, until_writable=until_writable)
        if until_writable and self._connection is not None:
            while self._connection.pgconn.flush():
                await super()._listen(descriptor, until_writable=True)
            assert select.select([descriptor], [], [], 30)[0]


async def test_an_answer_that_came_in_while_there_was_more_to_send(database: Database) -> None:
    """The socket will not be readable again."""
    session = LateLooker(database.connect, 30)
    large = "x" * 30_000_000
    async with asyncio.timeout(30):
        assert await ask(session, LENGTH, text_array([large])) == len(large)
        assert await ask(session, DOUBLE, bigint(1)) == 2
    session.close()


async def test_an_answer_that_is_owed_may_have_come_in_already(session: LoopSession) -> None:
    assert await ask(session, DOUBLE, bigint(1)) == 2
    session._results_pending = True
    async with asyncio.timeout(30):
        assert await ask(session, DOUBLE, bigint(2)) == 4


@pytest.mark.parametrize("turns", range(12))
async def test_an_answer_that_nobody_waits_for_is_not_taken_for_the_next(session: LoopSession, turns: int) -> None:
    """Cancelled at each place where it can be: while it connects, prepares, or waits for the answer."""
    task = asyncio.create_task(ask(session, SLOW, bigint(7)))
    for _ in range(turns):
        await asyncio.sleep(0.002)  # the time itself is the subject: it is cancelled at another moment each time
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert await ask(session, DOUBLE, bigint(4)) == 8
    assert await ask(session, SLOW, bigint(5)) == 5


async def test_a_connection_that_was_ended_is_replaced(session: LoopSession, database: Database) -> None:
    for _ in range(3):
        backend = await ask(session, WHO)
        with database.connection() as connection:
            connection.execute(SQL.terminate, {"pid": backend})
        with pytest.raises(DatabaseUnavailable):
            await ask(session, DOUBLE, bigint(1))
        assert await ask(session, WHO) != backend


async def test_a_server_that_goes_in_the_midst_of_an_answer(session: LoopSession) -> None:
    with pytest.raises(DatabaseUnavailable):
        await ask(session, END, bigint(1))
    assert await ask(session, DOUBLE, bigint(1)) == 2


async def test_closing_tells_whoever_waits_and_frees_the_socket(session: LoopSession) -> None:
    task = asyncio.create_task(ask(session, SLOW, bigint(1)))
    waiting = asyncio.create_task(ask(session, DOUBLE, bigint(2)))
    while session._ready is None:
        await asyncio.sleep(0)
    session.close()
    with pytest.raises(DatabaseUnavailable, match="closed"):
        await task
    assert await waiting == 4, "that one had not been sent"


async def test_a_server_that_cannot_be_reached() -> None:
    def refuse() -> Any:
        raise DatabaseUnavailable("connection refused")

    session = LoopSession(refuse, 30)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable, match="refused"):
            await ask(session, DOUBLE, bigint(1))


def test_one_whose_loop_has_ended_can_be_closed(database: Database) -> None:
    session = database.loop_session()
    use: list[Callable[[], Any]] = [lambda: asyncio.run(ask(session, DOUBLE, bigint(2))), session.close, session.close]
    for one in use:
        one()


async def test_threads_that_users_keep_busy_do_not_keep_it_from_connecting(session: LoopSession) -> None:
    free = threading.Event()
    busy = [asyncio.get_running_loop().run_in_executor(None, free.wait, 60) for _ in range(64)]
    try:
        async with asyncio.timeout(10):
            assert await ask(session, DOUBLE, bigint(2)) == 4
    finally:
        free.set()
        await asyncio.gather(*busy)
