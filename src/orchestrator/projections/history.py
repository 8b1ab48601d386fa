"""Fold runs for read models: events in log order, many runs at a time, with only open runs kept in memory."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from orchestrator.domain.events import EVENTS_OUTSIDE_RUNS, RunTriggered
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.runs import FindWorkflow, RunStore
from orchestrator.projections.open_runs import OpenRuns
from orchestrator.projections.read_models.contract import ProjectedRun

FindSkips = Callable[[], Collection[int]]
"""Returns the positions of events that an operator decided to skip."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Events read from the log, and the position after which to continue reading."""

    events: Sequence[Recorded]
    position: int


def begin_run(recorded: Recorded, find_workflow: FindWorkflow) -> ProjectedRun:
    """Return the run that a first event describes; raises the errors of `LoadedRun.begin`."""
    return ProjectedRun.begin(recorded.stream_id, recorded.tenant, recorded.event, recorded.position, find_workflow)


class Histories:
    """The runs that are open at the projector's position in the log.

    An event that an operator decided to skip is left out of all histories if it cannot be read or folded. If that is
    the first event of a run, all later events of the run are left out too.
    """

    def __init__(self, log: PostgresLog, find_workflow: FindWorkflow, find_skips: FindSkips) -> None:
        self._log = log
        self._find_workflow = find_workflow
        self._find_skips = find_skips
        self._store = RunStore(log, find_workflow)
        self._open = OpenRuns()
        self._headless: set[str] = set()
        self._skips: Collection[int] | None = None

    def forget(self) -> None:
        """Drop all runs in memory. Call this when the position in the log has changed."""
        self._open.clear()
        self._headless.clear()
        self._skips = None

    def read(self, after: int, limit: int) -> Batch:
        """Return up to `limit` events after a position of the log.

        Raises:
            UnreadableEvent: this program cannot read one of them, and it was not skipped by an operator.
        """
        if recent := self._log.tail.read(after, limit):
            return Batch(recent, recent[-1].position)
        stored = self._log.recorder.read_log(after, limit)
        return Batch(self._recorded(stored), stored[-1].id if stored else after)

    def read_range(self, after: int, until: int) -> Batch:
        """Return the events after a position up to another.

        Raises:
            UnreadableEvent: this program cannot read one of them, and it was not skipped by an operator.
        """
        return Batch(self._recorded(self._log.recorder.read_range(after, until)), until)

    def fold(self, batch: Batch) -> list[ProjectedRun]:
        """Fold the next events of the log and return the runs they belong to."""
        if not batch.events:
            return []
        self._load_missing(batch.events)
        touched: dict[str, ProjectedRun] = {}
        for recorded in batch.events:
            try:
                projected = self._fold_one(recorded)
            except Exception:
                if recorded.position not in self._skipped():
                    raise
                continue
            if projected is not None:
                touched[recorded.stream_id] = projected
        for run_id, projected in touched.items():
            if projected.run.is_finished:
                self._open.drop(run_id)
        self._open.trim(touched)
        return list(touched.values())

    def _fold_one(self, recorded: Recorded) -> ProjectedRun | None:
        event, run_id = recorded.event, recorded.stream_id
        match event:
            case _ if isinstance(event, EVENTS_OUTSIDE_RUNS):
                return None
            case RunTriggered():
                projected = self._open[run_id] = begin_run(recorded, self._find_workflow)
                return projected
        if run_id in self._headless:
            return None
        projected = self._open[run_id]
        projected.take(recorded)
        return projected

    def _load_missing(self, batch: Sequence[Recorded]) -> None:
        """Load and fold the earlier events of runs that are not in memory, such as after a restart."""
        first = batch[0].position
        begun = {recorded.stream_id for recorded in batch if isinstance(recorded.event, RunTriggered)}
        missing = {
            recorded.stream_id
            for recorded in batch
            if recorded.stream_id not in self._open
            and recorded.stream_id not in begun
            and recorded.stream_id not in self._headless
            and not isinstance(recorded.event, EVENTS_OUTSIDE_RUNS)
        }
        if not missing:
            return
        streams: dict[str, list[Recorded]] = {}
        for recorded in self._recorded(self._log.recorder.read_streams([UUID(run_id) for run_id in missing])):
            if recorded.position < first:
                streams.setdefault(recorded.stream_id, []).append(recorded)
        for run_id in missing:
            history = streams.get(run_id, [])
            if self._skipped() and not (history and isinstance(history[0].event, RunTriggered)):
                self._headless.add(run_id)
                continue
            loaded = self._store.fold(run_id, history)
            self._open[run_id] = ProjectedRun(
                loaded.run, loaded.tenant, loaded.position, loaded.updated_at, loaded.first_position
            )

    def _recorded(self, stored: Iterable[Any]) -> list[Recorded]:
        mapper, found = self._log.mapper, []
        for one in stored:
            try:
                found.append(mapper.recorded(one))
            except Exception:
                if one.id not in self._skipped():
                    raise
        return found

    def _skipped(self) -> Collection[int]:
        if self._skips is None:
            self._skips = self._find_skips()
        return self._skips
