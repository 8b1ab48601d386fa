"""Workflows, and plans of updates."""

from typing import Any, Literal, NotRequired, TypedDict


class WorkflowEntry(TypedDict):
    """A version of a workflow. `digest` is the SHA-256 of the definition's canonical form."""

    workflowName: str
    version: str
    description: str
    stepCount: int
    digest: str
    registeredAt: str
    retiredAt: str | None


class ChangedVersions(TypedDict):
    """Versions of a workflow that were retired or restored by a call."""

    workflowName: str
    versions: list[str]


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
    action: Literal["run", "may_run", "reuse", "omit"]
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


class GraphStep(TypedDict):
    """A node of a workflow's graph. `level` is the length of the longest path that leads to it, from 0."""

    stepId: str
    skillId: str
    level: int


class WorkflowGraph(TypedDict):
    """The graph of a workflow: steps in topological order, edges as pairs `[before, after]`, steps by skill."""

    workflowName: str
    version: str
    digest: str
    levels: int
    skills: dict[str, int]
    steps: list[GraphStep]
    edges: list[list[str]]
