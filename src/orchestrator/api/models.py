"""Pydantic models of the request bodies. Unknown fields are rejected, and values are never converted."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, StringConstraints

from orchestrator.application.commands import MAX_AT_ONCE
from orchestrator.application.workflow_calls import MAX_REASON
from orchestrator.domain.bounds import MAX_LABELS, MAX_PRIORITY, MIN_PRIORITY
from orchestrator.domain.forcing import Force
from orchestrator.workflows.shape import MAX_STEPS

MAX_LABEL = 255
MAX_STEP_ID = 255

LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LABEL, pattern=r"^[^:]+$")]
LabelValue = Annotated[str, StringConstraints(max_length=MAX_LABEL)]


def _checked_force(value: object) -> list[str] | bool:
    """Return the steps to force. The errors of a union would not name the field as the request does."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, list) or len(value) > MAX_STEPS:
        raise ValueError(f"must be true, false or a list of at most {MAX_STEPS:,} step ids")
    for number, step in enumerate(value):
        if not isinstance(step, str) or not 1 <= len(step) <= MAX_STEP_ID:
            raise ValueError(f"item {number} must be a step id of 1 to {MAX_STEP_ID} characters")
    return value


ForcedSteps = Annotated[
    list[str] | bool,
    PlainValidator(
        _checked_force,
        json_schema_input_type=Annotated[
            list[Annotated[str, Field(min_length=1, max_length=MAX_STEP_ID)]], Field(max_length=MAX_STEPS)
        ]
        | bool,
    ),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TriggerRunBody(_Body):
    """A run to trigger."""

    workflow_name: str = Field(
        alias="workflowName", min_length=1, max_length=255, description="Name of a registered workflow."
    )
    workflow_version: str | None = Field(
        default=None,
        alias="workflowVersion",
        min_length=1,
        max_length=255,
        description="Version of the workflow. By default, the one registered last.",
    )
    trigger_payload: dict[str, Any] | None = Field(
        default=None,
        alias="triggerPayload",
        description="The JSON object that the steps see as `trigger`. It must match the workflow's `payloadSchema`.",
    )
    priority: int = Field(
        default=0, ge=MIN_PRIORITY, le=MAX_PRIORITY, description="Queued runs with a higher priority start first."
    )
    labels: dict[LabelKey, LabelValue] | None = Field(
        default=None,
        max_length=MAX_LABELS,
        description=f"Up to {MAX_LABELS} labels to find the run by. Keys must not contain a colon.",
    )
    no_cache: bool = Field(
        default=False,
        alias="noCache",
        description="Take no result from the cache. What the run makes is stored in the cache as usual.",
    )
    force: ForcedSteps = Field(
        default=False,
        description="Ids of steps to execute without using the cache. `true` forces all steps, as `noCache` does.",
    )

    @property
    def forced(self) -> Force:
        """The steps that `noCache` and `force` name together."""
        return self.no_cache or (self.force if isinstance(self.force, bool) else tuple(self.force))


class TriggerRunsBody(_Body):
    """Several runs to trigger in one request."""

    runs: list[TriggerRunBody] = Field(
        min_length=1,
        max_length=MAX_AT_ONCE,
        description="Each item is a body of `POST /runs`. If one is invalid, no run is created.",
    )


class InheritingBody(_Body):
    """What a run that is based on another may have of its own."""

    priority: int | None = Field(
        default=None, ge=MIN_PRIORITY, le=MAX_PRIORITY, description="By default, the priority of the base run."
    )
    labels: dict[LabelKey, LabelValue] | None = Field(
        default=None,
        max_length=MAX_LABELS,
        description="Labels in addition to those of the base run. They replace labels with the same keys.",
    )


class RetryRunBody(InheritingBody):
    """What the retry has of its own."""


class CancelRunBody(_Body):
    """Why a run is cancelled."""

    reason: str | None = Field(default=None, max_length=1000, description="A reason, recorded in the run's history.")


class ChangeRequestBody(_Body):
    """A change to a completed run."""

    type: str = Field(
        min_length=1, max_length=255, description="One of the workflow's `changeTypes`, or `payload.patch`."
    )
    payload: dict[str, Any] = Field(
        default_factory=dict, description="A merge patch (RFC 7396) for the payload of the base run."
    )
    force: list[str] | bool = Field(
        default=False,
        description="Ids of steps to execute without using the cache. `true` forces all seed steps of the change.",
    )


class PlanUpdateBody(_Body):
    """A change to plan."""

    change_request: ChangeRequestBody = Field(alias="changeRequest")


class UpdateRunBody(PlanUpdateBody, InheritingBody):
    """A change to apply."""

    expected_plan_hash: str | None = Field(
        default=None,
        alias="expectedPlanHash",
        pattern=r"^[0-9a-f]{64}$",
        description="The `planHash` of an approved plan. The update is refused if the plan is different by now.",
    )


def suggestion(annotation: Any, location: Sequence[str | int]) -> str:
    """Return a hint for an unknown field: the name that was probably meant, or else all valid names.

    Args:
        annotation: the type of the body.
        location: the location of the unknown field in the body, as reported by pydantic.
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
    if not close:  # the name may be incomplete: `payload` for `triggerPayload`
        close = [name for name in names if len(given) > 3 and given.lower() in name.lower()]
    return f"; did you mean {close[0]!r}?" if close else f"; valid fields: {', '.join(names)}"


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model inside a type such as `Model | None` or `list[Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part)) is not None), None)


class RetireBody(_Body):
    """Which versions of a workflow to retire, and why."""

    version: str | None = Field(default=None, min_length=1, max_length=255, description="A version; by default, all.")
    reason: str | None = Field(
        default=None, max_length=MAX_REASON, description="Why. Shown to those who trigger the workflow."
    )


class RestoreBody(_Body):
    """Which versions of a workflow to restore."""

    version: str | None = Field(default=None, min_length=1, max_length=255, description="A version; by default, all.")
