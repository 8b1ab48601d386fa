import socket
import time
from pathlib import Path

import pytest

from orchestrator.postgres.connect import DatabaseUnavailable, connect, place
from orchestrator.postgres.embedded import EmbeddedPostgres


def refused(conninfo: str) -> str:
    with pytest.raises(DatabaseUnavailable) as caught:
        connect(conninfo)
    assert "hunter2" not in str(caught.value)
    return str(caught.value)


def test_a_connection_is_opened(postgres_server: EmbeddedPostgres) -> None:
    with connect(postgres_server.conninfo(), autocommit=True) as connection:
        assert connection.autocommit
        assert connection.info.user == "orchestrator"


def test_nobody_listening_is_named(tmp_path: Path) -> None:
    assert "127.0.0.1:1/things" in refused("postgresql://someone:hunter2@127.0.0.1:1/things")
    assert str(tmp_path) in refused(f"host={tmp_path} dbname=things password=hunter2")


def test_a_database_that_does_not_exist_is_named(postgres_server: EmbeddedPostgres) -> None:
    assert 'database "nowhere" does not exist' in refused(postgres_server.conninfo("nowhere"))


@pytest.mark.parametrize(
    "conninfo", ["hunter2", "postgresql://u:hunter2@[::1/x", "postgresql://u:secret@hunter2@127.0.0.1/x"]
)
def test_what_is_no_connection_string_is_not_repeated(conninfo: str) -> None:
    assert "connection string" in refused(conninfo)


def test_a_password_in_the_cause_is_hidden() -> None:
    assert "failed: connection ***" in refused("host=127.0.0.1 port=1 user=u password=refused").lower()


def test_a_server_that_never_answers_is_given_up_after_its_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        message = refused(f"host=127.0.0.1 port={silent.getsockname()[1]} connect_timeout=2 password=hunter2")
    assert 1 < time.monotonic() - started < 6
    assert "timeout" in message


def test_a_place_shows_no_secret() -> None:
    assert place("postgresql://u:hunter2@db.internal:6000/things") == "db.internal:6000/things"
    assert place("dbname=things password=hunter2") == "the local socket/things"
