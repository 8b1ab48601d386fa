"""The tables of custom read models: created by `orchestrator migrate`, and looked up by all other processes."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row

from orchestrator.postgres.connect import connect
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.custom.loading import CustomModels
from orchestrator.projections.custom.table import CustomTable

_SQL = load_sql(__file__)
_OURS = "read model "


def find_tables(conninfo: str, models: CustomModels, *, makes: bool) -> CustomModels:
    """Return the models whose tables exist and are up to date; record a fault for each of the others.

    Without models, the database is not queried. Nothing is written if all tables are up to date.

    Args:
        conninfo: the connection string of a migrated database.
        models: the installed models.
        makes: whether to create tables that are missing, and update those of an older version.

    Raises:
        DatabaseUnavailable: the database is unavailable.
    """
    if not models.tables:
        return models
    made: list[CustomTable] = []
    faults = dict(models.faults)
    with connect(conninfo, autocommit=True) as connection, connection.cursor(row_factory=dict_row) as cursor:
        names = [table.name for table in models.tables]
        found = {row["name"]: row for row in cursor.execute(_SQL.find, {"names": names}).fetchall()}
        for table in models.tables:
            try:
                _find(connection, table, found[table.name], makes)
            except (psycopg.Error, ValueError) as error:
                if connection.closed:
                    raise
                verb = "created" if makes else "used"
                faults[table.name] = f"its table cannot be {verb}: {' '.join(str(error).split())}"
            else:
                made.append(table)
    return CustomModels(tuple(made), faults)


def select_due_tables(conninfo: str, models: CustomModels) -> tuple[str, ...]:
    """Return the names of the models whose tables `find_tables` would create or update. The database may be empty.

    Raises:
        DatabaseUnavailable: the database is unavailable.
    """
    if not models.tables:
        return ()
    with connect(conninfo, autocommit=True) as connection, connection.cursor(row_factory=dict_row) as cursor:
        names = [table.name for table in models.tables]
        found = {row["name"]: row for row in cursor.execute(_SQL.find, {"names": names}).fetchall()}
    return tuple(table.name for table in models.tables if not _is_up_to_date(table, found[table.name]))


def _is_up_to_date(table: CustomTable, found: Mapping[str, Any]) -> bool:
    """Return whether a table has the columns of this version, or belongs to a newer version."""
    signature = (found["comment"] or "").removeprefix(_OURS)
    return signature == table.signature or (signature != "" and int(signature.split()[0]) > table.version)


def _find(connection: Any, table: CustomTable, found: Mapping[str, Any], makes: bool) -> None:
    if found["exists"] and not (found["comment"] or "").startswith(_OURS):
        raise ValueError(f"the schema orchestrator already has a relation {table.name}; choose another name")
    if _is_up_to_date(table, found):
        return
    if not makes:
        missing = "missing" if not found["exists"] else "of an older version"
        raise ValueError(f"it is {missing}; run `orchestrator migrate`")
    with connection.transaction():
        connection.execute(_SQL.lock)
        table.make(connection)
