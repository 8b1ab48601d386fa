"""The events, in the past tense and immutable; the log holds these and nothing else.

Every event carries `at`, the time it was decided, in milliseconds since 1970 UTC. The actor, the tenant and the
position in the log are part of the envelope (`eventstore.Recorded`), not of the event.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.domain.output import Output, StepError

TriggerType = Literal["initial", "update", "retry"]
HitReason = Literal["cache", "unchanged"]


@dataclass(frozen=True, slots=True)
class Reuse:
    """Results taken from another run: those of `steps`, or, if None, of every step not listed elsewhere."""

    run_id: str
    steps: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class RunTriggered:
    """A run was requested. It is queued, and every step of its workflow is pending or reused.

    `payload` is the effective payload, `change` the change request of an update. `impacted` names the steps
    of this run (None: all); the other steps are reused from the runs in `reused`. `forced` steps bypass the cache.
    `request` is the fingerprint of the request if it had an idempotency key, `trace` the W3C traceparent. `omitted`
    names steps outside `impacted` that have no result, because they were omitted in the base run.
    """

    at: int
    workflow_name: str
    workflow_version: str
    workflow_digest: str
    trigger_type: TriggerType
    payload: Mapping[str, Any]
    base_run_id: str | None = None
    change: Mapping[str, Any] | None = None
    impacted: tuple[str, ...] | None = None
    reused: tuple[Reuse, ...] = ()
    forced: tuple[str, ...] = ()
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    request: str | None = None
    trace: str | None = None
    omitted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A worker took the run: from now on only this worker appends to it."""

    at: int
    worker: str


@dataclass(frozen=True, slots=True)
class RunRecovered:
    """Another worker took over; the attempts of the lost worker are lost and their steps start again."""

    at: int
    worker: str
    lost_worker: str | None


@dataclass(frozen=True, slots=True)
class RunBlocked:
    """The worker does not have these skills; the run waits for one that does."""

    at: int
    skills: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepStarted:
    """An attempt started; recorded before the skill is called.

    `skill` is `id@version`; `miss` says why no earlier result was reused.
    """

    at: int
    step: str
    attempt: int
    skill: str
    input_hash: str
    cache_key: str
    miss: str | None = None


@dataclass(frozen=True, slots=True)
class StepCacheHit:
    """An earlier result was reused: found by its key (`cache`), or the base run had the same input (`unchanged`)."""

    at: int
    step: str
    input_hash: str
    cache_key: str
    output: Output
    source_run: str
    reason: HitReason


@dataclass(frozen=True, slots=True)
class StepCompleted:
    """An attempt succeeded. `duration_ms` is the wall time of the skill."""

    at: int
    step: str
    attempt: int
    output: Output
    output_hash: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class StepFailed:
    """An attempt failed. With `tolerated`, it was the last one, and the run goes on without the step's result."""

    at: int
    step: str
    attempt: int
    error: StepError
    duration_ms: float
    tolerated: bool = False


@dataclass(frozen=True, slots=True)
class StepRetried:
    """The failed step gets another attempt, not before `due_at` (milliseconds since 1970 UTC)."""

    at: int
    step: str
    next_attempt: int
    due_at: int


@dataclass(frozen=True, slots=True)
class StepOmitted:
    """The step is not executed in this run: its condition is false, or a step that it depends on has no result.

    `because` names that step; it is None if the condition decided.
    """

    at: int
    step: str
    because: str | None = None


@dataclass(frozen=True, slots=True)
class RunCompleted:
    """Every step has ended: completed, skipped, omitted, or failed and tolerated."""

    at: int
    completed: int
    skipped: int
    omitted: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class RunFailed:
    """A step failed for good, and no step of the run is executing any more."""

    at: int
    error: StepError
    failed_step: str | None


@dataclass(frozen=True, slots=True)
class RunCancelled:
    """The run was cancelled on request; results of executing steps are discarded."""

    at: int
    reason: str | None
    cancelled_by: str


@dataclass(frozen=True, slots=True)
class WorkflowRegistered:
    """A version of a workflow was registered; it never changes (stream: one per tenant and name)."""

    at: int
    name: str
    version: str
    digest: str
    definition: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WorkflowRetired:
    """Versions of a workflow take no new runs from now on. What was triggered before goes on."""

    at: int
    name: str
    versions: tuple[str, ...]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class WorkflowRestored:
    """Retired versions of a workflow take new runs again."""

    at: int
    name: str
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepCacheInvalidated:
    """Cached results were invalidated (stream: one per tenant).

    The entries are selected by `workflow` and optionally `step`, or by `keys`: a single key, or those that a prune
    chose.
    """

    at: int
    reason: str
    keys: tuple[str, ...] = ()
    workflow: str | None = None
    step: str | None = None


RunEvent = (
    RunTriggered
    | RunStarted
    | RunRecovered
    | RunBlocked
    | StepStarted
    | StepCacheHit
    | StepCompleted
    | StepFailed
    | StepRetried
    | StepOmitted
    | RunCompleted
    | RunFailed
    | RunCancelled
)
WorkflowEvent = WorkflowRegistered | WorkflowRetired | WorkflowRestored
Event = RunEvent | WorkflowEvent | StepCacheInvalidated

EVENTS_OUTSIDE_RUNS = (WorkflowRegistered, WorkflowRetired, WorkflowRestored, StepCacheInvalidated)
"""Events in the streams of workflows and tenants."""

TERMINAL_EVENTS = (RunCompleted, RunFailed, RunCancelled)
