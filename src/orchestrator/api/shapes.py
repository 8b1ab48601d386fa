"""Response models, for the OpenAPI document only. Responses are rendered directly from views, not from these."""

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

RunStatus = Literal["queued", "running", "blocked", "completed", "failed", "cancelled"]
StepStatus = Literal["pending", "running", "completed", "skipped", "failed", "cancelled"]


class Shape(BaseModel):
    """A JSON object of an answer: camelCase names, no other fields."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


class Error(Shape):
    """An error. `error` is a code for programs, `message` a description for people."""

    error: str = Field(examples=["VALIDATION_ERROR"])
    message: str
    details: dict[str, Any] = Field(description="For VALIDATION_ERROR: `faults`, a list of `{path, message}`.")


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


class RunStepsView(Shape):
    """The steps of a run, in topological order."""

    run_id: str
    steps: list[StepView]


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
    """A page of a run's history, oldest first."""

    events: list[RecordedEvent]
    next_cursor: int | None = Field(description="Pass it as `after` to get the next page; null on the last page.")


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


class WorkflowEntry(Shape):
    """A version of a workflow. `digest` is the SHA-256 of the definition's canonical form."""

    workflow_name: str
    version: str
    description: str
    step_count: int
    digest: str
    registered_at: AwareDatetime


class WorkflowList(Shape):
    """The workflows, sorted by name."""

    workflows: list[WorkflowEntry]


class WorkflowView(WorkflowEntry):
    """A registered definition, with all defaults filled in."""

    steps: list[dict[str, Any]]
    change_types: dict[str, Any]
    payload_schema: dict[str, Any] | None = None
    max_parallel_steps: int | None = None
    versions: list[str] = Field(description="The newest 1,000 versions of the workflow, in the order of registration.")


class PlannedStep(Shape):
    """What an update would do with a step, why, and the chain of steps that causes it."""

    step_id: str
    skill_id: str
    action: Literal["run", "may_run", "reuse"]
    reason: str
    chain: list[str]
    forced: bool
    estimated_ms: float | None = Field(description="How long the step took when it produced its result.")


class PlanView(Shape):
    """What an update would do. Send `planHash` as `expectedPlanHash` to make exactly this update or none."""

    base_run_id: str
    workflow_name: str
    workflow_version: str
    plan_hash: str
    trigger_payload: dict[str, Any]
    steps: list[PlannedStep]
    counts: dict[str, int] = Field(description="Number of steps, by action.")
    estimated_ms: float = Field(description="Total duration of the steps that run or may run.")
    saved_ms: float = Field(description="Total duration of the reused steps.")


class FaultView(Shape):
    """One problem: the path of the invalid field and what is wrong with it."""

    path: str
    message: str


class RegisteredWorkflow(Shape):
    """A registered version. `warnings` lists what is valid but probably a mistake."""

    workflow_name: str
    version: str
    digest: str
    step_count: int
    warnings: list[FaultView]


class CacheComponents(Shape):
    """The parts of a step's cache key. `inputHash` is the SHA-256 of the canonical JSON of `input`."""

    workflow: str
    step: str
    input_hash: str
    skill: str | None = Field(
        description="`id@version` of the skill that executed the step; null if the step was skipped."
    )
    input: Any


class CacheDifference(Shape):
    """A field that differs from the compared run: `skill`, or a path in the input. null means absent."""

    field: str = Field(examples=["input.brief.style"])
    before: Any
    after: Any


class StepCacheAnalysis(Shape):
    """Where a step's result came from, and why."""

    step_id: str
    verdict: Literal["hit", "unchanged", "reused", "miss", "failed", "pending"]
    reason: str
    cache_key: str | None
    components: CacheComponents | None
    compared_with_run_id: str | None = Field(
        description="The run whose result was used. For a miss, the base run or the run that stored a result last."
    )
    differences: list[CacheDifference]


class CacheAnalysis(Shape):
    """For each step of a run, in topological order, where its result came from."""

    run_id: str
    steps: list[StepCacheAnalysis]


class RebuildProgress(Shape):
    """A rebuild that is running, or an interrupted one, which resumes when it is requested again."""

    state: Literal["running", "interrupted"]
    version: int = Field(description="Version of the new rows.")
    events: int = Field(description="Number of events applied to the new table.")
    goal: int


class LastRebuild(Shape):
    """Outcome of the last rebuild, or of a comparison, which has `swapped` false."""

    finished_at: AwareDatetime
    version: int
    replaced_version: int
    position: int
    events: int
    seconds: float
    differing: int = Field(
        description="Number of rows that differed from the log; after a version change, of rows that are new."
    )
    swapped: bool


class Projection(Shape):
    """A read model. `version` is the version of its rows, `programVersion` the one that this server writes."""

    name: str
    kind: Literal["async", "inline"] = Field(
        description="`inline`: updated in the transaction that appends the events. `async`: updated by a projector."
    )
    version: int
    program_version: int
    position: int
    lag_events: int
    lag_seconds: float = Field(description="Age of the oldest event that it has not applied yet.")
    state: Literal["live", "stopped"]
    stopped_at: int | None = Field(description="Log position of the event that it cannot apply.")
    error: str | None
    rebuild: RebuildProgress | None
    last_rebuild: LastRebuild | None


class ProjectionList(Shape):
    """The read models, sorted by name."""

    projections: list[Projection]
