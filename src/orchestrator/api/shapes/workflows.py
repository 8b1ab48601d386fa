"""Workflows, and plans of updates."""

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from orchestrator.api.shapes.shape import Shape


class WorkflowEntry(Shape):
    """A version of a workflow. `digest` is the SHA-256 of the definition's canonical form."""

    workflow_name: str
    version: str
    description: str
    step_count: int
    digest: str
    registered_at: AwareDatetime
    retired_at: AwareDatetime | None = Field(description="Since when this version takes no new runs.")


class ChangedVersions(Shape):
    """Versions of a workflow that were retired or restored by a request."""

    workflow_name: str
    versions: list[str]


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


class GraphStep(Shape):
    """A node of a workflow's graph. `level` is the length of the longest path that leads to it, from 0."""

    step_id: str
    skill_id: str
    level: int


class WorkflowGraph(Shape):
    """The graph of a workflow: steps in topological order, and edges as pairs of step ids, `[before, after]`."""

    workflow_name: str
    version: str
    digest: str
    levels: int = Field(description="Number of levels.")
    skills: dict[str, int] = Field(description="Number of steps, by skill.")
    steps: list[GraphStep]
    edges: list[list[str]]


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


class PlannedStep(Shape):
    """What an update would do with a step, why, and the chain of steps that causes it."""

    step_id: str
    skill_id: str
    action: Literal["run", "may_run", "reuse", "omit"]
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
