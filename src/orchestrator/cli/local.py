"""The client that works on the data directory or the configured database itself, without a server."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from orchestrator.api.commands import Caller, Wanted, accepted_view
from orchestrator.api.cursor import from_cursor, to_cursor
from orchestrator.api.explain import explanation_view
from orchestrator.bootstrap.core import Core, open_core
from orchestrator.bootstrap.showing import build_projector
from orchestrator.cli.actor import actor_name
from orchestrator.cli.client import Document
from orchestrator.cli.local_cache import LocalCache
from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.events import TERMINAL_EVENTS
from orchestrator.domain.output import artifact_from_json
from orchestrator.domain.workflow import Workflow
from orchestrator.eventstore.listener import EVENTS, wake
from orchestrator.projections.event_views import event_view
from orchestrator.projections.plan_views import plan_view
from orchestrator.projections.views import timestamp
from orchestrator.settings import Settings
from orchestrator.workflows.registry import CatalogueSummary

_PATIENCE_SECONDS = 0.3
_LONGEST_WAIT_SECONDS = 10.0
_LOOK_AGAIN_SECONDS = 2.0
_BREATH_SECONDS = 0.02


@asynccontextmanager
async def open_local(settings: Settings) -> AsyncIterator["LocalClient"]:
    """Yield a client on the settings' database, our own Postgres started when it does not run."""
    with open_core(settings, max_wait_seconds=_LONGEST_WAIT_SECONDS) as core:
        yield LocalClient(core)


class LocalClient:
    """Commands and reads as the API makes them, in this process."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._caller = Caller(core.settings.tenant, actor_name())
        self._projector = build_projector(core)
        self.cache = LocalCache(core, self._caller)

    async def trigger(
        self,
        workflow: str,
        *,
        version: str | None = None,
        payload: Mapping[str, Any] | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
    ) -> Document:
        """Ask for a run; see `Client.trigger`."""
        accepted = await self._core.commands.trigger(
            self._caller, workflow, version=version, payload=payload, priority=priority, labels=labels
        )
        return accepted_view(accepted)

    async def trigger_many(
        self,
        workflow: str,
        payloads: Sequence[Mapping[str, Any]],
        *,
        version: str | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
    ) -> Document:
        """Ask for a run for each payload; see `Client.trigger_many`."""
        wanted = [Wanted(workflow, version, payload, priority, labels or {}) for payload in payloads]
        accepted = await self._core.commands.trigger_many(self._caller, wanted)
        return {"runs": [accepted_view(one) for one in accepted]}

    async def plan(self, run_id: str, change: ChangeRequest) -> Document:
        """Plan a change; see `Client.plan`."""
        await self._catch_up()
        planned = await self._core.changes.plan(self._caller, run_id, change)
        return plan_view(planned.plan, planned.plan_hash, planned.durations)

    async def update(self, run_id: str, change: ChangeRequest, *, expected_plan_hash: str | None = None) -> Document:
        """Change a run; see `Client.update`."""
        await self._catch_up()
        accepted = await self._core.changes.update(self._caller, run_id, change, expected_plan_hash=expected_plan_hash)
        return accepted_view(accepted, f"Update run queued - {accepted.steps} steps may re-run")

    async def retry(self, run_id: str) -> Document:
        """Try a run again; see `Client.retry`."""
        await self._catch_up()
        accepted = await self._core.changes.retry(self._caller, run_id)
        return accepted_view(accepted, f"Retry run queued - {accepted.steps} steps to run")

    async def cancel(self, run_id: str, reason: str | None = None) -> Document:
        """End a run; see `Client.cancel`."""
        loaded = await self._core.commands.cancel(self._caller, run_id, reason)
        return self._core.reader.folded_run(loaded)

    async def run(self, run_id: str) -> Document:
        """Return a run; see `Client.run`."""
        await self._catch_up()
        return await self._core.database.call(self._core.reader.run, self._tenant, run_id)

    async def runs(
        self,
        *,
        status: str | None = None,
        workflow: str | None = None,
        label: tuple[str, str] | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Document:
        """Return a page of runs; see `Client.runs`."""
        await self._catch_up()
        views, following = await self._core.database.call(
            self._core.reader.runs,
            self._tenant,
            status=status,
            workflow=workflow,
            label=label,
            before=None if cursor is None else from_cursor(cursor),
            limit=limit,
        )
        return {"runs": views, "nextCursor": None if following is None else to_cursor(following)}

    async def step_data(self, run_id: str, step_id: str) -> Any:
        """Return the data of a step; see `Client.step_data`."""
        core = self._core
        output = await core.database.call(core.reader.output, self._tenant, run_id, step_id)
        return None if output is None else await asyncio.to_thread(core.store.load_data, output, self._tenant)

    async def steps(self, run_id: str, status: str | None = None) -> list[Document]:
        """Return a run's steps; see `Client.steps`."""
        await self._catch_up()
        return await self._core.database.call(self._core.reader.steps, self._tenant, run_id, status)

    async def artifacts(self, run_id: str, step_id: str | None = None) -> list[Document]:
        """Return a run's artifacts; see `Client.artifacts`."""
        await self._catch_up()
        return await self._core.database.call(self._core.reader.artifacts, self._tenant, run_id, step_id)

    async def save_artifact(self, artifact: Mapping[str, Any], target: Path) -> None:
        """Write an artifact's bytes to a file; see `Client.save_artifact`."""
        await asyncio.to_thread(self._copy, artifact, target)

    def _copy(self, artifact: Mapping[str, Any], target: Path) -> None:
        with self._core.store.open(artifact_from_json(artifact)) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)

    async def history(self, run_id: str) -> list[Document]:
        """Return a run's events; see `Client.history`."""
        history = await self._core.database.call(self._core.reader.history, self._tenant, run_id)
        return [event_view(recorded) for recorded in history]

    async def follow(self, run_id: str) -> AsyncIterator[Document]:
        """Yield a run's events as they come; see `Client.follow`."""
        loop, appended = asyncio.get_running_loop(), asyncio.Event()
        self._core.listener.on(EVENTS, lambda _: wake(loop, appended.set))
        news = await self._core.database.call(self._core.reader.history, self._tenant, run_id)
        seen = 0
        while True:
            for recorded in news:
                seen = recorded.version
                yield event_view(recorded)
                if isinstance(recorded.event, TERMINAL_EVENTS):
                    return
            with suppress(TimeoutError):
                await asyncio.wait_for(appended.wait(), _LOOK_AGAIN_SECONDS)
            await asyncio.sleep(_BREATH_SECONDS)  # a busy log wakes us for every append
            appended.clear()
            news = await self._core.database.ask(self._core.log.read, run_id, seen)

    async def explain(self, run_id: str, step: str) -> Document:
        """Explain a step; see `Client.explain`."""
        explained = await self._core.explainer.explain(self._tenant, run_id, [step])
        return {"runId": run_id, **explanation_view(explained[0])}

    async def workflows(self) -> list[Document]:
        """Return the workflows; see `Client.workflows`."""
        entries = await self._core.database.call(self._core.workflows.list, self._tenant)
        return [_summary(entry) for entry in entries]

    async def workflow(self, name: str, version: str | None = None) -> Document:
        """Return a workflow; see `Client.workflow`."""
        entry = await self._core.database.call(self._core.workflows.entry, self._tenant, name, version)
        versions = await self._core.database.call(self._core.workflows.versions, self._tenant, name)
        return {**entry.definition, **_summary(entry.summary), "versions": list(versions)}

    async def register(self, workflow: Workflow) -> bool:
        """Register a workflow; see `Client.register`."""
        return await self._core.workflows.register(workflow, tenant=self._tenant, actor=self._caller.actor)

    @property
    def _tenant(self) -> str:
        return self._caller.tenant

    async def _catch_up(self) -> None:
        """Wait until the read models have what the log has now; nobody else projecting, do it here."""
        database, loop = self._core.database, asyncio.get_running_loop()
        goal = await database.call(self._core.log.last_position)
        begun = loop.time()
        while await database.call(self._core.reader.position) < goal:
            waited = loop.time() - begun
            if waited > _LONGEST_WAIT_SECONDS:
                return
            if waited < _PATIENCE_SECONDS or not await database.call(self._projector.project_batch):
                await asyncio.sleep(_BREATH_SECONDS)


def _summary(entry: CatalogueSummary) -> Document:
    return {
        "workflowName": entry.name,
        "version": entry.version,
        "description": entry.description,
        "stepCount": entry.step_count,
        "digest": entry.digest,
        "registeredAt": timestamp(entry.registered_at),
    }
