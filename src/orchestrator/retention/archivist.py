"""The archivist: moves runs from the log to archive files, and leaves a tombstone for each run.

    mark -> [next runs of a month -> write a file, read it back -> in one transaction: add tombstones, delete rows]

A crash loses nothing: until that transaction commits, the whole run is in the log; afterwards, it is in a file that
was read back. The next call continues with the runs that are marked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from psycopg.sql import SQL, Identifier

from orchestrator.audit.chain import Chain
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.recorder import EventRow
from orchestrator.eventstore.runs import FindWorkflow
from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql
from orchestrator.retention.archive import Archive, ArchiveFile
from orchestrator.retention.makers import Makers
from orchestrator.retention.removal import LeavingRun, open_removal, tombstone
from orchestrator.retention.run_logs import RunLogs
from orchestrator.retention.selection import RunSelection, Selector
from orchestrator.retention.turn import exclusively

_SQL = load_sql(__file__)
_MAX_EVENTS = 10_000
_MAX_BYTES = 64 << 20
_TABLES = ("events", "runs", "run_steps", "artifacts", "step_cache", "step_logs")

OnProgress = Callable[[int, int], None]
"""Called with the number of runs archived so far, and the total."""


@dataclass(frozen=True, slots=True)
class Retired:
    """The result of a call: archived runs, events and files, and the old runs kept for the cache or for other runs."""

    runs: int
    events: int
    files: tuple[str, ...]
    kept_for_cache: int
    kept_for_runs: int


@dataclass(frozen=True, slots=True)
class _Batch:
    """Runs that ended in the same month and are archived in one file."""

    month: str
    cutoff: int
    runs: Sequence[LeavingRun]

    @property
    def rows(self) -> list[EventRow]:
        """All events in log order."""
        return sorted((row for one in self.runs for row in one.rows), key=itemgetter(4))


class Archivist:
    """Archives runs. Synchronous.

    A file holds at most `max_runs` runs. `timeout_seconds` limits the wait for a running rebuild.
    """

    def __init__(
        self,
        database: Database,
        log: PostgresLog,
        find_workflow: FindWorkflow,
        archive: Archive,
        by: str,
        *,
        logs: RunLogs,
        max_runs: int = 2000,
        timeout_seconds: float = 60.0,
    ) -> None:
        self._max_runs = max_runs
        self._timeout_seconds = timeout_seconds
        self._database = database
        self._log = log
        self._find_workflow = find_workflow
        self._archive = archive
        self._logs = logs
        self._by = by
        self._selector = Selector(database, log)
        self._chain = Chain(database, log.recorder)

    def look(self, before: int) -> RunSelection:
        """Return what `apply` would select among runs that ended before a time (milliseconds since 1970 UTC)."""
        return self._selector.count(before)

    def apply(self, before: int, on_progress: OnProgress | None = None) -> Retired:
        """Archive the runs that ended before a time (milliseconds since 1970 UTC) and are not needed.

        Raises:
            RetentionRunning: another process is archiving runs, deleting a run or pruning artifacts.
            RetentionHeld: a read model is being rebuilt.
            DamagedExport, ParquetMissing, OSError: a file cannot be written. Files written before remain archived.
        """
        with exclusively(self._database):
            self._chain.head()  # only events that the chain covers may be archived
            selection = self._selector.mark(before)
            makers = Makers(self._database, self._log)
            left, runs, events, files = self._all(_SQL.left)[0]["runs"], 0, 0, list[str]()
            while (batch := self._next_batch()) is not None:
                rows = batch.rows
                file = self._archive.write(batch.month, rows)
                self._archive.write_logs(file.name, self._logs.lines([one.run_id for one in batch.runs]))
                self._retire(batch, rows, file, makers)
                files.append(file.name)
                runs += len(batch.runs)
                events += len(rows)
                if on_progress is not None:
                    on_progress(runs, left)
            if runs:
                self._vacuum()
        return Retired(runs, events, tuple(files), selection.kept_for_cache, selection.kept_for_runs)

    def _next_batch(self) -> _Batch | None:
        marked = self._all(_SQL.marked, {"limit": self._max_runs})
        if not marked:
            return None
        month, cutoff = marked[0]["month"], marked[0]["cutoff"]
        runs: list[LeavingRun] = []
        events = size = 0
        for row in marked:
            events += row["events"]
            other = (row["month"], row["cutoff"]) != (month, cutoff)
            if runs and (other or events > _MAX_EVENTS or size > _MAX_BYTES):
                break
            runs.append(LeavingRun.read(self._log, row["run_id"]))
            size += sum(len(event[3]) for event in runs[-1].rows)
        return _Batch(month, cutoff, runs)

    def _retire(self, batch: _Batch, rows: Sequence[EventRow], file: ArchiveFile, makers: Makers) -> None:
        """Replace the runs of a file by tombstones, in one transaction."""
        head = self._chain.head()
        tombstones = [tombstone(one, self._find_workflow, file.name) for one in batch.runs]
        with open_removal(self._database, self._timeout_seconds) as removal:
            removal.connection.execute(
                _SQL.record,
                {
                    "name": file.name,
                    "sha256": file.sha256,
                    "size_bytes": file.size_bytes,
                    "runs": len(batch.runs),
                    "events": len(rows),
                    "first_position": rows[0][4],
                    "last_position": rows[-1][4],
                    "chain_position": head.position,
                    "chain_link": head.link,
                    "cutoff": batch.cutoff,
                    "archived_by": self._by,
                },
            )
            removal.bury(tombstones)
            removal.remove_events(batch.runs)
            removal.remove_rows(batch.runs, makers.several)

    def _vacuum(self) -> None:
        """Vacuum the tables, so that they can reuse the space of the deleted rows."""
        with self._database.own_session() as connection:
            row = connection.execute(_SQL.deadline).fetchone()
            connection.execute(_SQL.set_deadline, {"timeout": "0"})
            try:
                for table in _TABLES:
                    connection.execute(SQL(_SQL.vacuum).format(table=Identifier(table)))
            finally:
                connection.execute(_SQL.set_deadline, {"timeout": row["timeout"] if row else "0"})

    def _all(self, statement: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        with self._database.connection() as connection:
            return connection.execute(statement, parameters).fetchall()
