"""The step cache as the local client sees it: on the database itself, without a server."""

from collections.abc import Sequence
from typing import Any

from orchestrator.api.commands import Caller, now
from orchestrator.api.explain import explanation_view
from orchestrator.bootstrap.core import Core
from orchestrator.cache.catalogue import Limits
from orchestrator.cli.client import CacheLimits, Document
from orchestrator.projections.views import timestamp


class LocalCache:
    """Reads the catalogue of results, explains, withdraws; see `CacheClient`."""

    def __init__(self, core: Core, caller: Caller) -> None:
        self._core = core
        self._caller = caller

    async def stats(self) -> Document:
        """Return what the cache holds; see `CacheClient.stats`."""
        rows = await self._core.database.call(self._core.cache.stats, self._caller.tenant)
        return {
            "entries": sum(row["entries"] for row in rows),
            "sizeBytes": sum(row["bytes"] for row in rows),
            "steps": [
                {
                    "workflowName": row["workflow"],
                    "stepId": row["step_id"],
                    "entries": row["entries"],
                    "sizeBytes": row["bytes"],
                    "oldest": timestamp(row["oldest"]),
                    "newest": timestamp(row["newest"]),
                }
                for row in rows
            ],
        }

    async def entries(self, *, workflow: str | None, step: str | None, limit: int) -> list[Document]:
        """Return results; see `CacheClient.entries`."""
        rows = await self._core.database.call(
            self._core.cache.entries, self._caller.tenant, workflow=workflow, step=step, limit=limit
        )
        return [_entry(row) for row in rows]

    async def explain(self, run_id: str, step: str) -> Document:
        """Explain a step; see `CacheClient.explain`."""
        explained = await self._core.explainer.explain(self._caller.tenant, run_id, [step])
        return {"runId": run_id, **explanation_view(explained[0])}

    async def invalidate(self, *, keys: Sequence[str], workflow: str | None, step: str | None, reason: str) -> Document:
        """Withdraw results; see `CacheClient.invalidate`."""
        count = await self._core.cache.invalidate(
            self._caller.tenant, self._caller.actor, keys=keys, workflow=workflow, step=step, reason=reason
        )
        return {"withdrawn": count}

    async def prune(self, limits: CacheLimits) -> Document:
        """Withdraw what exceeds limits; see `CacheClient.prune`."""
        before = None if limits.older_than_seconds is None else now() - round(limits.older_than_seconds * 1000)
        chosen = Limits(before, limits.most_entries, limits.most_bytes)
        return {"withdrawn": await self._core.cache.prune(self._caller.tenant, self._caller.actor, chosen)}


def _entry(row: dict[str, Any]) -> Document:
    return {
        "key": row["key"],
        "workflowName": row["workflow"],
        "stepId": row["step_id"],
        "skill": row["skill"],
        "scope": row["scope"],
        "runId": row["run_id"],
        "sizeBytes": row["size_bytes"],
        "storedAt": timestamp(row["stored_at"]),
    }
