"""The form of all responses, and errors."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

RunStatus = Literal["queued", "running", "blocked", "completed", "failed", "cancelled"]
StepStatus = Literal["pending", "running", "completed", "skipped", "omitted", "failed", "cancelled"]


class Shape(BaseModel):
    """A JSON object of an answer: camelCase names, no other fields."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


class Error(Shape):
    """An error. `error` is a code for programs, `message` a description for people."""

    error: str = Field(examples=["VALIDATION_ERROR"])
    message: str
    details: dict[str, Any] = Field(description="For VALIDATION_ERROR: `faults`, a list of `{path, message}`.")
