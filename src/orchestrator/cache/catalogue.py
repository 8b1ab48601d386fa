"""What the cache holds, and taking things out of it. Every withdrawal is an event, so that a rebuild respects it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.errors import VersionConflict
from orchestrator.domain.events import StepCacheInvalidated
from orchestrator.eventstore.database import Database
from orchestrator.eventstore.log import EventLog
from orchestrator.eventstore.recorded import cache_stream
from orchestrator.eventstore.sql import load_sql

_SQL = load_sql(__file__)
_KEYS_PER_EVENT = 1000

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a prune leaves; None sets no limit.

    Nothing stored before `before` (milliseconds since 1970 UTC), the newest `entries` keys, the newest `bytes`.
    """

    before: int | None = None
    entries: int | None = None
    bytes: int | None = None


class CacheCatalogue:
    """The cold tier's contents, tenant by tenant."""

    def __init__(self, database: Database, log: EventLog) -> None:
        self._database = database
        self._log = log

    def stats(self, tenant: str) -> list[Row]:
        """Return entries, bytes, oldest and newest for each step of each workflow."""
        return self._all(_SQL.stats, {"tenant": tenant})

    def entries(
        self, tenant: str, *, workflow: str | None = None, step: str | None = None, limit: int = 100
    ) -> list[Row]:
        """Return entries, newest first."""
        return self._all(_SQL["list"], {"tenant": tenant, "workflow": workflow, "step": step, "limit": limit})

    def entry_before(self, tenant: str, workflow: str, step: str, run_id: str, at: int) -> Row | None:
        """Return the newest entry of a step that another run had stored by a time, or None."""
        rows = self._all(
            _SQL.before, {"tenant": tenant, "workflow": workflow, "step": step, "run_id": run_id, "at": at}
        )
        return rows[0] if rows else None

    async def invalidate(
        self,
        tenant: str,
        actor: str,
        *,
        keys: Sequence[str] = (),
        workflow: str | None = None,
        step: str | None = None,
        reason: str = "invalidated by hand",
    ) -> int:
        """Withdraw results by key, or those of a workflow or of one of its steps; return how many keys there were.

        Raises:
            ValueError: nothing is named, or a step without its workflow.
        """
        if not keys and workflow is None:
            raise ValueError("name a key, or a workflow and optionally a step of it")
        matching = self._all(_SQL.matching, {"tenant": tenant, "keys": list(keys), "workflow": workflow, "step": step})
        event = StepCacheInvalidated(time.time_ns() // 1_000_000, reason, tuple(keys), workflow, step)
        await self._withdraw(tenant, actor, [event])
        return int(matching[0]["keys"])

    async def prune(self, tenant: str, actor: str, limits: Limits) -> int:
        """Withdraw what exceeds the limits and return how many keys that were."""
        rows = await self._database.call(
            self._all,
            _SQL.prunable,
            {"tenant": tenant, "before": limits.before, "entries": limits.entries, "bytes": limits.bytes},
        )
        keys = [row["key"] for row in rows]
        at = time.time_ns() // 1_000_000
        events = [
            StepCacheInvalidated(at, "pruned", tuple(keys[start : start + _KEYS_PER_EVENT]))
            for start in range(0, len(keys), _KEYS_PER_EVENT)
        ]
        await self._withdraw(tenant, actor, events)
        return len(keys)

    async def _withdraw(self, tenant: str, actor: str, events: Sequence[StepCacheInvalidated]) -> None:
        if not events:
            return
        stream = cache_stream(tenant)
        rows = [
            {"tenant": tenant, "keys": event.keys, "workflow": event.workflow, "step": event.step} for event in events
        ]
        while True:
            version = len(await self._database.call(self._log.read, stream))
            try:
                await self._log.append(stream, version, events, tenant=tenant, actor=actor, inline={"cache_drop": rows})
            except VersionConflict:
                continue
            return

    def _all(self, statement: str, parameters: Mapping[str, Any]) -> list[Row]:
        with self._database.connection() as connection:
            return connection.execute(statement, parameters, prepare=True).fetchall()
