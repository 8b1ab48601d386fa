"""Audit the history of every run: would this program decide each event at its place?

The audit is one pass over the events in log order, and holds only unfinished runs in memory. It takes the workflow
definitions from the log itself.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from orchestrator.domain.audit import HistoryAudit
from orchestrator.domain.errors import NeedsNewerProgram
from orchestrator.domain.events import (
    RunTriggered,
    StepCacheInvalidated,
    WorkflowRegistered,
    WorkflowRestored,
    WorkflowRetired,
)
from orchestrator.domain.workflow import Workflow, workflow_from_json
from orchestrator.eventstore.mapper import EventMapper
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.recorder import EventRow
from orchestrator.projections.rebuild.stages import REPORT_EVENTS, OnStage, silent

IsWanted = Callable[[Recorded], bool]
"""Decides by the first event of a run whether to audit it."""


@dataclass(frozen=True, slots=True)
class HistoryFault:
    """An invalid event: its stream, its position in the log, and the reason.

    If `checked` is False, a newer program wrote the event, so it cannot be checked.
    """

    stream_id: str
    position: int
    message: str
    checked: bool = True


@dataclass(slots=True)
class _OpenRun:
    """An unfinished run, and the position of its latest event."""

    audit: HistoryAudit
    position: int


class HistoriesAudit:
    """Audits events in the order of the log. `events` and `runs` count what was audited."""

    def __init__(self, mapper: EventMapper, is_wanted: IsWanted | None = None) -> None:
        self._mapper = mapper
        self._is_wanted = is_wanted
        self._workflows: dict[tuple[str, str, str], Workflow] = {}
        self._newer: dict[tuple[str, str, str], NeedsNewerProgram] = {}
        self._open: dict[str, _OpenRun] = {}
        self._skipped: set[str] = set()
        self.events = 0
        self.runs = 0

    def faults(
        self, rows: Iterable[EventRow], total: int | None = None, on_stage: OnStage = silent
    ) -> Iterator[HistoryFault]:
        """Yield the faults of events in order, then those of runs whose last events are missing."""
        for row in rows:
            yield from self._take(row)
            self.events += 1
            if self.events % REPORT_EVENTS == 0:
                on_stage("histories: events", self.events, total)
        for stream_id, opened in self._open.items():
            for message in opened.audit.end():
                yield HistoryFault(stream_id, opened.position, message)

    def _take(self, row: EventRow) -> Iterator[HistoryFault]:
        stream_id, position = str(row[0]), row[4]
        if stream_id in self._skipped:
            return
        if stream_id not in self._open and self._is_wanted is not None and row[2] not in _BEGINNINGS:
            return
        try:
            found = list(self._found(self._mapper.from_row(*row)))
        except NeedsNewerProgram as error:
            self._open.pop(stream_id, None)
            self._skipped.add(stream_id)
            yield HistoryFault(stream_id, position, f"version {row[1]}, {row[2]}: {error}", checked=False)
            return
        except Exception as error:  # noqa: BLE001 - any error from a tampered event is a finding
            self._open.pop(stream_id, None)
            self._skipped.add(stream_id)
            found = [f"version {row[1]}, {row[2]}: cannot be read or folded: {error}"]
        yield from (HistoryFault(stream_id, position, message) for message in found)

    def _found(self, recorded: Recorded) -> Iterator[str]:
        match recorded.event:
            case WorkflowRegistered() as event:
                try:
                    workflow = workflow_from_json(event.definition)
                except NeedsNewerProgram as error:
                    self._newer[recorded.tenant, event.name, event.version] = error
                    return
                self._workflows[recorded.tenant, event.name, event.version] = workflow
                if workflow.digest != event.digest:
                    yield f"the definition has digest {workflow.digest}, not {event.digest}"
            case StepCacheInvalidated() | WorkflowRetired() | WorkflowRestored():
                pass
            case RunTriggered() if recorded.stream_id not in self._open:
                yield from self._begin(recorded, recorded.event)
            case _ if recorded.stream_id in self._open:
                opened = self._open[recorded.stream_id]
                opened.position = recorded.position
                yield from opened.audit.take(recorded.version, recorded.event)
                if opened.audit.is_over:
                    yield from opened.audit.end()
                    del self._open[recorded.stream_id]
            case event:
                self._skipped.add(recorded.stream_id)
                yield f"version {recorded.version}, {type(event).__name__}: the run had ended, or never started"

    def _begin(self, recorded: Recorded, trigger: RunTriggered) -> Iterator[str]:
        if self._is_wanted is not None and not self._is_wanted(recorded):
            return
        self.runs += 1
        key = recorded.tenant, trigger.workflow_name, trigger.workflow_version
        workflow = self._workflows.get(key)
        if key in self._newer:
            raise self._newer[key]
        if workflow is None:
            self._skipped.add(recorded.stream_id)
            yield f"workflow {trigger.workflow_name} {trigger.workflow_version} was never registered"
            return
        audit = HistoryAudit(recorded.stream_id, workflow, recorded.version, trigger)
        self._open[recorded.stream_id] = _OpenRun(audit, recorded.position)
        yield from audit.found


_BEGINNINGS = frozenset({"RunTriggered", "WorkflowRegistered"})
