"""The changes that an append makes to the inline read models: rows for `run_queue`, `step_cache` and `flights`.

They are written in the transaction of the append (see the SQL function `apply_inline`), so a run is never
queued without its event, and never finished but still queued.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from orchestrator.domain.events import (
    Event,
    RunBlocked,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunTriggered,
    StepCacheHit,
    StepCacheInvalidated,
    StepCompleted,
    StepFailed,
    WorkflowRestored,
    WorkflowRetired,
)
from orchestrator.domain.output import output_to_json
from orchestrator.domain.run import Run
from orchestrator.eventstore.append import Inline
from orchestrator.eventstore.codec import event_format


@dataclass(frozen=True, slots=True)
class NewRun:
    """Options for the queue row of a new run.

    `owner` is the worker that owns the run from the start, so that no worker has to claim it. With `needs_newest` the
    append is refused if the version is not the newest one that takes runs; without, only if it is retired.
    """

    owner: str | None = None
    needs_newest: bool = False


_QUEUED = NewRun()


def inline_rows(run: Run, tenant: str, events: Iterable[RunEvent], new: NewRun = _QUEUED) -> Inline:
    """Return the inline rows for new events of a run; the events must already be folded into the run."""
    rows: dict[str, list[Any]] = {}
    needed: set[str] = set()
    newest = 1
    for event in events:
        newest = max(newest, event_format(event))
        needed.update(needs(event))
        for name, row in _rows(run, tenant, event, new):
            rows.setdefault(name, []).append(row)
    needed.discard(run.id)
    if newest > 1:  # from now on programs that do not know these events do not touch the run
        rows["queue_format"] = [{"run_id": run.id, "format": newest}]
    if needed:
        rows["needs"] = sorted(needed)  # the append is refused if one of these runs has been archived
    return rows


def needs(event: Event) -> Iterator[str]:
    """Yield the other runs whose results an event refers to: they stay in the log as long as this run does."""
    match event:
        case RunTriggered():
            if event.base_run_id is not None:
                yield event.base_run_id
            for reuse in event.reused:
                yield reuse.run_id
        case StepCacheHit():
            yield event.source_run
        case _:
            pass


def _rows(run: Run, tenant: str, event: RunEvent, new: NewRun) -> Iterator[tuple[str, Any]]:
    match event:
        case RunTriggered():
            row = {"run_id": run.id, "tenant": tenant, "priority": event.priority, "owner": new.owner}
            if run.workflow.format > 1:
                row["format"] = run.workflow.format
            row["newest_of" if new.needs_newest else "version_of"] = event.workflow_name
            row["version"] = event.workflow_version
            yield "queue_put", row
        case RunBlocked():
            yield "queue_block", {"run_id": run.id, "skills": event.skills}
        case RunCompleted() | RunFailed():
            yield "queue_drop", run.id
        case RunCancelled():
            yield "queue_cancel", run.id
        case StepCompleted():
            if run.workflow.steps[event.step].cache.enabled:
                yield "cache_put", _cache_row(run, tenant, event)
        case StepFailed():
            if run.workflow.steps[event.step].cache.enabled:
                yield "flight_drop", {"run_id": run.id, "step_id": event.step}
        case _:
            pass


def _cache_row(run: Run, tenant: str, event: StepCompleted) -> dict[str, Any]:
    state = run.steps[event.step]
    return {
        "tenant": tenant,
        "key": state.cache_key,
        "run_id": run.id,
        "step_id": event.step,
        "workflow": run.workflow.name,
        "skill": state.skill,
        "scope": run.workflow.steps[event.step].cache.scope,
        "output": orjson.dumps(output_to_json(event.output)).decode(),
        "output_hash": event.output_hash,
        "stored_at": event.at,
    }


def retirement(tenant: str, event: WorkflowRetired | WorkflowRestored, actor: str) -> dict[str, Any]:
    """Return the `workflow_retire` row for a retirement, or for its end."""
    row: dict[str, Any] = {"tenant": tenant, "name": event.name, "versions": event.versions}
    if isinstance(event, WorkflowRetired):
        row |= {"retired_at": event.at, "retired_by": actor, "reason": event.reason}
    return row


def withdrawal(tenant: str, event: StepCacheInvalidated) -> dict[str, Any]:
    """Return the `cache_drop` row for an invalidation."""
    return {"tenant": tenant, "keys": event.keys, "workflow": event.workflow, "step": event.step}
