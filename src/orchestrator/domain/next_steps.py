"""What happens next, computed from the state alone.

After a crash the answer is the same, so recovery is no special case.
"""

from collections.abc import Collection
from dataclasses import dataclass

from orchestrator.domain.commands import CompleteRun, FailRun, FailStep, OmitStep
from orchestrator.domain.decide import next_attempt
from orchestrator.domain.output import StepError
from orchestrator.domain.run import Run

MAX_LOST_ATTEMPTS = 10
"""A step that lost its worker this many times fails with WORKER_LOST instead of starting on another worker."""


@dataclass(frozen=True, slots=True)
class BeginStep:
    """Decide the step's condition, resolve its input and query the cache.

    The outcome is a `StartStep`, `ReuseResult`, `FailStep` or `OmitStep`.
    """

    step: str
    attempt: int


NextStep = BeginStep | FailStep | OmitStep | CompleteRun | FailRun


def next_steps(run: Run, now: int, room: int, busy: Collection[str] = ()) -> list[NextStep]:
    """Return what the run's owner must do now.

    Args:
        run: the run, in any state.
        now: milliseconds since 1970 UTC, for retry timers.
        room: how many more attempts the owner can run at the same time.
        busy: steps that are already being started.
    """
    if run.status != "running":
        return []
    if run.failed_step is not None:
        return [] if run.executing or busy else [FailRun(now)]
    if run.unfinished == 0:
        return [CompleteRun(now)]
    room = _room(run, room, busy)
    steps: list[NextStep] = []
    for step_id in run.ready:
        if len(steps) >= room:
            return steps
        if step_id not in busy:
            steps.append(_begin(step_id, run, now))
    for step_id, due_at in run.due.items():
        if len(steps) >= room:
            return steps
        if due_at <= now and step_id not in busy:
            steps.append(_begin(step_id, run, now))
    return steps


def next_due(run: Run, room: int, busy: Collection[str] = ()) -> int | None:
    """Return when the next retry timer expires (milliseconds since 1970 UTC).

    Return None when there is no timer, or when no step could start: then only a running step can change that.
    """
    if run.status != "running" or run.failed_step is not None or _room(run, room, busy) <= 0:
        return None
    return min((due_at for step_id, due_at in run.due.items() if step_id not in busy), default=None)


def _room(run: Run, room: int, busy: Collection[str]) -> int:
    limit = run.workflow.max_parallel_steps
    return room if limit is None else min(room, limit - len(run.executing) - len(busy))


def _begin(step_id: str, run: Run, now: int) -> NextStep:
    if step_id in run.lacking:
        return OmitStep(now, step_id, run.lacking[step_id])
    state = run.steps.get(step_id)
    if state is not None and state.lost >= MAX_LOST_ATTEMPTS:
        error = StepError(
            "WORKER_LOST", f"{state.lost} workers were lost while they executed this step", retryable=False
        )
        return FailStep(now, step_id, state.attempt + 1, error, 0.0)
    return BeginStep(step_id, next_attempt(step_id, run))
