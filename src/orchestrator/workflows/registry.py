"""The registry: every version of every workflow, as `WorkflowRegistered` events and a catalogue of them."""

import asyncio
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

import orjson

from orchestrator.domain.errors import VersionConflict, WorkflowNotFound, WorkflowVersionExists
from orchestrator.domain.events import WorkflowRegistered
from orchestrator.domain.spelling import did_you_mean
from orchestrator.domain.workflow import Workflow, workflow_from_json, workflow_to_json
from orchestrator.eventstore.log import EventLog
from orchestrator.eventstore.recorded import workflow_stream
from orchestrator.postgres.database import Database
from orchestrator.postgres.shared_calls import SharedCalls
from orchestrator.postgres.sql import load_sql
from orchestrator.workflows.weighted_cache import WeightedCache

_SQL = load_sql(__file__)
_MAX_NEWEST = 256
_MAX_KEPT_BYTES = 16 << 20  # of definitions as JSON; in memory they take several times as much

MAX_VERSIONS = 1_000
"""How many versions of a workflow are named: the newest."""


@dataclass(frozen=True, slots=True)
class CatalogueSummary:
    """A registered version without its definition: `registered_at` is milliseconds since 1970 UTC."""

    name: str
    version: str
    digest: str
    registered_at: int
    description: str
    step_count: int


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A registered version: `registered_at` is milliseconds since 1970 UTC."""

    name: str
    version: str
    digest: str
    registered_at: int
    definition: dict[str, Any]

    @property
    def summary(self) -> CatalogueSummary:
        """The entry without its definition."""
        description, steps = self.definition.get("description", ""), len(self.definition["steps"])
        return CatalogueSummary(self.name, self.version, self.digest, self.registered_at, description, steps)


class WorkflowRegistry:
    """Registers and finds workflows. Versions are immutable, so what was found once is kept in memory."""

    def __init__(self, log: EventLog, database: Database) -> None:
        self._log = log
        self._database = database
        self._shared = SharedCalls(database)
        self._kept: WeightedCache[tuple[str, str, str], Workflow] = WeightedCache(_MAX_KEPT_BYTES)
        self._newest: dict[tuple[str, str], str] = {}

    async def register(self, workflow: Workflow, *, tenant: str, actor: str) -> bool:
        """Register a version; False when the same content is there already.

        Raises:
            WorkflowVersionExists: the version is there with other content.
        """
        stream = workflow_stream(tenant, workflow.name)
        while True:
            history = await self._database.call(self._log.read, stream)
            digest = await asyncio.to_thread(lambda: workflow.digest)
            for recorded in history:
                event = recorded.event
                if isinstance(event, WorkflowRegistered) and event.version == workflow.version:
                    if event.digest == digest:
                        return False
                    raise WorkflowVersionExists(
                        f"workflow {workflow.name} {workflow.version} is registered with other content; "
                        "versions are immutable: raise the version",
                        workflowName=workflow.name,
                        version=workflow.version,
                    )
            registered, row = await asyncio.to_thread(_event, workflow, tenant, len(history) + 1)
            try:
                await self._log.append(
                    stream, len(history), [registered], tenant=tenant, actor=actor, inline={"workflow_put": [row]}
                )
            except VersionConflict:
                continue
            return True

    async def find(self, tenant: str, name: str, version: str | None = None) -> Workflow:
        """Like `get`, for a loop that serves many askers at once: they share the look for the newest version.

        Raises:
            WorkflowNotFound: no such workflow or version.
        """
        if version is None:
            version = await self._shared.call(self._newest_version, tenant, name)
        kept = self._kept.get((tenant, name, version))
        return kept if kept is not None else await self._database.call(self._find, tenant, name, version)

    def _find(self, tenant: str, name: str, version: str) -> Workflow:
        """Like `get`; the schema is compiled too, so that the first payload does not wait on a loop for that."""
        workflow = self.get(tenant, name, version)
        if workflow.payload_schema is not None:
            from orchestrator.workflows.payload_schema import prepare  # noqa: PLC0415 - workers check no payloads

            prepare(workflow.digest, workflow.payload_schema)
        return workflow

    def newest_seen(self, tenant: str, name: str) -> Workflow | None:
        """Return the version that was the newest when this process last looked, if it is still in memory.

        Whoever goes by it makes sure of it in the append (see `NewRun.needs_newest`).
        """
        return self._kept.get((tenant, name, self._newest.get((tenant, name), "")))

    def get(self, tenant: str, name: str, version: str | None = None) -> Workflow:
        """Return a version of a workflow, the one registered last when no version is named.

        Raises:
            WorkflowNotFound: no such workflow or version.
        """
        if version is not None:
            kept = self._kept.get((tenant, name, version))
            if kept is not None:
                return kept
        entry = self.entry(tenant, name, version)
        key = (tenant, name, entry.version)
        workflow = self._kept.get(key)
        if workflow is None:
            workflow = _prepared(workflow_from_json(entry.definition))
            self._kept.put(key, workflow, len(orjson.dumps(entry.definition)))
        return workflow

    def entry(self, tenant: str, name: str, version: str | None = None) -> CatalogueEntry:
        """Return the catalogue's entry of a version, the one registered last when no version is named.

        Raises:
            WorkflowNotFound: no such workflow or version.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                _SQL["get"], {"tenant": tenant, "name": name, "version": version}, prepare=True
            ).fetchone()
        if row is None:
            raise self._not_found(tenant, name, version)
        return CatalogueEntry(**row)

    def list(self, tenant: str) -> Sequence[CatalogueSummary]:
        """Return the version registered last of every workflow, by name."""
        with self._database.connection() as connection:
            rows = connection.execute(_SQL["list"], {"tenant": tenant}).fetchall()
        return [CatalogueSummary(**row) for row in rows]

    def versions(self, tenant: str, name: str) -> Sequence[str]:
        """Return the versions of a workflow, the newest `MAX_VERSIONS` of them, in the order of registration."""
        with self._database.connection() as connection:
            rows = connection.execute(_SQL.versions, {"tenant": tenant, "name": name, "most": MAX_VERSIONS}).fetchall()
        return [str(row["version"]) for row in reversed(rows)]

    def steps(self, tenant: str, name: str) -> Set[str]:
        """Return the ids of the steps that any version of a workflow has."""
        with self._database.connection() as connection:
            rows = connection.execute(_SQL.steps, {"tenant": tenant, "name": name}).fetchall()
        return {str(row["step"]) for row in rows}

    def _newest_version(self, tenant: str, name: str) -> str:
        with self._database.connection() as connection:
            row = connection.execute(_SQL.newest, {"tenant": tenant, "name": name}, prepare=True).fetchone()
        if row is None:
            raise self._not_found(tenant, name)
        if len(self._newest) >= _MAX_NEWEST:
            self._newest.clear()
        self._newest[tenant, name] = str(row["version"])
        return self._newest[tenant, name]

    def _not_found(self, tenant: str, name: str, version: str | None = None) -> WorkflowNotFound:
        """Return the error about a workflow or version that is not registered, with what was probably meant."""
        with self._database.connection() as connection:
            near = connection.execute(_SQL.near, {"tenant": tenant, "name": name}).fetchall()
        versions = [str(row["version"]) for row in near if row["name"] == name]
        if versions:
            hint = did_you_mean(str(version), versions) or f"; the latest is {versions[0]}"
            said = f"workflow {name} has no version {version!r}{hint}"
        else:
            said = f"no workflow {name} is registered{did_you_mean(name, {str(row['name']) for row in near})}"
        return WorkflowNotFound(said, workflowName=name, version=version)


def _event(workflow: Workflow, tenant: str, number: int) -> tuple[WorkflowRegistered, dict[str, Any]]:
    """Return the event that registers a version, and its row in the catalogue."""
    registered = WorkflowRegistered(
        round(time.time() * 1000), workflow.name, workflow.version, workflow.digest, workflow_to_json(workflow)
    )
    row = {
        "tenant": tenant,
        "name": workflow.name,
        "version": workflow.version,
        "number": number,
        "digest": workflow.digest,
        "definition": orjson.dumps(registered.definition).decode(),
        "registered_at": registered.at,
    }
    return registered, row


def _prepared(workflow: Workflow) -> Workflow:
    """Return a workflow that knows what takes long to find out, so that no event loop has to."""
    _ = workflow.digest, workflow.graph, workflow.waiting, workflow.roots, workflow.ranks
    return workflow
