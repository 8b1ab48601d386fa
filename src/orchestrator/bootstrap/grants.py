"""Check the database permissions of a process when it starts, so that all missing grants are reported together."""

from collections.abc import Iterable

from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql

_SQL = load_sql(__file__)

LOG = (("events", "SELECT"), ("events", "INSERT"), ("run_queue", "SELECT"))
WORKER = (
    ("workers", "INSERT"),
    ("workers", "UPDATE"),
    ("run_queue", "UPDATE"),
    ("step_cache", "INSERT"),
    ("step_logs", "SELECT"),
    ("step_logs", "INSERT"),
)
PROJECTOR = (("projections", "INSERT"), ("projections", "UPDATE"), ("runs", "INSERT"), ("runs", "UPDATE"))

GRANT = "Connect as the owner of the schema orchestrator, or grant what is missing (docs/operations.md, Permissions)."


class MissingGrants(Exception):
    """The database role lacks permissions that the process needs."""


def check_grants(database: Database, *needed: Iterable[tuple[str, str]]) -> None:
    """Check that the database role has the permissions that a process needs.

    Args:
        database: the database.
        *needed: groups of tables and privileges, such as `LOG` and `WORKER`.

    Raises:
        MissingGrants: permissions are missing; the message gives the role, the missing permissions and the fix.
    """
    wanted = [each for group in needed for each in group]
    with database.connection() as connection:
        standing = connection.execute(_SQL.standing).fetchone()
        rows = connection.execute(
            _SQL.lacking, {"tables": [table for table, _ in wanted], "privileges": [each for _, each in wanted]}
        ).fetchall()
    if standing is not None and standing["only_reads"]:
        raise MissingGrants(
            f"The database is read-only for the role {standing['role']}. Connect to the primary server, and make sure "
            "that default_transaction_read_only is off."
        )
    if standing is not None and rows:
        lacking = ", ".join(f"{row['privilege']} on {row['place']}" for row in rows)
        raise MissingGrants(f"The database role {standing['role']} lacks {lacking}. {GRANT}")
