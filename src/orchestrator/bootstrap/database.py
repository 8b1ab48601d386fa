"""Open the database of a process: the configured one, whose schema is only checked, or the embedded one.

The embedded database is always migrated.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files

from orchestrator.eventstore.formats import FORMAT
from orchestrator.postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError
from orchestrator.postgres.migrate import migrate_alone
from orchestrator.postgres.pooling import Route, check_search_path, find_route
from orchestrator.postgres.schema import check_schema
from orchestrator.projections.custom.loading import CustomModels, load_custom_models
from orchestrator.projections.custom.tables import find_tables
from orchestrator.settings import Settings

logger = logging.getLogger(__name__)

MIGRATIONS = (files("orchestrator.postgres") / "migrations",)


@dataclass(frozen=True, slots=True)
class OpenDatabase:
    """A database that this program can read and write.

    Attributes:
        route: how to reach it.
        format: the newest format that may be written to it.
        custom: the read models of installed packages whose tables exist.
        revive: restarts the embedded Postgres if it crashed; None for a configured database.
    """

    route: Route
    format: int
    custom: CustomModels
    revive: Callable[[], None] | None = None


@contextmanager
def open_database(settings: Settings, *, migrates: bool = False) -> Iterator[OpenDatabase]:
    """Yield a database whose schema fits this program: the configured one, otherwise the embedded one.

    Args:
        settings: the settings.
        migrates: whether to migrate a configured database; the embedded one is always migrated.

    Raises:
        EmbeddedPostgresError: the embedded Postgres cannot be started.
        DatabaseUnavailable: the configured database cannot be reached.
        MigrationError: the schema does not fit this program, or cannot be migrated.
        PoolingUnfit: the database is behind a pooler that does not fit the settings.
    """
    if settings.database_url is not None:
        route = find_route(settings.database_url, settings.listen_url)
        if migrates:
            schema = migrate_alone(route.direct, MIGRATIONS, new_format=FORMAT)
        else:
            schema = check_schema(route.direct, MIGRATIONS)
        if route.shares_sessions:
            check_search_path(route.conninfo)
        custom = open_custom_models(route.direct, makes=migrates)
        yield OpenDatabase(route, schema.format, custom)
        return
    with EmbeddedPostgres(settings.data_dir) as server:
        conninfo = server.conninfo()
        # Only programs on this machine use it, usually of one release. Other releases skip what they do not know.
        schema = migrate_alone(conninfo, MIGRATIONS, new_format=FORMAT, finished_format=FORMAT)

        def revive() -> None:
            try:
                if server.revive():
                    logger.warning("embedded postgres crashed, restarted")
            except EmbeddedPostgresError:
                logger.exception("embedded postgres crashed, cannot be restarted")

        yield OpenDatabase(Route(conninfo, conninfo), schema.format, open_custom_models(conninfo, makes=True), revive)


def open_custom_models(conninfo: str, *, makes: bool) -> CustomModels:
    """Return the read models of installed packages whose tables exist, and log why others are stopped.

    Args:
        conninfo: connection string of a migrated database.
        makes: whether to create tables that are missing or of an older version.
    """
    custom = find_tables(conninfo, load_custom_models(), makes=makes)
    for name, why in custom.faults.items():
        logger.error("custom read model stopped", extra={"projection": name, "reason": why})
    return custom


@contextmanager
def open_unchecked(settings: Settings) -> Iterator[str]:
    """Yield a direct connection string of the database without checking its schema. An embedded one is started.

    Raises:
        EmbeddedPostgresError: the embedded Postgres cannot be started.
        PoolingUnfit: the database is behind a pooler that does not fit the settings.
    """
    if settings.database_url is not None:
        yield find_route(settings.database_url, settings.listen_url).direct
        return
    with EmbeddedPostgres(settings.data_dir) as server:
        yield server.conninfo()
