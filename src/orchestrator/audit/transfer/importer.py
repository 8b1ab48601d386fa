"""Import an export into an empty database: the same bytes at the same positions, with the inline read models.

The file is read twice, and nothing is written before the whole file is verified. An interrupted import can be resumed:
the events in the database are then the beginning of the file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from orchestrator.audit.chain import ChainHead, Tally
from orchestrator.audit.transfer.export import check_export, read_export
from orchestrator.domain.events import (
    EVENTS_OUTSIDE_RUNS,
    RunTriggered,
    StepCacheInvalidated,
    WorkflowRegistered,
    WorkflowRestored,
    WorkflowRetired,
)
from orchestrator.domain.evolve import begin, evolve
from orchestrator.domain.run import Run
from orchestrator.eventstore.inline import inline_rows, retirement, withdrawal
from orchestrator.eventstore.log import PostgresLog, StoredRow
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.recorder import EventRow
from orchestrator.eventstore.runs import FindWorkflow
from orchestrator.projections.rebuild.stages import REPORT_EVENTS, OnStage, silent

_BATCH = 1_000


class ImportRefused(Exception):
    """The export cannot be imported: the database is not empty, or the export is not a log from its beginning."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import: the number of events in the file, the position it resumed after, and the chain head."""

    events: int
    resumed_at: int
    head: ChainHead


class Importer:
    """Writes an export into a database, with its inline read models. Synchronous.

    Only unfinished runs are held in memory.
    """

    def __init__(self, log: PostgresLog, find_workflow: FindWorkflow) -> None:
        self._log = log
        self._find_workflow = find_workflow
        self._runs: dict[str, Run] = {}
        self._rows: list[StoredRow] = []
        self._inline: dict[str, list[Any]] = {}
        self._position = 0

    def run(self, path: Path, on_stage: OnStage = silent) -> Imported:
        """Import a file.

        Raises:
            ImportRefused: the database holds other events, or the export has gaps. Nothing was written, unless another
                process wrote to the database during the import, or an event belongs to no run.
            DamagedExport, ParquetMissing, OSError: see `read_export`; nothing was written.
            UnreadableEvent: this program cannot read an event, for example because of a different cipher key.
        """
        there = self._existing_events()
        tally = check_export(path, on_stage)
        if not tally.is_beginning:
            raise ImportRefused(
                f"{path} holds {tally.events} events up to position {tally.position}; only an export of the whole log "
                "can be imported"
            )
        if not self._is_beginning(path, there):
            raise ImportRefused("the database already holds other events; import into an empty database")
        self._position = there.position
        for row in read_export(path):
            self._take(row)
            if row[4] % REPORT_EVENTS == 0:
                on_stage("importing: events", row[4], tally.events)
        self._flush()
        return Imported(tally.events, there.position, tally.head)

    def _existing_events(self) -> Tally:
        """Return the tally of the events in the database."""
        tally = Tally()
        while page := self._log.recorder.log_rows(tally.position, _BATCH):
            for row in page:
                tally.take(row)
        return tally

    @staticmethod
    def _is_beginning(path: Path, there: Tally) -> bool:
        """Return whether the events in the database are the beginning of the file."""
        tally = Tally()
        for row in read_export(path) if there.events else ():
            tally.take(row)
            if tally.events == there.events:
                break
        return tally == there

    def _take(self, row: EventRow) -> None:
        recorded = self._log.mapper.from_row(*row)
        if isinstance(recorded.event, StepCacheInvalidated):
            self._flush()  # only results stored before this event are invalidated
        inline = dict(self._changes(recorded))
        if row[4] <= self._position:
            return
        stream, version, name, state, _ = row
        self._rows.append((str(stream), version, name, state))
        for kind, items in inline.items():
            self._inline.setdefault(kind, []).extend(items)
        if len(self._rows) >= _BATCH or isinstance(recorded.event, EVENTS_OUTSIDE_RUNS):
            self._flush()  # later events may need the definition

    def _changes(self, recorded: Recorded) -> Iterator[tuple[str, Sequence[Any]]]:
        """Yield the changes that an event makes to the inline read models."""
        event, stream_id = recorded.event, recorded.stream_id
        match event:
            case WorkflowRegistered():
                yield "workflow_put", [catalogue_row(recorded.tenant, recorded.version, event)]
                return
            case WorkflowRetired() | WorkflowRestored():
                yield "workflow_retire", [retirement(recorded.tenant, event, recorded.actor)]
                return
            case StepCacheInvalidated():
                yield "cache_drop", [withdrawal(recorded.tenant, event)]
                return
            case RunTriggered():
                workflow = self._find_workflow(recorded.tenant, event.workflow_name, event.workflow_version)
                run = self._runs[stream_id] = begin(stream_id, workflow, event)
            case _ if stream_id not in self._runs:
                raise ImportRefused(f"position {recorded.position}: run {stream_id} had ended, or never started")
            case _:
                run = evolve(self._runs[stream_id], event)
        if run.is_finished:
            del self._runs[stream_id]
        yield from inline_rows(run, recorded.tenant, [event]).items()

    def _flush(self) -> None:
        if not self._rows:
            return
        first = self._log.restore(self._rows, self._inline)
        if first != self._position + 1:
            raise ImportRefused(f"another process is writing to this database: position {self._position + 1} is taken")
        self._position += len(self._rows)
        self._rows, self._inline = [], {}


def catalogue_row(tenant: str, number: int, event: WorkflowRegistered) -> dict[str, Any]:
    """Return the catalogue row of a registration; `number` is its version in the workflow's stream."""
    return {
        "tenant": tenant,
        "name": event.name,
        "version": event.version,
        "number": number,
        "digest": event.digest,
        "definition": orjson.dumps(event.definition).decode(),
        "registered_at": event.at,
    }
