"""A list of runs reads about as many rows as it returns, whatever it is filtered by and however many runs there are."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.views.run_lists import EVERY_RUN, RunFilter, RunLists

SQL = load_sql(__file__)
RUNS = 100_000
LIMIT = 50
SLACK = 600  # runs, one a second, within which clocks may differ


class OneConnection:
    """A database whose statements all run on one connection, so that what they read can be counted."""

    def __init__(self, connection: "psycopg.Connection[DictRow]") -> None:
        self._connection = connection

    @contextmanager
    def connection(self) -> Iterator["psycopg.Connection[DictRow]"]:
        yield self._connection

    def read(self) -> int:
        row = self._connection.execute(SQL.rows_read).fetchone()
        assert row
        return int(row["read"])


@pytest.fixture
def database(database_url: str) -> Iterator[OneConnection]:
    """Statements were planned while there were a few runs; then there are 100,000, which the server has looked at."""
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        here = OneConnection(connection)
        connection.execute(SQL.versions)
        connection.execute(SQL.runs, (1, 10))
        connection.execute(SQL.analyze)
        for wanted in WANTED.values():
            for _ in range(8):
                page(here, wanted)
        connection.execute(SQL.runs, (11, RUNS))
        connection.execute(SQL.analyze)
        yield here


def page(database: OneConnection, wanted: RunFilter, before: int | None = None) -> tuple[list[str], int | None]:
    return RunLists(cast("Database", database)).page("default", wanted, before=before, limit=LIMIT)


def number(run_id: str) -> int:
    return int(run_id.replace("-", "")[:12], 16) // 1000


WANTED = {
    "all": EVERY_RUN,
    "since": RunFilter(since=(RUNS - 10) * 1000),
    "since, few": RunFilter(since=(RUNS - 10) * 1000, statuses=("failed",)),
    "since, none": RunFilter(since=RUNS * 2000),
    "until": RunFilter(until=500 * 1000),
    "from, until": RunFilter(since=480 * 1000, until=500 * 1000),
    "rare statuses": RunFilter(statuses=("failed", "cancelled")),
    "rare and common": RunFilter(statuses=("failed", "completed")),
    "rare until": RunFilter(statuses=("failed", "cancelled"), until=25 * 1000),
    "version": RunFilter(workflow="many.v1", workflow_version="2"),
    "no such version": RunFilter(workflow="many.v1", workflow_version="3"),
    "prefix": RunFilter(id_prefix=f"{50_000_000:012x}"),
    "short prefix": RunFilter(id_prefix="0000"),
    "prefix of nothing": RunFilter(id_prefix="abcd"),
}
FOUND = {
    "all": list(range(RUNS, RUNS - LIMIT, -1)),
    "since": list(range(RUNS, RUNS - 11, -1)),
    "since, few": [],
    "since, none": [],
    "until": list(range(499, 499 - LIMIT, -1)),
    "from, until": list(range(499, 479, -1)),
    "rare statuses": [30, *range(20, 0, -1)],
    "rare and common": list(range(RUNS, RUNS - LIMIT, -1)),
    "rare until": list(range(20, 0, -1)),
    "version": list(range(RUNS, RUNS - 2 * LIMIT, -2)),
    "no such version": [],
    "prefix": [50_000],
    "short prefix": list(range(RUNS, RUNS - LIMIT, -1)),
    "prefix of nothing": [],
}
MOST = {"since, few": 2 * SLACK, "since": 2 * SLACK, "since, none": 100, "until": 3 * SLACK, "from, until": 4 * SLACK}


def test_every_filter_reads_only_what_it_needs(database: OneConnection, subtests: pytest.Subtests) -> None:
    with database.connection() as connection:
        for name, wanted in WANTED.items():
            with subtests.test(name), connection.transaction():
                before = database.read()
                run_ids, _ = page(database, wanted)
                read = database.read() - before
                assert [number(run_id) for run_id in run_ids] == FOUND[name]
                assert read <= MOST.get(name, 4 * LIMIT)


def test_pages_follow_each_other_within_a_filter(database: OneConnection) -> None:
    wanted = RunFilter(since=(RUNS - 120) * 1000)
    found: list[int] = []
    before: int | None = None
    while True:
        run_ids, before = page(database, wanted, before)
        found += [number(run_id) for run_id in run_ids]
        if before is None:
            break
    assert found == list(range(RUNS, RUNS - 121, -1))


def test_clocks_that_differ_a_little_hide_no_run(database: OneConnection) -> None:
    with database.connection() as connection:
        row = connection.execute(SQL.late_clock, {"run": RUNS - 500, "at": RUNS * 1000}).fetchone()
    assert row
    run_ids, _ = page(database, RunFilter(since=(RUNS - 2) * 1000))
    assert [number(run_id) for run_id in run_ids] == [RUNS, RUNS - 1, RUNS - 2, RUNS - 500]


def test_pages_of_several_statuses_follow_each_other(database: OneConnection) -> None:
    wanted = RunFilter(statuses=("completed", "cancelled", "failed"), until=120 * 1000)
    found: list[int] = []
    before: int | None = None
    while True:
        run_ids, before = page(database, wanted, before)
        found += [number(run_id) for run_id in run_ids]
        if before is None:
            break
    assert found == list(range(119, 0, -1))
