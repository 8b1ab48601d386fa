"""Bodies of requests, as pydantic checks them. Unknown fields are refused, values are never converted."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from orchestrator.api.commands import MOST_AT_ONCE
from orchestrator.domain.bounds import MAX_PRIORITY, MIN_PRIORITY

MAX_LABELS = 64
MAX_LABEL = 255

LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LABEL, pattern=r"^[^:]+$")]
LabelValue = Annotated[str, StringConstraints(max_length=MAX_LABEL)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TriggerRun(_Body):
    """What is asked for: a run of a workflow."""

    workflow_name: str = Field(
        alias="workflowName", min_length=1, max_length=255, description="Name of a registered workflow."
    )
    workflow_version: str | None = Field(
        default=None,
        alias="workflowVersion",
        min_length=1,
        max_length=255,
        description="Version of the workflow; the one registered last when not given.",
    )
    trigger_payload: dict[str, Any] | None = Field(
        default=None,
        alias="triggerPayload",
        description="What the steps see as `trigger`. Must fit the workflow's `payloadSchema`.",
    )
    priority: int = Field(
        default=0, ge=MIN_PRIORITY, le=MAX_PRIORITY, description="Queued runs of a higher priority are begun first."
    )
    labels: dict[LabelKey, LabelValue] | None = Field(
        default=None,
        max_length=MAX_LABELS,
        description=f"Up to {MAX_LABELS} labels to find the run by; keys hold no colon.",
    )


class TriggerRuns(_Body):
    """What is asked for: many runs."""

    runs: list[TriggerRun] = Field(
        min_length=1,
        max_length=MOST_AT_ONCE,
        description="Each as `POST /runs` takes it. If one is not right none is made.",
    )


class CancelRun(_Body):
    """Why a run is to end."""

    reason: str | None = Field(default=None, max_length=1000, description="Words for the history.")


class ChangeRequest(_Body):
    """What is to change in a finished run."""

    type: str = Field(
        min_length=1, max_length=255, description="One of the workflow's `changeTypes`, or `payload.patch`."
    )
    payload: dict[str, Any] = Field(
        default_factory=dict, description="A merge patch (RFC 7396) of the base run's payload."
    )
    force: list[str] | bool = Field(
        default=False, description="Steps to execute in spite of the cache; true stands for all the seeds."
    )


class PlanUpdate(_Body):
    """A change to plan."""

    change_request: ChangeRequest = Field(alias="changeRequest")


class UpdateRun(PlanUpdate):
    """A change to make."""

    expected_plan_hash: str | None = Field(
        default=None,
        alias="expectedPlanHash",
        pattern=r"^[0-9a-f]{64}$",
        description="The `planHash` of the plan that was approved; the update is refused if the plan would differ.",
    )
