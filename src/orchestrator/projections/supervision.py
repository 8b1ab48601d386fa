"""Looking after the read models: where each is, rebuilding and comparing them, and getting past a poisoned event."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.eventstore.database import Database
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.runs import FindWorkflow
from orchestrator.eventstore.sql import load_sql
from orchestrator.projections.contract import ReadModel
from orchestrator.projections.projector import read_models
from orchestrator.projections.rebuild import OnProgress, Rebuilder, RebuildReport

_SQL = load_sql(__file__)

Clock = Callable[[], float]


class UnknownReadModel(LookupError):
    """There is no read model of this name."""


class NotStopped(Exception):
    """Only a read model that stopped at an event can be sent past it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a read model is.

    `lag_events` is how far it is behind the newest event, `lag_seconds` how long ago the first event it has not
    seen was decided. `state` is live or stopped (with the `position` and `error` that stopped it); `program_version`
    is what this program makes; `rebuild_position` is set while a rebuild is under way or was interrupted.
    """

    name: str
    version: int
    program_version: int
    position: int
    lag_events: int
    lag_seconds: float
    state: str
    stopped_at: int | None
    error: str | None
    rebuild_position: int | None


class ReadModelSupervisor:
    """The operators' hands on the read models. Synchronous."""

    def __init__(
        self, database: Database, log: PostgresLog, find_workflow: FindWorkflow, clock: Clock = time.time
    ) -> None:
        self._database = database
        self._log = log
        self._find_workflow = find_workflow
        self._clock = clock
        self._models: dict[str, ReadModel] = {model.name: model for model in read_models()}

    @property
    def names(self) -> tuple[str, ...]:
        """The read models there are."""
        return tuple(self._models)

    def standings(self) -> list[Standing]:
        """Return where each read model is."""
        with self._database.connection() as connection:
            rows = connection.execute(_SQL["list"]).fetchall()
        standings = []
        for row in rows:
            error, lag = row["error"] or {}, row["newest"] - row["position"]
            model = self._models.get(row["name"])
            standings.append(
                Standing(
                    name=row["name"],
                    version=row["version"],
                    program_version=model.version if model else row["version"],
                    position=row["position"],
                    lag_events=lag,
                    lag_seconds=self._waiting_seconds(row["position"]) if lag else 0.0,
                    state=row["state"],
                    stopped_at=error.get("position"),
                    error=error.get("error"),
                    rebuild_position=row["rebuild_position"],
                )
            )
        return standings

    def rebuild(self, name: str, *, on_progress: OnProgress | None = None) -> RebuildReport:
        """Rebuild a read model and put it in the place of the live one; see `Rebuilder.rebuild`.

        Raises:
            UnknownReadModel: there is none of this name.
            RebuildRunning: another process is at it.
        """
        return self._rebuilder(name).rebuild(on_progress=on_progress)

    def verify(self, name: str, *, on_progress: OnProgress | None = None) -> RebuildReport:
        """Rebuild a read model beside the live one and report the differences, without changing anything.

        Raises:
            UnknownReadModel: there is none of this name.
            RebuildRunning: another process is at it.
        """
        return self._rebuilder(name).rebuild(dry_run=True, on_progress=on_progress)

    def retry(self, name: str) -> None:
        """Let a stopped read model try the event again that it stopped at.

        Raises:
            UnknownReadModel, NotStopped.
        """
        self._model(name)
        with self._database.connection() as connection:
            if not connection.execute(_SQL.retry, {"name": name}).rowcount:
                raise NotStopped(f"{name} is not stopped")
            connection.execute(_SQL.notify)

    def skip(self, name: str, by: str) -> int:
        """Send a stopped read model past the event that it stopped at, on record; return the event's position.

        Raises:
            UnknownReadModel, NotStopped.
        """
        self._model(name)
        with self._database.connection() as connection:
            row = connection.execute(_SQL.skip, {"name": name, "by": by}).fetchone()
            if row is None:
                raise NotStopped(f"{name} is not stopped")
            connection.execute(_SQL.notify)
        return int(row["position"])

    def _rebuilder(self, name: str) -> Rebuilder:
        return Rebuilder(self._database, self._log, self._find_workflow, self._model(name))

    def _model(self, name: str) -> ReadModel:
        if name not in self._models:
            raise UnknownReadModel(f"there is no read model {name!r}; there are {', '.join(self._models)}")
        return self._models[name]

    def _waiting_seconds(self, position: int) -> float:
        following = self._log.read_log(position, 1)
        return max(0.0, self._clock() - following[0].event.at / 1000) if following else 0.0
