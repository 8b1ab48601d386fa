"""A log leaves one database and comes into another, by real processes; a byte that changes is found there."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from orchestrator.postgres.sql import load_sql
from tests.servers import Databases
from tests.world.programs import FIXTURES, call

SQL = load_sql(__file__)


@pytest.fixture
def second_url(databases: Databases, template_database: str) -> Iterator[str]:
    """The connection string of another database."""
    name = databases.create(template_database)
    yield databases.url(name)
    databases.drop(name)


@pytest.mark.timeout(600)
def test_a_log_leaves_and_comes_in_again(database_url: str, second_url: str, home: Path) -> None:
    first, second = (
        {"ORCHESTRATOR_DATABASE_URL": url, "ORCHESTRATOR_DATA_DIR": str(home)} for url in (database_url, second_url)
    )
    payload = f'{{"file": "{home / "made"}"}}'
    ran = call("run", FIXTURES / "chain.yaml", "--skills", FIXTURES / "links.py", "--payload", payload, env=first)
    assert ran.code == 0, ran.err
    exported = call("audit", "export", "--output", home / "log.parquet", "--json", env=first)
    assert exported.document["complete"], exported.err

    imported = call("audit", "import", home / "log.parquet", "--verify", "--json", env=second)
    assert imported.code == 0, imported.err
    assert imported.document["verified"]
    assert imported.document["head"] == exported.document["head"]
    with psycopg.connect(database_url) as ours, psycopg.connect(second_url, autocommit=True) as theirs:
        assert theirs.execute(SQL.dump).fetchall() == ours.execute(SQL.dump).fetchall() != []
        theirs.execute(SQL.change)

    verified = call("audit", "verify", "--json", env=second)
    assert verified.code == 1
    assert verified.document["firstBadPosition"] == 5
    assert "Traceback" not in verified.err
