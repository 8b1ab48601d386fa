import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest

from orchestrator.eventstore.formats import FORMAT
from orchestrator.postgres.migrate import finish, migrate
from orchestrator.postgres.migration_files import DatabaseTooNew, MigrationChanged, MigrationError, read_migrations
from orchestrator.postgres.schema import Schema, read_schema
from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable

SQL = load_sql(__file__)
OURS = files("orchestrator.postgres") / "migrations"


def folder(parent: Path, name: str = "migrations", **texts: str) -> Path:
    """A folder of migrations: `n0001_one="..."` is the file 0001_one.sql."""
    made = parent / name
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    for file, text in texts.items():
        (made / f"{file.removeprefix('n')}.sql").write_text(text, encoding="utf-8")
    return made


def tables(conninfo: str) -> list[str]:
    """Tables of our schema, apart from the record of migrations."""
    with psycopg.connect(conninfo) as connection:
        return [name for (name,) in connection.execute(SQL.tables)]


def test_files_are_applied_once_in_order(empty_database_url: str, tmp_path: Path) -> None:
    first = folder(tmp_path, "a", n0002_two=SQL.alter_one, n0001_one=SQL.table_one)
    second = folder(tmp_path, "b", n0001_three=SQL.view_of_one)
    (first / "README.md").write_text("not a migration")
    assert migrate(empty_database_url, [first, second]) == ["0001_one", "0002_two", "0001_three"]
    assert migrate(empty_database_url, [first, second]) == []
    assert tables(empty_database_url) == ["one"]


def test_a_later_file_is_all_that_is_applied_later(empty_database_url: str, tmp_path: Path) -> None:
    migrate(empty_database_url, [folder(tmp_path, n0001_one=SQL.table_one)])
    assert migrate(empty_database_url, [folder(tmp_path, n0001_one=SQL.table_one, n0002_two=SQL.table_two)]) == [
        "0002_two"
    ]
    assert tables(empty_database_url) == ["one", "two"]


def test_our_own_migrations_apply(empty_database_url: str) -> None:
    assert migrate(empty_database_url, [OURS])[0] == "0001_log"
    assert "events" in tables(empty_database_url)


def test_a_failing_file_leaves_nothing_of_itself(empty_database_url: str, tmp_path: Path) -> None:
    broken = folder(tmp_path, n0001_one=SQL.table_one, n0002_two=f"{SQL.table_two};\nSELECT 1 / 0")
    with pytest.raises(MigrationError, match=r"0002_two\.sql failed and was rolled back: division by zero"):
        migrate(empty_database_url, [broken])
    assert tables(empty_database_url) == ["one"]
    # Repaired, it goes on from there: the lock is free, the first file is not applied twice.
    assert migrate(empty_database_url, [folder(tmp_path, n0001_one=SQL.table_one, n0002_two=SQL.table_two)]) == [
        "0002_two"
    ]


def test_a_file_and_its_record_come_together_or_not_at_all(empty_database_url: str, tmp_path: Path) -> None:
    unrecordable = folder(tmp_path, n0001_one=SQL.table_one, n0002_two=f"{SQL.table_two}; {SQL.forget_everything}")
    with pytest.raises(MigrationError, match=r"0002_two\.sql failed and was rolled back"):
        migrate(empty_database_url, [unrecordable])
    assert tables(empty_database_url) == ["one"]


def test_a_changed_file_is_refused(empty_database_url: str, tmp_path: Path) -> None:
    migrate(empty_database_url, [folder(tmp_path, n0001_one=SQL.table_one)])
    changed = folder(tmp_path, n0001_one=f"{SQL.table_one} -- ", n0002_two=SQL.table_two)
    with pytest.raises(MigrationChanged, match=r"0001_one\.sql was changed after it had been applied"):
        migrate(empty_database_url, [changed])
    assert tables(empty_database_url) == ["one"]


def test_a_newer_database_is_refused(empty_database_url: str, tmp_path: Path) -> None:
    migrate(empty_database_url, [folder(tmp_path, n0001_one=SQL.table_one, n0002_two=SQL.table_two)])
    with pytest.raises(DatabaseTooNew, match="does not know: 0002_two"):
        migrate(empty_database_url, [folder(tmp_path, n0001_one=SQL.table_one, n0003_three=SQL.view_of_one)])


def test_processes_that_start_at_once_do_not_collide(empty_database_url: str, tmp_path: Path) -> None:
    slow = folder(tmp_path, n0001_one=f"{SQL.table_one}; {SQL.pause}", n0002_two=f"{SQL.table_two}; {SQL.pause}")
    start = threading.Barrier(4)

    def starts(_: int) -> list[str]:
        start.wait()
        return migrate(empty_database_url, [slow])

    with ThreadPoolExecutor(4) as threads:
        applied = list(threads.map(starts, range(4)))
    assert sorted(applied) == [[], [], [], ["0001_one", "0002_two"]]


def test_an_up_to_date_database_needs_no_right_to_create(empty_database_url: str, tmp_path: Path) -> None:
    migrations = folder(tmp_path, n0001_one=SQL.table_one)
    migrate(empty_database_url, [migrations])
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(SQL.make_reader)
    try:
        reader = psycopg.conninfo.make_conninfo(empty_database_url, user="migration_reader")
        assert migrate(reader, [migrations]) == []
    finally:
        with psycopg.connect(empty_database_url) as connection:
            connection.execute(SQL.drop_reader)


@pytest.mark.parametrize("name", ["1_one.sql", "0001-one.sql", "0001_One.sql", "one.sql"])
def test_a_misnamed_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match=f"has {name}; name migrations like"):
        migrate("host=never-asked", [tmp_path])


def test_a_number_or_a_name_is_used_once(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match=r"0001_two\.sql conflicts with 0001_one\.sql"):
        migrate("host=never-asked", [folder(tmp_path, n0001_one="SELECT 1", n0001_two="SELECT 1")])
    one, other = folder(tmp_path, "a", n0001_one="SELECT 1"), folder(tmp_path, "b", n0001_one="SELECT 1")
    with pytest.raises(MigrationError, match=r"0001_one\.sql conflicts with 0001_one\.sql"):
        migrate("host=never-asked", [one, other])


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="is not a folder of migrations"):
        migrate("host=never-asked", [tmp_path / "none"])


def test_a_database_that_is_away_is_said_so(tmp_path: Path) -> None:
    away = "postgresql://someone:hunter2@127.0.0.1:1/things"
    with pytest.raises(DatabaseUnavailable, match=r"database at 127\.0\.0\.1:1/things is not available: .*refused"):
        migrate(away, [folder(tmp_path)])


def schema(conninfo: str) -> Schema:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return read_schema(connection)


def test_migrating_ends_where_it_is_told_to(empty_database_url: str) -> None:
    assert migrate(empty_database_url, [OURS], to=3) == ["0001_log", "0002_queue", "0003_read_models"]
    assert schema(empty_database_url).number == 3
    with pytest.raises(MigrationError, match="cannot go back to 2"):
        migrate(empty_database_url, [OURS], to=2)
    with pytest.raises(MigrationError, match="There is no migration 999; the newest one is"):
        migrate(empty_database_url, [OURS], to=999)


def test_each_migration_is_told_of_when_it_begins(empty_database_url: str) -> None:
    told: list[tuple[str, int, int]] = []
    migrate(empty_database_url, [OURS], to=2, on_begin=lambda *begun: told.append(begun))
    assert told == [("0001_log", 1, 2), ("0002_queue", 2, 2)]


def test_a_database_says_what_may_live_with_it(empty_database_url: str, tmp_path: Path) -> None:
    migrate(empty_database_url, [OURS])
    before = schema(empty_database_url)
    copied = tmp_path / "migrations"
    shutil.copytree(str(OURS), copied)
    (copied / "0998_more.sql").write_text("SELECT 1", encoding="utf-8")
    migrate(empty_database_url, [copied])
    assert schema(empty_database_url).oldest == before.oldest
    assert migrate(empty_database_url, [OURS]) == [], "an older program that may live with it finds nothing to do"
    (copied / "0999_less.sql").write_text("-- Why.\n-- oldest program: 0998\nSELECT 1", encoding="utf-8")
    migrate(empty_database_url, [copied])
    after = schema(empty_database_url)
    assert (after.number, after.oldest, after.format) == (999, 998, before.format)
    with pytest.raises(DatabaseTooNew, match="does not know: 0998_more, 0999_less"):
        migrate(empty_database_url, [OURS])


def test_a_format_is_finished_once_and_never_taken_back(database_url: str, empty_database_url: str) -> None:
    assert schema(database_url).format == FORMAT
    assert finish(database_url, FORMAT + 2)
    assert not finish(database_url, FORMAT + 2)
    assert not finish(database_url, FORMAT + 1)
    assert schema(database_url).format == FORMAT + 2
    migrate(empty_database_url, [OURS], new_format=3)
    assert schema(empty_database_url).format == 3, "nobody else has been in a database that was empty"


def test_a_migration_makes_way_for_those_who_hold_a_table(empty_database_url: str, tmp_path: Path) -> None:
    migrate(empty_database_url, [folder(tmp_path, n0001_one=SQL.table_one)])
    with psycopg.connect(empty_database_url) as holder, ThreadPoolExecutor(1) as threads:
        holder.execute(SQL.hold_one)
        migrating = threads.submit(
            migrate, empty_database_url, [folder(tmp_path, n0001_one=SQL.table_one, n0002_two=SQL.alter_one)]
        )
        with psycopg.connect(empty_database_url, autocommit=True) as other:
            for _ in range(3):  # behind a migration that never made way this would wait for the holder
                other.execute(SQL.read_one)
        assert not migrating.done()
        holder.rollback()
        assert migrating.result(30) == ["0002_two"]


CHECKSUMS = Path(__file__).with_name("migrations.sha256")


def test_no_migration_is_edited_or_renamed() -> None:
    """A migration that anybody has applied stays as it is. A new one adds its line to the file."""
    lines = [line.split() for line in CHECKSUMS.read_text(encoding="utf-8").splitlines()]
    assert lines == [[migration.checksum, migration.name] for migration in read_migrations([OURS])]
