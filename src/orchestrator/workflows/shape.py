"""The shape of a workflow document: its fields, their types and their bounds."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from orchestrator.documents.places import place, shorten
from orchestrator.domain.bounds import MAX_PARALLEL_STEPS, MAX_PAUSE_MS, MAX_TIMEOUT_MS, MAX_TTL_SECONDS
from orchestrator.domain.errors import MAX_FAULTS, Fault
from orchestrator.domain.spelling import did_you_mean

MAX_STEPS = 10_000
"""The maximum number of steps in a workflow."""

MAX_CHANGE_TYPES = 1_000
"""The maximum number of change types in a workflow."""

MAX_CODES = 100
"""The maximum number of error codes in `nonRetryable`."""

_MAX_FIELDS = 100


def _at_most(most: int) -> BeforeValidator:
    """Reject a collection with too many entries before validating any of them."""

    def check(value: Any) -> Any:
        if isinstance(value, list | dict) and len(value) > most:
            held = {"held": f"{len(value):,}", "most": f"{most:,}"}
            raise PydanticCustomError("many", "has {held} entries, more than {most}", held)
        return value

    return BeforeValidator(check)


# Excludes `.`, `..` and a leading hyphen, which looks like an option: ids become folder names.
StepId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$")]
Words = Annotated[str, Field(min_length=1, max_length=255)]
Pause = Annotated[int, Field(ge=0, le=MAX_PAUSE_MS)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)

    @model_validator(mode="before")
    @classmethod
    def _few(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > _MAX_FIELDS:
            held = {"held": f"{len(value):,}", "most": f"{_MAX_FIELDS:,}"}
            raise PydanticCustomError("many", "has {held} fields, more than {most}", held)
        return value


class CachePolicyShape(_Shape):
    """The `cachePolicy` of a step."""

    enabled: bool = True
    scope: Literal["global", "run_only"] = "global"
    ttl_seconds: Annotated[int, Field(gt=0, le=MAX_TTL_SECONDS)] | None = None


class RetryPolicyShape(_Shape):
    """The `retryPolicy` of a step; times are in milliseconds."""

    max_attempts: int = Field(default=1, ge=1)
    backoff_ms: Pause = 1000
    max_backoff_ms: Pause = 60_000
    multiplier: float = Field(default=2.0, ge=1, le=1000)
    jitter: float = Field(default=0.1, ge=0, le=1)
    non_retryable: Annotated[list[Words] | None, _at_most(MAX_CODES)] = None


class StepShape(_Shape):
    """An entry of `steps`; `validate` checks its `input` and `when`."""

    step_id: StepId
    skill_id: Annotated[str, Field(pattern=r"^[^\s\x00-\x1f\x7f]{1,255}$")]
    depends_on: Annotated[list[str] | None, _at_most(MAX_STEPS)] = None
    after: Annotated[list[str] | None, _at_most(MAX_STEPS)] = None
    when: Any = None
    on_failure: Literal["fail", "continue"] | None = None
    input: Any = None
    cache_policy: CachePolicyShape | None = None
    retry_policy: RetryPolicyShape | None = None
    timeout_ms: Annotated[int, Field(gt=0, le=MAX_TIMEOUT_MS)] | None = None


class ChangeTypeShape(_Shape):
    """An entry of `changeTypes`; `validate` checks its `seeds`."""

    seeds: Any
    force: bool = False


class WorkflowShape(_Shape):
    """A workflow document."""

    workflow_name: str = Field(pattern=r"^[a-z0-9_][a-z0-9._-]{0,254}$")
    version: str = Field(min_length=1, max_length=64)
    description: str = Field(default="", max_length=10_000)
    payload_schema: dict[str, Any] | None = None
    steps: Annotated[list[StepShape], Field(min_length=1), _at_most(MAX_STEPS)]
    change_types: Annotated[dict[Words, ChangeTypeShape] | None, _at_most(MAX_CHANGE_TYPES)] = None
    max_parallel_steps: Annotated[int, Field(ge=1, le=MAX_PARALLEL_STEPS)] | None = None


class _Head(WorkflowShape):
    """A workflow document, without the contents of its steps and change types."""

    steps: Annotated[list[Any], Field(min_length=1), _at_most(MAX_STEPS)]
    change_types: Annotated[dict[Any, Any] | None, _at_most(MAX_CHANGE_TYPES)] = None


_HEAD: TypeAdapter[Any] = TypeAdapter(_Head)
_STEP: TypeAdapter[Any] = TypeAdapter(StepShape)
_CHANGE: TypeAdapter[Any] = TypeAdapter(dict[Words, ChangeTypeShape])


def shape_faults(document: dict[str, Any]) -> list[Fault]:
    """Return a fault for every field that is missing, unknown, of the wrong type or out of bounds.

    At most `MAX_FAULTS + 1` faults are returned. Steps and change types are validated one at a time, so that other
    threads can run in between.
    """
    steps, changes = document.get("steps"), document.get("changeTypes")
    parts: list[Iterator[Fault]] = [_faults(_HEAD, document, ())]
    if isinstance(steps, list) and len(steps) <= MAX_STEPS:
        parts += (_faults(_STEP, step, ("steps", index)) for index, step in enumerate(steps))
    if isinstance(changes, dict) and len(changes) <= MAX_CHANGE_TYPES:
        parts += (_faults(_CHANGE, {name: change}, ("changeTypes",)) for name, change in changes.items())
    return list(islice(chain.from_iterable(parts), MAX_FAULTS + 1))


def _faults(shape: TypeAdapter[Any], value: Any, where: tuple[str | int, ...]) -> Iterator[Fault]:
    try:
        shape.validate_python(value)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False):
            location = (*where, *detail["loc"])
            yield Fault(place(_parts(location)), _message(detail, location))


def _parts(location: Sequence[str | int]) -> list[str | int]:
    return [part for part in location if part != "[key]"]


def _message(detail: Any, location: Sequence[str | int]) -> str:
    kind, given = detail["type"], detail["input"]
    match kind:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return f"unknown field{_closest(location)}"
        case "many":
            return str(detail["msg"])
    message = detail["msg"].replace("Input should be", "must be").replace("should", "must", 1)
    message = f"{message[:1].lower()}{message[1:]}, not {shorten(given)}"
    if kind == "string_type" and isinstance(given, bool | int | float):
        message += "; put it in quotes"
    return message


def _closest(location: Sequence[str | int]) -> str:
    """Suggest the closest known field, or list all of them."""
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
    return did_you_mean(str(location[-1]), names) or f"; known fields: {', '.join(names)}"
