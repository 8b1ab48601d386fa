"""Exports: events of the log in a file, exactly as they were stored, and a last word that says whether all are there.

The last word (`ExportEnd`) counts the events and holds the head of a chain over exactly these. Of an export
that begins with the first event it is the head of the log itself.
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
    """Which events to export: of one run, or those decided between two times (milliseconds since 1970 UTC).

    Those of a run come after the registration of its workflow, so that they can be checked on their own.
    """

    run_id: str | None = None
    since: int | None = None
    until: int | None = None

    @property
    def has_times(self) -> bool:
        """Whether events are selected by when they were decided."""
        return self.since is not None or self.until is not None

    def holds(self, at: int) -> bool:
        """Whether an event of this time is selected."""
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


def select(log: PostgresLog, selection: EventSelection) -> Iterator[EventRow]:
    """Yield the selected events in the order of the log, up to its end as it is now. Memory is flat."""
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
    """Write events to a file, which is there only when it is whole, or to a stream; return what they come to.

    Only its owner may read the file.

    Raises:
        ParquetMissing: the package for that form is not installed.
        OSError: the file cannot be written.
    """
    tally = Tally()
    write = jsonl.write if form == "jsonl" else parquet.write
    counted = _counted(rows, tally, lambda done: on_stage("exporting: events", done, total))
    if not isinstance(target, Path):
        write(counted, tally, target)
        return tally
    unfinished = target.with_name(f"{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)  # of an export that was killed
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
    """Yield the events of an export of either form, in order. Memory is flat.

    Raises:
        DamagedExport: it is no export; or, after the last event, they are not all that were written.
        ParquetMissing: the package for that form is not installed.
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
        raise DamagedExport(f"it ends after {tally.events} events without its last word: the rest is missing")
    if end != end_of(tally):
        raise DamagedExport(
            f"its {tally.events} events come to {tally.head.link} at position {tally.position}, "
            f"not to {end.head.link} at position {end.head.position}: it was changed"
        )


def check_export(path: Path, on_stage: OnStage = silent) -> Tally:
    """Read an export to its end and return what it comes to; raises what `read_export` does."""
    tally = Tally()
    for _ in _counted(read_export(path), tally, lambda done: on_stage("checking the file: events", done, None)):
        pass
    return tally
