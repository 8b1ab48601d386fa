"""What the database must allow a process before it starts: a missing grant is told at once, not step by step."""

from collections.abc import Iterable

from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql

_SQL = load_sql(__file__)

LOG = (("events", "SELECT"), ("events", "INSERT"), ("run_queue", "SELECT"))
WORKER = (("workers", "INSERT"), ("workers", "UPDATE"), ("run_queue", "UPDATE"), ("step_cache", "INSERT"))
PROJECTOR = (("projections", "INSERT"), ("projections", "UPDATE"), ("runs", "INSERT"), ("runs", "UPDATE"))

GRANT = "Connect as the owner of the schema orchestrator, or grant what is missing (docs/operations.md, Permissions)."


class MissingGrants(Exception):
    """The role of the connection may not do what the process has to do."""


def check_grants(database: Database, *needed: Iterable[tuple[str, str]]) -> None:
    """Look whether the database allows what a process has to do.

    Args:
        database: the database.
        *needed: groups of tables and privileges, such as `LOG` and `WORKER`.

    Raises:
        MissingGrants: it does not; the message names the role, what it lacks, and the fix.
    """
    wanted = [each for group in needed for each in group]
    with database.connection() as connection:
        standing = connection.execute(_SQL.standing).fetchone()
        rows = connection.execute(
            _SQL.lacking, {"tables": [table for table, _ in wanted], "privileges": [each for _, each in wanted]}
        ).fetchall()
    if standing is not None and standing["only_reads"]:
        raise MissingGrants(
            f"The database lets the role {standing['role']} only read. Connect to the primary server, and see that "
            "default_transaction_read_only is off."
        )
    if standing is not None and rows:
        lacking = ", ".join(f"{row['privilege']} on {row['place']}" for row in rows)
        raise MissingGrants(f"The database role {standing['role']} lacks {lacking}. {GRANT}")
