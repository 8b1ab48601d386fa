"""The projector: reads the log in batches, and writes rows and checkpoints in one transaction.

    lock checkpoints -> read batch -> fold -> rows of each read model -> write with the new checkpoint

Several projectors may run: the one that holds the locks on the checkpoints projects, and the others wait. An event that
a read model cannot apply stops only that read model; the position and the error are recorded. An event that a newer
release wrote stops nothing: this projector pauses, so that a projector of that release can project it.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

import orjson

from orchestrator.background.duty import DutyThread, OnRestart, ignore
from orchestrator.background.pauses import RareWarning
from orchestrator.domain.errors import NeedsNewerProgram
from orchestrator.domain.run import Run
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.runs import FindWorkflow
from orchestrator.postgres.arrays import bigint, bigint_array, text_array, to_bigint
from orchestrator.postgres.database import Database
from orchestrator.postgres.listener import EVENTS, Listener
from orchestrator.postgres.session import Execute, Statement
from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.projections.history import Batch, Histories
from orchestrator.projections.read_models.built_in import read_models
from orchestrator.projections.read_models.contract import ProjectedRun, ReadModel
from orchestrator.projections.read_models.upsert import upsert

logger = logging.getLogger(__name__)

_SQL = load_sql(__file__)
_LOOK_AGAIN_SECONDS = 10.0
_RETRY_SECONDS = 0.5
_PAUSE_SECONDS = 30.0
"""How long a projector pauses after an event that only a newer release can read."""
_GATHER_SECONDS = 0.01
"""How long to wait for more events before a pass, so that many quick appends need only a few passes."""

_LOCK = Statement("lock", _SQL.lock, ("text[]", "int8[]"))
_ADVANCE = Statement("advance", _SQL.advance, ("int8", "text[]"))
_ADVANCE_QUIETLY = Statement("advance_quietly", _SQL.advance_quietly, ("int8", "text[]"))

Tell = Callable[[Iterable[Recorded], Mapping[str, Run]], None]
"""Called with events that were projected for the first time, and the runs they belong to; see `journal.tell`."""


def skipped_positions(database: Database) -> frozenset[int]:
    """Return the positions of the events that an operator decided to skip."""
    with database.connection() as connection:
        return frozenset(row["position"] for row in connection.execute(_SQL.skips).fetchall())


class PoisonedEvent(Exception):
    """These read models cannot apply one of the `count` events that begin at `position`."""

    def __init__(self, models: Sequence[ReadModel], position: int, count: int, cause: Exception) -> None:
        super().__init__(f"{count} events from position {position}: {cause!r}")
        self.models = models
        self.position = position
        self.count = count
        self.cause = cause


class Projector:
    """Keeps asynchronous read models up to date, in its own thread.

    Args:
        database: the database that contains the rows.
        log: the log to project.
        find_workflow: finds the workflow definition of a run.
        listener: notifies of new events.
        models: the read models to maintain; by default those of the status endpoints.
        batch_size: the maximum number of events projected in one transaction.
        tell: called with events that were projected, and their runs.
        on_restart: called when the thread failed and was restarted.
        name: the name of the thread.
        notifies: whether to notify other processes of the new position. They wait for the read models of the status
            endpoints only.
    """

    def __init__(
        self,
        database: Database,
        log: PostgresLog,
        find_workflow: FindWorkflow,
        listener: Listener,
        *,
        models: tuple[ReadModel, ...] | None = None,
        batch_size: int = 2000,
        tell: Tell | None = None,
        on_restart: OnRestart = ignore,
        name: str = "projector",
        notifies: bool = True,
    ) -> None:
        self._database = database
        self._advance = _ADVANCE if notifies else _ADVANCE_QUIETLY
        self._models = models or read_models()
        self._histories = Histories(log, find_workflow, lambda: skipped_positions(database))
        self._session = database.session()
        self._names = [model.name for model in self._models]
        self._versions = [model.version for model in self._models]
        self._registered = False
        self._batch_size = self._limit = batch_size
        self._tell = tell
        self._position = 0
        self._paused_until = 0.0
        self._wake = threading.Event()
        self._warn = RareWarning(logger, "projector waits, database unavailable")
        self._duty = DutyThread(name, self._serve, on_restart)
        self._stopping = self._duty.stopping
        listener.on(EVENTS, lambda _: self._wake.set())

    def start(self) -> None:
        """Start projecting."""
        self._wake.set()
        self._duty.start()

    def stop(self, timeout: float | None = None) -> None:
        """Stop after one last batch of the events that are in the log now.

        Args:
            timeout: how many seconds to wait for the thread to end; None waits without a limit.
        """
        self._stopping.set()
        self._wake.set()
        self._duty.stop(timeout)
        self._session.close()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(_LOOK_AGAIN_SECONDS)
            self._gather()
            self._wake.clear()
            try:
                while not self._stopping.is_set() and (projected := self.project_batch()):
                    if projected < self._limit:
                        self._gather()
            except DatabaseUnavailable as error:
                self._warn(error)
                self._histories.forget()
                self._stopping.wait(_RETRY_SECONDS)
                self._wake.set()
        with suppress(DatabaseUnavailable):
            self.project_batch()

    def _gather(self) -> None:
        self._stopping.wait(_GATHER_SECONDS)

    def project_batch(self) -> int:
        """Project the next events and return how many there were.

        Also return 0 while another projector holds the checkpoints, or a newer release must project the next event.
        """
        if time.monotonic() < self._paused_until:
            return 0
        try:
            projected = self._project()
        except PoisonedEvent as poison:
            self._forget()
            return self._isolate(poison)
        except BaseException:
            self._forget()
            raise
        self._limit = min(self._batch_size, self._limit * 2)
        return projected

    def _project(self) -> int:
        self._register()
        with self._session.transaction() as execute:
            places = self._lock(execute)
            if not places:
                return 0
            position = min(places.values())
            if position != self._position:
                self._histories.forget()
                self._position = position
            group = [model for model in self._models if places.get(model.name) == position]
            # Read models that are behind catch up first, then continue together with the others.
            ahead = min((place - position for place in places.values() if place > position), default=self._limit)
            batch, touched = self._fold(group, position, min(self._limit, ahead))
            if batch.position == position:
                return 0
            for model in group:
                self._write(execute, model, touched, position + 1, batch)
            execute(self._advance, (bigint(batch.position), text_array([model.name for model in group])))
        for projected in touched:
            projected.touched.clear()
        self._position = batch.position
        # Report at the pace of the first read model only: the others, and other projectors, would report events twice.
        if self._tell is not None and self._models[0] in group:
            self._report(batch, touched, self._tell)
        return batch.position - position

    @staticmethod
    def _report(batch: Batch, touched: Sequence[ProjectedRun], tell: Tell) -> None:
        """Report projected events to `tell`, and log its failures: they must not affect the read models."""
        try:
            tell(batch.events, {projected.run.id: projected.run for projected in touched})
        except Exception:
            logger.exception("events could not be reported to log and metrics", extra={"position": batch.position})

    def _register(self) -> None:
        if not self._registered:
            with self._database.connection() as connection:
                connection.execute(_SQL.introduce, {"names": self._names, "versions": self._versions})
            self._registered = True

    def _lock(self, execute: Execute) -> dict[str, int]:
        """Lock the checkpoints of live read models and return their positions; skip those that are already locked."""
        found = execute(_LOCK, (text_array(self._names), bigint_array(self._versions)))
        names = [(found.get_value(row, 0) or b"").decode() for row in range(found.ntuples)]
        return {name: to_bigint(found.get_value(row, 1)) for row, name in enumerate(names)}

    def _fold(self, group: Sequence[ReadModel], position: int, limit: int) -> tuple[Batch, list[ProjectedRun]]:
        try:
            batch = self._histories.read(position, limit)
            return batch, self._histories.fold(batch)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            raise PoisonedEvent(group, position + 1, limit, error) from error

    @staticmethod
    def _write(execute: Execute, model: ReadModel, touched: Sequence[ProjectedRun], first: int, batch: Batch) -> None:
        try:
            upsert(execute, model, touched)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            raise PoisonedEvent([model], first, batch.position - first + 1, error) from error

    def _isolate(self, poison: PoisonedEvent) -> int:
        """Narrow a failed batch down to the event that cannot be applied, then stop the read models that fail on it."""
        if poison.count > 1:
            self._limit = max(1, poison.count // 8)
            return poison.count
        if isinstance(poison.cause, NeedsNewerProgram):
            self._pause(poison)
            return 0
        names = [model.name for model in poison.models]
        logger.error("%s stopped at position %d: %r", ", ".join(names), poison.position, poison.cause)
        fault = orjson.dumps({"position": poison.position, "error": repr(poison.cause)}).decode()
        with self._database.connection() as connection:
            connection.execute(_SQL.stop, {"names": names, "error": fault})
        return 1

    def _pause(self, poison: PoisonedEvent) -> None:
        """Leave the next event to a projector of a newer release, and try again after a pause."""
        logger.warning(
            "projector paused, a newer release must project this event",
            extra={"position": poison.position, "reason": poison.cause},
        )
        with self._database.connection() as connection:
            connection.execute(_SQL.call_others)
        self._limit = self._batch_size
        self._paused_until = time.monotonic() + _PAUSE_SECONDS

    def _forget(self) -> None:
        self._histories.forget()
        self._position = -1
