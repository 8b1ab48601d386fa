"""Every run's history asked again: is each event one that this program would decide at its place?

One pass over events in the order of the log, with the runs that are open at that place in memory and no more.
Definitions are those that the log itself holds.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from orchestrator.domain.audit import HistoryAudit
from orchestrator.domain.errors import NeedsNewerProgram
from orchestrator.domain.events import RunTriggered, StepCacheInvalidated, WorkflowRegistered
from orchestrator.domain.workflow import Workflow, workflow_from_json
from orchestrator.eventstore.mapper import EventMapper
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.recorder import EventRow
from orchestrator.projections.rebuild.stages import REPORT_EVENTS, OnStage, silent

IsWanted = Callable[[Recorded], bool]
"""Whether a run is to be looked at, by its first event."""


@dataclass(frozen=True, slots=True)
class HistoryFault:
    """An event that could not have happened: its stream, its position in the log, and why not.

    Without `checked`, a newer program wrote it and this one cannot tell.
    """

    stream_id: str
    position: int
    message: str
    checked: bool = True


@dataclass(slots=True)
class _Open:
    """A run that is open, and the position of its latest event."""

    audit: HistoryAudit
    position: int


class HistoriesAudit:
    """Takes events in the order of the log. `events` and `runs` count what was looked at."""

    def __init__(self, mapper: EventMapper, is_wanted: IsWanted | None = None) -> None:
        self._mapper = mapper
        self._is_wanted = is_wanted
        self._workflows: dict[tuple[str, str, str], Workflow] = {}
        self._newer: dict[tuple[str, str, str], NeedsNewerProgram] = {}
        self._open: dict[str, _Open] = {}
        self._in_doubt: set[str] = set()
        self.events = 0
        self.runs = 0

    def faults(
        self, rows: Iterable[EventRow], total: int | None = None, on_stage: OnStage = silent
    ) -> Iterator[HistoryFault]:
        """Yield what is wrong with events, in order, and then with those that are missing at the end."""
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
        if stream_id in self._in_doubt:
            return
        if stream_id not in self._open and self._is_wanted is not None and row[2] not in _BEGINNINGS:
            return
        try:
            found = list(self._found(self._mapper.from_row(*row)))
        except NeedsNewerProgram as error:
            self._open.pop(stream_id, None)
            self._in_doubt.add(stream_id)
            yield HistoryFault(stream_id, position, f"version {row[1]}, {row[2]}: {error}", checked=False)
            return
        except Exception as error:  # noqa: BLE001 - whatever a tampered event leads to is a finding
            self._open.pop(stream_id, None)
            self._in_doubt.add(stream_id)
            found = [f"version {row[1]}, {row[2]}: it cannot be read or folded: {error}"]
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
            case StepCacheInvalidated():
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
                self._in_doubt.add(recorded.stream_id)
                yield f"version {recorded.version}, {type(event).__name__}: the run had ended, or never began"

    def _begin(self, recorded: Recorded, trigger: RunTriggered) -> Iterator[str]:
        if self._is_wanted is not None and not self._is_wanted(recorded):
            return
        self.runs += 1
        key = recorded.tenant, trigger.workflow_name, trigger.workflow_version
        workflow = self._workflows.get(key)
        if key in self._newer:
            raise self._newer[key]
        if workflow is None:
            self._in_doubt.add(recorded.stream_id)
            yield f"its workflow {trigger.workflow_name} {trigger.workflow_version} was never registered"
            return
        audit = HistoryAudit(recorded.stream_id, workflow, recorded.version, trigger)
        self._open[recorded.stream_id] = _Open(audit, recorded.position)
        yield from audit.found


_BEGINNINGS = frozenset({"RunTriggered", "WorkflowRegistered"})
