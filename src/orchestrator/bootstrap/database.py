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
from orchestrator.projections.custom.loading import CustomModels, load_custom_models
from orchestrator.projections.custom.tables import find_tables
from orchestrator.settings import Settings

logger = logging.getLogger(__name__)

MIGRATIONS = (files("orchestrator.postgres") / "migrations",)


@dataclass(frozen=True, slots=True)
class OpenDatabase:
    """A database that this program can read and write.

    Attributes:
        conninfo: its connection string.
        format: the newest format that may be written to it.
        custom: the read models of installed packages whose tables are there.
        revive: starts our own again if it crashed; there is none for others.
    """

    conninfo: str
    format: int
    custom: CustomModels
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
        custom = open_custom_models(settings.database_url, makes=migrates)
        yield OpenDatabase(settings.database_url, schema.format, custom)
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

        yield OpenDatabase(conninfo, schema.format, open_custom_models(conninfo, makes=True), revive)


def open_custom_models(conninfo: str, *, makes: bool) -> CustomModels:
    """Return the read models of installed packages whose tables are there, and log why others are not kept.

    Args:
        conninfo: connection string of a database that is migrated.
        makes: whether to make the tables that are missing or of an older version.
    """
    custom = find_tables(conninfo, load_custom_models(), makes=makes)
    for name, why in custom.faults.items():
        logger.error("custom read model stopped", extra={"projection": name, "reason": why})
    return custom


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
