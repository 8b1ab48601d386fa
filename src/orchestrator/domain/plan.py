"""What a change will re-run, may re-run and reuse, and why: computed from the workflow and the base run alone.

    seeds      the steps the change starts from: those its type names, those that read a payload field which
               the change alters, those that are forced, and those whose earlier result is gone
    impacted   the seeds and everything downstream of them
    reused     all the rest, taken from the run that really made it, without a look at the cache

The plan costs in proportion to what the change touches; only listing all of it (`steps`) costs the graph.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from orchestrator.domain.change import PAYLOAD_PATCH, ChangeRequest, changed_paths, merge_patch
from orchestrator.domain.errors import UnknownChangeType, UnknownStep
from orchestrator.domain.events import Reuse
from orchestrator.domain.fingerprint import fingerprint
from orchestrator.domain.selectors import Path, is_touched
from orchestrator.domain.spelling import did_you_mean
from orchestrator.domain.workflow import Workflow

Action = Literal["run", "may_run", "reuse"]


@dataclass(frozen=True, slots=True)
class BaseRun:
    """The finished run a change starts from: what it was triggered with and what it saw to itself."""

    run_id: str
    payload: Mapping[str, Any]
    impacted: tuple[str, ...] | None = None
    reused: tuple[Reuse, ...] = ()


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What will become of a step: the reason in words, and the chain of steps `(seed, ..., step)` that leads to it."""

    step: str
    action: Action
    reason: str
    chain: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What a change will do. `payload` is the effective one; `seeds` gives each seed the reason it is one."""

    workflow: Workflow
    base: BaseRun
    change: ChangeRequest
    payload: Mapping[str, Any]
    seeds: Mapping[str, str]
    impacted: tuple[str, ...]
    forced: tuple[str, ...]
    reused: tuple[Reuse, ...]

    @cached_property
    def hash(self) -> str:
        """The fingerprint of all that the plan says: two plans with the same hash do the same."""
        return fingerprint(
            [
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
        """Yield every step of the workflow in topological order with what will become of it."""
        chains = self.workflow.graph.path_from(self.seeds)
        for step in self.workflow.graph.order:
            if step in self.seeds:
                yield StepPlan(step, "run", self.seeds[step], (step,))
            elif step in chains:
                chain = chains[step]
                yield StepPlan(step, "may_run", f"depends on {chain[-2]}, if its result changes", chain)
            else:
                yield StepPlan(step, "reuse", "nothing the change touches leads here")


def plan_change(workflow: Workflow, base: BaseRun, change: ChangeRequest, gone: Collection[str] = ()) -> Plan:
    """Plan a change of a completed run.

    Args:
        workflow: the definition the base run was made with.
        base: the base run.
        change: what is asked for.
        gone: steps whose earlier result cannot be used any more.

    Raises:
        UnknownChangeType: the workflow does not declare the type; the message names the ones it does.
        UnknownStep: `force` names a step the workflow does not have.
    """
    payload = merge_patch(base.payload, change.payload)
    seeds, force_all = _declared_seeds(workflow, change)
    for step, field in _readers(workflow, frozenset(changed_paths(base.payload, payload, ("trigger",)))):
        seeds.setdefault(step, f"reads {field}, which the change alters")
    forced = tuple(seeds) if force_all else _forced_steps(workflow, change)
    for step in forced:
        seeds[step] = "forced by the change request" if step not in seeds else f"{seeds[step]}; forced"
    for step in gone:
        seeds.setdefault(step, "its earlier result is gone")
    return _plan(workflow, base, change, payload=payload, seeds=seeds, forced=forced)


def plan_retry(workflow: Workflow, base: BaseRun, done: Collection[str]) -> Plan:
    """Plan another try of a run that failed or was cancelled: everything that is not `done` yet."""
    seeds = {step: "was not completed" for step in workflow.graph.order if step not in done}
    return _plan(workflow, base, ChangeRequest("retry", {}), payload=base.payload, seeds=seeds)


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
    return Plan(workflow, base, change, payload, seeds, impacted, tuple(forced), earlier_results(base))


def earlier_results(base: BaseRun) -> tuple[Reuse, ...]:
    """Return where every step's earlier result is: first what the base saw to itself, then what it had reused.

    Steps are named once, in the newest run that saw to them, so that the list does not grow with the chain.
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
    """Return the seeds the change's type names, and whether all seeds are forced."""
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
    return dict.fromkeys(names, f"{change.type} starts here"), declared.force or change.force is True


def _forced_steps(workflow: Workflow, change: ChangeRequest) -> tuple[str, ...]:
    if isinstance(change.force, bool):
        return ()
    for step in change.force:
        if step not in workflow.steps:
            hint = did_you_mean(step, workflow.steps)
            raise UnknownStep(f"force names step {step!r}, which {workflow.name} does not have{hint}", step=step)
    return tuple(dict.fromkeys(change.force))


def _readers(workflow: Workflow, changed: frozenset[Path]) -> Iterator[tuple[str, str]]:
    """Yield `(step, what it reads)` for the steps that see one of the changed fields, or the change itself."""
    for path, steps in workflow.readers.items():
        if path[:1] in {("change",), ("base",)} or path == () or (path[0] == "trigger" and is_touched(path, changed)):
            for step in steps:
                yield step, ".".join(path) or "the whole context"
