"""The archivist: moves runs from the log to archive files, and leaves a tombstone for each run.

    mark -> [next runs of a month -> write a file, read it back -> in one transaction: add tombstones, delete rows]

A crash loses nothing: until that transaction commits, the whole run is in the log; afterwards, it is in a file that
was read back. The next call continues with the runs that are marked.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import Any
from uuid import UUID

from psycopg.errors import LockNotAvailable
from psycopg.sql import SQL, Identifier

from orchestrator.audit.chain import Chain, digest
from orchestrator.domain.events import RunCancelled, RunCompleted, RunFailed, RunTriggered, StepCompleted
from orchestrator.domain.evolve import begin
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.recorder import EventRow
from orchestrator.eventstore.runs import FindWorkflow
from orchestrator.postgres.database import Connection, Database
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.read_models.built_in import NAMES
from orchestrator.retention.archive import Archive, ArchiveFile
from orchestrator.retention.makers import Makers
from orchestrator.retention.run_logs import RunLogs
from orchestrator.retention.selection import RunSelection, Selector

_SQL = load_sql(__file__)
_MAX_EVENTS = 10_000
_MAX_BYTES = 64 << 20
_TABLES = ("events", "runs", "run_steps", "artifacts", "step_cache", "step_logs")
_STATUS: Mapping[type[Any], str] = {RunCompleted: "completed", RunFailed: "failed", RunCancelled: "cancelled"}

OnProgress = Callable[[int, int], None]
"""Called with the number of runs archived so far, and the total."""


class RetentionRunning(Exception):
    """Another process is archiving runs."""


class RetentionHeld(Exception):
    """Something else, such as a rebuild, holds a lock that the archivist needs. The next call resumes."""


@dataclass(frozen=True, slots=True)
class Retired:
    """The result of a call: archived runs, events and files, and the old runs kept for the cache or for other runs."""

    runs: int
    events: int
    files: tuple[str, ...]
    kept_for_cache: int
    kept_for_runs: int


@dataclass(frozen=True, slots=True)
class _RetiringRun:
    """A run to archive, with all of its events in stored and in decoded form."""

    run_id: str
    rows: Sequence[EventRow]
    history: Sequence[Recorded]


@dataclass(frozen=True, slots=True)
class _Batch:
    """Runs that ended in the same month and are archived in one file."""

    month: str
    cutoff: int
    runs: Sequence[_RetiringRun]

    @property
    def ids(self) -> list[str]:
        """The ids of the runs."""
        return [one.run_id for one in self.runs]

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
            RetentionRunning: another process is archiving runs.
            RetentionHeld: a read model is being rebuilt.
            DamagedExport, ParquetMissing, OSError: a file cannot be written. Files written before remain archived.
        """
        with self._exclusively():
            self._chain.head()  # only events that the chain covers may be archived
            selection = self._selector.mark(before)
            makers = Makers(self._database, self._log)
            left, runs, events, files = self._all(_SQL.left)[0]["runs"], 0, 0, list[str]()
            while (batch := self._next_batch()) is not None:
                rows = batch.rows
                file = self._archive.write(batch.month, rows)
                self._archive.write_logs(file.name, self._logs.lines(batch.ids))
                self._retire(batch, rows, file, makers)
                files.append(file.name)
                runs += len(batch.runs)
                events += len(rows)
                if on_progress is not None:
                    on_progress(runs, left)
            if runs:
                self._vacuum()
        return Retired(runs, events, tuple(files), selection.kept_for_cache, selection.kept_for_runs)

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        with self._database.connection() as guard:
            row = guard.execute(_SQL.exclusive).fetchone()
            if row is None or not row["locked"]:
                raise RetentionRunning("another process is archiving runs")
            try:
                yield
            finally:
                guard.execute(_SQL.release)

    def _next_batch(self) -> _Batch | None:
        marked = self._all(_SQL.marked, {"limit": self._max_runs})
        if not marked:
            return None
        month, cutoff = marked[0]["month"], marked[0]["cutoff"]
        runs: list[_RetiringRun] = []
        events = size = 0
        for row in marked:
            events += row["events"]
            other = (row["month"], row["cutoff"]) != (month, cutoff)
            if runs and (other or events > _MAX_EVENTS or size > _MAX_BYTES):
                break
            runs.append(self._load(row["run_id"]))
            size += sum(len(event[3]) for event in runs[-1].rows)
        return _Batch(month, cutoff, runs)

    def _load(self, run_id: str) -> _RetiringRun:
        rows = self._log.recorder.stream_rows(UUID(run_id))
        return _RetiringRun(run_id, rows, [self._log.mapper.from_row(*row) for row in rows])

    def _retire(self, batch: _Batch, rows: Sequence[EventRow], file: ArchiveFile, makers: Makers) -> None:
        """Replace the runs of a file by tombstones, in one transaction."""
        head = self._chain.head()
        tombstones = [self._tombstone(one, file.name) for one in batch.runs]
        try:
            with self._database.transaction() as connection:
                connection.execute(_SQL.lock_timeout, {"timeout_ms": str(round(self._timeout_seconds * 1000))})
                connection.execute(_SQL.hold_rebuilds, {"names": list(NAMES)})
                held = connection.execute(_SQL.hold_projections).fetchall()
                connection.execute(
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
                with connection.cursor() as cursor:
                    cursor.executemany(_SQL.bury, tombstones)
                for statement in (_SQL.forget_events, _SQL.forget_runs, _SQL.forget_steps, _SQL.unmark):
                    connection.execute(statement, {"run_ids": batch.ids})
                self._logs.forget(connection, batch.ids)
                self._delete_custom_rows(connection, [row["name"] for row in held], batch)
                self._reassign_artifacts(connection, batch, makers)
                connection.execute(_SQL.forget_rebuilds)
        except LockNotAvailable as error:
            raise RetentionHeld(
                "a read model is locked, by a rebuild or by a projector; try again when it is finished"
            ) from error

    def _tombstone(self, one: _RetiringRun, archive: str) -> dict[str, Any]:
        first, last = one.history[0], one.history[-1]
        trigger = first.event
        versions = [recorded.version for recorded in one.history]
        if not isinstance(trigger, RunTriggered) or type(last.event) not in _STATUS:
            raise ValueError(f"cannot archive run {one.run_id}: its history is incomplete")
        if versions != list(range(1, len(versions) + 1)):
            raise ValueError(f"cannot archive run {one.run_id}: its history has gaps")
        workflow = self._find_workflow(first.tenant, trigger.workflow_name, trigger.workflow_version)
        return {
            "run_id": one.run_id,
            "tenant": first.tenant,
            "workflow_name": workflow.name,
            "workflow_version": workflow.version,
            "status": _STATUS[type(last.event)],
            "created_at": trigger.at,
            "completed_at": last.event.at,
            "request": trigger.request,
            "steps": len(begin(one.run_id, workflow, trigger).waiting),
            "first_position": first.position,
            "last_position": last.position,
            "positions": b"".join(recorded.position.to_bytes(8, "big") for recorded in one.history),
            "digests": b"".join(digest(row) for row in one.rows),
            "archive": archive,
        }

    @staticmethod
    def _delete_custom_rows(connection: Connection, names: Sequence[str], batch: _Batch) -> None:
        """Delete the runs' rows in custom read models, whether or not their package is installed here."""
        if custom := sorted(set(names) - set(NAMES)):
            for row in connection.execute(_SQL.custom_tables, {"names": custom}).fetchall():
                statement = SQL(_SQL.forget_custom_rows).format(table=Identifier("orchestrator", row["name"]))
                connection.execute(statement, {"run_ids": batch.ids})

    @staticmethod
    def _reassign_artifacts(connection: Connection, batch: _Batch, makers: Makers) -> None:
        """Delete the artifacts of the runs, or assign them to the next run that produced them.

        The transaction blocks the projectors.
        """
        made = {
            (recorded.tenant, artifact.id)
            for one in batch.runs
            for recorded in one.history
            if isinstance(recorded.event, StepCompleted)
            for artifact in recorded.event.output.artifacts
        }
        gone = connection.execute(_SQL.forget_artifacts, {"run_ids": batch.ids, **_pairs(made)}).fetchall()
        orphans = makers.several({(row["tenant"], row["id"]) for row in gone})
        if orphans:
            connection.execute(_SQL.hand_on_artifacts, _pairs(orphans))

    def _vacuum(self) -> None:
        """Vacuum the tables, so that they can reuse the space of the deleted rows."""
        with self._database.connection() as connection:
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


def _pairs(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    listed = sorted(pairs)
    return {"tenants": [tenant for tenant, _ in listed], "ids": [artifact for _, artifact in listed]}
