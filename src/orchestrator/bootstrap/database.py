"""The database of a process: the configured one, whose schema is only checked, or our own, which is kept up to date."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files

from orchestrator.eventstore.formats import FORMAT
from orchestrator.postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError
from orchestrator.postgres.migrate import migrate_alone
from orchestrator.postgres.schema import FIRST_FORMAT, check_schema
from orchestrator.settings import Settings

logger = logging.getLogger(__name__)

MIGRATIONS = (files("orchestrator.postgres") / "migrations",)


@dataclass(frozen=True, slots=True)
class OpenDatabase:
    """A database that this program can read and write.

    Attributes:
        conninfo: its connection string.
        format: the newest format that may be written to it.
        revive: starts our own again if it crashed; there is none for others.
    """

    conninfo: str
    format: int
    revive: Callable[[], None] | None = None


@contextmanager
def open_database(settings: Settings, *, migrates: bool = False) -> Iterator[OpenDatabase]:
    """Yield a database with a schema for this program, our own one if none is configured.

    Args:
        settings: which database.
        migrates: whether to bring a configured database up to date, too; our own one always is.

    Raises:
        EmbeddedPostgresError: our own Postgres cannot be started.
        DatabaseUnavailable: the configured one cannot be reached.
        MigrationError: its schema is not the one for this program, or cannot be brought up to date.
    """
    if settings.database_url is not None:
        if migrates:
            schema = migrate_alone(settings.database_url, MIGRATIONS, FIRST_FORMAT)
        else:
            schema = check_schema(settings.database_url, MIGRATIONS)
        yield OpenDatabase(settings.database_url, schema.format)
        return
    with EmbeddedPostgres(settings.data_dir) as server:
        conninfo = server.conninfo()
        # Only programs on this machine use it, as a rule of one release. Others leave alone what they do not know.
        schema = migrate_alone(conninfo, MIGRATIONS, FORMAT)

        def revive() -> None:
            try:
                if server.revive():
                    logger.warning("our own Postgres had crashed and was started again")
            except EmbeddedPostgresError:
                logger.exception("our own Postgres crashed and cannot be started again")

        yield OpenDatabase(conninfo, schema.format, revive)


@contextmanager
def open_unchecked(settings: Settings) -> Iterator[str]:
    """Yield the connection string of the settings' database, whatever its schema; our own is started.

    Raises:
        EmbeddedPostgresError: our own Postgres cannot be started.
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    with EmbeddedPostgres(settings.data_dir) as server:
        yield server.conninfo()
