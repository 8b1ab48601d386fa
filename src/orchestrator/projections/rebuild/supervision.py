"""Supervise the read models: their status, rebuilding and comparing them, and retrying or skipping a poisoned event."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event
from typing import Any, Literal

from orchestrator.eventstore.codec import UnreadableEvent
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.runs import FindWorkflow
from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.custom.loading import CustomModels
from orchestrator.projections.read_models.built_in import read_models
from orchestrator.projections.read_models.contract import ReadModel
from orchestrator.projections.rebuild.differences import RebuildReport
from orchestrator.projections.rebuild.errors import (
    ProjectionNotFound,
    ProjectionNotLoaded,
    ProjectionNotStopped,
    RebuildInterrupted,
)
from orchestrator.projections.rebuild.filling import OpenSource, Source
from orchestrator.projections.rebuild.inline_models import InlineModel, inline_models
from orchestrator.projections.rebuild.rebuild import OnProgress, Rebuilder

_SQL = load_sql(__file__)
_MAX_DIFFERENCES = 100

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class RebuildStanding:
    """A running or interrupted rebuild: `events` of `goal` events are in the new table."""

    state: Literal["running", "interrupted"]
    version: int
    events: int
    goal: int


@dataclass(frozen=True, slots=True)
class Standing:
    """The status of a read model.

    Attributes:
        name: the name of the read model.
        kind: async (written by a projector) or inline (written in the transaction of the append, never behind).
        version: the version of the rows.
        program_version: the version that this release makes.
        position: the position of the log up to which the rows are written.
        lag_events: how many events it is behind the newest one.
        lag_seconds: how long ago the first event that is not projected yet was decided.
        state: live or stopped.
        stopped_at: the position of the event it stopped at; None if it is not stopped, or if it is a custom read model
            that cannot be loaded.
        error: why it is stopped.
        rebuild: a running or interrupted rebuild.
        last_rebuild: the result of the last rebuild or comparison.
    """

    name: str
    kind: Literal["async", "inline"]
    version: int
    program_version: int
    position: int
    lag_events: int
    lag_seconds: float
    state: str
    stopped_at: int | None
    error: str | None
    rebuild: RebuildStanding | None
    last_rebuild: Mapping[str, Any] | None

    @property
    def is_outdated(self) -> bool:
        """Whether this release makes other rows of the same events, so that the read model must be rebuilt."""
        return self.version < self.program_version


class ReadModelSupervisor:
    """Lets operators inspect, rebuild, retry and skip. All methods are synchronous.

    With `open_source`, a rebuild of a long log uses several processes.
    """

    def __init__(
        self,
        database: Database,
        log: PostgresLog,
        find_workflow: FindWorkflow,
        *,
        open_source: OpenSource | None = None,
        models: tuple[ReadModel, ...] | None = None,
        custom: CustomModels | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._database = database
        self._log = log
        self._source = Source(database, log, find_workflow)
        self._open_source = open_source
        self._clock = clock
        self._custom = custom or CustomModels()
        ours = models or read_models()
        self._models = {model.name: model for model in (*ours, *self._custom.tables)}
        self._inline = {model.name: model for model in inline_models(database, log, find_workflow)}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the read models that projectors maintain, including custom ones."""
        return tuple(self._models)

    @property
    def custom(self) -> tuple[ReadModel, ...]:
        """The custom read models that could be loaded."""
        return self._custom.tables

    @property
    def all_names(self) -> tuple[str, ...]:
        """The names of all read models, custom ones last."""
        theirs = [model.name for model in self._custom.tables]
        return (*(name for name in self._models if name not in theirs), *self._inline, *theirs)

    def require(self, name: str) -> None:
        """Check the name of a read model.

        Raises:
            ProjectionNotFound: there is no read model with this name.
            ProjectionNotLoaded: a custom read model cannot be loaded, or its table cannot be created.
        """
        if name in self._custom.faults:
            raise ProjectionNotLoaded(f"{name} {self._custom.faults[name]}", name=name)
        if name not in self._models and name not in self._inline:
            raise ProjectionNotFound(f"unknown read model {name!r}; there are {', '.join(self.all_names)}", name=name)

    def standings(self) -> list[Standing]:
        """Return the status of all read models, sorted by name."""
        with self._database.connection() as connection:
            rows = {row["name"]: row for row in connection.execute(_SQL["list"]).fetchall()}
            newest = self._log.last_position()
        found = [
            self._standing(model.name, model.version, rows.get(model.name), newest) for model in self._models.values()
        ]
        found += [
            Standing(name, "inline", 1, 1, newest, 0, 0.0, "live", None, None, None, None) for name in self._inline
        ]
        found += [
            replace(self._standing(name, None, rows.get(name), newest), state="stopped", stopped_at=None, error=why)
            for name, why in self._custom.faults.items()
        ]
        return sorted(found, key=lambda standing: standing.name)

    def standing(self, name: str) -> Standing:
        """Return the status of a read model.

        Raises:
            ProjectionNotFound, ProjectionNotLoaded: see `require`.
        """
        self.require(name)
        return next(standing for standing in self.standings() if standing.name == name)

    def _standing(self, name: str, version: int | None, row: Mapping[str, Any] | None, newest: int) -> Standing:
        if row is None:
            row = {"version": version or 1, "position": 0, "state": "live", "error": None, "goal": None}
            row |= {"updated_at": None, "last_rebuild": None}
        error, lag = row["error"] or {}, max(0, newest - row["position"])
        rebuild = None
        if row["goal"] is not None:
            state: Literal["running", "interrupted"] = "running" if row["is_running"] else "interrupted"
            rebuild = RebuildStanding(state, row["new_version"], row["events"], row["goal"])
        return Standing(
            name=name,
            kind="async",
            version=row["version"],
            program_version=version or row["version"],
            position=row["position"],
            lag_events=lag,
            lag_seconds=self._waiting_seconds(row["position"], row["updated_at"]) if lag else 0.0,
            state=row["state"],
            stopped_at=error.get("position"),
            error=error.get("error"),
            rebuild=rebuild,
            last_rebuild=row["last_rebuild"],
        )

    def rebuild(
        self,
        name: str,
        *,
        dry_run: bool = False,
        on_begun: Callable[[], None] | None = None,
        on_progress: OnProgress | None = None,
        stopping: Event | None = None,
        processes: int | None = None,
        busy: bool = False,
    ) -> RebuildReport:
        """Rebuild a read model and replace the live table; see `Rebuilder`. An inline read model is repaired in place.

        With `dry_run`, the read model is only compared with the log, and nothing is changed.

        Raises:
            ProjectionNotFound, ProjectionNotLoaded: see `require`.
            RebuildRunning: another process is rebuilding the read model.
            RebuildStopped, RebuildInterrupted, ProgramTooOld: see `Rebuilder.rebuild`.
        """
        self.require(name)
        stopping = stopping or Event()
        if name in self._inline:
            if on_begun is not None:
                on_begun()
            return self._rebuild_inline(self._inline[name], dry_run, on_progress, stopping)
        rebuilder = Rebuilder(
            self._source,
            self._models[name],
            open_source=self._open_source,
            processes=processes,
            busy=busy,
            max_differences=_MAX_DIFFERENCES,
            stopping=stopping,
            on_progress=on_progress,
        )
        return rebuilder.rebuild(dry_run=dry_run, on_begun=on_begun)

    def verify(self, name: str) -> RebuildReport:
        """Report how a read model differs from the log, without changing anything; see `rebuild`."""
        return self.rebuild(name, dry_run=True)

    def _rebuild_inline(
        self, model: InlineModel, dry_run: bool, on_progress: OnProgress | None, stopping: Event
    ) -> RebuildReport:
        started, newest = time.monotonic(), self._log.last_position()

        def report(events: int) -> None:
            if stopping.is_set():
                raise RebuildInterrupted(f"the comparison of {model.name} was stopped; nothing was changed")
            if on_progress is not None:
                on_progress("compare", events, max(events, newest))

        found = model.compare(repair=not dry_run, on_events=report)
        return RebuildReport(
            model.name,
            1,
            1,
            newest,
            newest,
            0,
            time.monotonic() - started,
            len(found),
            tuple(found[:_MAX_DIFFERENCES]),
            not dry_run,
        )

    def retry(self, name: str) -> None:
        """Let a stopped read model retry the event at which it stopped.

        Raises:
            ProjectionNotFound, ProjectionNotLoaded: see `require`.
            ProjectionNotStopped: the read model is not stopped.
        """
        self.require(name)
        with self._database.connection() as connection:
            if not connection.execute(_SQL.retry, {"name": name}).rowcount:
                raise ProjectionNotStopped(f"{name} is not stopped", name=name)
            connection.execute(_SQL.notify)

    def skip(self, name: str, by: str) -> int:
        """Let a stopped read model skip the event at which it stopped; record that, and return the event's position.

        Raises:
            ProjectionNotFound, ProjectionNotLoaded: see `require`.
            ProjectionNotStopped: the read model is not stopped.
        """
        self.require(name)
        with self._database.connection() as connection:
            row = connection.execute(_SQL.skip, {"name": name, "by": by}).fetchone()
            if row is None:
                raise ProjectionNotStopped(f"{name} is not stopped", name=name)
            connection.execute(_SQL.notify)
        return int(row["position"])

    def _waiting_seconds(self, position: int, moved_at: datetime | None) -> float:
        """Return how long the event after a position has waited; if unreadable, the time since the last change."""
        try:
            following = self._log.read_log(position, 1)
        except UnreadableEvent:
            return max(0.0, self._clock() - moved_at.timestamp()) if moved_at is not None else 0.0
        return max(0.0, self._clock() - following[0].event.at / 1000) if following else 0.0
