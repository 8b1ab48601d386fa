"""The shape of a workflow document: which fields there are, of which type and within which bounds."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from orchestrator.domain.bounds import MAX_PARALLEL_STEPS, MAX_PAUSE_MS, MAX_TIMEOUT_MS, MAX_TTL_SECONDS
from orchestrator.domain.errors import Fault
from orchestrator.workflows.places import place, shorten

MAX_STEPS = 10_000
"""How many steps a workflow may have."""

StepId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,255}$")]
Words = Annotated[str, Field(min_length=1, max_length=255)]
Pause = Annotated[int, Field(ge=0, le=MAX_PAUSE_MS)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


class CachePolicyShape(_Shape):
    """`cachePolicy` of a step."""

    enabled: bool = True
    scope: Literal["global", "run_only"] = "global"
    ttl_seconds: Annotated[int, Field(gt=0, le=MAX_TTL_SECONDS)] | None = None


class RetryPolicyShape(_Shape):
    """`retryPolicy` of a step; times are milliseconds."""

    max_attempts: int = Field(default=1, ge=1)
    backoff_ms: Pause = 1000
    max_backoff_ms: Pause = 60_000
    multiplier: float = Field(default=2.0, ge=1, le=1000)
    jitter: float = Field(default=0.1, ge=0, le=1)
    non_retryable: list[Words] | None = None


class StepShape(_Shape):
    """One of `steps`. Of `input` only `validate` can say what is wrong."""

    step_id: StepId
    skill_id: Annotated[str, Field(pattern=r"^[^\s\x00-\x1f\x7f]{1,255}$")]
    depends_on: list[str] | None = None
    input: Any = None
    cache_policy: CachePolicyShape | None = None
    retry_policy: RetryPolicyShape | None = None
    timeout_ms: Annotated[int, Field(gt=0, le=MAX_TIMEOUT_MS)] | None = None


class ChangeTypeShape(_Shape):
    """One of `changeTypes`. Of `seeds` only `validate` can say what is wrong."""

    seeds: Any
    force: bool = False


class WorkflowShape(_Shape):
    """A workflow document."""

    workflow_name: str = Field(pattern=r"^[a-z0-9._-]{1,255}$")
    version: str = Field(min_length=1, max_length=64)
    description: str = Field(default="", max_length=10_000)
    payload_schema: dict[str, Any] | None = None
    steps: list[StepShape] = Field(min_length=1, max_length=MAX_STEPS)
    change_types: dict[Words, ChangeTypeShape] | None = None
    max_parallel_steps: Annotated[int, Field(ge=1, le=MAX_PARALLEL_STEPS)] | None = None


def shape_faults(document: dict[str, Any]) -> list[Fault]:
    """Return every field that is missing, unknown, of another type or out of bounds."""
    try:
        WorkflowShape.model_validate(document)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        return [Fault(place(_parts(detail["loc"])), _message(detail)) for detail in details]
    return []


def _parts(location: Sequence[str | int]) -> list[str | int]:
    return [part for part in location if part != "[key]"]


def _message(detail: Any) -> str:
    kind, given = detail["type"], detail["input"]
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return f"there is no such field{_closest(detail['loc'])}"
    message = detail["msg"].replace("Input should be", "must be").replace("should", "must", 1)
    message = f"{message[:1].lower()}{message[1:]}, not {shorten(given)}"
    if kind == "string_type" and isinstance(given, bool | int | float):
        message += ": put it in quotes"
    return message


def _closest(location: Sequence[str | int]) -> str:
    """Suggest the field that an unknown one may have been meant for."""
    shape: type[BaseModel] = WorkflowShape
    match location:
        case ("steps", int(), "cachePolicy", _):
            shape = CachePolicyShape
        case ("steps", int(), "retryPolicy", _):
            shape = RetryPolicyShape
        case ("steps", int(), _):
            shape = StepShape
        case ("changeTypes", str(), _):
            shape = ChangeTypeShape
        case _:
            pass
    names = [field.alias or name for name, field in shape.model_fields.items()]
    close = get_close_matches(str(location[-1]), names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(names)}"
