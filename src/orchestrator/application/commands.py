"""Commands on runs: trigger and cancel. Each is validated, decided and appended to the log."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

from uuid_utils import uuid7

from orchestrator.application.caller import Caller
from orchestrator.application.clock import now
from orchestrator.application.local_workers import LocalWorkers
from orchestrator.domain.budget import QUICK_UNITS, Budget, BudgetExceeded
from orchestrator.domain.commands import CancelRun, TriggerRun
from orchestrator.domain.decide import decide, decide_trigger
from orchestrator.domain.errors import (
    IdempotencyConflict,
    InvalidPayload,
    RunArchived,
    RunDeleted,
    RunNotFound,
    UnknownStep,
    VersionConflict,
)
from orchestrator.domain.events import RunTriggered
from orchestrator.domain.evolve import begin, evolve
from orchestrator.domain.fingerprint import fingerprint
from orchestrator.domain.forcing import Force, forced_steps
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import Workflow
from orchestrator.eventstore.inline import NewRun, needs
from orchestrator.eventstore.runs import LoadedRun, RunStore
from orchestrator.postgres.database import Database
from orchestrator.workflows.payload import MAX_LISTED, check_payload, invalid_payload
from orchestrator.workflows.registry import WorkflowRegistry

MAX_AT_ONCE = 1000
"""Maximum number of runs in one request."""

_BATCHES = 4
_CHECKS = 2
"""Maximum number of payloads checked in threads at the same time, so that other work finds a thread."""

_YIELD_EVERY = 50
"""Number of runs after which a batch yields to the event loop."""

RUN_NAMESPACE = UUID("5b1e0a3c-6a3f-4c8e-9f57-8f8d2f1c7e55")


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted run: its id, the log position of its first event, and how many steps it may execute."""

    run_id: str
    position: int
    steps: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A requested run. Without a `version`, it uses the version of the workflow that was registered last.

    `force` names the steps to execute despite the cache; True means all of them.
    """

    workflow: str
    version: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    force: Force = False

    @property
    def request(self) -> list[Any]:
        """The parts that identify the request. Two requests are the same if they are equal."""
        forced = [self.force if isinstance(self.force, bool) else sorted(set(self.force))] if self.force else []
        return [self.workflow, self.version, self.payload, self.priority, self.labels, *forced]

    def command(self, workflow: Workflow, request: str | None, trace: str | None) -> TriggerRun:
        """Return the command that starts the run now.

        Args:
            workflow: the workflow of the run.
            request: the fingerprint of a request with an idempotency key, or None without a key.
            trace: the W3C trace context of the request, or None.

        Raises:
            UnknownStep: `force` names a step that the workflow does not have.
        """
        return TriggerRun(
            now(),
            "initial",
            self.payload,
            forced=forced_steps(workflow, self.force),
            priority=self.priority,
            labels=self.labels,
            request=request,
            trace=trace,
        )


class RunCommands:
    """Commands on runs."""

    def __init__(self, database: Database, runs: RunStore, workflows: WorkflowRegistry, local: LocalWorkers) -> None:
        self._database = database
        self._runs = runs
        self._workflows = workflows
        self._batches = asyncio.Semaphore(_BATCHES)
        self._checks = asyncio.Semaphore(_CHECKS)
        self._local = local

    async def trigger(
        self,
        caller: Caller,
        wanted: Wanted,
        *,
        idempotency_key: str | None = None,
        trace: str | None = None,
    ) -> Accepted:
        """Trigger a run of a workflow. Without a version, the one registered last is used.

        Requests with the same idempotency key trigger only one run, and all return that run.

        Raises:
            WorkflowNotFound: there is no such workflow or version.
            InvalidPayload: the payload does not match the workflow's payloadSchema.
            UnknownStep: `force` names a step that the workflow does not have.
            WorkflowIsRetired: the workflow, or the given version of it, takes no new runs.
            IdempotencyConflict: the key was already used with another request.
        """
        request = await request_hash(idempotency_key, wanted.request)
        name, version = wanted.workflow, wanted.version
        if version is None and (seen := self._workflows.newest_seen(caller.tenant, name)) is not None:
            # it may no longer be the newest version: look it up
            with suppress(VersionConflict, InvalidPayload, UnknownStep):
                await self.check(seen, wanted.payload)
                command = wanted.command(seen, request, trace)
                return await self.begin_run(caller, command, seen, idempotency_key, needs_newest=True)
        workflow = await self._workflows.find(caller.tenant, name, version)
        await self.check(workflow, wanted.payload)
        return await self.begin_run(caller, wanted.command(workflow, request, trace), workflow, idempotency_key)

    async def trigger_many(
        self,
        caller: Caller,
        wanted: Sequence[Wanted],
        *,
        idempotency_key: str | None = None,
        trace: str | None = None,
    ) -> list[Accepted]:
        """Trigger up to `MAX_AT_ONCE` runs and return them in that order. If one is invalid, none is recorded.

        The runs are recorded in a few commits. If the process dies between them, the same request with the same
        idempotency key adds the missing runs, and none twice.

        Raises:
            WorkflowNotFound: there is no such workflow or version.
            InvalidPayload: some payloads are invalid. The path of each fault names its run, such as `runs[3]`.
            UnknownStep: `force` of a run names a step that its workflow does not have. The message names the run.
            IdempotencyConflict: the key was already used with another request.
        """
        named = dict.fromkeys((one.workflow, one.version) for one in wanted)
        workflows = {place: await self._workflows.find(caller.tenant, *place) for place in named}
        async with self._batches:  # bounds the number of runs that wait to be recorded
            await self._check_all(wanted, workflows)
            request = await request_hash(idempotency_key, [one.request for one in wanted])

            async def begin_one(number: int) -> Accepted:
                one = wanted[number]
                # The key of a single run never contains a line break.
                key = None if idempotency_key is None else f"{idempotency_key}\n{number}"
                workflow = workflows[one.workflow, one.version]
                return await self.begin_run(caller, one.command(workflow, request, trace), workflow, key)

            # With a key, the first run goes alone, to find out whether the key was used with another request.
            accepted = [] if idempotency_key is None else [await begin_one(0)]
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = []
                    for number in range(len(accepted), len(wanted)):
                        tasks.append(group.create_task(begin_one(number)))
                        if number % _YIELD_EVERY == 0:
                            await asyncio.sleep(0)
            except ExceptionGroup as failed:
                raise failed.exceptions[0] from None
            return accepted + [task.result() for task in tasks]

    async def check(self, workflow: Workflow, payload: Mapping[str, Any]) -> None:
        """Validate a payload against a workflow. A slow validation runs in a thread.

        Raises:
            InvalidPayload: the payload does not match the workflow's payloadSchema.
        """
        try:
            check_payload(workflow, payload, Budget(QUICK_UNITS))
        except BudgetExceeded:
            async with self._checks:
                await asyncio.to_thread(check_payload, workflow, payload)

    async def _check_all(self, wanted: Sequence[Wanted], workflows: Mapping[tuple[str, str | None], Workflow]) -> None:
        problems: list[tuple[str, str]] = []
        for number, one in enumerate(wanted):
            workflow = workflows[one.workflow, one.version]
            if one.force:
                forced_steps(workflow, one.force, f"runs[{number}].force")
            try:
                await self.check(workflow, one.payload)
            except InvalidPayload as error:
                problems += [(f"runs[{number}].{fault['path']}", fault["message"]) for fault in error.details["faults"]]
            if len(problems) > MAX_LISTED:
                break
            if number % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        if problems:
            raise invalid_payload(problems)

    async def begin_run(
        self,
        caller: Caller,
        command: TriggerRun,
        workflow: Workflow,
        idempotency_key: str | None,
        *,
        needs_newest: bool = False,
    ) -> Accepted:
        """Append the first event of a run. The run's id is derived from the idempotency key, if there is one.

        Raises:
            IdempotencyConflict: the key was already used with another request.
            WorkflowIsRetired: the version of the workflow takes no new runs.
            VersionConflict: the newest version was needed, and this is no longer the newest.
        """
        run_id = str(uuid7()) if idempotency_key is None else keyed_run_id(caller.tenant, idempotency_key)
        event = decide_trigger(command, workflow)
        run = begin(run_id, workflow, event)
        steps = len(run.waiting)
        try:
            position = await self._save_new(run, event, caller, needs_newest)
        except VersionConflict as conflict:
            try:
                return await self._accepted_before(caller.tenant, run_id, event, needs_newest)
            except (RunArchived, RunDeleted):
                raise
            except RunNotFound:
                raise conflict from None  # the conflict was not about the id
        return Accepted(run_id, position, steps)

    async def _save_new(self, run: Run, event: RunTriggered, caller: Caller, needs_newest: bool) -> int:
        """Append the first event of a run, and hand the run to the worker of this process if it has a free slot."""
        worker = self._local.worker
        owner = None if worker is None else worker.reserve(run.id)
        new = NewRun(owner, needs_newest)
        if worker is None or owner is None:
            return await self._runs.save(run, [event], tenant=caller.tenant, actor=caller.actor, new=new)
        try:
            position = await self._runs.save(run, [event], tenant=caller.tenant, actor=caller.actor, new=new)
        except BaseException:
            worker.release(run.id)  # if the run was recorded anyway, the worker finds it at its next heartbeat
            raise
        worker.accept(LoadedRun(run, caller.tenant, position, event.at))
        return position

    async def _accepted_before(self, tenant: str, run_id: str, event: RunTriggered, needs_newest: bool) -> Accepted:
        """Return the run of an earlier request with the same key, even if it was archived since.

        Raises:
            IdempotencyConflict: the earlier request was a different one.
            WorkflowIsRetired: there was no earlier request, and a version was asked for that is retired.
            RunDeleted: the run of the earlier request was deleted.
            RunArchived: there was no earlier request, but a run that this one is based on is being archived.
            RunNotFound: there was no earlier request.
        """
        tombstone = await self._database.call(self._runs.find_tombstone, run_id)
        if tombstone is not None:
            if tombstone.archive is None:
                raise self._runs.absence(run_id, None)
            request, accepted = tombstone.request, Accepted(run_id, tombstone.last_position, tombstone.steps)
        else:
            try:
                loaded = await self._database.call(self._runs.load, run_id)
            except RunNotFound:
                name, version = event.workflow_name, event.workflow_version
                if not needs_newest and (
                    refusal := await self._database.call(self._workflows.refusal, tenant, name, version)
                ):
                    raise refusal from None
                for needed in needs(event):
                    await self._database.call(self._runs.load, needed)
                    raise RunArchived(f"run {needed} is being archived", runId=needed) from None
                raise
            request, accepted = loaded.run.trigger.request, Accepted(run_id, loaded.position, len(loaded.run.waiting))
        if request != event.request:
            raise IdempotencyConflict(
                f"this Idempotency-Key was already used for another request, which created run {run_id}", runId=run_id
            )
        return accepted

    async def cancel(self, caller: Caller, run_id: str, reason: str | None = None) -> LoadedRun:
        """Cancel a run and return it.

        Raises:
            RunNotFound: the run does not exist, or belongs to another tenant.
            RunNotCancellable: the run has already finished.
        """
        while True:
            loaded = await self._database.call(self._runs.load, run_id, caller.tenant)
            events = decide(CancelRun(now(), reason, caller.actor), loaded.run)
            for event in events:
                evolve(loaded.run, event)
            try:
                loaded.position = await self._runs.save(loaded.run, events, tenant=caller.tenant, actor=caller.actor)
            except VersionConflict:
                continue
            return loaded


async def request_hash(idempotency_key: str | None, request: Sequence[Any]) -> str | None:
    """Return the fingerprint of a request, or None without a key. That of a large request is computed in a thread."""
    if idempotency_key is None:
        return None
    try:
        return fingerprint(request, Budget(QUICK_UNITS))
    except BudgetExceeded:
        return await asyncio.to_thread(fingerprint, request)


def keyed_run_id(tenant: str, idempotency_key: str) -> str:
    """Return the run id that is derived from an idempotency key of a tenant."""
    return str(uuid5(RUN_NAMESPACE, f"{tenant}\n{idempotency_key}"))
