"""Retires workflows, so that they take no new runs, and restores them."""

import time
from collections.abc import Sequence

from orchestrator.domain.errors import VersionConflict
from orchestrator.domain.events import Event, WorkflowRegistered, WorkflowRestored, WorkflowRetired
from orchestrator.eventstore.inline import retirement
from orchestrator.eventstore.log import EventLog
from orchestrator.eventstore.recorded import workflow_stream
from orchestrator.postgres.database import Database
from orchestrator.workflows.registry import WorkflowRegistry


class Retirement:
    """Retires and restores versions of workflows, as events of the workflow's stream."""

    def __init__(self, log: EventLog, database: Database, workflows: WorkflowRegistry) -> None:
        self._log = log
        self._database = database
        self._workflows = workflows

    async def retire(
        self, name: str, version: str | None, *, reason: str | None, tenant: str, actor: str
    ) -> Sequence[str]:
        """Retire a version, or every version registered so far; return those that took runs until now.

        No run that is triggered after this call is accepted, by no process.

        Raises:
            WorkflowNotFound: no such workflow or version.
            FormatNotFinished: older programs, which do not know these events, may still be running.
        """
        return await self._change(name, version, tenant, actor, retires=True, reason=reason)

    async def restore(self, name: str, version: str | None, *, tenant: str, actor: str) -> Sequence[str]:
        """Let a version, or every retired version, take runs again; return those that were retired.

        Raises:
            WorkflowNotFound, FormatNotFinished: see `retire`.
        """
        return await self._change(name, version, tenant, actor, retires=False)

    async def _change(
        self, name: str, version: str | None, tenant: str, actor: str, *, retires: bool, reason: str | None = None
    ) -> Sequence[str]:
        stream = workflow_stream(tenant, name)
        while True:
            history = await self._database.call(self._log.read, stream)
            retired = retired_versions([recorded.event for recorded in history])
            if not retired or version not in {None, *retired}:
                raise await self._database.call(self._workflows.not_found, tenant, name, version)
            wanted = retired if version is None else [version]
            versions = tuple(each for each in wanted if retired[each] != retires)
            if not versions:
                return ()
            at = round(time.time() * 1000)
            event = WorkflowRetired(at, name, versions, reason) if retires else WorkflowRestored(at, name, versions)
            inline = {"workflow_retire": [retirement(tenant, event, actor)]}
            try:
                await self._log.append(stream, len(history), [event], tenant=tenant, actor=actor, inline=inline)
            except VersionConflict:
                continue
            return versions


def retired_versions(events: Sequence[Event]) -> dict[str, bool]:
    """Return whether each version of a workflow is retired, in the order of registration."""
    retired: dict[str, bool] = {}
    for event in events:
        match event:
            case WorkflowRegistered():
                retired[event.version] = False
            case WorkflowRetired():
                retired |= dict.fromkeys(event.versions, True)
            case WorkflowRestored():
                retired |= dict.fromkeys(event.versions, False)
            case _:
                pass
    return retired
