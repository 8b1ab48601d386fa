"""Changes of finished runs: plan one, make it, try a failed run again. The same for HTTP and the terminal."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from orchestrator.application.caller import Caller
from orchestrator.application.clock import now
from orchestrator.application.commands import Accepted, RunCommands, request_hash
from orchestrator.application.errors import ProjectionLagging
from orchestrator.application.freshness import Freshness
from orchestrator.cache.step_cache import ArtifactCheck
from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.commands import TriggerRun
from orchestrator.domain.errors import BaseRunNotCompleted, PlanChanged, RunNotRetryable
from orchestrator.domain.fingerprint import fingerprint
from orchestrator.domain.output import Output
from orchestrator.domain.plan import Plan, plan_change, plan_retry
from orchestrator.domain.run import DONE, maker_of
from orchestrator.domain.selectors import reads
from orchestrator.eventstore.runs import RunStore
from orchestrator.postgres.database import Database
from orchestrator.projections.views.reader import FinishedRun, Reader
from orchestrator.workflows.registry import WorkflowRegistry

MAX_CHECKED = 1000
"""Up to so many steps with artifacts are checked for an update; beyond, only those that the update reads."""


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """A plan of a change, with its hash, its base, and how long each step took when its result was made.

    The hash covers what the plan says and which version of the workflow was registered last. Durations are in
    milliseconds.
    """

    plan: Plan
    plan_hash: str
    durations: Mapping[str, float]
    base: FinishedRun


class RunChanges:
    """Updates and retries of finished runs."""

    def __init__(
        self,
        *,
        database: Database,
        runs: RunStore,
        reader: Reader,
        workflows: WorkflowRegistry,
        commands: RunCommands,
        freshness: Freshness,
        check: ArtifactCheck,
    ) -> None:
        self._database = database
        self._runs = runs
        self._reader = reader
        self._workflows = workflows
        self._commands = commands
        self._freshness = freshness
        self._check = check

    async def plan(self, caller: Caller, run_id: str, change: ChangeRequest) -> PlannedChange:
        """Say what a change would do, without doing anything.

        Raises:
            RunNotFound, BaseRunNotCompleted, UnknownChangeType, UnknownStep, InvalidPayload: as `update`.
        """
        planned = await self._database.call(self._planned, caller.tenant, run_id, change)
        await self._commands.check(planned.plan.workflow, planned.plan.payload)
        return planned

    async def update(
        self,
        caller: Caller,
        run_id: str,
        change: ChangeRequest,
        *,
        expected_plan_hash: str | None = None,
        idempotency_key: str | None = None,
        priority: int | None = None,
        labels: Mapping[str, str] | None = None,
        trace: str | None = None,
    ) -> Accepted:
        """Ask for a run that changes a completed one and reuses all that the change cannot reach.

        It has the labels and the priority of its base unless others are given.

        Raises:
            RunNotFound: there is no base run with this id, or it is another tenant's.
            BaseRunNotCompleted: it is not completed.
            UnknownChangeType, UnknownStep: the change names what the workflow does not have.
            InvalidPayload: the payload with the change breaks the workflow's payloadSchema.
            PlanChanged: the plan is no longer the one with the expected hash.
        """
        finished = await self._database.call(self._reader.base, caller.tenant, run_id)
        with suppress(ProjectionLagging):  # it may have finished just now; what the read models lack is run again
            await self._freshness.reach(finished.position)
        planned = await self._database.call(
            self._planned, caller.tenant, run_id, change, timed=False, guarded=expected_plan_hash is not None
        )
        plan = planned.plan
        await self._commands.check(plan.workflow, plan.payload)
        if expected_plan_hash is not None and expected_plan_hash != planned.plan_hash:
            raise PlanChanged(
                f"the plan for this change of run {run_id} is no longer the one expected; plan again",
                expected=expected_plan_hash,
                actual=planned.plan_hash,
            )
        request = await request_hash(
            idempotency_key, ["update", run_id, *_change_key(change), priority or 0, labels or {}]
        )
        document = {"type": change.type, "payload": change.payload, "force": change.force}
        command = TriggerRun(
            now(),
            "update",
            plan.payload,
            base_run_id=run_id,
            change=document,
            impacted=plan.impacted,
            reused=plan.reused,
            forced=plan.forced,
            priority=planned.base.priority if priority is None else priority,
            labels=planned.base.labels if labels is None else labels,
            request=request,
            trace=trace,
        )
        return await self._commands.begin_run(caller, command, plan.workflow, idempotency_key)

    async def retry(
        self, caller: Caller, run_id: str, *, idempotency_key: str | None = None, trace: str | None = None
    ) -> Accepted:
        """Ask for another try of a failed or cancelled run that reuses all that completed.

        It has the labels and the priority of that run.

        Raises:
            RunNotFound: there is no run with this id, or it is another tenant's.
            RunNotRetryable: it is neither failed nor cancelled.
        """
        plan, base = await self._database.call(self._planned_retry, caller.tenant, run_id)
        request = await request_hash(idempotency_key, ["retry", run_id])
        command = TriggerRun(
            now(),
            "retry",
            plan.payload,
            base_run_id=run_id,
            impacted=plan.impacted,
            reused=plan.reused,
            priority=base.priority,
            labels=base.labels,
            request=request,
            trace=trace,
        )
        return await self._commands.begin_run(caller, command, plan.workflow, idempotency_key)

    def _planned(
        self, tenant: str, run_id: str, change: ChangeRequest, *, timed: bool = True, guarded: bool = True
    ) -> PlannedChange:
        finished = self._reader.base(tenant, run_id)
        if finished.status != "completed":
            raise BaseRunNotCompleted(
                f"run {run_id} is {finished.status}; only a completed run can be changed", status=finished.status
            )
        plan = plan_change(finished.workflow, finished.base, change)
        gone: set[str] = set()
        while found := self._gone(tenant, plan) - gone:
            gone |= found
            plan = plan_change(finished.workflow, finished.base, change, gone)
        newest = self._workflows.entry(tenant, plan.workflow.name).digest if guarded else ""
        wanted = [(maker_of(step, plan.reused), step) for step in plan.workflow.steps] if timed else []
        durations = self._reader.durations(tenant, wanted) if timed else {}
        return PlannedChange(plan, fingerprint([plan.hash, newest]), durations, finished)

    def _planned_retry(self, tenant: str, run_id: str) -> tuple[Plan, FinishedRun]:
        finished = self._reader.base(tenant, run_id)
        if finished.status not in ("failed", "cancelled"):
            raise RunNotRetryable(f"run {run_id} is {finished.status}; only failed and cancelled runs can be retried")
        run = self._runs.load(run_id).run
        done = {step for step, state in run.states() if state.status in DONE}
        return plan_retry(finished.workflow, finished.base, done), finished

    def _gone(self, tenant: str, plan: Plan) -> set[str]:
        """Return the reused steps whose artifacts are missing or altered; they have to run again."""
        impacted = set(plan.impacted)
        makers = list({reuse.run_id for reuse in plan.reused})
        kept = self._reader.with_artifacts(tenant, makers, MAX_CHECKED + 1)
        if len(kept) > MAX_CHECKED:
            kept = self._read_by(tenant, plan, impacted)
        return {
            step
            for run_id, step, output in kept
            if step not in impacted
            and maker_of(step, plan.reused) == run_id
            and self._check.fault(tenant, output) is not None
        }

    def _read_by(self, tenant: str, plan: Plan, impacted: Collection[str]) -> list[tuple[str, str, Output]]:
        """Return the reused results that impacted steps read, each with its maker."""
        read: dict[str, set[str]] = {}
        for step in impacted:
            for path in reads(plan.workflow.steps[step].input):
                if path[:1] == ("steps",) and len(path) > 1 and path[1] not in impacted:
                    read.setdefault(maker_of(path[1], plan.reused), set()).add(path[1])
        return [
            (maker, step, output)
            for maker, steps in read.items()
            for step, output in self._reader.outputs(tenant, maker, sorted(steps)).items()
        ]


def _change_key(change: ChangeRequest) -> tuple[Any, ...]:
    return change.type, change.payload, list(change.force) if isinstance(change.force, tuple) else change.force
