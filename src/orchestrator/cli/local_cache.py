"""The step cache of one tenant: on the database itself; no server is asked for this."""

from collections.abc import Sequence
from typing import Any

from orchestrator.api.commands import Caller, now
from orchestrator.bootstrap.core import Core
from orchestrator.cache.catalogue import Limits
from orchestrator.cli.client import CacheLimits, Document
from orchestrator.cli.complaint import unknown
from orchestrator.projections.views import timestamp


class LocalCache:
    """Reads the catalogue of results, withdraws."""

    def __init__(self, core: Core, caller: Caller) -> None:
        self._core = core
        self._caller = caller

    async def stats(self) -> Document:
        """Return `{entries, sizeBytes, steps}`, the last with entries, size, oldest and newest of each step."""
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
        """Return results, newest first.

        Raises:
            Complaint: there are none, and the workflow or the step does not exist.
        """
        rows = await self._core.database.call(
            self._core.cache.entries, self._caller.tenant, workflow=workflow, step=step, limit=limit
        )
        if not rows:
            await self._check_place(workflow, step)
        return [_entry(row) for row in rows]

    async def invalidate(self, *, keys: Sequence[str], workflow: str | None, step: str | None, reason: str) -> Document:
        """Withdraw results by key, or those of a workflow or a step of it; returns `{withdrawn}`, a number.

        Raises:
            Complaint: the workflow or the step does not exist.
        """
        await self._check_place(workflow, step)
        count = await self._core.cache.invalidate(
            self._caller.tenant, self._caller.actor, keys=keys, workflow=workflow, step=step, reason=reason
        )
        return {"withdrawn": count}

    async def _check_place(self, workflow: str | None, step: str | None) -> None:
        """Refuse a workflow that is not registered, and a step that no version of it has."""
        if workflow is None and step is None:
            return
        database, workflows, tenant = self._core.database, self._core.workflows, self._caller.tenant
        names = [each.name for each in await database.call(workflows.list, tenant)]
        if workflow is not None and workflow not in names:
            raise unknown("workflow", workflow, names, "`orchestrator workflows list` shows those there are.")
        if step is None:
            return
        steps: set[str] = set()
        for name in names if workflow is None else [workflow]:
            steps |= await database.call(workflows.steps, tenant, name)
        if step not in steps:
            raise unknown("step", step, steps, "`orchestrator workflows show NAME` lists the steps of a workflow.")

    async def prune(self, limits: CacheLimits) -> Document:
        """Withdraw what exceeds the limits; returns `{withdrawn}`, a number."""
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
