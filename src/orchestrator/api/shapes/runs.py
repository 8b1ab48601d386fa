"""Runs, their steps and artifacts, their history and what their steps printed."""

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from orchestrator.api.shapes.shape import RunStatus, Shape, StepStatus


class AcceptedRun(Shape):
    """A run that was accepted."""

    run_id: str = Field(json_schema_extra={"format": "uuid"})
    status: Literal["queued"]
    message: str


class AcceptedRuns(Shape):
    """Runs that were accepted, in the order of the request."""

    runs: list[AcceptedRun]


class RunError(Shape):
    """Why a run failed."""

    code: str
    message: str
    failed_step_id: str | None
    timestamp: AwareDatetime | None
    details: dict[str, Any] | None = Field(description="Those of the failed step: a traceback, stderr, an answer.")


class StepsSummary(Shape):
    """Number of steps of a run, by status."""

    total: int
    pending: int
    running: int
    completed: int
    skipped: int
    omitted: int
    failed: int
    cancelled: int


class RunView(Shape):
    """A run. `position` is the log position of its latest event, `version` the number of its events."""

    id: str = Field(json_schema_extra={"format": "uuid"})
    workflow_name: str
    workflow_version: str
    trigger_type: Literal["initial", "update", "retry"]
    trigger_payload: dict[str, Any]
    status: RunStatus
    base_run_id: str | None
    change_request: dict[str, Any] | None
    error: RunError | None
    missing_skills: list[str] = Field(description="Skills that a blocked run needs and no worker has.")
    steps_summary: StepsSummary
    labels: dict[str, str]
    priority: int
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    completed_at: AwareDatetime | None
    updated_at: AwareDatetime
    version: int
    position: int


class RunPage(Shape):
    """A page of runs, newest first."""

    runs: list[RunView]
    next_cursor: str | None = Field(description="Pass it as `cursor` to get the next page; null on the last page.")


class AttemptError(Shape):
    """Why an attempt failed."""

    code: str
    message: str
    attempt: int | None = None
    timestamp: AwareDatetime | None = None
    details: dict[str, Any] | None = None


class PastAttempt(Shape):
    """An earlier attempt, which did not produce the result."""

    number: int
    worker: str | None
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    duration_ms: float | None
    error: AttemptError


class DataRef(Shape):
    """Reference to `data` that is too large for the log; GET /runs/{runId}/steps/{stepId}/data returns the data."""

    content_hash: str
    size_bytes: int


class StepView(Shape):
    """A step of a run. `attempt` is the number of the latest attempt, from 1; `attempts` lists the earlier ones.

    If the data is too large for the log, `data` is null, `dataRef` has its size, `dataPreview` the first 1,024 bytes of
    its JSON text (null if an earlier release recorded the step), and `dataUrl` the path that returns all of it.
    """

    id: str = Field(json_schema_extra={"format": "uuid"})
    step_id: str
    skill_id: str
    status: StepStatus
    input_hash: str | None
    cache_key: str | None
    attempt: int
    cache_hit: bool
    hit_reason: Literal["cache", "unchanged", "reused"] | None
    reused_from_run_id: str | None
    output_artifact_ids: list[str]
    data: Any
    data_ref: DataRef | None
    data_preview: str | None
    data_url: str | None
    error: AttemptError | None
    attempts: list[PastAttempt]
    worker: str | None
    due_at: AwareDatetime | None
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    duration_ms: float | None
    progress: float
    progress_message: str | None
    omitted_because: str | None = Field(description="Why a step is omitted; null if it is not.")


class StepDetail(StepView):
    """A step with its input. An input of more than 32 KiB is null; `inputPreview` is then its first 1,024 bytes.

    The input is also null if the step has not started, or if a result that it reads is gone.
    """

    depends_on: list[str]
    input: Any
    input_bytes: int | None = Field(description="Size of the input's JSON text.")
    input_preview: str | None


class StepSummary(Shape):
    """A step without results, errors and past attempts."""

    step_id: str
    skill_id: str
    status: StepStatus
    attempt: int
    hit_reason: Literal["cache", "unchanged", "reused"] | None
    reused_from_run_id: str | None
    worker: str | None
    due_at: AwareDatetime | None
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    duration_ms: float | None
    progress: float
    error_code: str | None


class RunStepsView(Shape):
    """The steps of a run, in topological order: with `view=summary`, summaries."""

    run_id: str
    version: int = Field(description="The version of the run's history that this is the state of.")
    steps: list[StepView | StepSummary]
    next_cursor: str | None = Field(description="Pass it as `cursor` to get the next page; null on the last page.")
    total: int = Field(description="Number of all steps of the run.")


class ArtifactView(Shape):
    """A file or URI that a step produced. `runId` is the run that produced it, which may be an earlier run."""

    id: str
    step_id: str
    run_id: str
    type: str
    uri: str
    content_hash: str = Field(
        description="SHA-256 of the bytes in hex; empty if they are stored elsewhere and were never read."
    )
    size_bytes: int = Field(description="Size in bytes; -1 if unknown.")
    filename: str | None
    metadata: dict[str, Any]
    created_at: AwareDatetime | None


class RunArtifacts(Shape):
    """The artifacts of a run."""

    run_id: str
    artifacts: list[ArtifactView]


class RecordedEvent(Shape):
    """A recorded event. `version` is its place in the run's history, `position` its place in the log."""

    version: int
    position: int
    type: str = Field(examples=["StepCompleted"])
    at: AwareDatetime
    actor: str
    data: dict[str, Any]


class EventPage(Shape):
    """A page of a run's history."""

    events: list[RecordedEvent]
    next_cursor: int | None = Field(
        description="Pass it as `after` or, with `order=desc`, as `before` to get the next page; null on the last page."
    )
    total: int = Field(description="Number of all events of the run, whatever the filter.")


class LogLineView(Shape):
    """A line that a skill printed or logged."""

    at: AwareDatetime
    stream: Literal["stdout", "stderr", "log"]
    text: str
    step_id: str
    attempt: int


class LogPageView(Shape):
    """A page of a log. `cut` is the number of lines that are missing, because there were too many."""

    lines: list[LogLineView]
    next_cursor: str | None = Field(description="Pass it as `after` to get the next page; null on the last page.")
    cut: int
