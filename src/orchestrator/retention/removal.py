"""The removal: takes runs out of the log and the read models, in one transaction, and leaves a tombstone for each."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.errors import LockNotAvailable
from psycopg.sql import SQL, Identifier

from orchestrator.audit.chain import digest
from orchestrator.domain.events import RunCancelled, RunCompleted, RunFailed, RunTriggered, StepCompleted
from orchestrator.domain.evolve import begin
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.recorder import EventRow
from orchestrator.eventstore.runs import FindWorkflow
from orchestrator.postgres.database import Connection, Database
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.read_models.built_in import NAMES
from orchestrator.projections.rebuild.filling import schema_of
from orchestrator.retention.makers import Artifacts

_SQL = load_sql(__file__)
_ROWS = tuple(_SQL[name] for name in _SQL if name.startswith("forget_rows_"))
_STATUS: Mapping[type[Any], str] = {RunCompleted: "completed", RunFailed: "failed", RunCancelled: "cancelled"}

HaveOtherMakers = Callable[[Artifacts], set[tuple[str, str]]]
"""Returns those of the given artifacts that another run may have made as well."""


class RetentionHeld(Exception):
    """Something else, such as a rebuild, holds a lock that is needed. The next call resumes."""


@dataclass(frozen=True, slots=True)
class LeavingRun:
    """A run that leaves, with all of its events in stored and in decoded form."""

    run_id: str
    rows: Sequence[EventRow]
    history: Sequence[Recorded]

    @classmethod
    def read(cls, log: PostgresLog, run_id: str) -> "LeavingRun":
        """Read a run from the log."""
        rows = log.recorder.stream_rows(UUID(run_id))
        return cls(run_id, rows, [log.mapper.from_row(*row) for row in rows])

    @property
    def artifacts(self) -> set[tuple[str, str]]:
        """The tenant and id of every artifact that its steps made."""
        return {
            (recorded.tenant, artifact.id)
            for recorded in self.history
            if isinstance(recorded.event, StepCompleted)
            for artifact in recorded.event.output.artifacts
        }


def tombstone(run: LeavingRun, find_workflow: FindWorkflow, archive: str | None) -> dict[str, Any]:
    """Return the row of `archived_runs` for a run. Without an archive file, it keeps nothing of the request.

    Raises:
        ValueError: the history is not that of a finished run, or has gaps.
    """
    first, last = run.history[0], run.history[-1]
    trigger = first.event
    versions = [recorded.version for recorded in run.history]
    if not isinstance(trigger, RunTriggered) or type(last.event) not in _STATUS:
        raise ValueError(f"run {run.run_id} cannot leave the log: its history is incomplete")
    if versions != list(range(1, len(versions) + 1)):
        raise ValueError(f"run {run.run_id} cannot leave the log: its history has gaps")
    workflow = find_workflow(first.tenant, trigger.workflow_name, trigger.workflow_version)
    return {
        "run_id": run.run_id,
        "tenant": first.tenant,
        "workflow_name": workflow.name,
        "workflow_version": workflow.version,
        "status": _STATUS[type(last.event)],
        "created_at": trigger.at,
        "completed_at": last.event.at,
        "request": None if archive is None else trigger.request,
        "steps": len(begin(run.run_id, workflow, trigger).waiting),
        "first_position": first.position,
        "last_position": last.position,
        "positions": b"".join(recorded.position.to_bytes(8, "big") for recorded in run.history),
        "digests": b"".join(digest(row) for row in run.rows),
        "archive": archive,
    }


class Removal:
    """Removes runs inside one transaction. `positions` are those of the read models, which stand still meanwhile."""

    def __init__(self, connection: Connection, positions: Mapping[str, int]) -> None:
        self.connection = connection
        self.positions = positions

    def bury(self, tombstones: Sequence[Mapping[str, Any]]) -> None:
        """Add tombstones. Only then does the database let the events go."""
        with self.connection.cursor() as cursor:
            cursor.executemany(_SQL.bury, tombstones)

    def remove_rows(self, runs: Sequence[LeavingRun], have_other_makers: HaveOtherMakers) -> None:
        """Remove all rows of runs, and hand their artifacts on to the next run that made them, if there is one."""
        run_ids = {"run_ids": [run.run_id for run in runs]}
        for statement in _ROWS:
            self.connection.execute(statement, run_ids)
        self._remove_custom_rows(run_ids)
        made = {artifact for run in runs for artifact in run.artifacts}
        gone = self.connection.execute(_SQL.forget_artifacts, {**run_ids, **_pairs(made)}).fetchall()
        orphans = have_other_makers({(row["tenant"], row["id"]) for row in gone})
        if orphans:
            self.connection.execute(_SQL.hand_on_artifacts, _pairs(orphans))

    def remove_events(self, runs: Sequence[LeavingRun]) -> None:
        """Remove the events of runs from the log."""
        self.connection.execute(_SQL.forget_events, {"run_ids": [run.run_id for run in runs]})

    def remove_copies(self) -> None:
        """Remove what interrupted rebuilds have copied."""
        for name in self.positions:
            self.connection.execute(SQL(_SQL.forget_rebuilt).format(schema=Identifier(schema_of(name))))

    def _remove_custom_rows(self, run_ids: Mapping[str, Sequence[str]]) -> None:
        """Delete the runs' rows in custom read models, whether or not their package is installed here."""
        if custom := sorted(set(self.positions) - set(NAMES)):
            for row in self.connection.execute(_SQL.custom_tables, {"names": custom}).fetchall():
                statement = SQL(_SQL.forget_custom_rows).format(table=Identifier("orchestrator", row["name"]))
                self.connection.execute(statement, run_ids)


@contextmanager
def open_removal(database: Database, timeout_seconds: float) -> Iterator[Removal]:
    """Open the transaction in which runs are removed. It holds up rebuilds and projectors until it ends.

    An interrupted rebuild begins again.

    Raises:
        RetentionHeld: a read model is being rebuilt or projected for longer than the timeout.
    """
    try:
        with database.transaction() as connection:
            connection.execute(_SQL.lock_timeout, {"timeout_ms": str(round(timeout_seconds * 1000))})
            connection.execute(_SQL.hold_rebuilds, {"names": list(NAMES)})
            held = connection.execute(_SQL.hold_projections).fetchall()
            yield Removal(connection, {row["name"]: int(row["position"]) for row in held})
            connection.execute(_SQL.forget_rebuilds)
    except LockNotAvailable as error:
        raise RetentionHeld(
            "a read model is locked, by a rebuild or by a projector; try again when it is finished"
        ) from error


def _pairs(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    listed = sorted(pairs)
    return {"tenants": [tenant for tenant, _ in listed], "ids": [artifact for _, artifact in listed]}
