"""A call: everything needed to perform one attempt of a step, in any thread or process, or on any machine."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SkillCall:
    """One attempt of one step. It can be pickled.

    `input` is plain JSON. `timeout_ms` is the time limit of the attempt in milliseconds, or None for no limit.
    `trace` is the W3C traceparent of the caller, or None.
    """

    run_id: str
    step_id: str
    attempt: int
    tenant: str
    skill_id: str
    input: Any = None
    timeout_ms: int | None = None
    trace: str | None = None
