"""The state of one run: what its events add up to.

A `Run` is an accumulator: only `evolve` writes to it, folding events in place. It has entries only for steps with
events of their own, and it updates its counters incrementally, so that folding an event and computing what happens
next cost the same in a run of ten steps and in one of ten thousand.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from orchestrator.domain.events import Reuse, RunTriggered
from orchestrator.domain.output import Output, StepError
from orchestrator.domain.workflow import Workflow

RunStatus = Literal["queued", "running", "blocked", "completed", "failed", "cancelled"]
StepStatus = Literal["pending", "running", "completed", "skipped", "omitted", "failed", "cancelled"]

TERMINAL: frozenset[RunStatus] = frozenset({"completed", "failed", "cancelled"})
DONE: frozenset[StepStatus] = frozenset({"completed", "skipped"})
STEP_STATUSES: tuple[StepStatus, ...] = get_args(StepStatus)


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt without a result: it failed with `error`, or was lost with its worker (`error` is None)."""

    number: int
    worker: str | None
    started_at: int | None
    ended_at: int
    duration_ms: float | None
    error: StepError | None


@dataclass(slots=True)  # not frozen: a frozen one takes five times as long to create, and each step event creates one
class StepState:
    """The state of a step. Times are milliseconds since 1970 UTC; `attempt` is the latest attempt, 1-based.

    It is never modified: `evolve` replaces it. `lost` counts attempts that were lost with their worker; they do not
    count against the retry policy. `worker` made the latest attempt; `past` lists the attempts before it. `because` is
    the step whose missing result omitted this one, None if its condition did.
    """

    status: StepStatus = "pending"
    attempt: int = 0
    lost: int = 0
    worker: str | None = None
    past: tuple[Attempt, ...] = ()
    skill: str | None = None
    input_hash: str | None = None
    cache_key: str | None = None
    output: Output | None = None
    output_hash: str | None = None
    hit: str | None = None
    miss: str | None = None
    source_run: str | None = None
    error: StepError | None = None
    started_at: int | None = None
    ended_at: int | None = None
    duration_ms: float | None = None
    due_at: int | None = None
    because: str | None = None


UNTOUCHED = StepState()


@dataclass(slots=True)
class Run:
    """One execution of a workflow.

    `waiting` counts the unfinished dependencies of each step of this run; `ready`, `executing` and `due` hold
    the steps that can start, the running attempts, and the retry timers (milliseconds since 1970 UTC). `forced` holds
    the steps that are executed despite the cache, `omitted` those outside this run that have no result. `lacking` maps
    each step that cannot have its input, because a step that it depends on has no result, to that step.
    """

    id: str
    workflow: Workflow
    trigger: RunTriggered
    version: int = 0
    status: RunStatus = "queued"
    owner: str | None = None
    steps: dict[str, StepState] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    ready: dict[str, None] = field(default_factory=dict)
    executing: dict[str, int] = field(default_factory=dict)
    due: dict[str, int] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)
    unfinished: int = 0
    failed_step: str | None = None
    missing_skills: tuple[str, ...] = ()
    error: StepError | None = None
    started_at: int | None = None
    ended_at: int | None = None
    forced: frozenset[str] = field(init=False)
    omitted: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Index the forced and omitted steps: there may be as many as the workflow has."""
        self.forced = frozenset(self.trigger.forced)
        self.omitted = frozenset(self.trigger.omitted)

    @property
    def is_finished(self) -> bool:
        """Whether the run has reached a terminal state; no more events are appended to it."""
        return self.status in TERMINAL

    def step(self, step_id: str) -> StepState:
        """Return the state of a step.

        A step without events is skipped if it is reused (or still omitted), cancelled if the run is cancelled, and
        pending otherwise.
        """
        state = self.steps.get(step_id)
        if state is not None:
            return state
        if step_id not in self.waiting:
            if step_id in self.omitted:
                return StepState(status="omitted")
            return StepState(status="skipped", source_run=self.maker(step_id))
        return StepState(status="cancelled") if self.status == "cancelled" else UNTOUCHED

    def is_reused(self, step_id: str) -> bool:
        """Return whether the step's result was taken from another run when this run was triggered."""
        return step_id not in self.waiting

    def maker(self, step_id: str) -> str:
        """Return the id of the run that made, or will make, a step's result."""
        state = self.steps.get(step_id)
        if state is not None and state.source_run is not None:
            return state.source_run
        if step_id in self.waiting:
            return self.id
        return maker_of(step_id, self.trigger.reused)

    def states(self) -> Iterator[tuple[str, StepState]]:
        """Yield every step of the workflow with its state, in topological order."""
        for step_id in self.workflow.graph.order:
            yield step_id, self.step(step_id)

    def summary(self) -> dict[str, int]:
        """Count the steps by status, and in `total`."""
        counts: dict[str, int] = dict.fromkeys(STEP_STATUSES, 0)
        for state in self.steps.values():
            counts[state.status] += 1
        counts["cancelled" if self.status == "cancelled" else "pending"] += len(self.waiting) - len(self.steps)
        counts["omitted"] += len(self.trigger.omitted)
        counts["skipped"] += len(self.workflow.steps) - len(self.waiting) - len(self.trigger.omitted)
        return {"total": len(self.workflow.steps), **counts}

    def facts(self, tenant: str) -> Mapping[str, Any]:
        """Return what selectors see as `run`."""
        return {
            "id": self.id,
            "workflowName": self.workflow.name,
            "workflowVersion": self.workflow.version,
            "tenantId": tenant,
        }


def maker_of(step_id: str, reused: Iterable[Reuse]) -> str:
    """Return the id of the run that a reused step's result comes from, as the trigger recorded it.

    Raises:
        LookupError: the step is not reused.
    """
    rest: str | None = None
    for reuse in reused:
        if reuse.steps is None:
            rest = reuse.run_id
        elif step_id in reuse.steps:
            return reuse.run_id
    if rest is None:
        raise LookupError(f"step {step_id!r} is not reused")
    return rest
