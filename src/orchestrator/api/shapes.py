"""Shapes of answers, for the OpenAPI document only: what is served is rendered from views without them."""

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

RunStatus = Literal["queued", "running", "blocked", "completed", "failed", "cancelled"]
StepStatus = Literal["pending", "running", "completed", "skipped", "failed", "cancelled"]


class Shape(BaseModel):
    """A JSON object of an answer: camelCase names, no other fields."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


class Error(Shape):
    """Every error has this shape. `error` is a code to act on, `message` is for people."""

    error: str = Field(examples=["VALIDATION_ERROR"])
    message: str
    details: dict[str, Any] = Field(description="For VALIDATION_ERROR: `faults`, a list of `{path, message}`.")


class AcceptedRun(Shape):
    """A run that was accepted."""

    run_id: str = Field(json_schema_extra={"format": "uuid"})
    status: Literal["queued"]
    message: str


class AcceptedRuns(Shape):
    """Runs that were accepted, in the order in which they were asked for."""

    runs: list[AcceptedRun]


class RunError(Shape):
    """Why a run failed."""

    code: str
    message: str
    failed_step_id: str | None
    timestamp: AwareDatetime | None


class StepsSummary(Shape):
    """Steps of a run by status."""

    total: int
    pending: int
    running: int
    completed: int
    skipped: int
    failed: int
    cancelled: int


class RunView(Shape):
    """A run. `position` is the place in the log of its latest event, `version` the number of its events."""

    id: str = Field(json_schema_extra={"format": "uuid"})
    workflow_name: str
    workflow_version: str
    trigger_type: Literal["initial", "update", "retry"]
    trigger_payload: dict[str, Any]
    status: RunStatus
    base_run_id: str | None
    change_request: dict[str, Any] | None
    error: RunError | None
    missing_skills: list[str] = Field(description="What a blocked run waits for.")
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
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last one.")


class AttemptError(Shape):
    """Why an attempt failed."""

    code: str
    message: str
    attempt: int | None = None
    timestamp: AwareDatetime | None = None
    details: dict[str, Any] | None = None


class PastAttempt(Shape):
    """An attempt that did not make the result."""

    number: int
    worker: str | None
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    duration_ms: float | None
    error: AttemptError


class DataRef(Shape):
    """Stands for `data` that is too large for the log: GET /runs/{runId}/steps/{stepId}/data returns it."""

    content_hash: str
    size_bytes: int


class StepView(Shape):
    """A step of a run. `attempt` is the latest, 1-based; `attempts` holds those before it.

    `data` is null when it is too large for the log; `dataRef` then says how large.
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
    """What a step made. `runId` is the run that really made it."""

    id: str
    step_id: str
    run_id: str
    type: str
    uri: str
    content_hash: str = Field(description="SHA-256 in hex; empty when the bytes were never seen.")
    size_bytes: int = Field(description="-1 when unknown.")
    filename: str | None
    metadata: dict[str, Any]
    created_at: AwareDatetime | None


class RunArtifacts(Shape):
    """The artifacts of a run."""

    run_id: str
    artifacts: list[ArtifactView]


class RecordedEvent(Shape):
    """An event as recorded. `version` is its place in the run's history, `position` that in the whole log."""

    version: int
    position: int
    type: str = Field(examples=["StepCompleted"])
    at: AwareDatetime
    actor: str
    data: dict[str, Any]


class EventPage(Shape):
    """A page of a run's history, oldest first."""

    events: list[RecordedEvent]
    next_cursor: int | None = Field(description="Give it as `after` for the next page; null when there is none.")


class WorkflowEntry(Shape):
    """A version of a workflow. `digest` is the SHA-256 of its canonical form."""

    workflow_name: str
    version: str
    description: str
    step_count: int
    digest: str
    registered_at: AwareDatetime


class WorkflowList(Shape):
    """Workflows by name."""

    workflows: list[WorkflowEntry]


class WorkflowView(WorkflowEntry):
    """A definition as it was registered, defaults spelled out."""

    steps: list[dict[str, Any]]
    change_types: dict[str, Any]
    payload_schema: dict[str, Any] | None = None
    max_parallel_steps: int | None = None
    versions: list[str] = Field(description="Every version, in the order of registration.")


class PlannedStep(Shape):
    """What will become of a step, why, and the chain of steps that leads to it.

    `status` is what became of it, once the update ran (see the run's steps).
    """

    step_id: str
    skill_id: str
    action: Literal["run", "may_run", "reuse"]
    reason: str
    chain: list[str]
    forced: bool
    estimated_ms: float | None = Field(description="How long the step took when its result was made.")


class PlanView(Shape):
    """What an update would do. Send `planHash` as `expectedPlanHash` to make exactly this update or none."""

    base_run_id: str
    workflow_name: str
    workflow_version: str
    plan_hash: str
    trigger_payload: dict[str, Any]
    steps: list[PlannedStep]
    counts: dict[str, int] = Field(description="Steps by action.")
    estimated_ms: float = Field(description="Time of the steps that run or may run, added up.")
    saved_ms: float = Field(description="Time of the steps that are reused, added up.")


class FaultView(Shape):
    """One problem: the place of the field at fault and what is wrong with it."""

    path: str
    message: str


class RegisteredWorkflow(Shape):
    """A version that is registered; `warnings` tell what is allowed but hardly meant."""

    workflow_name: str
    version: str
    digest: str
    step_count: int
    warnings: list[FaultView]


class CacheComponents(Shape):
    """What a step's cache key is made of. `inputHash` is the SHA-256 of the canonical JSON of `input`."""

    workflow: str
    step: str
    input_hash: str
    skill: str | None = Field(description="`id@version` of what executed the step; null when it was skipped.")
    input: Any


class CacheDifference(Shape):
    """A field that differs from the run compared with: `skill`, or a path in the input; null is absent."""

    field: str = Field(examples=["input.brief.style"])
    before: Any
    after: Any


class StepCacheAnalysis(Shape):
    """What the cache said about a step, and why."""

    step_id: str
    verdict: Literal["hit", "unchanged", "reused", "miss", "failed", "pending"]
    reason: str
    cache_key: str | None
    components: CacheComponents | None
    compared_with_run_id: str | None = Field(
        description="The run whose result was taken; of a miss, the base run or the one that stored a result last."
    )
    differences: list[CacheDifference]


class CacheAnalysis(Shape):
    """The steps of a run, in topological order, and where their results came from."""

    run_id: str
    steps: list[StepCacheAnalysis]


class RebuildProgress(Shape):
    """A rebuild under way, or one that was interrupted and goes on when it is asked for again."""

    state: Literal["running", "interrupted"]
    version: int = Field(description="Of the new rows.")
    events: int = Field(description="Events that are in the new table.")
    goal: int


class LastRebuild(Shape):
    """What the last rebuild, or (not swapped) comparison, came to."""

    finished_at: AwareDatetime
    version: int
    replaced_version: int
    position: int
    events: int
    seconds: float
    differing: int = Field(description="Rows that were not what the log says; with another version, that are new.")
    swapped: bool


class Projection(Shape):
    """A read model. `version` is that of its rows, `programVersion` the one that this program makes."""

    name: str
    kind: Literal["async", "inline"] = Field(description="inline: written in the transaction of the append.")
    version: int
    program_version: int
    position: int
    lag_events: int
    lag_seconds: float = Field(description="How long ago the first event it has not seen was decided.")
    state: Literal["live", "stopped"]
    stopped_at: int | None = Field(description="Position of the event that it cannot apply.")
    error: str | None
    rebuild: RebuildProgress | None
    last_rebuild: LastRebuild | None


class ProjectionList(Shape):
    """The read models, by name."""

    projections: list[Projection]


class Live(Shape):
    """The process answers."""

    status: Literal["live"]


class Readiness(Shape):
    """The database answers and the read models keep up."""

    status: Literal["ready"]
    position: int = Field(description="Of the read models.")
    last_position: int = Field(description="Of the log.")
    lag: int = Field(description="Events between the two.")
    lag_seconds: float = Field(description="Age of the oldest of them.")


class Queues(Shape):
    """Runs that are not over, of all tenants."""

    queued: int
    running: int
    blocked: int
