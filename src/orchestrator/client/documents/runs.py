"""Runs, their steps and artifacts, their history and what their steps printed."""

from typing import Any, Literal, NotRequired, TypedDict

RunStatus = Literal["queued", "running", "blocked", "completed", "failed", "cancelled"]
StepStatus = Literal["pending", "running", "completed", "skipped", "omitted", "failed", "cancelled"]

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
    omitted: int
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
    omittedBecause: str | None


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


class StepDetail(Step):
    """A step with its input. An input of more than 32 KiB is None, and `inputPreview` is its beginning."""

    dependsOn: list[str]
    input: Any
    inputBytes: int | None
    inputPreview: str | None


class StepSummary(TypedDict):
    """A step without results, errors and past attempts."""

    stepId: str
    skillId: str
    status: StepStatus
    attempt: int
    hitReason: Literal["cache", "unchanged", "reused"] | None
    reusedFromRunId: str | None
    worker: str | None
    dueAt: str | None
    startedAt: str | None
    endedAt: str | None
    durationMs: float | None
    progress: float
    errorCode: str | None


class StepPage(TypedDict):
    """A page of the steps of a run; with `view="summary"`, they are summaries. `total` counts all steps."""

    runId: str
    version: int
    steps: list[Any]
    nextCursor: str | None
    total: int


class EventPage(TypedDict):
    """A page of a run's history. `total` counts all events of the run."""

    events: list[RecordedEvent]
    nextCursor: int | None
    total: int
