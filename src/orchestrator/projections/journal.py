"""The journal: one log line for every event, written as the projector reads the events.

    run queued, started, recovered, blocked, completed, failed, cancelled
    step started (with `cache`: miss or off), completed, failed, retried; cache hit
    workflow registered, cache invalidated

A line is written after the checkpoint of `runs` has passed its event. So a restart repeats no lines, and a crash in
between loses at most those of one batch. A crash of Postgres may set the checkpoint back by a moment; the lines of that
moment are then written again. The log itself is always complete.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.domain.events import (
    RunBlocked,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRecovered,
    RunStarted,
    RunTriggered,
    StepCacheHit,
    StepCacheInvalidated,
    StepCompleted,
    StepFailed,
    StepOmitted,
    StepRetried,
    StepStarted,
    WorkflowRegistered,
    WorkflowRestored,
    WorkflowRetired,
)
from orchestrator.domain.output import StepError
from orchestrator.domain.run import Run
from orchestrator.eventstore.recorded import Recorded
from orchestrator.projections.views.values import timestamp
from orchestrator.telemetry.tracing import trace_id

logger = logging.getLogger(__name__)

Fields = dict[str, Any]

_LEVELS: Mapping[type, int] = {
    RunTriggered: logging.INFO,
    RunStarted: logging.INFO,
    RunRecovered: logging.WARNING,
    RunBlocked: logging.WARNING,
    RunCompleted: logging.INFO,
    RunFailed: logging.ERROR,
    RunCancelled: logging.INFO,
    StepStarted: logging.INFO,
    StepCacheHit: logging.INFO,
    StepCompleted: logging.INFO,
    StepFailed: logging.WARNING,
    StepRetried: logging.INFO,
    StepOmitted: logging.INFO,
    WorkflowRegistered: logging.INFO,
    WorkflowRetired: logging.INFO,
    WorkflowRestored: logging.INFO,
    StepCacheInvalidated: logging.INFO,
}


def tell(batch: Iterable[Recorded], runs: Mapping[str, Run]) -> None:
    """Write the log lines of a batch of events; `runs` are their runs, folded up to the end of the batch."""
    for recorded in batch:
        level = _LEVELS.get(type(recorded.event), logging.DEBUG)
        if not logger.isEnabledFor(level):
            continue
        run = runs.get(recorded.stream_id)
        message, fields = _line(recorded) if run is None else _run_line(recorded, run)
        place = {"tenant": recorded.tenant, "position": recorded.position, "at": timestamp(recorded.event.at)}
        given = {name: value for name, value in (fields | place).items() if value is not None}
        logger.log(level, message, extra=given)


def _line(recorded: Recorded) -> tuple[str, Fields]:
    match recorded.event:
        case WorkflowRegistered() as event:
            return "workflow registered", {"workflow": event.name, "workflow_version": event.version}
        case WorkflowRetired() as event:
            fields = {"workflow": event.name, "workflow_versions": event.versions, "reason": event.reason}
            return "workflow retired", fields
        case WorkflowRestored() as event:
            return "workflow restored", {"workflow": event.name, "workflow_versions": event.versions}
        case StepCacheInvalidated() as event:
            fields = {
                "reason": event.reason,
                "workflow": event.workflow,
                "step_id": event.step,
                "cache_keys": event.keys,
            }
            return "cache invalidated", fields
        case event:
            return type(event).__name__, {"run_id": recorded.stream_id}


def _run_line(recorded: Recorded, run: Run) -> tuple[str, Fields]:
    message, fields = _message_fields(recorded, run)
    place = {"run_id": run.id, "workflow": run.workflow.name, "trace_id": trace_id(run.trigger.trace)}
    return message, place | fields


def _message_fields(recorded: Recorded, run: Run) -> tuple[str, Fields]:
    fields: Fields
    match recorded.event:
        case RunTriggered() as event:
            return "run queued", {"status": "queued", "trigger": event.trigger_type}
        case RunStarted() as event:
            return "run started", {"status": "running", "worker": event.worker}
        case RunRecovered() as event:
            fields = {"status": "running", "worker": event.worker, "lost_worker": event.lost_worker}
            return "run recovered", fields
        case RunBlocked() as event:
            return "run blocked", {"status": "blocked", "missing_skills": event.skills}
        case RunCompleted() as event:
            fields = {"status": "completed", "completed": event.completed, "skipped": event.skipped}
            fields |= {"omitted": event.omitted or None, "failed": event.failed or None}
            return "run completed", fields | _since_start(run, event.at)
        case RunFailed() as event:
            fields = {"status": "failed", "step_id": event.failed_step, "error": _error(event.error)}
            return "run failed", fields | _since_start(run, event.at)
        case RunCancelled() as event:
            fields = {"status": "cancelled", "reason": event.reason, "cancelled_by": event.cancelled_by}
            return "run cancelled", fields | _since_start(run, event.at)
        case event:
            return _step_line(event, recorded.actor, run)


def _step_line(event: Any, worker: str, run: Run) -> tuple[str, Fields]:
    """Return the message and fields for a step's event; the cache key is the same in all events of the step."""
    step_id = event.step
    fields: Fields = {"step_id": step_id, "worker": worker, "cache_key": run.step(step_id).cache_key}
    match event:
        case StepStarted():
            asked = run.workflow.steps[step_id].cache.enabled and step_id not in run.forced
            fields |= {"status": "running", "attempt": event.attempt, "skill": event.skill}
            return "step started", fields | {"cache": "miss" if asked else "off", "reason": event.miss}
        case StepCacheHit():
            fields |= {"status": "skipped", "reason": event.reason, "source_run": event.source_run}
            return "cache hit", fields
        case StepCompleted():
            fields |= {"status": "completed", "attempt": event.attempt, "duration_ms": round(event.duration_ms, 3)}
            return "step completed", fields
        case StepFailed():
            fields |= {"status": "failed", "attempt": event.attempt, "duration_ms": round(event.duration_ms, 3)}
            return "step failed", fields | {"error": _error(event.error)}
        case StepRetried():
            fields |= {"status": "pending", "attempt": event.next_attempt, "due_at": timestamp(event.due_at)}
            return "step retried", fields
        case StepOmitted():
            fields |= {"status": "omitted", "reason": event.because or "when"}
            return "step omitted", fields
        case _:
            return type(event).__name__, fields


def _since_start(run: Run, at: int) -> Fields:
    return {} if run.started_at is None else {"duration_ms": at - run.started_at}


def _error(error: StepError) -> Fields:
    return {"code": error.code, "message": error.message}
