"""The eraser: deletes a finished run for good, and leaves a tombstone and a record of who deleted it, when and why.

    nobody needs it? -> in one transaction: tombstone, record, rows, [hold appends] results in the cache, events
        -> content of the artifact store that nothing else names

Unlike in archiving, nothing is kept of what the run was given and what it made. The tombstone keeps the digests of its
events, so the hash chain can still be verified.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import tuple_row

from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.sweeper import Sweep
from orchestrator.audit.chain import Chain
from orchestrator.domain.errors import RunNeeded
from orchestrator.domain.events import StepStarted
from orchestrator.eventstore.inline import needs
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.runs import FindWorkflow
from orchestrator.postgres.database import Connection, Database
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.read_models.built_in import NAMES
from orchestrator.retention.archive import Archive
from orchestrator.retention.names import content_named
from orchestrator.retention.pruner import Pruner
from orchestrator.retention.removal import LeavingRun, RetentionHeld, open_removal, tombstone
from orchestrator.retention.turn import exclusively

_SQL = load_sql(__file__)

MAX_NEEDING = 100
"""The maximum number of runs that an error lists."""


@dataclass(frozen=True, slots=True)
class Erased:
    """A deleted run: when it was deleted, how many events it had, and what was swept from the artifact store."""

    run_id: str
    deleted_at: datetime
    events: int
    content: Sweep


class Eraser:
    """Deletes runs of one tenant. Synchronous. `timeout_seconds` limits the wait for a running rebuild."""

    def __init__(
        self,
        database: Database,
        log: PostgresLog,
        find_workflow: FindWorkflow,
        *,
        archive: Archive,
        store: ArtifactStore,
        tenant: str,
        timeout_seconds: float = 10.0,
    ) -> None:
        self._database = database
        self._log = log
        self._find_workflow = find_workflow
        self._tenant = tenant
        self._timeout_seconds = timeout_seconds
        self._chain = Chain(database, log.recorder)
        self._pruner = Pruner(database, log, archive, store, tenant)

    def check(self, run_id: str) -> None:
        """Check that no run needs this one, according to the read models.

        Raises:
            RunNeeded: other runs are based on it, reuse from it, or show a result of it.
        """
        with self._database.connection() as connection:
            self._check(connection, run_id)

    def erase(self, run_id: str, reason: str, by: str) -> Erased:
        """Delete a run. It must be finished, and not have the newest event of the log.

        Raises:
            RunNeeded: other runs need it. Nothing was deleted.
            RetentionRunning: another process is archiving, deleting or pruning.
            RetentionHeld: a read model is being rebuilt, or has not reached the end of the run.
        """
        with exclusively(self._database):
            self._chain.head()  # only events that the chain covers may leave
            run = LeavingRun.read(self._log, run_id)
            hashes = {found for recorded in run.history for found in content_named(recorded.event)}
            hashes |= self._log_content(run_id)
            erased_at, position = self._remove(run, reason, by)
            content = self._pruner.remove_unnamed(hashes, position)
        return Erased(run_id, erased_at, len(run.rows), content)

    def _log_content(self, run_id: str) -> set[str]:
        """Return the hashes of the chunks of the run's step logs."""
        with self._database.connection() as connection:
            rows = connection.execute(_SQL.log_content, {"tenant": self._tenant, "run_id": run_id}).fetchall()
        return {row["content_hash"] for row in rows}

    def _remove(self, run: LeavingRun, reason: str, by: str) -> tuple[datetime, int]:
        """Remove the run in one transaction; return when, and the position of the read models."""
        place = {"tenant": self._tenant, "run_id": run.run_id}
        keys = [recorded.event.cache_key for recorded in run.history if isinstance(recorded.event, StepStarted)]
        with open_removal(self._database, self._timeout_seconds) as removal:
            connection = removal.connection
            position = min((removal.positions.get(name, 0) for name in NAMES), default=0)
            if position < run.history[-1].position:
                raise RetentionHeld("the read models have not reached the end of the run; try again in a moment")
            self._check(connection, run.run_id)
            removal.bury([tombstone(run, self._find_workflow, None)])
            recorded = connection.execute(
                _SQL.record, {**place, "events": len(run.rows), "reason": reason, "by": by}
            ).fetchone()
            removal.remove_rows([run], set)
            removal.remove_copies()
            # From here on no append can refer to the run. What follows takes no time.
            connection.execute(_SQL.hold_appends)
            if recent := sorted(set(self._needing_since(connection, position, run.run_id))):
                raise _needed(run.run_id, recent)
            connection.execute(_SQL.forget_results, {**place, "keys": keys})
            connection.execute(_SQL.next_epoch, place)
            removal.remove_events([run])
        return (recorded or {})["deleted_at"], position

    def _check(self, connection: Connection, run_id: str) -> None:
        wanted = {"tenant": self._tenant, "run_id": run_id, "limit": MAX_NEEDING}
        if rows := connection.execute(_SQL.needing, wanted).fetchall():
            raise _needed(run_id, [row["run_id"] for row in rows])

    def _needing_since(self, connection: Connection, position: int, run_id: str) -> Iterator[str]:
        """Yield the runs whose events after a position refer to a run."""
        with connection.cursor(row_factory=tuple_row) as cursor:
            rows = cursor.execute(_SQL.recent, {"after": position}, binary=True).fetchall()
        for row in rows:
            recorded = self._log.mapper.from_row(*row)
            if recorded.stream_id != run_id and run_id in needs(recorded.event):
                yield recorded.stream_id


def _needed(run_id: str, needing: list[str]) -> RunNeeded:
    few = ", ".join(needing[:3])
    more = f" and {len(needing) - 3} more" if len(needing) > 3 else ""
    return RunNeeded(
        f"run {run_id} cannot be deleted: it is the base of other runs, or they use its results: {few}{more}; "
        "delete these first",
        runId=run_id,
        runIds=needing[:MAX_NEEDING],
    )
