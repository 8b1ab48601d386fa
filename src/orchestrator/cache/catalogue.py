"""List and invalidate the contents of the cache. Every invalidation is an event, so that a rebuild respects it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.errors import VersionConflict
from orchestrator.domain.events import StepCacheInvalidated
from orchestrator.eventstore.inline import withdrawal
from orchestrator.eventstore.log import EventLog
from orchestrator.eventstore.recorded import cache_stream
from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql

_SQL = load_sql(__file__)
_KEYS_PER_EVENT = 1000

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PruneLimits:
    """The limits of a prune; None means no limit.

    A prune removes results stored before `before` (milliseconds since 1970 UTC). It keeps the newest `entries` keys,
    and the newest results up to `bytes` of JSON (artifacts do not count, because they also belong to runs).
    """

    before: int | None = None
    entries: int | None = None
    bytes: int | None = None


class CacheCatalogue:
    """The contents of the cold tier, per tenant."""

    def __init__(self, database: Database, log: EventLog) -> None:
        self._database = database
        self._log = log

    def stats(self, tenant: str) -> list[Row]:
        """Return the number of entries, their bytes, and the oldest and newest time, for each step of each workflow."""
        return self._all(_SQL.stats, {"tenant": tenant})

    def entries(
        self, tenant: str, *, workflow: str | None = None, step: str | None = None, limit: int = 100
    ) -> list[Row]:
        """Return up to `limit` entries, newest first."""
        return self._all(_SQL["list"], {"tenant": tenant, "workflow": workflow, "step": step, "limit": limit})

    def stored_before(self, tenant: str, workflow: str, run_id: str, times: Mapping[str, int]) -> dict[str, str]:
        """Return, for each step, the run whose result was the newest one at a given time.

        Args:
            tenant: tenant of the results.
            workflow: name of the workflow.
            run_id: a run to exclude.
            times: time for each step, in milliseconds since 1970 UTC.
        """
        rows = self._all(
            _SQL.stored_before,
            {
                "tenant": tenant,
                "workflow": workflow,
                "run_id": run_id,
                "steps": list(times),
                "times": list(times.values()),
            },
        )
        return {row["step_id"]: row["run_id"] for row in rows}

    def withdrawals(self, tenant: str) -> list[StepCacheInvalidated]:
        """Return every invalidation, oldest first."""
        history = self._log.read(cache_stream(tenant))
        return [recorded.event for recorded in history if isinstance(recorded.event, StepCacheInvalidated)]

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
        """Invalidate results by key, by workflow or by step, and return the number of keys that matched.

        Raises:
            ValueError: neither keys nor a workflow is given, or a step without its workflow.
        """
        if workflow is None and (step is not None or not keys):
            raise ValueError("nothing to invalidate: give keys, or a workflow and optionally one of its steps")
        matching = await self._database.call(
            self._all, _SQL.matching, {"tenant": tenant, "keys": list(keys), "workflow": workflow, "step": step}
        )
        event = StepCacheInvalidated(_now(), reason, tuple(keys), workflow, step)
        await self._withdraw(tenant, actor, [event])
        return int(matching[0]["keys"])

    async def prune(self, tenant: str, actor: str, limits: PruneLimits) -> int:
        """Invalidate the results that exceed the limits, oldest first, and return the number of keys."""
        rows = await self._database.call(
            self._all,
            _SQL.prunable,
            {"tenant": tenant, "before": limits.before, "entries": limits.entries, "bytes": limits.bytes},
        )
        keys = [row["key"] for row in rows]
        for start in range(0, len(keys), _KEYS_PER_EVENT):
            chosen = tuple(keys[start : start + _KEYS_PER_EVENT])
            await self._withdraw(tenant, actor, [StepCacheInvalidated(_now(), "pruned", chosen)])
        return len(keys)

    async def forget_run(self, tenant: str, actor: str, run_id: str) -> None:
        """Record that a run is deleted, so that every process drops the results that it keeps in memory.

        The results themselves go with the run.
        """
        await self._withdraw(tenant, actor, [StepCacheInvalidated(_now(), f"run {run_id} is deleted")])

    async def _withdraw(self, tenant: str, actor: str, events: Sequence[StepCacheInvalidated]) -> None:
        stream = cache_stream(tenant)
        rows = [withdrawal(tenant, event) for event in events]
        while True:
            version = (await self._database.call(self._all, _SQL.version, {"stream": stream}))[0]["version"]
            try:
                await self._log.append(stream, version, events, tenant=tenant, actor=actor, inline={"cache_drop": rows})
            except VersionConflict:
                continue
            return

    def _all(self, statement: str, parameters: Mapping[str, Any]) -> list[Row]:
        with self._database.connection() as connection:
            return connection.execute(statement, parameters, prepare=True).fetchall()


def _now() -> int:
    """Return the time in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000
