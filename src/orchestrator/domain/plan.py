"""What a change will run, may run and reuse, and why, computed from the workflow and the base run alone.

    seeds      the steps that the change starts from: those that its type names, those that read a payload field
               that the change alters, forced steps, and steps whose earlier result is no longer available
    impacted   the seeds and everything downstream of them
    reused     all other steps; each result is taken from the run that made it, without consulting the cache

The cost of a plan is proportional to the steps the change affects; only listing all steps (`steps`) visits the
whole graph.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from orchestrator.domain.budget import BudgetExceeded
from orchestrator.domain.change import PAYLOAD_PATCH, ChangeRequest, changed_paths, merge_patch
from orchestrator.domain.errors import UnknownChangeType
from orchestrator.domain.events import Reuse
from orchestrator.domain.fingerprint import fingerprint
from orchestrator.domain.forcing import forced_steps
from orchestrator.domain.selectors import Path, SelectorError, is_touched, reads, select
from orchestrator.domain.spelling import did_you_mean
from orchestrator.domain.workflow import Workflow

Action = Literal["run", "may_run", "reuse", "omit"]


@dataclass(frozen=True, slots=True)
class BaseRun:
    """The finished run that a change starts from: its payload, the steps it was to execute, and those it reused.

    `omitted` are its steps that have no result because they were omitted, `failed` those whose failure was tolerated.
    """

    run_id: str
    payload: Mapping[str, Any]
    impacted: tuple[str, ...] | None = None
    reused: tuple[Reuse, ...] = ()
    omitted: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What will happen to a step, the reason as text, and the chain of steps `(seed, ..., step)` that leads to it."""

    step: str
    action: Action
    reason: str
    chain: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What a change will do. `payload` is the effective payload; `seeds` maps each seed to the reason for it.

    `omitted` are the steps that stay omitted, because the change does not reach them.
    """

    workflow: Workflow
    base: BaseRun
    change: ChangeRequest
    payload: Mapping[str, Any]
    seeds: Mapping[str, str]
    impacted: tuple[str, ...]
    forced: tuple[str, ...]
    reused: tuple[Reuse, ...]
    omitted: tuple[str, ...] = ()

    @cached_property
    def hash(self) -> str:
        """The fingerprint of the whole plan: two plans with the same hash do the same."""
        return fingerprint(
            [
                *([list(self.omitted)] if self.omitted else ()),
                self.workflow.digest,
                self.base.run_id,
                self.change.type,
                self.payload,
                list(self.impacted),
                list(self.forced),
                [[reuse.run_id, None if reuse.steps is None else list(reuse.steps)] for reuse in self.reused],
            ]
        )

    def steps(self) -> Iterator[StepPlan]:
        """Yield what will happen to each step of the workflow, in topological order."""
        chains = self.workflow.graph.path_from(self.seeds)
        omitted = self._omissions()
        for step in self.workflow.graph.order:
            if step in omitted:
                yield StepPlan(step, "omit", omitted[step], chains.get(step, ()))
            elif step in self.seeds:
                yield StepPlan(step, "run", self.seeds[step], (step,))
            elif step in chains:
                chain = chains[step]
                yield StepPlan(step, "may_run", f"depends on {chain[-2]}, if its result changes", chain)
            else:
                yield StepPlan(step, "reuse", "not affected by the change")

    def _omissions(self) -> Mapping[str, str]:
        """Return why steps will be omitted, as far as the payload alone decides it."""
        found = dict.fromkeys(self.omitted, "omitted in the base run, and not affected by the change")
        if self.workflow.shows_outcomes:
            for step_id in self.impacted:  # in topological order
                step = self.workflow.steps[step_id]
                needed = next((name for name in step.depends_on if name in found), None)
                if needed is not None:
                    found[step_id] = f"depends on {needed}, which is omitted"
                elif is_false(step.when, self.payload):
                    found[step_id] = f"its condition is false: {step.when}"
        return found


def plan_change(workflow: Workflow, base: BaseRun, change: ChangeRequest, gone: Collection[str] = ()) -> Plan:
    """Plan a change of a completed run.

    Args:
        workflow: the definition of the base run.
        base: the base run.
        change: the requested change.
        gone: steps whose earlier result is no longer available.

    Raises:
        UnknownChangeType: the workflow does not declare the type; the message names the declared types.
        UnknownStep: `force` names a step that the workflow does not have.
    """
    payload = merge_patch(base.payload, change.payload)
    seeds, force_all = _declared_seeds(workflow, change)
    for step, field in _readers(workflow, frozenset(changed_paths(base.payload, payload, ("trigger",)))):
        seeds.setdefault(step, f"reads {field}, which the change alters")
    named = () if isinstance(change.force, bool) else change.force
    forced = tuple(seeds) if force_all else forced_steps(workflow, named)
    for step in forced:
        seeds[step] = "forced by the change request" if step not in seeds else f"{seeds[step]}; forced"
    for step in sorted(base.failed, key=workflow.ranks.__getitem__):
        seeds.setdefault(step, "failed in the base run")
    for step in gone:
        seeds.setdefault(step, "its earlier result is no longer available")
    return _plan(workflow, base, change, payload=payload, seeds=seeds, forced=forced)


def plan_retry(workflow: Workflow, base: BaseRun, done: Collection[str], forced: Collection[str] = ()) -> Plan:
    """Plan the retry of a failed or cancelled run: every step that is not `done` yet runs.

    Those that were `forced` in the base run are forced again.
    """
    seeds = {step: "was not completed" for step in workflow.graph.order if step not in done}
    again = [step for step in seeds if step in forced]
    return _plan(workflow, base, ChangeRequest("retry", {}), payload=base.payload, seeds=seeds, forced=again)


def _plan(
    workflow: Workflow,
    base: BaseRun,
    change: ChangeRequest,
    *,
    payload: Mapping[str, Any],
    seeds: Mapping[str, str],
    forced: Iterable[str] = (),
) -> Plan:
    reached = workflow.graph.downstream(seeds)
    impacted = tuple(sorted(reached, key=workflow.ranks.__getitem__))
    omitted = tuple(sorted((step for step in base.omitted if step not in reached), key=workflow.ranks.__getitem__))
    return Plan(workflow, base, change, payload, seeds, impacted, tuple(forced), earlier_results(base), omitted)


def is_false(condition: str | None, payload: Mapping[str, Any]) -> bool:
    """Return whether a condition reads nothing but the payload, and is false for this one."""
    if condition is None or any(path[:1] != ("trigger",) for path in reads(condition)):
        return False
    try:
        return select(condition, {"trigger": payload}) is False
    except (SelectorError, BudgetExceeded):  # the step will fail, and say why
        return False


def earlier_results(base: BaseRun) -> tuple[Reuse, ...]:
    """Return which run holds each step's earlier result: first the steps of the base run, then those it reused.

    Each step is listed once, for the newest run that executed it, so that the list does not grow with the chain of
    updates.
    """
    if base.impacted is None:
        return (Reuse(base.run_id, None),)
    newer = set(base.impacted)
    layers = [Reuse(base.run_id, base.impacted)] if base.impacted else []
    for reuse in base.reused:
        if reuse.steps is None:
            layers.append(reuse)
        elif kept := tuple(step for step in reuse.steps if step not in newer):
            layers.append(Reuse(reuse.run_id, kept))
    return tuple(layers)


def _declared_seeds(workflow: Workflow, change: ChangeRequest) -> tuple[dict[str, str], bool]:
    """Return the seeds that the change type names, and whether all seeds are forced."""
    if change.type == PAYLOAD_PATCH:
        return {}, change.force is True
    declared = workflow.change_types.get(change.type)
    if declared is None:
        known = [*workflow.change_types, PAYLOAD_PATCH]
        hint = did_you_mean(change.type, known) or f"; it has {', '.join(known)}"
        raise UnknownChangeType(
            f"workflow {workflow.name} has no change type {change.type!r}{hint}",
            type=change.type,
            known=known,
        )
    names = workflow.graph.order if declared.seeds is None else declared.seeds
    return dict.fromkeys(names, f"seed of {change.type}"), declared.force or change.force is True


def _readers(workflow: Workflow, changed: frozenset[Path]) -> Iterator[tuple[str, str]]:
    """Yield `(step, path it reads)` for the steps that read a changed field, the change request or the base run."""
    for path, steps in workflow.readers.items():
        if path[:1] in {("change",), ("base",)} or path == () or (path[0] == "trigger" and is_touched(path, changed)):
            for step in steps:
                yield step, ".".join(path) or "the whole context"
