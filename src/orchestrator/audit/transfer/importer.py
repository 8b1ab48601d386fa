"""Bringing an export into an empty database: the same bytes at the same positions, and every read model with them.

The file is read twice: nothing is written before all of it was found in order. An import that was interrupted
goes on where it was, for what is there is the beginning of the file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from orchestrator.audit.chain import ChainHead, Tally
from orchestrator.audit.transfer.export import check_export, read_export
from orchestrator.domain.events import RunTriggered, StepCacheInvalidated, WorkflowRegistered
from orchestrator.domain.evolve import begin, evolve
from orchestrator.domain.run import Run
from orchestrator.eventstore.inline import inline_rows, withdrawal
from orchestrator.eventstore.log import PostgresLog, StoredRow
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.recorder import EventRow
from orchestrator.eventstore.runs import FindWorkflow
from orchestrator.projections.rebuild.stages import REPORT_EVENTS, OnStage, silent

_BATCH = 1_000


class ImportRefused(Exception):
    """What is to be imported cannot be: the database is not empty, or the export is not a log from its beginning."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to: the events of the file, at which position it began to write, and the head."""

    events: int
    resumed_at: int
    head: ChainHead


class Importer:
    """Writes an export into a database, with the inline read models that belong to it. Synchronous.

    In memory are the runs that are open at the place of the log.
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
            ImportRefused: the database holds other events, or the export leaves some out; nothing was written.
            DamagedExport, ParquetMissing, OSError: see `read_export`; nothing was written.
            UnreadableEvent: this program cannot read an event, or was given another cipher key.
        """
        there = self._there()
        tally = check_export(path, on_stage)
        if not tally.is_beginning:
            raise ImportRefused(
                f"{path} holds {tally.events} events up to position {tally.position}: only an export of the whole log "
                "can be imported"
            )
        if not self._is_beginning(path, there):
            raise ImportRefused("the database holds other events already; import into an empty one")
        self._position = there.position
        for row in read_export(path):
            self._take(row)
            if row[4] % REPORT_EVENTS == 0:
                on_stage("importing: events", row[4], tally.events)
        self._flush()
        return Imported(tally.events, there.position, tally.head)

    def _there(self) -> Tally:
        """Return what the events in the database come to."""
        tally = Tally()
        while page := self._log.recorder.log_rows(tally.position, _BATCH):
            for row in page:
                tally.take(row)
        return tally

    @staticmethod
    def _is_beginning(path: Path, there: Tally) -> bool:
        """Whether what is in the database is how the file begins."""
        tally = Tally()
        for row in read_export(path) if there.events else ():
            tally.take(row)
            if tally.events == there.events:
                break
        return tally == there

    def _take(self, row: EventRow) -> None:
        recorded = self._log.mapper.from_row(*row)
        if isinstance(recorded.event, StepCacheInvalidated):
            self._flush()  # what was stored before is withdrawn, what comes after is not
        inline = dict(self._changes(recorded))
        if row[4] <= self._position:
            return
        stream, version, name, state, _ = row
        self._rows.append((str(stream), version, name, state))
        for kind, items in inline.items():
            self._inline.setdefault(kind, []).extend(items)
        if len(self._rows) >= _BATCH or isinstance(recorded.event, WorkflowRegistered | StepCacheInvalidated):
            self._flush()  # what follows may need the definition

    def _changes(self, recorded: Recorded) -> Iterator[tuple[str, Sequence[Any]]]:
        """Yield what an event changes in the inline read models."""
        event, stream_id = recorded.event, recorded.stream_id
        match event:
            case WorkflowRegistered():
                yield "workflow_put", [catalogue_row(recorded.tenant, recorded.version, event)]
                return
            case StepCacheInvalidated():
                yield "cache_drop", [withdrawal(recorded.tenant, event)]
                return
            case RunTriggered():
                workflow = self._find_workflow(recorded.tenant, event.workflow_name, event.workflow_version)
                run = self._runs[stream_id] = begin(stream_id, workflow, event)
            case _ if stream_id not in self._runs:
                raise ImportRefused(f"position {recorded.position}: run {stream_id} is over, or never began")
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
            raise ImportRefused(f"somebody else writes to this database: position {self._position + 1} is taken")
        self._position += len(self._rows)
        self._rows, self._inline = [], {}


def catalogue_row(tenant: str, number: int, event: WorkflowRegistered) -> dict[str, Any]:
    """Return the catalogue's row of a registration; `number` is its version in the stream of the workflow."""
    return {
        "tenant": tenant,
        "name": event.name,
        "version": event.version,
        "number": number,
        "digest": event.digest,
        "definition": orjson.dumps(event.definition).decode(),
        "registered_at": event.at,
    }
