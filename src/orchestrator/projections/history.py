"""Folding runs for read models: events in log order, many runs at once, only the open ones kept in memory."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from uuid import UUID

from orchestrator.domain.events import (
    TERMINAL_EVENTS,
    RunCancelled,
    RunRecovered,
    RunTriggered,
    StepCacheInvalidated,
    WorkflowRegistered,
)
from orchestrator.domain.evolve import begin, evolve
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.runs import FindWorkflow, RunStore
from orchestrator.projections.contract import ProjectedRun


class Histories:
    """The runs that are open at the projector's place in the log."""

    def __init__(self, log: PostgresLog, find_workflow: FindWorkflow) -> None:
        self._log = log
        self._find_workflow = find_workflow
        self._store = RunStore(log, find_workflow)
        self._open: dict[str, ProjectedRun] = {}

    def forget(self) -> None:
        """Drop what is in memory, since the place in the log is not what it was."""
        self._open.clear()

    def fold(self, batch: Sequence[Recorded]) -> list[ProjectedRun]:
        """Fold the next events of the log and return the runs they touched."""
        self._load_missing(batch)
        touched: dict[str, ProjectedRun] = {}
        for recorded in batch:
            projected = self._fold_one(recorded)
            if projected is not None:
                touched[recorded.stream_id] = projected
        for run_id, projected in touched.items():
            if projected.run.is_finished:
                self._open.pop(run_id, None)
        return list(touched.values())

    def _fold_one(self, recorded: Recorded) -> ProjectedRun | None:
        event, run_id = recorded.event, recorded.stream_id
        match event:
            case WorkflowRegistered() | StepCacheInvalidated():
                return None
            case RunTriggered():
                workflow = self._find_workflow(recorded.tenant, event.workflow_name, event.workflow_version)
                run = begin(run_id, workflow, event)
                projected = ProjectedRun(run, recorded.tenant, recorded.position, recorded.position, event.at)
                self._open[run_id] = projected
                return projected
        projected = self._open[run_id]
        if isinstance(event, RunRecovered):
            projected.touched.update(projected.run.executing)
        elif isinstance(event, RunCancelled):
            projected.touched.update(projected.run.steps)
        elif not isinstance(event, TERMINAL_EVENTS) and (step := getattr(event, "step", None)) is not None:
            projected.touched.add(step)
        evolve(projected.run, event)
        projected.position = recorded.position
        projected.updated_at = event.at
        return projected

    def _load_missing(self, batch: Sequence[Recorded]) -> None:
        """Fold the earlier events of runs that are not in memory: after a restart, or another projector's turn."""
        first = batch[0].position
        begun = {recorded.stream_id for recorded in batch if isinstance(recorded.event, RunTriggered)}
        missing = {
            UUID(recorded.stream_id)
            for recorded in batch
            if recorded.stream_id not in self._open
            and recorded.stream_id not in begun
            and not isinstance(recorded.event, WorkflowRegistered | StepCacheInvalidated)
        }
        if not missing:
            return
        streams: dict[str, list[Recorded]] = {}
        for stored in self._log.recorder.read_streams(list(missing)):
            recorded = self._log.mapper.recorded(stored)
            if recorded.position < first:
                streams.setdefault(recorded.stream_id, []).append(recorded)
        for run_id, history in streams.items():
            loaded = self._store.fold(run_id, history)
            self._open[run_id] = ProjectedRun(
                loaded.run, loaded.tenant, history[0].position, loaded.position, history[-1].event.at
            )
