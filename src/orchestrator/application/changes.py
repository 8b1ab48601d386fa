"""Changes of finished runs: plan a change, apply it, and retry a failed run."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from orchestrator.application.caller import Caller
from orchestrator.application.clock import now
from orchestrator.application.commands import Accepted, RunCommands, request_hash
from orchestrator.application.errors import InvalidRequest, ProjectionLagging
from orchestrator.application.freshness import Freshness
from orchestrator.cache.step_cache import ArtifactCheck
from orchestrator.domain.bounds import MAX_LABELS
from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.commands import TriggerRun
from orchestrator.domain.errors import BaseRunNotCompleted, Fault, PlanChanged, RunNotRetryable
from orchestrator.domain.fingerprint import fingerprint
from orchestrator.domain.output import Output
from orchestrator.domain.plan import Plan, plan_change, plan_retry
from orchestrator.domain.run import DONE, maker_of
from orchestrator.eventstore.runs import RunStore
from orchestrator.postgres.database import Database
from orchestrator.projections.views.reader import FinishedRun, Reader
from orchestrator.workflows.registry import WorkflowRegistry

MAX_CHECKED = 1000
"""Maximum number of steps whose artifacts are checked for an update. Beyond, only those it reads are checked."""


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """A planned change: the plan, its hash, its base run, and the duration of each step.

    The hash covers the plan and the version of the workflow that was registered last. A duration, in milliseconds, is
    the time that a step took when it produced its result.
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
        """Return what a change would do, without doing it.

        Raises:
            RunNotFound, BaseRunNotCompleted, UnknownChangeType, UnknownStep, InvalidPayload: see `update`.
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
        """Trigger a run that applies a change to a completed run and reuses all results the change cannot affect.

        By default, it has the labels and the priority of its base run. Given labels are added, and replace labels with
        the same keys.

        Raises:
            InvalidRequest: there are too many labels together.
            RunNotFound: the base run does not exist, or belongs to another tenant.
            BaseRunNotCompleted: the base run is not completed.
            UnknownChangeType, UnknownStep: the workflow does not have the change type or the step.
            InvalidPayload: the changed payload does not match the workflow's payloadSchema.
            PlanChanged: the plan no longer has the expected hash.
            IdempotencyConflict: the key was already used with another request.
        """
        finished = await self._database.call(self._reader.base, caller.tenant, run_id)
        # The base may have just finished. Steps whose results the read models do not have yet run again.
        with suppress(ProjectionLagging):
            await self._freshness.reach(finished.position)
        planned = await self._database.call(
            self._planned, caller.tenant, run_id, change, timed=False, guarded=expected_plan_hash is not None
        )
        plan = planned.plan
        await self._commands.check(plan.workflow, plan.payload)
        if expected_plan_hash is not None and expected_plan_hash != planned.plan_hash:
            raise PlanChanged(
                f"the plan for this change of run {run_id} is different now; request a new plan",
                expected=expected_plan_hash,
                actual=planned.plan_hash,
            )
        request = await request_hash(
            idempotency_key, ["update", run_id, *_change_key(change), *_given(priority, labels)]
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
            labels=_merged(planned.base.labels, labels),
            request=request,
            trace=trace,
            omitted=plan.omitted,
        )
        return await self._commands.begin_run(caller, command, plan.workflow, idempotency_key)

    async def retry(
        self,
        caller: Caller,
        run_id: str,
        *,
        idempotency_key: str | None = None,
        priority: int | None = None,
        labels: Mapping[str, str] | None = None,
        trace: str | None = None,
    ) -> Accepted:
        """Trigger a run that retries a failed or cancelled run and reuses the results of its completed steps.

        It inherits the priority and the labels of that run as an update does. Steps that were forced in that run, and
        have to run again, are forced again.

        Raises:
            InvalidRequest: there are too many labels together.
            RunNotFound: the run does not exist, or belongs to another tenant.
            RunNotRetryable: the run is neither failed nor cancelled.
            IdempotencyConflict: the key was already used with another request.
        """
        plan, base = await self._database.call(self._planned_retry, caller.tenant, run_id)
        given = [] if priority is None and not labels else _given(priority, labels)
        request = await request_hash(idempotency_key, ["retry", run_id, *given])
        command = TriggerRun(
            now(),
            "retry",
            plan.payload,
            base_run_id=run_id,
            impacted=plan.impacted,
            reused=plan.reused,
            forced=plan.forced,
            priority=base.priority if priority is None else priority,
            labels=_merged(base.labels, labels),
            request=request,
            trace=trace,
            omitted=plan.omitted,
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
        if finished.status not in ("failed", "cancelled") and not finished.base.failed:
            raise RunNotRetryable(f"run {run_id} is {finished.status}; only failed and cancelled runs can be retried")
        run = self._runs.load(run_id).run
        done = {step for step, state in run.states() if state.status in DONE or state.status == "omitted"}
        return plan_retry(finished.workflow, finished.base, done, run.forced), finished

    def _gone(self, tenant: str, plan: Plan) -> set[str]:
        """Return the reused steps whose artifacts are missing or altered. They must run again."""
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
        """Return the reused results that impacted steps read, each with the run that produced it."""
        read: dict[str, set[str]] = {}
        for step in impacted:
            for path in plan.workflow.reads_of(step):
                if path[:1] == ("steps",) and len(path) > 1 and path[1] not in impacted:
                    read.setdefault(maker_of(path[1], plan.reused), set()).add(path[1])
        return [
            (maker, step, output)
            for maker, steps in read.items()
            for step, output in self._reader.outputs(tenant, maker, sorted(steps)).items()
        ]


def _merged(inherited: Mapping[str, str], given: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return the labels of a run that is based on another."""
    labels = {**inherited, **(given or {})}
    if len(labels) > max(MAX_LABELS, len(inherited)):
        raise InvalidRequest(
            [Fault("labels", f"would be {len(labels)} with those of the base run; the maximum is {MAX_LABELS}")]
        )
    return labels


def _given(priority: int | None, labels: Mapping[str, str] | None) -> list[Any]:
    """Return the part of a request about priority and labels; if neither is given, as older programs recorded it."""
    return ["priority 0" if priority == 0 else priority or 0, labels or {}]


def _change_key(change: ChangeRequest) -> tuple[Any, ...]:
    return change.type, change.payload, list(change.force) if isinstance(change.force, tuple) else change.force
