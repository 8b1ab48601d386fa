"""The servers that other tests rely on do what those tests assume."""

import psycopg
import pytest
import redis

from orchestrator.postgres.sql import load_sql
from tests.servers import Databases, ValkeyServer

SQL = load_sql(__file__)


@pytest.mark.parametrize("_again", range(2))
def test_each_test_has_a_migrated_database_of_its_own(database_url: str, _again: int) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute(SQL.count_migrations).fetchone() != (0,)
        connection.execute(SQL.make_table)  # would fail the second time if the database were shared


def test_a_database_is_dropped_though_somebody_is_connected(databases: Databases) -> None:
    name = databases.create()
    with psycopg.connect(databases.url(name), autocommit=True) as connection:
        databases.drop(name)
        with pytest.raises(psycopg.OperationalError):
            connection.execute(SQL.count_migrations)


def test_valkey_can_be_killed_and_comes_back_empty_at_the_same_address(valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(valkey.url) as cache:
        cache.set("key", "value")
        pid = valkey.pid
        valkey.kill()
        with pytest.raises(redis.ConnectionError):
            cache.get("key")
        valkey.start()
        assert valkey.pid != pid
        assert cache.get("key") is None


def test_valkey_can_hang_and_go_on(valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(valkey.url, socket_timeout=0.1) as cache:
        cache.set("key", "value")
        valkey.pause()
        with pytest.raises(redis.TimeoutError):
            cache.get("key")
        valkey.resume()
        assert cache.get("key") == b"value"


@pytest.mark.parametrize("harm", ["pause", "kill"])
def test_a_test_may_leave_valkey_harmed(valkey: ValkeyServer, harm: str) -> None:
    with redis.Redis.from_url(valkey.url, socket_timeout=2) as cache:
        assert cache.dbsize() == 0
        cache.set("key", "value")
    getattr(valkey, harm)()


def test_the_next_test_gets_it_whole(valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(valkey.url, socket_timeout=2) as cache:
        assert cache.dbsize() == 0
