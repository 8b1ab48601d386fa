"""Runs as aggregates: load a run by folding its events, and save new events at the version that was read."""

from collections.abc import Callable, Sequence

from orchestrator.domain.errors import RunArchived, RunDeleted, RunNotFound
from orchestrator.domain.events import RunEvent, RunTriggered
from orchestrator.domain.run import Run
from orchestrator.eventstore.folding import FindWorkflow, LoadedRun
from orchestrator.eventstore.inline import NewRun, inline_rows
from orchestrator.eventstore.log import EventLog
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.tombstones import Tombstone

__all__ = ["FindTombstone", "FindWorkflow", "LoadedRun", "RunStore"]

FindTombstone = Callable[[str], Tombstone | None]
"""Returns the tombstone of an archived or deleted run, or None."""


class RunStore:
    """Reads and writes the streams of runs."""

    def __init__(
        self, log: EventLog, find_workflow: FindWorkflow, find_tombstone: FindTombstone = lambda _: None
    ) -> None:
        self.log = log
        self.find_tombstone = find_tombstone
        self._find_workflow = find_workflow

    def load(self, run_id: str, tenant: str | None = None) -> LoadedRun:
        """Return a run folded from its stream; with `tenant`, only if the run belongs to that tenant.

        Raises:
            RunNotFound: the run does not exist, or belongs to another tenant.
            RunArchived: the run was moved to the archive.
            RunDeleted: the run was deleted.
        """
        return self.fold(run_id, self.log.read(run_id), tenant)

    def fold(self, run_id: str, history: Sequence[Recorded], tenant: str | None = None) -> LoadedRun:
        """Return the run that a history (from its first event on) adds up to.

        Raises:
            RunNotFound: the history is empty, is not that of a run, or belongs to another tenant.
            RunArchived: the history is empty because the run was moved to the archive.
            RunDeleted: the history is empty because the run was deleted.
        """
        first = history[0].event if history else None
        if not isinstance(first, RunTriggered) or tenant not in {None, history[0].tenant}:
            raise self.absence(run_id, tenant)
        return LoadedRun.fold(history, self._find_workflow)

    def absence(self, run_id: str, tenant: str | None) -> RunNotFound:
        """Return the error for a missing run: archived, deleted, or unknown to the tenant (None: any tenant)."""
        tombstone = self.find_tombstone(run_id)
        if tombstone is None or tenant not in {None, tombstone.tenant}:
            return RunNotFound(f"there is no run {run_id}", runId=run_id)
        if tombstone.archived_at is None:
            deleted_at = None if tombstone.deleted_at is None else tombstone.deleted_at.isoformat()
            return RunDeleted(f"run {run_id} was deleted", runId=run_id, deletedAt=deleted_at)
        return RunArchived(
            f"run {run_id} was archived (status: {tombstone.status})",
            runId=run_id,
            archive=tombstone.archive,
            archivedAt=tombstone.archived_at.isoformat(),
        )

    async def save(
        self, run: Run, events: Sequence[RunEvent], *, tenant: str, actor: str, new: NewRun | None = None
    ) -> int:
        """Append events that are already folded into the run, and return the position of the last.

        Raises:
            VersionConflict: another writer appended to the run first, or a new run's workflow is no longer the newest
                version. Nothing was written, and `run` is ahead of the log: load it again. See `Writer` for conflicts
                after an outage.
        """
        first = await self.log.append(
            run.id,
            run.version - len(events),
            events,
            tenant=tenant,
            actor=actor,
            inline=inline_rows(run, tenant, events, new or NewRun()),
        )
        return first + len(events) - 1
