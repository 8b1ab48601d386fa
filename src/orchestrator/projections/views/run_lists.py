"""Lists of runs: a page of those that match a filter, by an index whatever the filter is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.read_models.contract import Row

_SQL = load_sql(__file__)
_END = 2**63 - 1
_UUID_DIGITS = 32
_CLOCK_SLACK_MS = 600_000
"""How much the clocks of processes that trigger runs may differ without a run missing from a list."""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list. None does not restrict the list.

    Attributes:
        statuses: only runs with one of these statuses; empty for all.
        workflow: only runs of this workflow.
        workflow_version: only runs of this version; give the workflow too.
        base_run_id: only updates and retries of this run.
        label: only runs with this label, a key and its value.
        since: only runs triggered at or after this time, in milliseconds since 1970 UTC.
        until: only runs triggered before this time, in milliseconds since 1970 UTC.
        id_prefix: only runs whose id begins with these lower-case hex digits, without hyphens. The list is then ordered
            by id, and has only one page.
    """

    statuses: tuple[str, ...] = ()
    workflow: str | None = None
    workflow_version: str | None = None
    base_run_id: str | None = None
    label: tuple[str, str] | None = None
    since: int | None = None
    until: int | None = None
    id_prefix: str | None = None


EVERY_RUN = RunFilter()
"""The filter that matches all runs of a tenant."""


class RunLists:
    """Reads pages of runs from the read models. All methods are synchronous."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, tenant: str, wanted: RunFilter, *, before: int | None, limit: int) -> tuple[list[str], int | None]:
        """Return up to `limit` ids, newest first, and `before` for the next page, or None if this is the last."""
        given: dict[str, Any] = {
            "tenant": tenant,
            "statuses": list(wanted.statuses) or None,
            "workflow": wanted.workflow,
            "workflow_version": wanted.workflow_version,
            "base_run_id": wanted.base_run_id,
            "label": None if wanted.label is None else orjson.dumps({wanted.label[0]: wanted.label[1]}).decode(),
            "since": wanted.since,
            "until": wanted.until,
        }
        if wanted.id_prefix is not None:
            first, last = (wanted.id_prefix.ljust(_UUID_DIGITS, digit) for digit in "0f")
            rows = self._all(_SQL.by_id, {**given, "first_id": first, "last_id": last, "limit": limit})
            return [row["run_id"] for row in rows], None
        after = self._position_before(given)
        if after is None:
            return [], None
        before = min(_END if before is None else before, self._position_after(given))
        # One query for each status, because together they would read all runs between those with one of the statuses.
        rows = [
            row
            for status in dict.fromkeys(wanted.statuses or (None,))
            for row in self._all(
                _SQL.newest, {**given, "status": status, "after": after, "before": before, "limit": limit + 1}
            )
        ]
        rows.sort(key=lambda row: int(row["first_position"]), reverse=True)
        run_ids = [row["run_id"] for row in rows[:limit]]
        return run_ids, int(rows[limit - 1]["first_position"]) if len(rows) > limit else None

    def _position_after(self, given: Mapping[str, Any]) -> int:
        """Return a position after the last run that can match."""
        if given["until"] is None:
            return _END
        later = given["until"] + 2 * _CLOCK_SLACK_MS  # the run after the position is older than this, less the slack
        rows = self._all(_SQL.position_at, {"tenant": given["tenant"], "since": later, "slack": _CLOCK_SLACK_MS})
        return int(rows[0]["position"]) + 2

    def _position_before(self, given: Mapping[str, Any]) -> int | None:
        """Return a position before the first run that can match, or None if no run can match.

        A version of a workflow has no runs from before it was registered.
        """
        since = given["since"]
        if given["workflow_version"] is not None:
            registered = self._all(_SQL.version_registered, given)
            if not registered:
                return None
            since = max(since or 0, registered[0]["registered_at"])
        if since is None:
            return 0
        rows = self._all(_SQL.position_at, {"tenant": given["tenant"], "since": since, "slack": _CLOCK_SLACK_MS})
        return int(rows[0]["position"])

    def _all(self, statement: str, parameters: Mapping[str, Any]) -> list[Row]:
        with self._database.connection() as connection:
            return connection.execute(statement, parameters, prepare=True).fetchall()
