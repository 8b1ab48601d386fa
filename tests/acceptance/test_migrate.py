"""`orchestrator migrate`: the one verb that changes the schema of a configured database."""

import subprocess
from pathlib import Path

import psycopg
import pytest

from orchestrator.bootstrap.database import MIGRATIONS
from orchestrator.eventstore.formats import FORMAT
from orchestrator.postgres.migrate import migrate
from orchestrator.postgres.migration_files import newest_number, read_migrations
from orchestrator.postgres.sql import load_sql
from tests.world.programs import FIXTURES, Program, call, command, environment

SQL = load_sql(__file__)
NAMES = [migration.name for migration in read_migrations(MIGRATIONS)]
NEWEST = newest_number(read_migrations(MIGRATIONS))
CHAIN = ("run", FIXTURES / "chain.yaml", "--skills", FIXTURES / "links.py", "--payload")


def at(url: str, home: Path) -> dict[str, str]:
    return {"ORCHESTRATOR_DATABASE_URL": url, "ORCHESTRATOR_DATA_DIR": str(home)}


def schemas(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(SQL.schemas).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    "verb",
    [("api", "--port", "0"), ("worker",), ("projector",), ("status",), ("audit", "verify"), (*CHAIN, "{}")],
    ids=lambda words: words[0],
)
def test_a_database_that_is_behind_is_refused_and_not_changed(
    verb: tuple[str | Path, ...], empty_database_url: str, home: Path
) -> None:
    words = (*verb, "01900000-0000-7000-8000-000000000000") if verb == ("status",) else verb
    env = at(empty_database_url, home)
    done = call(*words, env=env)
    assert done.code == 1
    (line,) = (line for line in done.err.splitlines() if line.startswith("error: "))
    assert line.endswith("is empty. Set it up with `orchestrator migrate`.")
    assert schemas(empty_database_url) == 0
    migrate(empty_database_url, MIGRATIONS, to=15)
    done = call(*words, env=env)
    assert done.code == 1
    (line,) = (line for line in done.err.splitlines() if line.startswith("error: "))
    assert line.endswith(f"has schema 15, and this program needs {NEWEST}. Upgrade it with `orchestrator migrate`.")


def test_a_check_tells_what_would_be_done_and_changes_nothing(empty_database_url: str, home: Path) -> None:
    env = at(empty_database_url, home)
    check = call("migrate", "--check", "--json", env=env)
    assert check.code == 1
    assert check.document == {
        "schema": 0,
        "oldestProgram": None,
        "format": 1,
        "due": NAMES,
        "tables": [],
        "finish": None,
    }
    assert call("migrate", "--check", "--to", "2", env=env).out == "would apply 0001_log\nwould apply 0002_queue\n"
    assert schemas(empty_database_url) == 0

    done = call("migrate", "--to", "15", env=env)
    assert done.code == 0
    assert done.out.splitlines()[-1] == "The database has schema 15."
    assert "applying 0001_log (1 of " in done.err
    assert call("migrate", "--check", "--json", env=env).document["due"] == [name for name in NAMES if name > "0016"]

    done = call("migrate", "--json", env=env)
    assert done.document["applied"] == [name for name in NAMES if name > "0016"]
    assert done.document["schema"] == NEWEST
    assert done.document["format"] == 1  # the database was not empty: programs of an older release may use it
    assert "Run `orchestrator migrate --finish`" in call("migrate", env=env).out.splitlines()[-1]
    assert call("migrate", "--check", "--finish", env=env).out == f"would finish format {FORMAT}\n"
    assert f"Format {FORMAT} is finished." in call("migrate", "--finish", env=env).out
    for words in (("migrate", "--check"), ("migrate", "--check", "--finish"), ("migrate",), ("migrate", "--finish")):
        done = call(*words, env=env)
        assert (done.code, done.out) == (0, f"Nothing to do: the database has schema {NEWEST}.\n")


def test_what_cannot_be_done_is_told_in_one_line(database_url: str, home: Path) -> None:
    for words, told in (
        (("--to", "1"), f"error: The database has schema {NEWEST} and cannot go back to 1. Restore a backup.\n"),
        (("--to", "777"), f"error: There is no migration 777; the newest one is {NEWEST}.\n"),
        (
            ("--to", "1", "--finish"),
            "error: --to and --finish cannot both be given. Use --finish after the last migration.\n",
        ),
    ):
        done = call("migrate", *words, env=at(database_url, home))
        assert (done.code, done.err) == (1, told)


def test_several_may_migrate_at_once(empty_database_url: str, home: Path) -> None:
    env = environment(at(empty_database_url, home))
    both = [
        subprocess.Popen(command(["migrate", "--json"]), env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    outs = [process.communicate(timeout=90)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(b"0001_log" in out for out in outs) == 1


def test_a_database_that_is_ahead_is_accepted_while_it_is_marked_as_fit(database_url: str, home: Path) -> None:
    env = at(database_url, home)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SQL.next_release)
        assert call("runs", "list", env=env).code == 0
        assert call("migrate", "--check", env=env).code == 0
        connection.execute(SQL.contract)
    for words in (("runs", "list"), ("migrate",), ("migrate", "--check")):
        done = call(*words, env=env)
        assert (done.code, done.out) == (1, "")
        assert done.err == (
            "error: The database was migrated by a newer program (this one does not know: 0999_next). "
            "Upgrade this program.\n"
        )


def test_dev_migrates_the_configured_database(empty_database_url: str, home: Path) -> None:
    with Program("dev", "--port", "0", env=at(empty_database_url, home)) as dev:
        assert dev.ready().startswith("http://")
    assert call("migrate", "--check", env=at(empty_database_url, home)).code == 0


def test_the_embedded_database_is_migrated_by_whoever_starts_it(home: Path, tmp_path: Path) -> None:
    done = call(*CHAIN, f'{{"file": "{tmp_path / "made"}"}}', "--data-dir", home)
    assert done.code == 0, done.err
    assert call("migrate", "--check", "--data-dir", home).out.startswith("Nothing to do")
