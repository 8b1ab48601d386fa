"""The client that asks a server, over HTTP."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from orchestrator.cli.client import Document
from orchestrator.cli.complaint import Complaint
from orchestrator.client import AsyncClient
from orchestrator.client.documents import RunStatus, StepStatus
from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.workflow import Workflow, workflow_to_json
from orchestrator.settings import Settings

_LARGEST_PAGE = 200


@asynccontextmanager
async def open_remote(settings: Settings) -> AsyncIterator["RemoteClient"]:
    """Yield a client of the settings' server.

    Raises:
        Complaint: its address or the key cannot be one.
    """
    try:
        asked = AsyncClient(
            settings.server or "", key=None if settings.key is None else settings.key.get_secret_value()
        )
    except ValueError as error:
        raise Complaint(f"The server cannot be asked: {error}", "See --server and --key.") from None
    async with asked:
        yield RemoteClient(asked)


class RemoteClient:
    """Commands and reads as the API's own client makes them; its errors are those of `orchestrator.client.errors`."""

    def __init__(self, asked: AsyncClient) -> None:
        self._asked = asked

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
        return _document(
            await self._asked.trigger(workflow, payload, version=version, priority=priority, labels=labels)
        )

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
        asked = self._asked.trigger_many(workflow, payloads, version=version, priority=priority, labels=labels)
        return _document(await asked)

    async def plan(self, run_id: str, change: ChangeRequest) -> Document:
        """Plan a change; see `Client.plan`."""
        return _document(await self._asked.plan(run_id, change.type, change.payload, force=change.force))

    async def update(self, run_id: str, change: ChangeRequest, *, expected_plan_hash: str | None = None) -> Document:
        """Change a run; see `Client.update`."""
        accepted = await self._asked.update(
            run_id, change.type, change.payload, force=change.force, expected_plan_hash=expected_plan_hash
        )
        return _document(accepted)

    async def retry(self, run_id: str) -> Document:
        """Try a run again; see `Client.retry`."""
        return _document(await self._asked.retry(run_id))

    async def cancel(self, run_id: str, reason: str | None = None) -> Document:
        """End a run; see `Client.cancel`."""
        return _document(await self._asked.cancel(run_id, reason))

    async def run(self, run_id: str) -> Document:
        """Return a run; see `Client.run`."""
        return _document(await self._asked.run(run_id))

    async def runs(
        self,
        *,
        status: str | None = None,
        workflow: str | None = None,
        label: tuple[str, str] | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Document:
        """Return a page of runs, put together from as many of the server's as it takes; see `Client.runs`."""
        found: list[Document] = []
        while True:
            page = await self._asked.run_page(
                status=cast("RunStatus | None", status),
                workflow=workflow,
                label=label,
                cursor=cursor,
                limit=min(_LARGEST_PAGE, limit - len(found)),
            )
            found += [_document(run) for run in page["runs"]]
            cursor = page["nextCursor"]
            if cursor is None or len(found) >= limit:
                return {"runs": found, "nextCursor": cursor}

    async def step_data(self, run_id: str, step_id: str) -> Any:
        """Return the data of a step; see `Client.step_data`."""
        return await self._asked.step_data(run_id, step_id)

    async def steps(self, run_id: str, status: str | None = None) -> list[Document]:
        """Return a run's steps; see `Client.steps`."""
        return [_document(step) for step in await self._asked.steps(run_id, status=cast("StepStatus | None", status))]

    async def artifacts(self, run_id: str, step_id: str | None = None) -> list[Document]:
        """Return a run's artifacts; see `Client.artifacts`."""
        return [_document(artifact) for artifact in await self._asked.artifacts(run_id, step_id=step_id)]

    async def save_artifact(self, artifact: Mapping[str, Any], target: Path) -> None:
        """Write an artifact's bytes to a file; see `Client.save_artifact`."""
        await self._asked.download(artifact["id"], target)

    async def history(self, run_id: str) -> list[Document]:
        """Return a run's events; see `Client.history`."""
        return [_document(event) async for event in self._asked.history(run_id)]

    async def follow(self, run_id: str) -> AsyncIterator[Document]:
        """Yield a run's events as they come; see `Client.follow`."""
        async for event in self._asked.events(run_id):
            yield _document(event)

    async def explain(self, run_id: str, step: str) -> Document:
        """Explain a step; see `Client.explain`."""
        (explained,) = await self._asked.cache_analysis(run_id, step_id=step)
        return {"runId": run_id, **explained}

    async def workflows(self) -> list[Document]:
        """Return the workflows; see `Client.workflows`."""
        return [_document(workflow) for workflow in await self._asked.workflows()]

    async def workflow(self, name: str, version: str | None = None) -> Document:
        """Return a workflow; see `Client.workflow`."""
        return _document(await self._asked.workflow(name, version))

    async def register(self, workflow: Workflow) -> bool:
        """Register a workflow; see `Client.register`."""
        return (await self._asked.register(workflow_to_json(workflow)))["new"]


def _document(answer: Mapping[str, Any]) -> Document:
    return dict(answer)
