"""What can happen. Past tense, immutable; the log holds these and nothing else.

Every event carries `at`, the time it was decided, in milliseconds since 1970 UTC. Who wrote it, for which
tenant and at which place of the log stands on the envelope (`eventstore.Recorded`), not here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.domain.output import Output, StepError

TriggerType = Literal["initial", "update", "retry"]
HitReason = Literal["cache", "unchanged"]


@dataclass(frozen=True, slots=True)
class Reuse:
    """Results taken over from another run: those of `steps`, or (None) of every step not named elsewhere."""

    run_id: str
    steps: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class RunTriggered:
    """A run was asked for. It is queued, and every step of its workflow is pending or reused.

    `payload` is the effective payload, `change` the change request of an update. `impacted` names the steps
    this run has to see to (None: all); the others are reused from where `reused` says. `forced` steps are
    executed in spite of the cache. `request` is the fingerprint of what was asked when an idempotency key came
    with it, `trace` the W3C traceparent.
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


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A worker claimed the run: from here on only it writes."""

    at: int
    worker: str


@dataclass(frozen=True, slots=True)
class RunRecovered:
    """Another worker took over; what the lost one was executing is lost with it and starts again."""

    at: int
    worker: str
    lost_worker: str | None


@dataclass(frozen=True, slots=True)
class RunBlocked:
    """No worker here knows these skills; the run waits for one that does."""

    at: int
    skills: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepStarted:
    """An attempt begins; recorded before the skill is called.

    `skill` is `id@version`; `miss` says why no earlier result was taken.
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
    """A result made before is taken: found by its key (`cache`), or the base run had the same input (`unchanged`)."""

    at: int
    step: str
    input_hash: str
    cache_key: str
    output: Output
    source_run: str
    reason: HitReason


@dataclass(frozen=True, slots=True)
class StepCompleted:
    """An attempt ended well. `duration_ms` is wall time of the skill."""

    at: int
    step: str
    attempt: int
    output: Output
    output_hash: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class StepFailed:
    """An attempt ended badly."""

    at: int
    step: str
    attempt: int
    error: StepError
    duration_ms: float


@dataclass(frozen=True, slots=True)
class StepRetried:
    """The failed step gets another attempt, not before `due_at` (milliseconds since 1970 UTC)."""

    at: int
    step: str
    next_attempt: int
    due_at: int


@dataclass(frozen=True, slots=True)
class RunCompleted:
    """Every step completed or was skipped."""

    at: int
    completed: int
    skipped: int


@dataclass(frozen=True, slots=True)
class RunFailed:
    """A step failed for good and nothing of the run is executing any more."""

    at: int
    error: StepError
    failed_step: str | None


@dataclass(frozen=True, slots=True)
class RunCancelled:
    """Somebody asked for the end; whatever was executing is discarded."""

    at: int
    reason: str | None
    cancelled_by: str


@dataclass(frozen=True, slots=True)
class WorkflowRegistered:
    """A version of a workflow exists from here on and never changes (stream: one per tenant and name)."""

    at: int
    name: str
    version: str
    digest: str
    definition: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StepCacheInvalidated:
    """Cached results were withdrawn (stream: one per tenant).

    Exactly the entries that match: by `key`, by `workflow` and optionally `step`, or the `keys` a prune chose.
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
    | RunCompleted
    | RunFailed
    | RunCancelled
)
Event = RunEvent | WorkflowRegistered | StepCacheInvalidated

TERMINAL_EVENTS = (RunCompleted, RunFailed, RunCancelled)
