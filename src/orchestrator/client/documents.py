"""Types of the JSON documents that the calls return; docs/http-api.md describes them.

The documents are plain dictionaries. Times are RFC 3339 strings in UTC, ids are UUIDs as strings, and durations are
in milliseconds. A newer server may send fields that are not listed here.
"""

from typing import Any, Literal, NotRequired, TypedDict

RunStatus = Literal["queued", "running", "blocked", "completed", "failed", "cancelled"]
StepStatus = Literal["pending", "running", "completed", "skipped", "failed", "cancelled"]

OVER = frozenset({"completed", "failed", "cancelled"})
"""Statuses of finished runs."""


class AcceptedRun(TypedDict):
    """A run that was accepted."""

    runId: str
    status: Literal["queued"]
    message: str


class DeletedRun(TypedDict):
    """A run that was deleted for good.

    `contentRemoved` counts the objects that were removed from the artifact store, and `contentLeft` those that are left
    for the next `artifacts prune`, because executing attempts may need them.
    """

    runId: str
    status: Literal["deleted"]
    reason: str
    deletedBy: str
    deletedAt: str
    events: int
    contentRemoved: int
    contentLeft: int


class AcceptedRuns(TypedDict):
    """Runs that were accepted, in the order of the request."""

    runs: list[AcceptedRun]


class RunError(TypedDict):
    """Why a run failed."""

    code: str
    message: str
    failedStepId: str | None
    timestamp: str | None
    details: dict[str, Any] | None


class StepsSummary(TypedDict):
    """Number of steps of a run, by status."""

    total: int
    pending: int
    running: int
    completed: int
    skipped: int
    failed: int
    cancelled: int


class Run(TypedDict):
    """A run. `position` is the log position of its latest event, `version` the number of its events."""

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
    """A page of runs, newest first. `nextCursor` is None on the last page."""

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
    """An earlier attempt, which did not produce the result."""

    number: int
    worker: str | None
    startedAt: str | None
    endedAt: str | None
    durationMs: float | None
    error: AttemptError


class DataRef(TypedDict):
    """Reference to `data` that is too large for the log; `step_data` returns the data."""

    contentHash: str
    sizeBytes: int


class Step(TypedDict):
    """A step of a run. `attempt` is the number of the latest attempt, from 1; `attempts` lists the earlier ones.

    If the data is too large for the log, `data` is None, `dataRef` has its size and `dataPreview` the beginning of its
    JSON text; `step_data` and `download_data` return all of it, as `dataUrl` of the server does.
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
    dataPreview: str | None
    dataUrl: str | None
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
    """A file or URI that a step produced. `runId` is the run that produced it.

    If they are unknown, `sizeBytes` is -1 and `contentHash` is empty.
    """

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
    """A recorded event. `version` is its place in the run's history, `position` its place in the log."""

    version: int
    position: int
    type: str
    at: str
    actor: str
    data: dict[str, Any]


class StepProgress(TypedDict):
    """The progress of an executing step; `data` is `{step, attempt, fraction, message}`."""

    type: Literal["StepProgress"]
    data: dict[str, Any]


class LogLine(TypedDict):
    """A line that a skill printed (`stdout`, `stderr`) or logged (`log`), without the line end."""

    at: str
    stream: Literal["stdout", "stderr", "log"]
    text: str
    stepId: str
    attempt: int


class LogPage(TypedDict):
    """A page of a log. `cut` is the number of lines that are missing, because there were too many."""

    lines: list[LogLine]
    nextCursor: str | None
    cut: int


class WorkflowEntry(TypedDict):
    """A version of a workflow. `digest` is the SHA-256 of the definition's canonical form."""

    workflowName: str
    version: str
    description: str
    stepCount: int
    digest: str
    registeredAt: str


class Workflow(WorkflowEntry):
    """A registered definition, with all defaults filled in. `versions` lists the workflow's versions."""

    steps: list[dict[str, Any]]
    changeTypes: dict[str, Any]
    payloadSchema: NotRequired[dict[str, Any] | None]
    maxParallelSteps: NotRequired[int | None]
    versions: list[str]


class Fault(TypedDict):
    """One problem: the path of the invalid field and what is wrong with it."""

    path: str
    message: str


class RegisteredWorkflow(TypedDict):
    """A registered version. `warnings` lists what is valid but probably a mistake."""

    workflowName: str
    version: str
    digest: str
    stepCount: int
    warnings: list[Fault]


class Registration(RegisteredWorkflow):
    """A registered version. `new` is False if the same version was registered before."""

    new: bool


class PlannedStep(TypedDict):
    """What an update would do with a step, why, and the chain of steps that causes it."""

    stepId: str
    skillId: str
    action: Literal["run", "may_run", "reuse"]
    reason: str
    chain: list[str]
    forced: bool
    estimatedMs: float | None


class Plan(TypedDict):
    """What an update would do. Pass `planHash` as `expected_plan_hash` to make exactly this update or none."""

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
    """The parts of a step's cache key."""

    workflow: str
    step: str
    inputHash: str
    skill: str | None
    input: Any


class CacheDifference(TypedDict):
    """A field that differs from the compared run: `skill`, or a path in the input. None means absent."""

    field: str
    before: Any
    after: Any


class StepCacheAnalysis(TypedDict):
    """Where a step's result came from, and why."""

    stepId: str
    verdict: Literal["hit", "unchanged", "reused", "miss", "failed", "pending"]
    reason: str
    cacheKey: str | None
    components: CacheComponents | None
    comparedWithRunId: str | None
    differences: list[CacheDifference]


class RebuildProgress(TypedDict):
    """A rebuild that is running, or an interrupted one, which resumes when it is requested again."""

    state: Literal["running", "interrupted"]
    version: int
    events: int
    goal: int


class LastRebuild(TypedDict):
    """Outcome of the last rebuild, or of a comparison (not `swapped`). `differing` is a number of rows."""

    finishedAt: str
    version: int
    replacedVersion: int
    position: int
    events: int
    seconds: float
    differing: int
    swapped: bool


class Projection(TypedDict):
    """A read model. `version` is the version of its rows, `programVersion` the one that the server writes."""

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
    """The process is running."""

    status: Literal["live"]


class Readiness(TypedDict):
    """The database is available and the read models keep up.

    `lag` is the number of events behind, `lagSeconds` the age of the oldest of them.
    """

    status: Literal["ready"]
    position: int
    lastPosition: int
    lag: int
    lagSeconds: float


class Queues(TypedDict):
    """Number of unfinished runs of all tenants, by status, and of workers with a current heartbeat."""

    queued: int
    running: int
    blocked: int
    workers: int
