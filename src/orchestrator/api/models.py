"""Bodies of requests, as pydantic checks them. Unknown fields are refused, values are never converted."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from orchestrator.application.commands import MAX_AT_ONCE
from orchestrator.domain.bounds import MAX_PRIORITY, MIN_PRIORITY

MAX_LABELS = 64
MAX_LABEL = 255

LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LABEL, pattern=r"^[^:]+$")]
LabelValue = Annotated[str, StringConstraints(max_length=MAX_LABEL)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TriggerRunBody(_Body):
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


class TriggerRunsBody(_Body):
    """What is asked for: many runs."""

    runs: list[TriggerRunBody] = Field(
        min_length=1,
        max_length=MAX_AT_ONCE,
        description="Each as `POST /runs` takes it. If one is not right none is made.",
    )


class CancelRunBody(_Body):
    """Why a run is to end."""

    reason: str | None = Field(default=None, max_length=1000, description="Words for the history.")


class ChangeRequestBody(_Body):
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


class PlanUpdateBody(_Body):
    """A change to plan."""

    change_request: ChangeRequestBody = Field(alias="changeRequest")


class UpdateRunBody(PlanUpdateBody):
    """A change to make."""

    expected_plan_hash: str | None = Field(
        default=None,
        alias="expectedPlanHash",
        pattern=r"^[0-9a-f]{64}$",
        description="The `planHash` of the plan that was approved; the update is refused if the plan would differ.",
    )


def suggestion(annotation: Any, location: Sequence[str | int]) -> str:
    """Return what to say after the name of an unknown field: the field that may have been meant, or those there are.

    Args:
        annotation: the type of the body.
        location: the place of the unknown field in it, as pydantic gives it.
    """
    model = _model_in(annotation)
    for part in location[:-1]:
        if model is not None and isinstance(part, str):
            found = (field.annotation for name, field in model.model_fields.items() if (field.alias or name) == part)
            model = _model_in(next(found, None))
    if model is None:
        return ""
    names = [field.alias or name for name, field in model.model_fields.items()]
    given = str(location[-1])[:100]
    close = get_close_matches(given, names, n=1)
    if not close:  # part of a name: `payload` for `triggerPayload`
        close = [name for name in names if len(given) > 3 and given.lower() in name.lower()]
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(names)}"


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that a type is made of, such as `Model | None` or `list[Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part)) is not None), None)
