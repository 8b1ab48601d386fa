"""Calls on the step cache of one tenant: list cached results and withdraw them."""

from collections.abc import Sequence
from typing import Any

from orchestrator.application.caller import Caller
from orchestrator.application.clock import now
from orchestrator.application.core import Core
from orchestrator.cache.catalogue import PruneLimits
from orchestrator.domain.errors import UnknownStep
from orchestrator.domain.spelling import did_you_mean
from orchestrator.projections.views.values import timestamp

Document = dict[str, Any]


class CacheCalls:
    """Lists and withdraws cached results."""

    def __init__(self, core: Core, caller: Caller) -> None:
        self._core = core
        self._caller = caller

    async def stats(self) -> Document:
        """Return `{entries, sizeBytes, steps}`; `steps` has the count, size, oldest and newest result of each step."""
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
        """Return cached results, newest first.

        Raises:
            WorkflowNotFound, UnknownStep: there are no results, and no such workflow or step.
        """
        rows = await self._core.database.call(
            self._core.cache.entries, self._caller.tenant, workflow=workflow, step=step, limit=limit
        )
        if not rows:
            await self._check_place(workflow, step)
        return [_entry(row) for row in rows]

    async def invalidate(self, *, keys: Sequence[str], workflow: str | None, step: str | None, reason: str) -> Document:
        """Withdraw results by key, or those of a workflow or a step, and return `{withdrawn}`, their number.

        Raises:
            WorkflowNotFound, UnknownStep: there is no such workflow or step.
        """
        await self._check_place(workflow, step)
        count = await self._core.cache.invalidate(
            self._caller.tenant, self._caller.actor, keys=keys, workflow=workflow, step=step, reason=reason
        )
        return {"withdrawn": count}

    async def _check_place(self, workflow: str | None, step: str | None) -> None:
        """Check that a workflow is registered, and that a version of it has a step."""
        database, workflows, tenant = self._core.database, self._core.workflows, self._caller.tenant
        if workflow is not None:
            await database.call(workflows.entry, tenant, workflow)
        if step is None:
            return
        names = [each.name for each in await database.call(workflows.list, tenant)] if workflow is None else [workflow]
        steps: set[str] = set()
        for name in names:
            steps |= await database.call(workflows.steps, tenant, name)
        if step not in steps:
            raise UnknownStep(f"there is no step {step!r}{did_you_mean(step, steps)}", step=step)

    async def prune(
        self,
        *,
        older_than_seconds: float | None = None,
        max_entries: int | None = None,
        max_bytes: int | None = None,
    ) -> Document:
        """Withdraw results beyond the limits and return `{withdrawn}`, their number.

        Args:
            older_than_seconds: withdraw results older than this.
            max_entries: keep at most this many results, the newest.
            max_bytes: keep at most this many bytes of results, the newest. Artifacts do not count.
        """
        before = None if older_than_seconds is None else now() - round(older_than_seconds * 1000)
        limits = PruneLimits(before, max_entries, max_bytes)
        return {"withdrawn": await self._core.cache.prune(self._caller.tenant, self._caller.actor, limits)}


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
