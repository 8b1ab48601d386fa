"""The journal: a log line for every event, made in this one place, as the projector reads them.

    run queued, started, recovered, blocked, completed, failed, cancelled
    step started (with `cache`: miss or off), completed, failed, retried; cache hit
    workflow registered, cache invalidated

A line is written after the checkpoint of `runs` has passed its event: a restart repeats none, and a crash in
between loses at most those of one batch. The log itself has everything.
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
    StepRetried,
    StepStarted,
    WorkflowRegistered,
)
from orchestrator.domain.output import StepError
from orchestrator.domain.run import Run
from orchestrator.eventstore.recorded import Recorded
from orchestrator.projections.views import timestamp
from orchestrator.telemetry.tracing import trace_id

logger = logging.getLogger(__name__)

Fields = dict[str, Any]


def tell(batch: Iterable[Recorded], runs: Mapping[str, Run]) -> None:
    """Write the lines of a batch of events; `runs` are those they belong to, as folded up to its end."""
    for recorded in batch:
        run = runs.get(recorded.stream_id)
        level, message, fields = _line(recorded) if run is None else _run_line(recorded, run)
        if not logger.isEnabledFor(level):
            continue
        place = {"tenant": recorded.tenant, "position": recorded.position, "at": timestamp(recorded.event.at)}
        given = {name: value for name, value in (fields | place).items() if value is not None}
        logger.log(level, message, extra=given)


def _line(recorded: Recorded) -> tuple[int, str, Fields]:
    match recorded.event:
        case WorkflowRegistered() as event:
            return logging.INFO, "workflow registered", {"workflow": event.name, "workflow_version": event.version}
        case StepCacheInvalidated() as event:
            return (
                logging.INFO,
                "cache invalidated",
                {"reason": event.reason, "workflow": event.workflow, "step_id": event.step, "cache_keys": event.keys},
            )
        case event:
            return logging.DEBUG, type(event).__name__, {"run_id": recorded.stream_id}


def _run_line(recorded: Recorded, run: Run) -> tuple[int, str, Fields]:
    level, message, fields = _level_message_fields(recorded, run)
    place = {"run_id": run.id, "workflow": run.workflow.name, "trace_id": trace_id(run.trigger.trace)}
    return level, message, place | fields


def _level_message_fields(recorded: Recorded, run: Run) -> tuple[int, str, Fields]:
    fields: Fields
    match recorded.event:
        case RunTriggered() as event:
            return logging.INFO, "run queued", {"status": "queued", "trigger": event.trigger_type}
        case RunStarted() as event:
            return logging.INFO, "run started", {"status": "running", "worker": event.worker}
        case RunRecovered() as event:
            fields = {"status": "running", "worker": event.worker, "lost_worker": event.lost_worker}
            return logging.WARNING, "run recovered", fields
        case RunBlocked() as event:
            return logging.WARNING, "run blocked", {"status": "blocked", "missing_skills": event.skills}
        case RunCompleted() as event:
            fields = {"status": "completed", "completed": event.completed, "skipped": event.skipped}
            return logging.INFO, "run completed", fields | _since_start(run, event.at)
        case RunFailed() as event:
            fields = {"status": "failed", "step_id": event.failed_step, "error": _error(event.error)}
            return logging.ERROR, "run failed", fields | _since_start(run, event.at)
        case RunCancelled() as event:
            fields = {"status": "cancelled", "reason": event.reason, "cancelled_by": event.cancelled_by}
            return logging.INFO, "run cancelled", fields | _since_start(run, event.at)
        case event:
            return _step_line(event, recorded.actor, run)


def _step_line(event: Any, worker: str, run: Run) -> tuple[int, str, Fields]:
    """Return the line of a step's event; its cache key is the same in every event of the step."""
    step_id = event.step
    fields: Fields = {"step_id": step_id, "worker": worker, "cache_key": run.step(step_id).cache_key}
    match event:
        case StepStarted():
            asked = run.workflow.steps[step_id].cache.enabled and step_id not in run.trigger.forced
            fields |= {"status": "running", "attempt": event.attempt, "skill": event.skill}
            return logging.INFO, "step started", fields | {"cache": "miss" if asked else "off", "reason": event.miss}
        case StepCacheHit():
            fields |= {"status": "skipped", "reason": event.reason, "source_run": event.source_run}
            return logging.INFO, "cache hit", fields
        case StepCompleted():
            fields |= {"status": "completed", "attempt": event.attempt, "duration_ms": round(event.duration_ms, 3)}
            return logging.INFO, "step completed", fields
        case StepFailed():
            fields |= {"status": "failed", "attempt": event.attempt, "duration_ms": round(event.duration_ms, 3)}
            return logging.WARNING, "step failed", fields | {"error": _error(event.error)}
        case StepRetried():
            fields |= {"status": "pending", "attempt": event.next_attempt, "due_at": timestamp(event.due_at)}
            return logging.INFO, "step retried", fields
        case _:
            return logging.DEBUG, type(event).__name__, fields


def _since_start(run: Run, at: int) -> Fields:
    return {} if run.started_at is None else {"duration_ms": at - run.started_at}


def _error(error: StepError) -> Fields:
    return {"code": error.code, "message": error.message}
