"""What a pooler that shares sessions does to a connection, and how a process notices it."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from orchestrator.postgres.database import Database
from orchestrator.postgres.pooling import PoolingUnfit, check_search_path, find_route, shares_sessions
from orchestrator.postgres.sql import load_sql
from tests.pooler import PgBouncer
from tests.servers import Databases

SQL = load_sql(__file__)


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.fixture
def shared(database_url: str) -> Iterator[PgBouncer]:
    with PgBouncer(database_url, "transaction") as pooler:
        yield pooler


def test_without_a_pooler_sessions_are_our_own(database_url: str) -> None:
    assert not shares_sessions(database_url)
    assert not find_route(database_url, None).shares_sessions


def test_a_pooler_in_session_mode_shares_nothing(database_url: str) -> None:
    with PgBouncer(database_url, "session") as pooler:
        assert find_route(pooler.url(), None).direct == pooler.url()


def test_transaction_pooling_is_noticed_while_others_use_the_pooler(shared: PgBouncer) -> None:
    with psycopg.connect(shared.url()) as other:  # keeps the session that would be used next
        other.execute(SQL.anything)
        assert shares_sessions(shared.url())
    assert shares_sessions(shared.url())


def test_transaction_pooling_needs_a_direct_connection(shared: PgBouncer, database_url: str) -> None:
    with pytest.raises(PoolingUnfit, match="Set ORCHESTRATOR_LISTEN_URL to a direct connection"):
        find_route(shared.url(), None)
    with pytest.raises(PoolingUnfit, match="ORCHESTRATOR_LISTEN_URL leads to a pooler that shares sessions"):
        find_route(database_url, shared.url())
    route = find_route(shared.url(), database_url)
    assert (route.direct, route.shares_sessions) == (database_url, True)


def test_a_direct_connection_to_another_database(
    shared: PgBouncer, databases: Databases, template_database: str
) -> None:
    name = databases.create(template_database)
    try:
        with pytest.raises(PoolingUnfit, match=f"ORCHESTRATOR_LISTEN_URL leads to another database, .*{name}"):
            find_route(shared.url(), databases.url(name))
    finally:
        databases.drop(name)


def test_statement_pooling_is_refused(database_url: str) -> None:
    with (
        PgBouncer(database_url, "statement") as pooler,
        pytest.raises(PoolingUnfit, match="Set pool_mode to session or transaction"),
    ):
        find_route(pooler.url(), database_url)


def test_the_search_path_is_a_default_of_the_role(shared: PgBouncer, database_url: str) -> None:
    execute(database_url, SQL.no_default)  # the schema of the role's own name is one by itself
    shared.command("RECONNECT")
    with pytest.raises(PoolingUnfit) as refused:
        check_search_path(shared.url())
    statement = str(refused.value).partition("as this role: ")[2].partition(";")[0]
    execute(shared.url(), statement)
    shared.command("RECONNECT")
    check_search_path(shared.url())


def test_shared_sessions_are_left_as_they_are(shared: PgBouncer, database_url: str) -> None:
    with psycopg.connect(shared.url()) as other:
        before = other.execute(SQL.session_settings).fetchall()
    with closing(Database(shared.url(), direct=database_url)) as database:
        for _ in range(20):
            with database.connection() as connection:
                connection.execute(SQL.anything, prepare=True)
    with psycopg.connect(shared.url()) as other:
        assert other.execute(SQL.session_settings).fetchall() == before
        assert other.execute(SQL.prepared).fetchall() == []


def test_a_lock_of_a_session_holds_behind_a_pooler(shared: PgBouncer, database_url: str) -> None:
    with closing(Database(shared.url(), direct=database_url)) as database:
        with database.own_session() as guard:
            assert guard.execute(SQL.lock).fetchone() == {"locked": True}
            with database.own_session() as other:
                assert other.execute(SQL.lock).fetchone() == {"locked": False}
        with database.own_session() as other:
            assert other.execute(SQL.lock).fetchone() == {"locked": True}
