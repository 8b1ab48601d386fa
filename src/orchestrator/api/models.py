"""Bodies of requests, as pydantic checks them. Unknown fields are refused, values are never converted."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

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
        default=0, ge=-(2**31), le=2**31 - 1, description="Queued runs of a higher priority are begun first."
    )
    labels: dict[LabelKey, LabelValue] | None = Field(
        default=None,
        max_length=MAX_LABELS,
        description=f"Up to {MAX_LABELS} labels to find the run by; keys hold no colon.",
    )


class CancelRun(_Body):
    """Why a run is to end."""

    reason: str | None = Field(default=None, max_length=1000, description="Words for the history.")
