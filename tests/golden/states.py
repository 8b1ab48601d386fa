"""What the runs of a golden log come to, from the file alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.audit.transfer.export import read_export
from orchestrator.domain.events import (
    RunTriggered,
    StepCacheInvalidated,
    WorkflowRegistered,
    WorkflowRestored,
    WorkflowRetired,
)
from orchestrator.domain.evolve import begin, evolve
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import Workflow, workflow_from_json
from orchestrator.eventstore.mapper import EventMapper
from orchestrator.eventstore.recorded import Recorded

LOGS = Path(__file__).parent / "logs"


def events(path: Path) -> Iterator[Recorded]:
    mapper = EventMapper()
    return (mapper.from_row(*row) for row in read_export(path))


def states(path: Path) -> dict[str, Any]:
    """Return the final state of every run, by id, with all that a reader could ask of it."""
    runs: dict[str, Run] = {}
    workflows: dict[tuple[str, str], Workflow] = {}
    for recorded in events(path):
        match recorded.event:
            case WorkflowRegistered() as event:
                workflows[event.name, event.version] = workflow_from_json(event.definition)
            case StepCacheInvalidated() | WorkflowRetired() | WorkflowRestored():
                pass
            case RunTriggered() as event:
                workflow = workflows[event.workflow_name, event.workflow_version]
                runs[recorded.stream_id] = begin(recorded.stream_id, workflow, event)
            case event:
                evolve(runs[recorded.stream_id], event)
    return {run_id: state(run) for run_id, run in runs.items()}


def state(run: Run) -> dict[str, Any]:
    return {
        "version": run.version,
        "status": run.status,
        "owner": run.owner,
        "failedStep": run.failed_step,
        "missingSkills": list(run.missing_skills),
        "startedAt": run.started_at,
        "endedAt": run.ended_at,
        "ready": sorted(run.ready),
        "due": dict(run.due),
        "summary": {status: count for status, count in run.summary().items() if count or status != "omitted"},
        "steps": {
            step_id: {
                "status": one.status,
                "attempt": one.attempt,
                "lost": one.lost,
                "past": len(one.past),
                "inputHash": one.input_hash,
                "outputHash": one.output_hash,
                "hit": one.hit,
                "sourceRun": one.source_run,
                "error": one.error.code if one.error else None,
                "durationMs": one.duration_ms,
            }
            for step_id, one in run.states()
        },
    }
