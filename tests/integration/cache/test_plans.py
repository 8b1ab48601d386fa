"""Plans made while the tables were empty or small read a few rows by index when they are large."""

from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import psycopg
import pytest
from psycopg.rows import DictRow, dict_row
from uuid_utils import uuid7

from orchestrator.postgres.sql import load_sql

SQL = load_sql(__file__)
ASKED = 20
TABLES = {"step_cache", "flights", "run_queue"}


@pytest.fixture(params=[0, 1, 13])
def connection(request: pytest.FixtureRequest, database_url: str) -> Iterator["psycopg.Connection[DictRow]"]:
    """A connection that planned everything while there were a few rows, or none; then the tables grew."""
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        grow(connection, 1, request.param)
        if request.param:
            connection.execute(SQL.analyse)
        for _ in range(8):  # more often than plans are made for the values at hand
            consult(connection, "warm")
            end_runs(connection)
        grow(connection, request.param + 1, 20_000)
        yield connection


def grow(connection: "psycopg.Connection[DictRow]", first: int, last: int) -> None:
    for statement in (SQL.grow_cache, SQL.grow_flights, SQL.grow_queue):
        connection.execute(statement, (first, last))


def consult(connection: "psycopg.Connection[DictRow]", prefix: str) -> int:
    """Ask for keys; how many have a result."""
    names = [f"{prefix} {number}" for number in range(1, ASKED + 1)]
    rows = connection.execute(SQL.consult, {"keys": names, "run_id": str(uuid7())}, prepare=True).fetchall()
    assert len(rows) == ASKED
    return sum(row["source_run"] is not None for row in rows)


def end_runs(connection: "psycopg.Connection[DictRow]") -> None:
    """End runs that hold nothing, in each way there is."""
    ids = [str(uuid7()) for _ in range(ASKED)]
    landed = [{"run_id": run_id, "step_id": "s"} for run_id in ids]
    rows = {"queue_drop": ids, "queue_cancel": ids, "flight_drop": landed}
    connection.execute(SQL.apply, (orjson.dumps(rows).decode(),), prepare=True)


@contextmanager
def reading(connection: "psycopg.Connection[DictRow]") -> Iterator[dict[str, int]]:
    """Yields what is filled, at the end, with how many rows of each table were read."""
    found: dict[str, int] = {}
    with connection.transaction():
        before = read(connection)
        yield found
        found |= {table: count - before[table] for table, count in read(connection).items()}


def read(connection: "psycopg.Connection[DictRow]") -> dict[str, int]:
    rows = connection.execute(SQL.rows_read, (list(TABLES),)).fetchall()
    assert {row["relname"] for row in rows} == TABLES
    return {row["relname"]: row["read"] for row in rows}


def test_a_question_reads_the_results_it_asks_for(connection: "psycopg.Connection[DictRow]") -> None:
    with reading(connection) as found:
        assert consult(connection, "key") == ASKED
    assert found == {"step_cache": ASKED, "flights": 0, "run_queue": 0}


def test_a_miss_reads_no_result_and_no_other_flight(connection: "psycopg.Connection[DictRow]") -> None:
    with reading(connection) as found:
        assert consult(connection, "new") == 0
    assert found == {"step_cache": 0, "flights": 0, "run_queue": 0}


def test_the_end_of_runs_reads_what_is_theirs(connection: "psycopg.Connection[DictRow]") -> None:
    with reading(connection) as found:
        end_runs(connection)
    assert found == {"step_cache": 0, "flights": 0, "run_queue": 0}
