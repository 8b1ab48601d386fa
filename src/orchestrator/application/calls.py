"""All application calls, on behalf of one caller. They return JSON documents.

The names and parameters are those of `orchestrator.client.AsyncClient`, so a program or a command of the CLI can use
either: this class works directly on the database, the client through a server.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from importlib.metadata import version
from os import PathLike
from typing import Any

from orchestrator.application.cache_calls import CacheCalls
from orchestrator.application.caller import Caller
from orchestrator.application.commands import Accepted, Wanted
from orchestrator.application.core import Core
from orchestrator.application.cursors import from_cursor, to_cursor
from orchestrator.application.deletions import RunDeletions, deletion_view
from orchestrator.application.downloads import save, save_data
from orchestrator.application.errors import ArtifactNotFound
from orchestrator.application.explain import explanation_view
from orchestrator.application.following import follow as follow_events
from orchestrator.application.following import log_changes
from orchestrator.application.inspection import Inspection
from orchestrator.application.run_filters import read_filter
from orchestrator.application.step_logs import LogScope, StepLogs
from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.forcing import Force
from orchestrator.domain.output import Artifact
from orchestrator.projections.views.event_views import event_view
from orchestrator.projections.views.plan_views import plan_view
from orchestrator.projections.views.values import timestamp

Document = dict[str, Any]


class RecordedDocument(Document):
    """A document about something that was just recorded. `position` is the log position of the last event."""

    def __init__(self, document: Mapping[str, Any], position: int) -> None:
        super().__init__(document)
        self.position = position


class Calls(Inspection):
    """All application calls, on behalf of one caller.

    Args:
        core: the core services of the process.
        caller: the tenant whose runs these are, and the name recorded in the log.
        project: projects a batch of events. Pass it if this process maintains the read models itself: every read then
            reflects the whole log. Otherwise, wait with `Freshness.reach`.
    """

    def __init__(self, core: Core, caller: Caller, project: Callable[[], int] | None = None) -> None:
        super().__init__(core, caller)
        self._tenant = caller.tenant
        self._project = project

    @property
    def cache(self) -> CacheCalls:
        """The step cache."""
        return CacheCalls(self._core, self._caller)

    async def trigger(
        self,
        workflow: str,
        payload: Mapping[str, Any] | None = None,
        *,
        version: str | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        no_cache: bool = False,
        force: Collection[str] | bool = False,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> RecordedDocument:
        """Trigger a run and return `{runId, status, message}`. See `RunCommands.trigger`."""
        forced = no_cache or _force(force)
        wanted = Wanted(workflow, version, payload or {}, priority, labels or {}, forced)
        accepted = await self._core.commands.trigger(
            self._caller, wanted, idempotency_key=idempotency_key, trace=traceparent
        )
        return _accepted(accepted, f"Run queued - {accepted.steps} steps")

    async def trigger_many(
        self,
        workflow: str,
        payloads: Iterable[Mapping[str, Any]],
        *,
        version: str | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        no_cache: bool = False,
        force: Collection[str] | bool = False,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> RecordedDocument:
        """Trigger one run for each payload, all or none, and return `{runs: [{runId, status, message}]}`."""
        forced = no_cache or _force(force)
        wanted = [Wanted(workflow, version, payload, priority, labels or {}, forced) for payload in payloads]
        return await self.trigger_all(wanted, idempotency_key=idempotency_key, traceparent=traceparent)

    async def trigger_all(
        self, wanted: list[Wanted], *, idempotency_key: str | None = None, traceparent: str | None = None
    ) -> RecordedDocument:
        """Trigger runs of one or more workflows, all or none. See `RunCommands.trigger_many`."""
        accepted = await self._core.commands.trigger_many(
            self._caller, wanted, idempotency_key=idempotency_key, trace=traceparent
        )
        runs = [_accepted(one, f"Run queued - {one.steps} steps") for one in accepted]
        return RecordedDocument({"runs": runs}, max((one.position for one in runs), default=0))

    async def plan(
        self,
        run_id: str,
        change: str,
        payload: Mapping[str, Any] | None = None,
        *,
        force: Collection[str] | bool = False,
    ) -> Document:
        """Return what an update would do, without doing it. See `RunChanges.plan`."""
        await self._catch_up()
        planned = await self._core.changes.plan(self._caller, run_id, _change(change, payload, force))
        return plan_view(planned.plan, planned.plan_hash, planned.durations)

    async def update(
        self,
        run_id: str,
        change: str,
        payload: Mapping[str, Any] | None = None,
        *,
        force: Collection[str] | bool = False,
        priority: int | None = None,
        labels: Mapping[str, str] | None = None,
        expected_plan_hash: str | None = None,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> RecordedDocument:
        """Trigger a run that applies a change to a completed run. See `RunChanges.update`."""
        await self._catch_up()
        accepted = await self._core.changes.update(
            self._caller,
            run_id,
            _change(change, payload, force),
            priority=priority,
            labels=labels,
            expected_plan_hash=expected_plan_hash,
            idempotency_key=idempotency_key,
            trace=traceparent,
        )
        return _accepted(accepted, f"Update run queued - {accepted.steps} steps may re-run")

    async def retry(
        self,
        run_id: str,
        *,
        priority: int | None = None,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> RecordedDocument:
        """Trigger a run that retries a failed or cancelled run. See `RunChanges.retry`."""
        await self._catch_up()
        accepted = await self._core.changes.retry(
            self._caller, run_id, priority=priority, labels=labels, idempotency_key=idempotency_key, trace=traceparent
        )
        return _accepted(accepted, f"Retry run queued - {accepted.steps} steps to run")

    async def cancel(self, run_id: str, reason: str | None = None) -> RecordedDocument:
        """Cancel a run and return it. See `RunCommands.cancel`."""
        loaded = await self._core.commands.cancel(self._caller, run_id, reason)
        return RecordedDocument(await self._core.database.call(self._core.reader.folded_run, loaded), loaded.position)

    async def delete_run(self, run_id: str, *, reason: str) -> Document:
        """Delete a finished run for good, and return who deleted it, when and why. See `RunDeletions.delete`."""
        deletions = RunDeletions(self._core, self._caller)
        loaded = await deletions.find(run_id, reason)
        if self._project is not None:
            await self._catch_up()
        else:
            await self._core.freshness.reach(loaded.position)
        return deletion_view(await deletions.delete(run_id, reason), reason, self._caller.actor)

    async def queues(self) -> Document:
        """Count the unfinished runs and the live workers of the installation: `{queued, running, blocked, workers}`."""
        return await self._core.database.call(self._core.reader.queues)

    async def me(self) -> Document:
        """Return the caller: its tenant, its name in the log, its role, and how it was authenticated until when."""
        caller = self._caller
        return {
            "tenant": caller.tenant,
            "actor": caller.actor,
            "role": caller.role,
            "expiresAt": None if caller.expires_at is None else timestamp(caller.expires_at),
            "authentication": caller.authentication,
            "version": version("orchestrator"),
        }

    async def run(self, run_id: str) -> Document:
        """Return a run.

        Raises:
            RunNotFound: the run does not exist, or belongs to another tenant.
        """
        await self._catch_up()
        return await self._core.database.call(self._core.reader.run, self._tenant, run_id)

    async def run_page(
        self,
        *,
        status: str | Collection[str] | None = None,
        workflow: str | None = None,
        version: str | None = None,
        label: tuple[str, str] | None = None,
        base_run_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
        id_prefix: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Document:
        """Return a page of runs as `{runs, nextCursor}`, newest first. See `AsyncClient.run_page`.

        Raises:
            InvalidRequest: the cursor or a filter is invalid.
        """
        wanted = read_filter(
            status=status,
            workflow=workflow,
            version=version,
            label=label,
            base_run_id=base_run_id,
            since=since,
            until=until,
            id_prefix=id_prefix,
            cursor=cursor,
        )
        before = None if cursor is None else from_cursor(cursor)
        await self._catch_up()
        runs, following = await self._core.database.call(
            self._core.reader.runs, self._tenant, wanted, before=before, limit=limit
        )
        return {"runs": runs, "nextCursor": None if following is None else to_cursor(following)}

    async def steps(self, run_id: str, *, status: str | None = None) -> list[Document]:
        """Return the steps of a run in topological order; raises RunNotFound."""
        await self._catch_up()
        return await self._core.database.call(self._core.reader.steps, self._tenant, run_id, status)

    async def step_data(self, run_id: str, step_id: str) -> Any:
        """Return the data of a step, whatever its size; raises RunNotFound, UnknownStep, ArtifactGone."""
        await self._catch_up()
        output = await self._core.database.call(self._core.reader.output, self._tenant, run_id, step_id)
        return None if output is None else await asyncio.to_thread(self._core.store.load_data, output, self._tenant)

    async def download_data(self, run_id: str, step_id: str, target: str | PathLike[str]) -> None:
        """Write the data of a step to a file as JSON, completely or not at all. See `step_data` and `save`."""
        await self._catch_up()
        output = await self._core.database.call(self._core.reader.output, self._tenant, run_id, step_id)
        await asyncio.to_thread(save_data, self._core.store, output, self._tenant, target)

    async def artifacts(self, run_id: str, *, step_id: str | None = None) -> list[Document]:
        """Return the artifacts of a run, new and reused; raises RunNotFound."""
        await self._catch_up()
        return await self._core.database.call(self._core.reader.artifacts, self._tenant, run_id, step_id)

    async def artifact(self, artifact_id: str) -> Artifact:
        """Return the description of an artifact.

        Raises:
            ArtifactNotFound: the artifact does not exist.
        """
        row = await self._core.database.call(self._core.reader.artifact, self._tenant, artifact_id)
        if row is None:
            raise ArtifactNotFound(f"there is no artifact {artifact_id}", artifactId=artifact_id)
        facts = (row[name] for name in ("type", "uri", "content_hash", "size_bytes", "filename", "metadata"))
        return Artifact(str(row["id"]), *facts)

    async def download(self, artifact_id: str, target: str | PathLike[str]) -> None:
        """Write an artifact to a file, completely or not at all. See `save` for the errors it raises."""
        await self._catch_up()
        artifact = await self.artifact(artifact_id)
        await asyncio.to_thread(save, self._core.store, artifact, self._tenant, target)

    async def history(self, run_id: str) -> AsyncGenerator[Document, None]:
        """Yield the events of a run recorded so far, oldest first; raises RunNotFound."""
        for recorded in await self._core.database.call(self._core.reader.history, self._tenant, run_id):
            yield event_view(recorded)

    async def events(self, run_id: str, *, progress: bool = False) -> AsyncGenerator[Document, None]:
        """Yield the recorded events of a run, then each new event as it happens, until the run ends.

        With `progress`, also yield the progress that skills report, as documents of the type `StepProgress`.
        """
        async for document in follow_events(self._core, self._tenant, run_id, progress=progress):
            yield dict(document)

    async def logs(
        self, run_id: str, step_id: str | None = None, *, attempt: int | None = None, follow: bool = False
    ) -> AsyncGenerator[Document, None]:
        """Yield what the skills of a run, a step or an attempt printed: `{at, stream, text, stepId, attempt}`.

        With `follow`, wait for new lines until the run, step or attempt is over. Raises RunNotFound, UnknownStep.
        """
        logs, scope = self.step_logs, LogScope(self._tenant, run_id, step_id, attempt)
        await logs.check(scope)
        if follow:
            async for lines in logs.follow(scope, None, log_changes(self._core)):
                for _, line in lines:
                    yield line
            return
        after: str | None = None
        while True:
            page = await logs.page(scope, after)
            for after, line in page.lines:  # noqa: B007 - the last one begins the next page
                yield line
            if not page.has_more:
                return

    @property
    def step_logs(self) -> StepLogs:
        """The logs of steps, page by page."""
        core = self._core
        return StepLogs(core.database, core.reader, core.store, core.workflows.get)

    async def cache_analysis(self, run_id: str, *, step_id: str | None = None) -> list[Document]:
        """Return, for each step, where its result came from, and why. See `CacheExplainer.explain`."""
        steps = None if step_id is None else [step_id]
        return [explanation_view(one) for one in await self._core.explainer.explain(self._tenant, run_id, steps)]

    async def _catch_up(self) -> None:
        if self._project is not None:
            await self._core.freshness.catch_up(self._project)


def _accepted(accepted: Accepted, message: str) -> RecordedDocument:
    return RecordedDocument({"runId": accepted.run_id, "status": "queued", "message": message}, accepted.position)


def _change(change: str, payload: Mapping[str, Any] | None, force: Collection[str] | bool) -> ChangeRequest:
    return ChangeRequest(change, payload or {}, _force(force))


def _force(force: Collection[str] | bool) -> Force:
    if isinstance(force, bool):
        return force
    return (force,) if isinstance(force, str) else tuple(force)
