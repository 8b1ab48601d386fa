"""Bring a database up to date: numbered `.sql` files, each applied once, in one transaction, and remembered.

A migration only adds, so that programs of the release before go on beside it. What has to go, goes in a later release,
with a migration that says which programs cannot live with it (`-- oldest program: NNNN`).
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
"""How long a migration tries to get a table that others use. They wait behind it only for a moment of that."""
_PAUSE_SECONDS = 0.5

OnBegin = Callable[[str, int, int], None]
"""Called when a migration begins: its name, its number among those to be applied (from 1), and how many these are."""


def migrate(
    conninfo: str,
    folders: Sequence[Traversable],
    *,
    to: int | None = None,
    new_format: int = FIRST_FORMAT,
    on_begin: OnBegin | None = None,
) -> list[str]:
    """Apply every migration that the database does not have.

    Processes that start at once queue up on an advisory lock; the second finds nothing to do. When all is
    applied nothing is written, so a role without the right to create tables can call this.

    Args:
        conninfo: Connection string of the database.
        folders: Folders of `NNNN_name.sql` files. Applied folder by folder, by number within each; a name
            may occur once in all of them.
        to: The number of the last migration to apply; None applies all.
        new_format: The format that programs may write from the start in a database that was empty.
        on_begin: Told when each migration begins.

    Returns:
        Names of the migrations applied now, in order; empty when it was up to date.

    Raises:
        DatabaseUnavailable: The database cannot be reached or does not let us in.
        MigrationChanged: The text of an applied migration is no longer what was applied.
        DatabaseTooNew: The database has a migration that is in none of the folders, and is not fit for this program.
        MigrationError: A folder, a file name or `to` is wrong, or a migration failed (and was rolled back).
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
        MigrationError: there is no migration `to`, or the database is past it.
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
    """Let programs write formats up to this one from now on; False if they may already.

    Running programs that know the format are told. Those that do not, go on with what they know.

    Raises:
        DatabaseUnavailable: The database cannot be reached or does not let us in.
        psycopg.Error: The role may not, or the database is from before there were formats.
    """
    with connect(conninfo, autocommit=True) as connection:
        if read_schema(connection).format >= newest_format:
            return False
        return connection.execute(_SQL.finish, {"format": newest_format}).rowcount > 0


def migrate_alone(conninfo: str, folders: Sequence[Traversable], newest_format: int = FIRST_FORMAT) -> Schema:
    """Bring a database up to date that only programs of this release use, finish its format, and return how it stands.

    Raises:
        DatabaseUnavailable, MigrationError: see `migrate`.
    """
    known = read_migrations(folders)
    for _ in range(3):  # to migrate, to finish, and to see how it stands then
        with connect(conninfo, autocommit=True) as connection:
            schema = read_schema(connection)
        if schema.due(known):
            migrate(conninfo, folders, new_format=newest_format)
        elif schema.format < newest_format:
            finish(conninfo, newest_format)
        else:
            break
    return schema


def _begin_record(connection: psycopg.Connection[TupleRow]) -> None:
    """Make the table that remembers what was applied."""
    try:
        with connection.transaction():
            connection.execute(_SQL.create)
    except psycopg.Error as error:
        raise MigrationError(f"The schema orchestrator cannot be made: {_said(error)}") from error


def _apply(connection: psycopg.Connection[TupleRow], migration: Migration) -> None:
    """Apply a migration. While others hold what it needs, it makes way for them and tries again."""
    given_up = time.monotonic() + _LOCK_SECONDS
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
            if time.monotonic() > given_up:
                raise MigrationError(
                    f"{migration.name}.sql was rolled back: others have held what it needs for {_LOCK_SECONDS:g} s. "
                    "End long transactions, and try again."
                ) from error
            time.sleep(_PAUSE_SECONDS)
        except psycopg.Error as error:
            raise MigrationError(f"{migration.name}.sql failed and was rolled back: {_said(error)}") from error
        else:
            return


def _said(error: psycopg.Error) -> str:
    return error.diag.message_primary or " ".join(str(error).split()) or type(error).__name__
