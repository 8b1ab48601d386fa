"""Calls on the workflows of one tenant: list, show, register, retire and restore them."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

from orchestrator.application.caller import Caller
from orchestrator.application.core import Core
from orchestrator.application.errors import InvalidRequest
from orchestrator.domain.errors import Fault
from orchestrator.domain.workflow import Workflow
from orchestrator.projections.views.values import timestamp
from orchestrator.workflows import load_document
from orchestrator.workflows.document import load_text
from orchestrator.workflows.registry import CatalogueSummary
from orchestrator.workflows.retirement import Retirement

MAX_REASON = 1000
"""The maximum length of the reason of a retirement, in characters."""

Document = dict[str, Any]


class WorkflowCalls:
    """Lists, shows, registers, retires and restores workflows."""

    def __init__(self, core: Core, caller: Caller) -> None:
        self._core = core
        self._caller = caller

    async def workflows(self, *, retired: bool = False) -> list[Document]:
        """Return the latest version of every workflow, sorted by name.

        With `retired`, also workflows whose versions are all retired.
        """
        workflows = self._core.workflows
        entries = await self._core.database.call(partial(workflows.list, with_retired=retired), self._caller.tenant)
        return [_summary(entry) for entry in entries]

    async def workflow(self, name: str, version: str | None = None) -> Document:
        """Return a workflow definition and the names of its newest 1,000 versions; raises WorkflowNotFound."""
        entry = await self._core.database.call(self._core.workflows.entry, self._caller.tenant, name, version)
        versions = await self._core.database.call(self._core.workflows.versions, self._caller.tenant, name)
        return {**entry.definition, **_summary(entry.summary), "versions": list(versions)}

    async def workflow_graph(self, name: str, version: str | None = None) -> Document:
        """Return the steps of a workflow in topological order with their levels, and the edges between them.

        Raises:
            WorkflowNotFound: the workflow, or this version of it, does not exist.
        """
        return await self._core.database.call(self._graph, name, version)

    def _graph(self, name: str, version: str | None) -> Document:
        workflows, tenant = self._core.workflows, self._caller.tenant
        summary = workflows.entry(tenant, name, version).summary
        workflow = workflows.get(tenant, name, summary.version)
        levels, order = workflow.graph.levels(), workflow.graph.order
        return {
            "workflowName": name,
            "version": summary.version,
            "digest": summary.digest,
            "levels": max(levels.values(), default=-1) + 1,
            "skills": dict(sorted(Counter(step.skill for step in workflow.steps.values()).items())),
            "steps": [{"stepId": step, "skillId": workflow.steps[step].skill, "level": levels[step]} for step in order],
            "edges": [[needed, step] for step in order for needed in workflow.graph.dependencies[step]],
        }

    async def register(self, definition: Mapping[str, Any] | str) -> Document:
        """Register a version of a workflow, given as a document or as YAML text.

        In the returned document, `new` is False if the same version was registered before.

        Raises:
            InvalidWorkflow: the definition is invalid; the error lists every fault with its path.
            WorkflowVersionExists: the version is already registered with different content.
        """
        workflow = await asyncio.to_thread(self._load, definition)
        new = await self._core.workflows.register(workflow, tenant=self._caller.tenant, actor=self._caller.actor)
        return {
            "workflowName": workflow.name,
            "version": workflow.version,
            "digest": workflow.digest,
            "stepCount": len(workflow.steps),
            "new": new,
        }

    async def retire_workflow(self, name: str, *, version: str | None = None, reason: str | None = None) -> Document:
        """Retire a version of a workflow, or all registered so far: it takes no new runs from now on.

        The returned document is `{workflowName, versions}`, with the versions that took runs until now.

        Raises:
            InvalidRequest: the reason is too long, or not printable.
            WorkflowNotFound: the workflow, or this version of it, does not exist.
            FormatNotFinished: programs of the previous release may still be running.
        """
        if reason is not None and (len(reason) > MAX_REASON or not reason.isprintable()):
            raise InvalidRequest([Fault("reason", f"must have at most {MAX_REASON} printable characters")])
        versions = await self._retirement.retire(
            name, version, reason=reason or None, tenant=self._caller.tenant, actor=self._caller.actor
        )
        return {"workflowName": name, "versions": list(versions)}

    async def restore_workflow(self, name: str, *, version: str | None = None) -> Document:
        """Let a version of a workflow, or every retired one, take runs again; return `{workflowName, versions}`.

        Raises:
            WorkflowNotFound: the workflow, or this version of it, does not exist.
            FormatNotFinished: programs of the previous release may still be running.
        """
        versions = await self._retirement.restore(name, version, tenant=self._caller.tenant, actor=self._caller.actor)
        return {"workflowName": name, "versions": list(versions)}

    @property
    def _retirement(self) -> Retirement:
        return Retirement(self._core.log, self._core.database, self._core.workflows)

    def _load(self, definition: Mapping[str, Any] | str) -> Workflow:
        bound = self._core.settings.max_attempts_bound
        if isinstance(definition, str):
            return load_text(definition, is_yaml=True, max_attempts_bound=bound)
        return load_document(definition, max_attempts_bound=bound)


def _summary(entry: CatalogueSummary) -> Document:
    return {
        "workflowName": entry.name,
        "version": entry.version,
        "description": entry.description,
        "stepCount": entry.step_count,
        "digest": entry.digest,
        "registeredAt": timestamp(entry.registered_at),
        "retiredAt": None if entry.retired_at is None else timestamp(entry.retired_at),
    }
