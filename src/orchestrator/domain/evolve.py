"""What an event changes. `evolve` never refuses: the event has happened.

There is one function per event, in the order of a run's life. Each folds its event into the run.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from orchestrator.domain.events import (
    RunBlocked,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunRecovered,
    RunStarted,
    RunTriggered,
    StepCacheHit,
    StepCompleted,
    StepFailed,
    StepOmitted,
    StepRetried,
    StepStarted,
)
from orchestrator.domain.run import UNTOUCHED, Attempt, Run, RunStatus, StepState
from orchestrator.domain.workflow import Workflow


def begin(run_id: str, workflow: Workflow, event: RunTriggered) -> Run:
    """Return a new run from its first event: the run is queued, its steps are pending or reused."""
    run = Run(run_id, workflow, event, version=1)
    if event.impacted is None:
        run.waiting = dict(workflow.waiting)
        run.ready = dict.fromkeys(workflow.roots)
    else:
        impacted = set(event.impacted)
        for step_id in event.impacted:
            unfinished = sum(1 for needed in workflow.steps[step_id].waits_for if needed in impacted)
            run.waiting[step_id] = unfinished
            if unfinished == 0:
                run.ready[step_id] = None
        for step_id in event.omitted:
            _lack(run, step_id)
    run.unfinished = len(run.waiting)
    return run


def fold(run_id: str, workflow: Workflow, events: Iterable[RunEvent]) -> Run:
    """Return the state that a run's events add up to; the first event must be `RunTriggered`.

    Raises:
        ValueError: the history is empty, or its first event is not `RunTriggered`.
    """
    history = iter(events)
    first = next(history, None)
    if not isinstance(first, RunTriggered):
        raise ValueError(f"the history of run {run_id} begins with {first!r}, not with RunTriggered")
    run = begin(run_id, workflow, first)
    for event in history:
        evolve(run, event)
    return run


def evolve(run: Run, event: RunEvent) -> Run:
    """Fold one event into the run and return the run. The cost does not depend on the size of the run."""
    _FOLDS[type(event)](run, event)
    run.version += 1
    return run


def _triggered(_run: Run, _event: RunTriggered) -> None:
    """Ignore a second trigger: `begin` has already built the run from the first."""


def _started(run: Run, event: RunStarted) -> None:
    run.status = "running"
    run.owner = event.worker
    run.started_at = event.at


def _recovered(run: Run, event: RunRecovered) -> None:
    run.status = "running"
    run.owner = event.worker
    run.missing_skills = ()
    if run.started_at is None:
        run.started_at = event.at
    for step_id in list(run.executing):
        state = run.steps[step_id]
        lost = Attempt(state.attempt, state.worker, state.started_at, event.at, None, None)
        run.steps[step_id] = replace(
            state, status="pending", lost=state.lost + 1, past=(*state.past, lost), started_at=None
        )
        run.ready[step_id] = None
    run.executing.clear()


def _blocked(run: Run, event: RunBlocked) -> None:
    run.status = "blocked"
    run.missing_skills = event.skills


def _step_started(run: Run, event: StepStarted) -> None:
    before = run.steps.get(event.step, UNTOUCHED)
    run.steps[event.step] = StepState(
        "running",
        event.attempt,
        before.lost,
        run.owner,
        before.past,
        event.skill,
        event.input_hash,
        event.cache_key,
        miss=event.miss,
        error=before.error,
        started_at=event.at,
    )
    run.ready.pop(event.step, None)
    run.due.pop(event.step, None)
    run.executing[event.step] = event.attempt


def _step_cache_hit(run: Run, event: StepCacheHit) -> None:
    before = run.steps.get(event.step, UNTOUCHED)
    run.steps[event.step] = StepState(
        "skipped",
        before.attempt,
        before.lost,
        before.worker,
        before.past,
        before.skill,
        event.input_hash,
        event.cache_key,
        event.output,
        hit=event.reason,
        source_run=event.source_run,
        started_at=event.at,
        ended_at=event.at,
    )
    _release_dependents(run, event.step)


def _step_completed(run: Run, event: StepCompleted) -> None:
    before = run.steps.get(event.step, UNTOUCHED)
    run.steps[event.step] = StepState(
        "completed",
        event.attempt,
        before.lost,
        before.worker,
        before.past,
        before.skill,
        before.input_hash,
        before.cache_key,
        event.output,
        event.output_hash,
        miss=before.miss,
        started_at=before.started_at,
        ended_at=event.at,
        duration_ms=event.duration_ms,
    )
    _release_dependents(run, event.step)


def _release_dependents(run: Run, step_id: str) -> None:
    """Mark a step as done, and make the steps ready that waited only for this one."""
    run.ready.pop(step_id, None)
    run.due.pop(step_id, None)
    run.executing.pop(step_id, None)
    run.unfinished -= 1
    waiting = run.waiting
    for dependent in run.workflow.graph.dependents[step_id]:
        lacking = waiting.get(dependent)
        if lacking is not None:
            waiting[dependent] = lacking - 1
            if lacking == 1:
                run.ready[dependent] = None


def _lack(run: Run, step_id: str) -> None:
    """Note that the steps that depend on this one cannot have their input."""
    for dependent in run.workflow.graph.dependents[step_id]:
        if dependent in run.waiting and step_id in run.workflow.steps[dependent].depends_on:
            run.lacking.setdefault(dependent, step_id)


def _step_omitted(run: Run, event: StepOmitted) -> None:
    before = run.steps.get(event.step, UNTOUCHED)
    run.steps[event.step] = replace(before, status="omitted", ended_at=event.at, because=event.because)
    _lack(run, event.step)
    _release_dependents(run, event.step)


def _step_failed(run: Run, event: StepFailed) -> None:
    before = run.steps.get(event.step, UNTOUCHED)
    run.steps[event.step] = replace(
        before,
        status="failed",
        attempt=event.attempt,
        worker=run.owner,
        error=event.error,
        ended_at=event.at,
        duration_ms=event.duration_ms,
    )
    if event.tolerated:
        _lack(run, event.step)
        _release_dependents(run, event.step)
        return
    run.ready.pop(event.step, None)
    run.due.pop(event.step, None)
    run.executing.pop(event.step, None)
    if run.failed_step is None:
        run.failed_step = event.step


def _step_retried(run: Run, event: StepRetried) -> None:
    before = run.steps.get(event.step, UNTOUCHED)
    failed = Attempt(before.attempt, before.worker, before.started_at, event.at, before.duration_ms, before.error)
    run.steps[event.step] = replace(
        before, status="pending", past=(*before.past, failed), started_at=None, ended_at=None, due_at=event.due_at
    )
    run.due[event.step] = event.due_at
    if run.failed_step == event.step:
        run.failed_step = None


def _completed(run: Run, event: RunCompleted) -> None:
    _finish(run, "completed", event.at)


def _failed(run: Run, event: RunFailed) -> None:
    run.error = event.error
    run.failed_step = event.failed_step
    _finish(run, "failed", event.at)


def _cancelled(run: Run, event: RunCancelled) -> None:
    for step_id, state in run.steps.items():
        if state.status in ("pending", "running"):
            run.steps[step_id] = replace(state, status="cancelled", ended_at=event.at)
    _finish(run, "cancelled", event.at)


def _finish(run: Run, status: RunStatus, at: int) -> None:
    run.status = status
    run.ended_at = at
    run.ready.clear()
    run.due.clear()
    run.executing.clear()


_FOLDS: dict[type[Any], Callable[[Run, Any], None]] = {
    RunTriggered: _triggered,
    RunStarted: _started,
    RunRecovered: _recovered,
    RunBlocked: _blocked,
    StepStarted: _step_started,
    StepCacheHit: _step_cache_hit,
    StepCompleted: _step_completed,
    StepFailed: _step_failed,
    StepRetried: _step_retried,
    StepOmitted: _step_omitted,
    RunCompleted: _completed,
    RunFailed: _failed,
    RunCancelled: _cancelled,
}
