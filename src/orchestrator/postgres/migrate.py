"""Migrates a database with numbered `.sql` files, each applied once in one transaction and recorded.

A migration only adds, so that programs of the previous release keep working. Removals follow in a later release, with
a migration that names the oldest compatible program (`-- oldest program: NNNN`).
"""

import time
from collections.abc import Callable, Sequence
from importlib.resources.abc import Traversable

import psycopg
from psycopg.errors import LockNotAvailable
from psycopg.rows import TupleRow

from orchestrator.postgres.connect import connect
from orchestrator.postgres.migration_files import Migration, MigrationError, newest_number, read_migrations
from orchestrator.postgres.schema import FIRST_FORMAT, Schema, read_schema
from orchestrator.postgres.sql import load_sql

_SQL = load_sql(__file__)
_LOCK_SECONDS = 60.0
"""How long a migration tries to lock a table in use. Other sessions queue behind it only for the short lock timeout."""
_PAUSE_SECONDS = 0.5

OnBegin = Callable[[str, int, int], None]
"""Called when a migration begins, with its name, its number among the migrations to apply (from 1), and their count."""


def migrate(
    conninfo: str,
    folders: Sequence[Traversable],
    *,
    to: int | None = None,
    new_format: int = FIRST_FORMAT,
    on_begin: OnBegin | None = None,
) -> list[str]:
    """Apply every migration that the database does not have.

    Processes that start at the same time queue on an advisory lock; the second one finds nothing to do. When all
    migrations are applied, nothing is written, so a role that may not create tables can call this.

    Args:
        conninfo: Connection string of the database.
        folders: Folders of `NNNN_name.sql` files. They are applied folder by folder, by number within each; names
            must be unique across all folders.
        to: The number of the last migration to apply; None applies all.
        new_format: The format that programs may write from the start in a database that was empty.
        on_begin: Called when each migration begins.

    Returns:
        The names of the applied migrations, in order; empty when the database was up to date.

    Raises:
        DatabaseUnavailable: The database cannot be reached, or refuses the connection.
        MigrationChanged: The file of an applied migration has changed since.
        DatabaseTooNew: The database has a migration that is in none of the folders, and is not compatible with this
            program.
        MigrationError: A folder, a file name or `to` is invalid, or a migration failed (and was rolled back).
    """
    known = read_migrations(folders)
    with connect(conninfo, autocommit=True) as connection:
        if not select_due(read_schema(connection), known, to):
            return []
        connection.execute(_SQL.lock)
        try:
            schema = read_schema(connection)
            due = select_due(schema, known, to)
            if due and not schema.applied:
                _begin_record(connection)
            for number, migration in enumerate(due, 1):
                if on_begin is not None:
                    on_begin(migration.name, number, len(due))
                _apply(connection, migration)
            if not schema.applied and read_schema(connection).oldest is not None:
                connection.execute(_SQL.finish, {"format": new_format})
        finally:
            if not connection.closed:
                connection.execute(_SQL.unlock)
    return [migration.name for migration in due]


def select_due(schema: Schema, known: Sequence[Migration], to: int | None = None) -> list[Migration]:
    """Return the migrations to apply, up to the one with number `to`.

    Raises:
        MigrationChanged, DatabaseTooNew: see `Schema.due`.
        MigrationError: there is no migration `to`, or the database is already newer.
    """
    due = schema.due(known)
    if to is None:
        return due
    if to not in {migration.number for migration in known}:
        raise MigrationError(f"There is no migration {to}; the newest one is {newest_number(known)}.")
    if to < schema.number:
        raise MigrationError(f"The database has schema {schema.number} and cannot go back to {to}. Restore a backup.")
    return [migration for migration in due if migration.number <= to]


def finish(conninfo: str, newest_format: int) -> bool:
    """Allow programs to write formats up to this one from now on; return False if they already may.

    Running programs that know the format are notified. Programs that do not know it continue with the formats they
    know.

    Raises:
        DatabaseUnavailable: The database cannot be reached, or refuses the connection.
        psycopg.Error: The role lacks the permission, or the database is older than formats.
    """
    with connect(conninfo, autocommit=True) as connection:
        if read_schema(connection).format >= newest_format:
            return False
        return connection.execute(_SQL.finish, {"format": newest_format}).rowcount > 0


def migrate_alone(
    conninfo: str, folders: Sequence[Traversable], *, new_format: int, finished_format: int = FIRST_FORMAT
) -> Schema:
    """Migrate a database without an operator, and return its schema.

    Args:
        conninfo: Connection string of the database.
        folders: Folders of migrations; see `migrate`.
        new_format: The format that programs may write from the start in a database that was empty.
        finished_format: The format to finish in any database, because only programs of this release use it.

    Raises:
        DatabaseUnavailable, MigrationError: see `migrate`.
    """
    known = read_migrations(folders)
    for _ in range(3):  # to migrate, to finish, and to read the resulting schema
        with connect(conninfo, autocommit=True) as connection:
            schema = read_schema(connection)
        if schema.due(known):
            migrate(conninfo, folders, new_format=new_format)
        elif schema.format < finished_format:
            finish(conninfo, finished_format)
        else:
            break
    return schema


def _begin_record(connection: psycopg.Connection[TupleRow]) -> None:
    """Create the table that records applied migrations."""
    try:
        with connection.transaction():
            connection.execute(_SQL.create)
    except psycopg.Error as error:
        raise MigrationError(f"The schema orchestrator cannot be created: {_message(error)}") from error


def _apply(connection: psycopg.Connection[TupleRow], migration: Migration) -> None:
    """Apply a migration. While other sessions hold locks that it needs, roll back, wait, and try again."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            with connection.transaction():
                connection.execute(_SQL.short_waits)
                connection.execute(migration.sql.encode())
                connection.execute(_SQL.record, {"name": migration.name, "checksum": migration.checksum})
                marked = connection.execute(_SQL.is_marked).fetchone()
                if marked is not None and marked[0]:
                    marks = {"number": migration.number, "oldest": migration.oldest_program}
                    connection.execute(_SQL.mark, marks)
        except LockNotAvailable as error:
            if time.monotonic() > deadline:
                raise MigrationError(
                    f"{migration.name}.sql was rolled back: other sessions have locked its tables for "
                    f"{_LOCK_SECONDS:g} s. End long transactions, and try again."
                ) from error
            time.sleep(_PAUSE_SECONDS)
        except psycopg.Error as error:
            raise MigrationError(f"{migration.name}.sql failed and was rolled back: {_message(error)}") from error
        else:
            return


def _message(error: psycopg.Error) -> str:
    return error.diag.message_primary or " ".join(str(error).split()) or type(error).__name__
