"""Compares the schema of a database with this program: behind, up to date, or ahead. Read-only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable

from psycopg import Connection
from psycopg.errors import UndefinedTable
from psycopg.rows import TupleRow

from orchestrator.postgres.connect import connect, place
from orchestrator.postgres.migration_files import (
    DatabaseBehind,
    DatabaseTooNew,
    Migration,
    MigrationChanged,
    newest_number,
    read_migrations,
)
from orchestrator.postgres.sql import load_sql

_SQL = load_sql(__file__)

FIRST_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Schema:
    """The recorded state of a database's schema.

    Attributes:
        applied: the checksums of its migrations, by name.
        number: the number of its newest migration, 0 for an empty database.
        oldest: the oldest program that may read and write it (the number of that program's newest migration); None
            for a database older than these marks.
        format: the newest format that programs may write.
    """

    applied: Mapping[str, str] = field(default_factory=dict)
    number: int = 0
    oldest: int | None = None
    format: int = FIRST_FORMAT

    def due(self, known: Sequence[Migration]) -> list[Migration]:
        """Return the migrations that the database does not have, in order.

        Raises:
            DatabaseTooNew: the database has unknown migrations, and is not marked as compatible with this program.
            MigrationChanged: the file of an applied migration has changed since.
        """
        due = [migration for migration in known if migration.name not in self.applied]
        unknown = sorted(self.applied.keys() - {migration.name for migration in known})
        if unknown and (due or self.oldest is None or self.oldest > newest_number(known)):
            raise DatabaseTooNew(
                f"The database was migrated by a newer program (this one does not know: {', '.join(unknown)}). "
                "Upgrade this program."
            )
        for migration in known:
            if self.applied.get(migration.name, migration.checksum) != migration.checksum:
                raise MigrationChanged(
                    f"{migration.name}.sql was changed after it had been applied. Restore the old file, and put "
                    "the change into a new migration."
                )
        return due


def read_schema(connection: Connection[TupleRow]) -> Schema:
    """Return the recorded schema of a database, in one round trip unless the database is old or empty."""
    try:
        row = connection.execute(_SQL.marked).fetchone()
    except UndefinedTable:
        row = None
    if row is not None:
        applied, number, oldest, newest_format = row
        return Schema(applied or {}, number, oldest, newest_format)
    row = connection.execute(_SQL["exists"]).fetchone()
    if row is None or not row[0]:
        return Schema()
    applied = dict(connection.execute(_SQL.applied).fetchall())
    return Schema(applied, max((int(name[:4]) for name in applied), default=0))


def check_schema(conninfo: str, folders: Sequence[Traversable]) -> Schema:
    """Check that this program can read and write a database, and return the schema of the database.

    Args:
        conninfo: connection string of the database.
        folders: the folders of this program's migrations; see `migrate`.

    Raises:
        DatabaseUnavailable: the database cannot be reached, or refuses the connection.
        DatabaseBehind: the database lacks migrations.
        DatabaseTooNew: a newer program has migrated the database and did not mark it as compatible with this one.
        MigrationChanged: the file of an applied migration has changed since.
        MigrationError: a folder does not exist, or a file name is invalid.
    """
    known = read_migrations(folders)
    with connect(conninfo, autocommit=True) as connection:
        schema = read_schema(connection)
    if schema.due(known):
        where = f"The database at {place(conninfo)}"
        if not schema.applied:
            raise DatabaseBehind(f"{where} is empty. Set it up with `orchestrator migrate`.")
        raise DatabaseBehind(
            f"{where} has schema {schema.number}, and this program needs {newest_number(known)}. "
            "Upgrade it with `orchestrator migrate`."
        )
    return schema
