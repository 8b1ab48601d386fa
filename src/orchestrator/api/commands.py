"""What may be asked of runs: trigger, cancel. Checked, decided and appended; the same for HTTP and the terminal."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from uuid_utils import uuid7

from orchestrator.domain.commands import CancelRun, TriggerRun
from orchestrator.domain.decide import decide, decide_trigger
from orchestrator.domain.errors import IdempotencyConflict, RunNotFound, VersionConflict
from orchestrator.domain.evolve import begin, evolve
from orchestrator.domain.fingerprint import fingerprint
from orchestrator.domain.workflow import Workflow
from orchestrator.eventstore.database import Database
from orchestrator.eventstore.runs import LoadedRun, RunStore
from orchestrator.workflows.payload import check_payload
from orchestrator.workflows.registry import WorkflowRegistry

RUN_NAMESPACE = UUID("5b1e0a3c-6a3f-4c8e-9f57-8f8d2f1c7e55")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the tenant they act for, and their name in the log."""

    tenant: str
    actor: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A run that was asked for: its id, the position of its first event, and how many steps it may run."""

    run_id: str
    position: int
    steps: int


class RunCommands:
    """Commands on runs."""

    def __init__(self, database: Database, runs: RunStore, workflows: WorkflowRegistry) -> None:
        self._database = database
        self._runs = runs
        self._workflows = workflows

    async def trigger(
        self,
        caller: Caller,
        workflow_name: str,
        *,
        version: str | None = None,
        payload: Mapping[str, Any] | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        trace: str | None = None,
    ) -> Accepted:
        """Ask for a run of a workflow, the version registered last unless one is named.

        With an idempotency key the same request leads to the same run, however often it is made.

        Raises:
            WorkflowNotFound: no such workflow or version.
            InvalidPayload: the payload breaks the workflow's payloadSchema.
            IdempotencyConflict: the key was used with another request.
        """
        workflow = await self._workflows.find(caller.tenant, workflow_name, version)
        payload = {} if payload is None else payload
        check_payload(workflow, payload)
        request = None
        if idempotency_key is not None:
            request = fingerprint([workflow_name, version, payload, priority, labels or {}])
        command = TriggerRun(
            now(), "initial", payload, priority=priority, labels=labels or {}, request=request, trace=trace
        )
        return await self.begin_run(caller, command, workflow, idempotency_key)

    async def begin_run(
        self, caller: Caller, command: TriggerRun, workflow: Workflow, idempotency_key: str | None
    ) -> Accepted:
        """Append the first event of a run; the key, when there is one, decides the run's id."""
        run_id = str(uuid7()) if idempotency_key is None else keyed_run_id(caller.tenant, idempotency_key)
        event = decide_trigger(command, workflow)
        run = begin(run_id, workflow, event)
        try:
            position = await self._runs.save(run, [event], tenant=caller.tenant, actor=caller.actor)
        except VersionConflict:
            return await self._accepted_before(run_id, command)
        return Accepted(run_id, position, len(run.waiting))

    async def _accepted_before(self, run_id: str, command: TriggerRun) -> Accepted:
        """The key was used before: give the first answer again if the request is the same."""
        loaded = await self._database.call(self._runs.load, run_id)
        if loaded.run.trigger.request != command.request:
            raise IdempotencyConflict(
                f"this Idempotency-Key was used for another request, which made run {run_id}", runId=run_id
            )
        return Accepted(run_id, loaded.position, len(loaded.run.waiting))

    async def cancel(self, caller: Caller, run_id: str, reason: str | None = None) -> LoadedRun:
        """End a run now and return it.

        Raises:
            RunNotFound: there is none with this id, or it is another tenant's.
            RunNotCancellable: it is finished.
        """
        while True:
            loaded = await self._database.call(self._runs.load, run_id)
            if loaded.tenant != caller.tenant:
                raise RunNotFound(f"there is no run {run_id}", runId=run_id)
            events = decide(CancelRun(now(), reason, caller.actor), loaded.run)
            for event in events:
                evolve(loaded.run, event)
            try:
                loaded.position = await self._runs.save(loaded.run, events, tenant=caller.tenant, actor=caller.actor)
            except VersionConflict:
                continue
            return loaded


def keyed_run_id(tenant: str, idempotency_key: str) -> str:
    """Return the id of the run that an idempotency key of a tenant stands for."""
    return str(uuid5(RUN_NAMESPACE, f"{tenant}\n{idempotency_key}"))


def now() -> int:
    """Return the time in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000
