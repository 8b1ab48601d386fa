"""A call: everything needed to perform one attempt of a step, in any thread, process or machine."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SkillCall:
    """One attempt of one step. Picklable; `input` is plain JSON, `timeout_ms` bounds the attempt (None: not).

    `trace` is the W3C traceparent of whoever waits for it.
    """

    run_id: str
    step_id: str
    attempt: int
    tenant: str
    skill_id: str
    input: Any = None
    timeout_ms: int | None = None
    trace: str | None = None
