"""The commands that a run accepts, in the imperative. Ids, times, random numbers and cache results arrive as fields.

`at` is milliseconds since 1970 UTC. A command about an attempt names that attempt, so that a command that is decided
twice (after a version conflict, for example) cannot take effect twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.domain.events import HitReason, Reuse, TriggerType
from orchestrator.domain.output import Output, StepError


@dataclass(frozen=True, slots=True)
class TriggerRun:
    """Request a run; the fields are those of `RunTriggered`."""

    at: int
    trigger_type: TriggerType
    payload: Mapping[str, Any]
    base_run_id: str | None = None
    change: Mapping[str, Any] | None = None
    impacted: tuple[str, ...] | None = None
    reused: tuple[Reuse, ...] = ()
    forced: tuple[str, ...] = ()
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    request: str | None = None
    trace: str | None = None
    omitted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TakeRun:
    """Make `worker` the owner: it starts a queued run, or recovers a run whose owner is gone."""

    at: int
    worker: str


@dataclass(frozen=True, slots=True)
class BlockRun:
    """Block the run: its owner does not have these skills."""

    at: int
    skills: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StartStep:
    """Start attempt `attempt` of a ready step with the input of this hash; `miss` says why no result was reused."""

    at: int
    step: str
    attempt: int
    skill: str
    input_hash: str
    cache_key: str
    miss: str | None = None


@dataclass(frozen=True, slots=True)
class ReuseResult:
    """Reuse an earlier result instead of executing the step."""

    at: int
    step: str
    input_hash: str
    cache_key: str
    output: Output
    source_run: str
    reason: HitReason


@dataclass(frozen=True, slots=True)
class CompleteStep:
    """Report that an attempt succeeded."""

    at: int
    step: str
    attempt: int
    output: Output
    output_hash: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class FailStep:
    """Report that an attempt failed; `jitter` is a random number in [-1, 1] for the pause before the next attempt."""

    at: int
    step: str
    attempt: int
    error: StepError
    duration_ms: float
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class OmitStep:
    """Do without a ready step: `because` names a step that it depends on and that has no result, else its condition."""

    at: int
    step: str
    because: str | None = None


@dataclass(frozen=True, slots=True)
class CompleteRun:
    """Complete a run whose steps are all done."""

    at: int


@dataclass(frozen=True, slots=True)
class FailRun:
    """Fail a run in which a step failed for good."""

    at: int


@dataclass(frozen=True, slots=True)
class CancelRun:
    """Cancel the run immediately, whatever it is executing."""

    at: int
    reason: str | None
    cancelled_by: str


Command = (
    TakeRun
    | BlockRun
    | StartStep
    | ReuseResult
    | CompleteStep
    | FailStep
    | OmitStep
    | CompleteRun
    | FailRun
    | CancelRun
)
