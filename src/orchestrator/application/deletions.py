"""Deletions: delete a finished run for good, as privacy law may require."""

import asyncio
from datetime import UTC

from orchestrator.application.caller import Caller
from orchestrator.application.core import Core
from orchestrator.application.errors import DeletionHeld, InvalidRequest
from orchestrator.domain.errors import Fault, RunNotFinished
from orchestrator.domain.run import TERMINAL
from orchestrator.eventstore.runs import LoadedRun
from orchestrator.retention.archive import Archive
from orchestrator.retention.eraser import Erased, Eraser
from orchestrator.retention.removal import RetentionHeld
from orchestrator.retention.turn import RetentionRunning

MAX_REASON = 1000
"""The maximum length of a reason, in characters."""


class RunDeletions:
    """Deletes runs on behalf of one caller."""

    def __init__(self, core: Core, caller: Caller) -> None:
        self._core = core
        self._caller = caller

    async def find(self, run_id: str, reason: str) -> LoadedRun:
        """Return the run to delete.

        Raises:
            InvalidRequest: the reason is empty, too long, or not printable.
            RunNotFound, RunArchived, RunDeleted: there is no such run in the log.
            RunNotFinished: the run is not finished.
        """
        if not 0 < len(reason.strip()) <= MAX_REASON or not reason.isprintable():
            raise InvalidRequest([Fault("reason", f"must have 1 to {MAX_REASON} printable characters")])
        loaded = await self._core.database.call(self._core.runs.load, run_id, self._caller.tenant)
        if loaded.run.status not in TERMINAL:
            raise RunNotFinished(
                f"run {run_id} is {loaded.run.status}, and only finished runs can be deleted; cancel it first",
                runId=run_id,
                status=loaded.run.status,
            )
        return loaded

    async def delete(self, run_id: str, reason: str) -> Erased:
        """Delete a run that `find` returned, once the read models have its last event. See `Eraser.erase`.

        Raises:
            NeedsNewerProgram: other runs may need the run in a way that this program does not know.
            RunNeeded: other runs are based on it, or use its results.
            DeletionHeld: something else is archiving, deleting, pruning or rebuilding now.
        """
        core, tenant, actor = self._core, self._caller.tenant, self._caller.actor
        core.log.mapper.formats.require_known("the deletion of a run")
        eraser = await asyncio.to_thread(self._eraser)
        await core.database.call(eraser.check, run_id)
        # A run that has the newest event cannot leave the log. This event follows it, and empties the fast cache tiers.
        await core.cache.forget_run(tenant, actor, run_id)
        try:
            erased = await core.database.call(eraser.erase, run_id, reason.strip(), actor)
        except (RetentionRunning, RetentionHeld) as error:
            raise DeletionHeld(str(error), runId=run_id) from error
        core.metrics.run_deleted()
        return erased

    def _eraser(self) -> Eraser:
        core = self._core
        archive = Archive(core.settings.archive_url)
        return Eraser(
            core.database,
            core.log,
            core.workflows.get,
            archive=archive,
            store=core.store,
            tenant=self._caller.tenant,
        )


def deletion_view(erased: Erased, reason: str, actor: str) -> dict[str, object]:
    """Return the JSON document about a deleted run."""
    return {
        "runId": erased.run_id,
        "status": "deleted",
        "reason": reason.strip(),
        "deletedBy": actor,
        "deletedAt": erased.deleted_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "events": erased.events,
        "contentRemoved": erased.content.removed,
        "contentLeft": erased.content.too_new,
    }
