"""The projector: reads the log in batches and writes rows and checkpoints in one transaction.

    lock checkpoints -> read batch -> fold -> rows of each read model -> write with the new checkpoint

Several projectors may run; whoever holds the checkpoints projects, the others find them locked and wait.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import chain

from orchestrator.domain.run import Run
from orchestrator.eventstore.database import DATABASE_AWAY, Connection, Database
from orchestrator.eventstore.listener import EVENTS, Listener
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.runs import FindWorkflow
from orchestrator.eventstore.sql import load_sql
from orchestrator.projections.artifacts import Artifacts
from orchestrator.projections.contract import ReadModel
from orchestrator.projections.history import Histories
from orchestrator.projections.run_steps import RunSteps
from orchestrator.projections.runs import Runs

logger = logging.getLogger(__name__)

_SQL = load_sql(__file__)
_LOOK_AGAIN_SECONDS = 10.0
_RETRY_SECONDS = 0.5

Tell = Callable[[Iterable[Recorded], Mapping[str, Run]], None]
"""Called with events that were projected for the first time, and the runs they belong to; see `journal.tell`."""


def read_models() -> tuple[ReadModel, ...]:
    """Return the read models that the projector keeps."""
    return Runs(), RunSteps(), Artifacts()


class Projector:
    """Keeps the asynchronous read models up to date, in a thread of its own."""

    def __init__(
        self,
        database: Database,
        log: PostgresLog,
        find_workflow: FindWorkflow,
        listener: Listener,
        *,
        batch_size: int = 2000,
        tell: Tell | None = None,
    ) -> None:
        self._database = database
        self._log = log
        self._models = read_models()
        self._histories = Histories(log, find_workflow)
        self._batch_size = batch_size
        self._tell = tell
        self._position = 0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="projector", daemon=True)
        listener.on(EVENTS, lambda _: self._wake.set())

    def start(self) -> None:
        """Begin to project."""
        self._wake.set()
        self._thread.start()

    def stop(self) -> None:
        """End after a last batch: of what was in the log when this was called, or the first of it."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(_LOOK_AGAIN_SECONDS)
            self._wake.clear()
            try:
                while not self._stopping.is_set() and self.project_batch():
                    pass
            except DATABASE_AWAY as error:
                logger.warning("projecting pauses, the database is away: %s", error)
                self._histories.forget()
                self._stopping.wait(_RETRY_SECONDS)
                self._wake.set()
        with suppress(*DATABASE_AWAY):
            self.project_batch()

    def project_batch(self) -> int:
        """Project the next events and return how many there were (0 also when another projector is at it)."""
        with self._database.transaction() as connection:
            checkpoints = self._lock(connection)
            if checkpoints is None:
                return 0
            position = min(checkpoints)
            if position != self._position:
                self._histories.forget()
            batch = self._log.read_log(position, self._batch_size)
            if not batch:
                self._position = position
                return 0
            try:
                touched = self._histories.fold(batch)
                for model in self._models:
                    rows = list(chain.from_iterable(model.rows(projected) for projected in touched))
                    if rows:
                        model.write(connection, rows)
            except BaseException:
                self._histories.forget()
                self._position = -1
                raise
            for projected in touched:
                projected.touched.clear()
            self._advance(connection, batch[-1].position)
        self._position = batch[-1].position
        if self._tell is not None:
            # A read model that is new starts at the beginning; what the others passed long ago is no news.
            news = [recorded for recorded in batch if recorded.position > max(checkpoints)]
            self._tell(news, {projected.run.id: projected.run for projected in touched})
        return len(batch)

    def _lock(self, connection: Connection) -> list[int] | None:
        """Lock the checkpoints and return the places they are at, or None while another projector holds them."""
        names = [model.name for model in self._models]
        rows = connection.execute(_SQL.lock, (names,), prepare=True).fetchall()
        if len(rows) == len(names):
            return [int(row["position"]) for row in rows]
        versions = [model.version for model in self._models]
        if connection.execute(_SQL.introduce, (names, versions)).rowcount:
            self._wake.set()
        return None

    @staticmethod
    def _advance(connection: Connection, position: int) -> None:
        connection.execute(_SQL.advance, (position,), prepare=True)
