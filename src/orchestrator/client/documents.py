"""What calls answer with: the JSON documents of docs/http-api.md, with types.

They are plain dictionaries. Times are RFC 3339 strings in UTC, ids are UUIDs as strings, durations milliseconds.
A newer server may send fields that are not named here.
"""

from typing import Any, Literal, NotRequired, TypedDict

RunStatus = Literal["queued", "running", "blocked", "completed", "failed", "cancelled"]
StepStatus = Literal["pending", "running", "completed", "skipped", "failed", "cancelled"]

OVER = frozenset({"completed", "failed", "cancelled"})
"""Statuses of runs that are over."""


class AcceptedRun(TypedDict):
    """A run that was accepted."""

    runId: str
    status: Literal["queued"]
    message: str


class AcceptedRuns(TypedDict):
    """Runs that were accepted, in the order in which they were asked for."""

    runs: list[AcceptedRun]


class RunError(TypedDict):
    """Why a run failed."""

    code: str
    message: str
    failedStepId: str | None
    timestamp: str | None


class StepsSummary(TypedDict):
    """Steps of a run by status."""

    total: int
    pending: int
    running: int
    completed: int
    skipped: int
    failed: int
    cancelled: int


class Run(TypedDict):
    """A run. `position` is the place in the log of its latest event, `version` the number of its events."""

    id: str
    workflowName: str
    workflowVersion: str
    triggerType: Literal["initial", "update", "retry"]
    triggerPayload: dict[str, Any]
    status: RunStatus
    baseRunId: str | None
    changeRequest: dict[str, Any] | None
    error: RunError | None
    missingSkills: list[str]
    stepsSummary: StepsSummary
    labels: dict[str, str]
    priority: int
    createdAt: str
    startedAt: str | None
    completedAt: str | None
    updatedAt: str
    version: int
    position: int


class RunPage(TypedDict):
    """A page of runs, newest first; `nextCursor` is None on the last one."""

    runs: list[Run]
    nextCursor: str | None


class AttemptError(TypedDict):
    """Why an attempt failed."""

    code: str
    message: str
    attempt: NotRequired[int | None]
    timestamp: NotRequired[str | None]
    details: NotRequired[dict[str, Any] | None]


class PastAttempt(TypedDict):
    """An attempt that did not make the result."""

    number: int
    worker: str | None
    startedAt: str | None
    endedAt: str | None
    durationMs: float | None
    error: AttemptError


class DataRef(TypedDict):
    """Stands for `data` that is too large for the log; `step_data` returns it."""

    contentHash: str
    sizeBytes: int


class Step(TypedDict):
    """A step of a run. `attempt` is the latest, 1-based; `attempts` holds those before it.

    `data` is None when it is too large for the log; `dataRef` then says how large, and `step_data` returns it.
    """

    id: str
    stepId: str
    skillId: str
    status: StepStatus
    inputHash: str | None
    cacheKey: str | None
    attempt: int
    cacheHit: bool
    hitReason: Literal["cache", "unchanged", "reused"] | None
    reusedFromRunId: str | None
    outputArtifactIds: list[str]
    data: Any
    dataRef: DataRef | None
    error: AttemptError | None
    attempts: list[PastAttempt]
    worker: str | None
    dueAt: str | None
    startedAt: str | None
    endedAt: str | None
    durationMs: float | None
    progress: float
    progressMessage: str | None


class Artifact(TypedDict):
    """What a step made. `runId` is the run that made it; `sizeBytes` is -1 and `contentHash` empty when unknown."""

    id: str
    stepId: str
    runId: str
    type: str
    uri: str
    contentHash: str
    sizeBytes: int
    filename: str | None
    metadata: dict[str, Any]
    createdAt: str | None


class RecordedEvent(TypedDict):
    """An event as recorded. `version` is its place in the run's history, `position` that in the whole log."""

    version: int
    position: int
    type: str
    at: str
    actor: str
    data: dict[str, Any]


class WorkflowEntry(TypedDict):
    """A version of a workflow. `digest` is the SHA-256 of its canonical form."""

    workflowName: str
    version: str
    description: str
    stepCount: int
    digest: str
    registeredAt: str


class Workflow(WorkflowEntry):
    """A definition as it was registered, defaults spelled out; `versions` names them all."""

    steps: list[dict[str, Any]]
    changeTypes: dict[str, Any]
    payloadSchema: NotRequired[dict[str, Any] | None]
    maxParallelSteps: NotRequired[int | None]
    versions: list[str]


class Fault(TypedDict):
    """One problem: the place of the field at fault and what is wrong with it."""

    path: str
    message: str


class RegisteredWorkflow(TypedDict):
    """A version that is registered; `warnings` tell what is allowed but hardly meant."""

    workflowName: str
    version: str
    digest: str
    stepCount: int
    warnings: list[Fault]


class Registration(RegisteredWorkflow):
    """The same, and whether it was `new`: no such version was there before."""

    new: bool


class PlannedStep(TypedDict):
    """What will become of a step, why, and the chain of steps that leads to it."""

    stepId: str
    skillId: str
    action: Literal["run", "may_run", "reuse"]
    reason: str
    chain: list[str]
    forced: bool
    estimatedMs: float | None


class Plan(TypedDict):
    """What an update would do. Give `planHash` as `expected_plan_hash` to make exactly this update or none."""

    baseRunId: str
    workflowName: str
    workflowVersion: str
    planHash: str
    triggerPayload: dict[str, Any]
    steps: list[PlannedStep]
    counts: dict[str, int]
    estimatedMs: float
    savedMs: float


class CacheComponents(TypedDict):
    """What a step's cache key is made of."""

    workflow: str
    step: str
    inputHash: str
    skill: str | None
    input: Any


class CacheDifference(TypedDict):
    """A field that differs from the run compared with: `skill`, or a path in the input; None is absent."""

    field: str
    before: Any
    after: Any


class StepCacheAnalysis(TypedDict):
    """What the cache said about a step, and why."""

    stepId: str
    verdict: Literal["hit", "unchanged", "reused", "miss", "failed", "pending"]
    reason: str
    cacheKey: str | None
    components: CacheComponents | None
    comparedWithRunId: str | None
    differences: list[CacheDifference]


class RebuildProgress(TypedDict):
    """A rebuild under way, or one that was interrupted and goes on when it is asked for again."""

    state: Literal["running", "interrupted"]
    version: int
    events: int
    goal: int


class LastRebuild(TypedDict):
    """What the last rebuild, or (not swapped) comparison, came to; `differing` counts rows."""

    finishedAt: str
    version: int
    replacedVersion: int
    position: int
    events: int
    seconds: float
    differing: int
    swapped: bool


class Projection(TypedDict):
    """A read model. `version` is that of its rows, `programVersion` the one that the server makes."""

    name: str
    kind: Literal["async", "inline"]
    version: int
    programVersion: int
    position: int
    lagEvents: int
    lagSeconds: float
    state: Literal["live", "stopped"]
    stoppedAt: int | None
    error: str | None
    rebuild: RebuildProgress | None
    lastRebuild: LastRebuild | None


class Me(TypedDict):
    """The caller, according to its credentials. Without authentication every caller is an admin."""

    tenant: str
    actor: str
    role: Literal["viewer", "operator", "admin"]
    expiresAt: str | None


class Live(TypedDict):
    """The process answers."""

    status: Literal["live"]


class Readiness(TypedDict):
    """The database answers and the read models keep up; `lag` counts events, `lagSeconds` is the age of the oldest."""

    status: Literal["ready"]
    position: int
    lastPosition: int
    lag: int
    lagSeconds: float


class Queues(TypedDict):
    """Runs that are not over, of all tenants."""

    queued: int
    running: int
    blocked: int
