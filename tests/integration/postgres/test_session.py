"""A session: statements prepared once, a lost connection replaced, a transaction undone by an error."""

import os
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from orchestrator.postgres.arrays import bigint, to_bigint
from orchestrator.postgres.connect import BoundedConnection
from orchestrator.postgres.session import Session, Statement
from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable

SQL = load_sql(__file__)

MAKE, PUT, COUNT, BACKEND, PREPARED = (
    Statement(name, SQL[name], ["int8"] if "$1" in SQL[name] else [])
    for name in ("make", "put", "count", "backend", "prepared")
)


@contextmanager
def open_session(conninfo: str) -> Iterator[Session]:
    session = Session(lambda: BoundedConnection[DictRow].connect(conninfo, autocommit=True, row_factory=dict_row))
    try:
        yield session
    finally:
        session.close()


@pytest.fixture
def session(empty_database_url: str) -> Iterator[Session]:
    with open_session(empty_database_url) as opened:
        opened.run(MAKE, [])
        yield opened


def number(session: Session, statement: Statement) -> int:
    return to_bigint(session.run(statement, []).get_value(0, 0))


def cut(conninfo: str, backend: int) -> None:
    with psycopg.connect(conninfo, autocommit=True) as other:
        other.execute(SQL.cut, (backend,))


def test_a_statement_is_prepared_once(session: Session) -> None:
    for value in range(5):
        session.run(PUT, [bigint(value)])
    assert number(session, COUNT) == 5
    assert number(session, PREPARED) == 4  # make, put, count, and the one that counts them


def test_what_the_server_refuses_is_raised_and_the_session_goes_on(session: Session) -> None:
    session.run(PUT, [bigint(1)])
    with pytest.raises(psycopg.errors.UniqueViolation, match="numbers"):
        session.run(PUT, [bigint(1)])
    assert number(session, COUNT) == 1


def test_null_is_none(session: Session) -> None:
    with pytest.raises(psycopg.errors.NotNullViolation):
        session.run(PUT, [None])


def put_all(session: Session, *values: int) -> None:
    with session.transaction() as execute:
        for value in values:
            execute(PUT, [bigint(value)])


def test_a_connection_that_is_lost_within_a_transaction_is_known_at_once(
    session: Session,
) -> None:
    """Code inside the transaction sees that the database is unavailable, and not the driver's error."""

    def lose() -> None:
        with session.transaction() as execute:
            execute(PUT, [bigint(1)])
            assert session._connection is not None
            with socket.socket(fileno=os.dup(session._connection.pgconn.socket)) as wire:
                wire.shutdown(socket.SHUT_RDWR)  # without a word, as when an answer is lost
            with pytest.raises(DatabaseUnavailable):
                execute(PUT, [bigint(2)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lose()
    assert number(session, COUNT) == 0


def test_an_error_undoes_a_transaction(session: Session) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        put_all(session, 1, 2, 2)
    with pytest.raises(struct.error):
        put_all(session, 1, 2**63)
    assert number(session, COUNT) == 0
    put_all(session, 1, 2)
    assert number(session, COUNT) == 2


def test_a_connection_that_was_cut_is_said_and_replaced(session: Session, empty_database_url: str) -> None:
    backend = number(session, BACKEND)
    cut(empty_database_url, backend)
    with pytest.raises(DatabaseUnavailable):
        session.run(PUT, [bigint(1)])
    assert number(session, COUNT) == 0
    assert number(session, BACKEND) != backend


def test_a_connection_that_is_cut_in_a_transaction_undoes_it(session: Session, empty_database_url: str) -> None:
    def put_and_cut() -> None:
        with session.transaction() as execute:
            execute(PUT, [bigint(1)])
            cut(empty_database_url, to_bigint(execute(BACKEND, []).get_value(0, 0)))
            execute(PUT, [bigint(2)])

    with pytest.raises(DatabaseUnavailable):
        put_and_cut()
    assert number(session, COUNT) == 0


def test_a_server_that_is_not_there_is_said_each_time(tmp_path_factory: pytest.TempPathFactory) -> None:
    nowhere = tmp_path_factory.mktemp("s")
    with open_session(f"host={nowhere} dbname=postgres") as session:
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable):
                session.run(COUNT, [])


def test_threads_take_turns(session: Session) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda value: session.run(PUT, [bigint(value)]), range(200)))
    assert number(session, COUNT) == 200
