"""What can be asked of a run. Imperative; ids, times, chance and cache answers arrive as fields.

`at` is milliseconds since 1970 UTC. A command that concerns an attempt names it, so that a command decided
twice (after a version conflict, say) cannot act twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.domain.events import HitReason, Reuse, TriggerType
from orchestrator.domain.output import Output, StepError


@dataclass(frozen=True, slots=True)
class TriggerRun:
    """Ask for a run; the fields are those of `RunTriggered`."""

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


@dataclass(frozen=True, slots=True)
class TakeRun:
    """Make `worker` the owner: it starts a queued run, or recovers one whose owner is gone."""

    at: int
    worker: str


@dataclass(frozen=True, slots=True)
class BlockRun:
    """Park the run: its owner does not know these skills."""

    at: int
    skills: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StartStep:
    """Begin attempt `attempt` of a ready step with an input of this hash; `miss` says why no result was reused."""

    at: int
    step: str
    attempt: int
    skill: str
    input_hash: str
    cache_key: str
    miss: str | None = None


@dataclass(frozen=True, slots=True)
class ReuseResult:
    """Take a result that was made before instead of executing the step."""

    at: int
    step: str
    input_hash: str
    cache_key: str
    output: Output
    source_run: str
    reason: HitReason


@dataclass(frozen=True, slots=True)
class CompleteStep:
    """Report that an attempt ended well."""

    at: int
    step: str
    attempt: int
    output: Output
    output_hash: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class FailStep:
    """Report that an attempt ended badly; `jitter` is a draw from [-1, 1] for the pause before the next."""

    at: int
    step: str
    attempt: int
    error: StepError
    duration_ms: float
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class CompleteRun:
    """Close a run whose steps are all done."""

    at: int


@dataclass(frozen=True, slots=True)
class FailRun:
    """Close a run in which a step failed for good."""

    at: int


@dataclass(frozen=True, slots=True)
class CancelRun:
    """End the run now, whatever it is doing."""

    at: int
    reason: str | None
    cancelled_by: str


Command = TakeRun | BlockRun | StartStep | ReuseResult | CompleteStep | FailStep | CompleteRun | FailRun | CancelRun
