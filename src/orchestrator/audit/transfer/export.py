"""Exports: events of the log in a file, exactly as they are stored, with an end record that proves completeness.

The end record (`ExportEnd`) holds the number of events and the chain head of exactly these events. For an export that
starts with the first event and has no gaps, this is the head of the log itself.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal
from uuid import UUID

from orchestrator.artifacts.private import create_private_file
from orchestrator.audit.chain import Tally
from orchestrator.audit.transfer import jsonl, parquet
from orchestrator.audit.transfer.end import DamagedExport, ExportEnd, end_of
from orchestrator.domain.events import RunTriggered, WorkflowRegistered
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.recorded import workflow_stream
from orchestrator.eventstore.recorder import EventRow
from orchestrator.projections.rebuild.stages import REPORT_EVENTS, OnStage, silent

Format = Literal["jsonl", "parquet"]

_PAGE = 2_000
_PARQUET_MAGIC = b"PAR1"


@dataclass(frozen=True, slots=True)
class EventSelection:
    """Which events to export: those of one run, or those decided between two times (milliseconds since 1970 UTC).

    The events of a run come after the registration of its workflow, so that the export can be verified on its own.
    """

    run_id: str | None = None
    since: int | None = None
    until: int | None = None

    @property
    def has_times(self) -> bool:
        """Whether events are selected by time."""
        return self.since is not None or self.until is not None

    def holds(self, at: int) -> bool:
        """Return whether an event of this time is selected: `since` is inclusive, `until` exclusive."""
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


def select(log: PostgresLog, selection: EventSelection) -> Iterator[EventRow]:
    """Yield the selected events in log order, up to the current end of the log. Memory use is constant."""
    rows = _whole_log(log) if selection.run_id is None else _run(log, selection.run_id)
    for row in rows:
        if not selection.has_times or selection.holds(log.mapper.from_row(*row).event.at):
            yield row


def _whole_log(log: PostgresLog) -> Iterator[EventRow]:
    position, end = 0, log.last_position()
    while position < end and (page := log.recorder.log_rows(position, min(_PAGE, end - position))):
        yield from page
        position = page[-1][4]


def _run(log: PostgresLog, run_id: str) -> Iterator[EventRow]:
    history = log.recorder.stream_rows(UUID(run_id))
    if not history:
        return
    first = log.mapper.from_row(*history[0])
    if isinstance(first.event, RunTriggered):
        wanted = first.event.workflow_name, first.event.workflow_version
        for row in log.recorder.stream_rows(UUID(workflow_stream(first.tenant, wanted[0]))):
            event = log.mapper.from_row(*row).event
            if isinstance(event, WorkflowRegistered) and (event.name, event.version) == wanted:
                yield row
    yield from history


def write_export(
    rows: Iterable[EventRow],
    target: Path | BinaryIO,
    form: Format,
    *,
    total: int | None = None,
    on_stage: OnStage = silent,
) -> Tally:
    """Write events to a file or a stream, and return their tally.

    A file appears under its name only once it is complete. Only its owner may read it.

    Raises:
        ParquetMissing: the package for Parquet is not installed.
        OSError: the file cannot be written.
    """
    tally = Tally()
    write = jsonl.write if form == "jsonl" else parquet.write
    counted = _counted(rows, tally, lambda done: on_stage("exporting: events", done, total))
    if not isinstance(target, Path):
        write(counted, tally, target)
        return tally
    unfinished = target.with_name(f"{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)  # left behind by an export that was killed
    try:
        with create_private_file(unfinished) as file:
            write(counted, tally, file)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return tally


def _counted(rows: Iterable[EventRow], tally: Tally, report: Callable[[int], None]) -> Iterator[EventRow]:
    for row in rows:
        tally.take(row)
        if tally.events % REPORT_EVENTS == 0:
            report(tally.events)
        yield row


def read_export(path: Path) -> Iterator[EventRow]:
    """Yield the events of an export in either format, in order. Memory use is constant.

    Raises:
        DamagedExport: the file is not an export. An incomplete or changed export is detected only after its last event.
        ParquetMissing: the package for Parquet is not installed.
        OSError: the file cannot be read.
    """
    tally, end = Tally(), None
    with path.open("rb") as file:
        is_parquet = file.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC
        file.seek(0)
        for found in parquet.read(file) if is_parquet else jsonl.read(file):
            if isinstance(found, ExportEnd):
                end = found
                continue
            if found[4] <= tally.position:
                raise DamagedExport(f"position {found[4]} follows position {tally.position}")
            tally.take(found)
            yield found
    if end is None:
        raise DamagedExport(f"the export is incomplete: it ends after {tally.events} events, without an end record")
    if end != end_of(tally):
        raise DamagedExport(
            f"the export was changed: its {tally.events} events have the chain head {tally.head.link} at position "
            f"{tally.position}, not {end.head.link} at position {end.head.position}"
        )


def check_export(path: Path, on_stage: OnStage = silent) -> Tally:
    """Read an export to its end, and return its tally; raises the errors of `read_export`."""
    tally = Tally()
    for _ in _counted(read_export(path), tally, lambda done: on_stage("checking the file: events", done, None)):
        pass
    return tally
