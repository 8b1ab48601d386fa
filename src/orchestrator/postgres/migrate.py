"""Bring a database up to date: numbered `.sql` files, each applied once, in one transaction, and remembered.

DatabaseUnavailable      (connect.py) nobody answers, or it turns us away
MigrationError           the files are not what they should be, or one of them failed
├── MigrationChanged     a file was edited after it had been applied
└── DatabaseTooNew       a newer program has migrated this database
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable

import psycopg

from orchestrator.postgres.connect import connect
from orchestrator.postgres.sql import load_sql

_SQL = load_sql(__file__)
_FILE_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.sql")


class MigrationError(Exception):
    """The database cannot be brought up to date."""


class MigrationChanged(MigrationError):
    """A migration was edited after it had been applied."""


class DatabaseTooNew(MigrationError):
    """The database has migrations that this program does not know."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `name` without its ending, its SQL, and the SHA-256 of that SQL in hex."""

    name: str
    sql: str
    checksum: str


def migrate(conninfo: str, folders: Sequence[Traversable]) -> list[str]:
    """Apply every migration that the database does not have.

    Processes that start at once queue up on an advisory lock; the second finds nothing to do. When all is
    applied nothing is written, so a role without the right to create tables can start the program.

    Args:
        conninfo: Connection string of the database.
        folders: Folders of `NNNN_name.sql` files. Applied folder by folder, by number within each; a name
            may occur once in all of them.

    Returns:
        Names of the migrations applied now, in order; empty when it was up to date.

    Raises:
        DatabaseUnavailable: The database cannot be reached or does not let us in.
        MigrationChanged: The text of an applied migration is no longer what was applied.
        DatabaseTooNew: The database has a migration that is in none of the folders.
        MigrationError: A folder or a file name is wrong, or a migration failed (and was rolled back).
    """
    known = _read(folders)
    with connect(conninfo, autocommit=True) as connection:
        connection.execute(_SQL.lock)
        try:
            due = _due(known, _applied(connection))
            for migration in due:
                _apply(connection, migration)
        finally:
            if not connection.closed:
                connection.execute(_SQL.unlock)
    return [migration.name for migration in due]


def _read(folders: Iterable[Traversable]) -> list[Migration]:
    migrations: dict[str, Migration] = {}
    for folder in folders:
        if not folder.is_dir():
            raise MigrationError(f"{folder} is no folder of migrations")
        numbers: dict[str, str] = {}
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if not file.name.endswith(".sql"):
                continue
            number, name = file.name[:4], file.name.removesuffix(".sql")
            if not _FILE_NAME.fullmatch(file.name):
                raise MigrationError(f"{folder} has {file.name}; a migration is named like 0001_some_words.sql")
            if name in migrations or number in numbers:
                raise MigrationError(f"{file.name} clashes with {numbers.get(number, name)}.sql: numbers are used once")
            numbers[number] = name
            sql = file.read_text(encoding="utf-8")
            migrations[name] = Migration(name, sql, hashlib.sha256(sql.encode()).hexdigest())
    return list(migrations.values())


def _applied(connection: psycopg.Connection) -> dict[str, str]:
    """Checksums of the applied migrations by name; makes the record when there is none."""
    row = connection.execute(_SQL.exists).fetchone()
    if row is not None and row[0]:
        return dict(connection.execute(_SQL.applied).fetchall())
    try:
        with connection.transaction():
            connection.execute(_SQL.create)
    except psycopg.Error as error:
        raise MigrationError(f"The schema orchestrator cannot be made: {_said(error)}") from error
    return {}


def _due(known: Sequence[Migration], applied: dict[str, str]) -> list[Migration]:
    unknown = sorted(applied.keys() - {migration.name for migration in known})
    if unknown:
        raise DatabaseTooNew(
            f"The database was migrated by a newer program (this one does not know: {', '.join(unknown)}). "
            "Upgrade this program."
        )
    for migration in known:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise MigrationChanged(
                f"{migration.name}.sql was changed after it had been applied. Bring the old text back, and put "
                "the change into a new migration."
            )
    return [migration for migration in known if migration.name not in applied]


def _apply(connection: psycopg.Connection, migration: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(migration.sql.encode())
            connection.execute(_SQL.record, {"name": migration.name, "checksum": migration.checksum})
    except psycopg.Error as error:
        raise MigrationError(f"{migration.name}.sql failed and was rolled back: {_said(error)}") from error


def _said(error: psycopg.Error) -> str:
    return error.diag.message_primary or " ".join(str(error).split()) or type(error).__name__
