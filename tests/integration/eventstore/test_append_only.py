"""What is in the log stays in the log, whatever somebody with a database prompt tries."""

from collections.abc import Iterator

import psycopg
import pytest

from orchestrator.postgres.sql import load_sql
from tests.integration.eventstore.logs import append, new_stream, open_log, workers_of
from tests.servers import Databases

SQL = load_sql(__file__)


@pytest.fixture(scope="module")
def database_url(databases: Databases, template_database: str) -> Iterator[str]:
    """One database for all tests of this module: none of them can change anything."""
    name = databases.create(template_database)
    yield databases.url(name)
    databases.drop(name)


@pytest.mark.parametrize(
    "attempt", ["update", "update_nothing", "delete", "truncate", "truncate_cascade", "upsert", "merge"]
)
async def test_a_stored_event_cannot_be_changed_or_removed(database_url: str, attempt: str) -> None:
    stream = new_stream()
    with open_log(database_url) as log:
        await append(log, stream, 0, "a", "b")
        with psycopg.connect(database_url, autocommit=True) as connection:
            with pytest.raises(psycopg.Error, match="the log is append-only") as caught:
                connection.execute(SQL[attempt])
            assert caught.value.sqlstate == "OR001"
        assert workers_of(log.read(stream)) == ["a", "b"]
        await append(log, stream, 2, "c")
        assert workers_of(log.read(stream)) == ["a", "b", "c"]
