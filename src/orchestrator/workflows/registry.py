"""The workflow registry: every version of every workflow, stored as `WorkflowRegistered` events and a catalogue."""

import asyncio
import time
from collections.abc import Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from orchestrator.domain.errors import VersionConflict, WorkflowIsRetired, WorkflowNotFound, WorkflowVersionExists
from orchestrator.domain.events import WorkflowRegistered
from orchestrator.domain.spelling import did_you_mean
from orchestrator.domain.workflow import Workflow, workflow_from_json, workflow_to_json
from orchestrator.eventstore.log import EventLog
from orchestrator.eventstore.recorded import workflow_stream
from orchestrator.postgres.database import Database
from orchestrator.postgres.shared_calls import SharedCalls
from orchestrator.postgres.sql import load_sql
from orchestrator.workflows.development import development_version
from orchestrator.workflows.weighted_cache import WeightedCache

_SQL = load_sql(__file__)
_MAX_NEWEST = 256
_MAX_KEPT_BYTES = 16 << 20  # size of the definitions as JSON; as objects, they take several times as much memory

MAX_VERSIONS = 1_000
"""The maximum number of versions listed for a workflow; the newest are kept."""


@dataclass(frozen=True, slots=True)
class CatalogueSummary:
    """A registered version without its definition; times are in milliseconds since 1970 UTC.

    `retired_at` is None while the version takes new runs.
    """

    name: str
    version: str
    digest: str
    registered_at: int
    retired_at: int | None
    description: str
    step_count: int


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A registered version; times are as in its summary."""

    name: str
    version: str
    digest: str
    registered_at: int
    retired_at: int | None
    definition: dict[str, Any]

    @property
    def summary(self) -> CatalogueSummary:
        """The entry without its definition."""
        description, steps = self.definition.get("description", ""), len(self.definition["steps"])
        return CatalogueSummary(
            self.name, self.version, self.digest, self.registered_at, self.retired_at, description, steps
        )


class WorkflowRegistry:
    """Registers and finds workflows. Versions are immutable, so they are cached in memory."""

    def __init__(self, log: EventLog, database: Database) -> None:
        self._log = log
        self._database = database
        self._shared = SharedCalls(database)
        self._kept: WeightedCache[tuple[str, str, str], Workflow] = WeightedCache(_MAX_KEPT_BYTES)
        self._newest: dict[tuple[str, str], str] = {}

    async def register(self, workflow: Workflow, *, tenant: str, actor: str) -> bool:
        """Register a version. Return False if it is already registered with the same content.

        Raises:
            WorkflowVersionExists: the version is already registered with different content.
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
                        f"workflow {workflow.name} {workflow.version} is already registered with different content; "
                        "versions are immutable, so register a new version",
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

    async def register_development(self, workflow: Workflow, *, tenant: str, actor: str) -> Workflow:
        """Register a workflow whose content may have changed under the same version, and return what is registered.

        If the version was registered with different content, the workflow becomes a development version: `1.0.0+dev.1`
        and so on. If the last of these has the same content, nothing is registered.

        Raises:
            WorkflowVersionExists: the content changed, and the version is too long for a development version.
        """
        stream = workflow_stream(tenant, workflow.name)
        while True:
            history = await self._database.call(self._log.read, stream)
            events = [recorded.event for recorded in history]
            known = [(event.version, event.digest) for event in events if isinstance(event, WorkflowRegistered)]
            wanted, is_registered = await asyncio.to_thread(development_version, workflow, known)
            if is_registered:
                return wanted
            with suppress(WorkflowVersionExists):  # another process has just registered this version: look again
                await self.register(wanted, tenant=tenant, actor=actor)
                return wanted

    async def find(self, tenant: str, name: str, version: str | None = None) -> Workflow:
        """Return the version to trigger, without blocking the event loop; concurrent calls share a query.

        A given version may be retired: the append of a run refuses it (see `refusal`).

        Raises:
            WorkflowNotFound: no such workflow or version.
            WorkflowIsRetired: without `version`, all versions are retired.
        """
        if version is None:
            version = await self._shared.call(self._newest_version, tenant, name)
        kept = self._kept.get((tenant, name, version))
        return kept if kept is not None else await self._database.call(self._find, tenant, name, version)

    def _find(self, tenant: str, name: str, version: str) -> Workflow:
        """Return what `get` returns, with the schema compiled, so that the event loop does not have to compile it."""
        workflow = self.get(tenant, name, version)
        if workflow.payload_schema is not None:
            from orchestrator.workflows.payload_schema import prepare  # noqa: PLC0415 - workers check no payloads

            prepare(workflow.digest, workflow.payload_schema)
        return workflow

    def newest_seen(self, tenant: str, name: str) -> Workflow | None:
        """Return the version that was the newest when this process last queried it, if it is still cached.

        The caller must verify it in the append (see `NewRun.needs_newest`).
        """
        return self._kept.get((tenant, name, self._newest.get((tenant, name), "")))

    def get(self, tenant: str, name: str, version: str | None = None) -> Workflow:
        """Return a version of a workflow; without `version`, the newest one that takes runs, else the newest.

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
        """Return the catalogue entry of the version that `get` returns.

        Raises:
            WorkflowNotFound: no such workflow or version.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                _SQL["get"], {"tenant": tenant, "name": name, "version": version}, prepare=True
            ).fetchone()
        if row is None:
            raise self.not_found(tenant, name, version)
        return CatalogueEntry(**row)

    def list(self, tenant: str, *, with_retired: bool = False) -> Sequence[CatalogueSummary]:
        """Return the latest version of every workflow that takes runs, or else the latest, ordered by name.

        By default, workflows without a version that takes runs are left out.
        """
        given = {"tenant": tenant, "with_retired": with_retired}
        with self._database.connection() as connection:
            rows = connection.execute(_SQL["list"], given).fetchall()
        return [CatalogueSummary(**row) for row in rows]

    def versions(self, tenant: str, name: str) -> Sequence[str]:
        """Return the newest `MAX_VERSIONS` versions of a workflow, in the order of registration."""
        with self._database.connection() as connection:
            rows = connection.execute(_SQL.versions, {"tenant": tenant, "name": name, "most": MAX_VERSIONS}).fetchall()
        return [str(row["version"]) for row in reversed(rows)]

    def steps(self, tenant: str, name: str) -> Set[str]:
        """Return the step ids of all versions of a workflow."""
        with self._database.connection() as connection:
            rows = connection.execute(_SQL.steps, {"tenant": tenant, "name": name}).fetchall()
        return {str(row["step"]) for row in rows}

    def _newest_version(self, tenant: str, name: str) -> str:
        with self._database.connection() as connection:
            row = connection.execute(_SQL.newest, {"tenant": tenant, "name": name}, prepare=True).fetchone()
        if row is None:
            raise self.refusal(tenant, name) or self.not_found(tenant, name)
        if len(self._newest) >= _MAX_NEWEST:
            self._newest.clear()
        self._newest[tenant, name] = str(row["version"])
        return self._newest[tenant, name]

    def refusal(self, tenant: str, name: str, version: str | None = None) -> WorkflowIsRetired | None:
        """Return the error for a trigger of a retired version, or of a workflow with retired versions; None if not."""
        given = {"tenant": tenant, "name": name, "version": version}
        with self._database.connection() as connection:
            row = connection.execute(_SQL.retired, given).fetchone()
        if row is None:
            return None
        moment = datetime.fromtimestamp(row["retired_at"] / 1000, UTC).isoformat(timespec="seconds")
        what = f"workflow {name}" if version is None else f"workflow {name} {version}"
        because = f": {row['retired_because']}" if row["retired_because"] else ""
        return WorkflowIsRetired(
            f"{what} was retired at {moment} by {row['retired_by']}{because}; "
            f"`orchestrator workflows restore {name}` lets it take runs again",
            workflowName=name,
            version=row["version"],
        )

    def not_found(self, tenant: str, name: str, version: str | None = None) -> WorkflowNotFound:
        """Return the error for an unknown workflow or version, with a suggestion."""
        with self._database.connection() as connection:
            near = connection.execute(_SQL.near, {"tenant": tenant, "name": name}).fetchall()
        versions = [str(row["version"]) for row in near if row["name"] == name]
        if versions:
            hint = did_you_mean(str(version), versions) or f"; the latest is {versions[0]}"
            message = f"workflow {name} has no version {version!r}{hint}"
        else:
            message = f"unknown workflow {name}{did_you_mean(name, {str(row['name']) for row in near})}"
        return WorkflowNotFound(message, workflowName=name, version=version)


def _event(workflow: Workflow, tenant: str, number: int) -> tuple[WorkflowRegistered, dict[str, Any]]:
    """Return the event that registers a version, and its catalogue row."""
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
    """Return the workflow with its slow cached properties computed, so that no event loop has to compute them."""
    _ = workflow.digest, workflow.graph, workflow.waiting, workflow.roots, workflow.ranks
    return workflow
