"""Rebuilding a read model beside the live one: fill, catch up, compare, swap.

fill       a table of its own with the rows of whole runs, part by part and by several processes (see `filling`);
           then its indexes
catch up   what was appended meanwhile, in the order of the log
compare    every row with the live one's, at one moment of both; the differences are the report
catch up   again; the last bit with the live one's checkpoint held, so that both are at the same place
swap       old table out, new table in, in the same transaction: readers see one or the other

Each stage ends with a commit, so that a rebuild that was stopped or killed goes on where it was.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import orjson
from psycopg.errors import LockNotAvailable
from psycopg.sql import SQL, Composed, Identifier, Literal

from orchestrator.postgres.database import Connection
from orchestrator.postgres.session import run_once
from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.projections.history import Histories
from orchestrator.projections.projector import skipped_positions
from orchestrator.projections.read_models.contract import ReadModel
from orchestrator.projections.read_models.upsert import upsert
from orchestrator.projections.rebuild.differences import RebuildReport, RowDifference, difference
from orchestrator.projections.rebuild.errors import ProgramTooOld, RebuildInterrupted, RebuildRunning, RebuildStopped
from orchestrator.projections.rebuild.fillers import Fillers
from orchestrator.projections.rebuild.filling import Filler, OpenSource, Source, schema_of

logger = logging.getLogger(__name__)

_SQL = load_sql(__file__)

PART_EVENTS = 20_000
CHUNK_EVENTS = 5_000
CATCH_UP_EVENTS = 2_000
"""So few events behind, the live projector is made to wait for the rest."""

_ALONE_EVENTS = 50_000
"""So few events are read sooner by this process than others are started."""

_TRY_AGAIN_SECONDS = 0.5
_LOOK_AGAIN_SECONDS = 0.05

OnProgress = Callable[[str, int, int], None]
"""Called with the stage, and how many events of how many are in the new table."""


@dataclass(frozen=True, slots=True)
class _State:
    """Where a rebuild stands: parts up to `goal` are being filled; once all are, it has reached `position`."""

    version: int
    goal: int
    position: int
    is_filled: bool


class Rebuilder:
    """Rebuilds one read model.

    With `open_source`, a long log is read by several `processes`, as many as there are cores when not said. This one
    is among them, unless it is `busy` with something else.
    """

    def __init__(
        self,
        source: Source,
        model: ReadModel,
        *,
        open_source: OpenSource | None = None,
        processes: int | None = None,
        busy: bool = False,
        max_differences: int = 100,
        stopping: threading.Event | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._source = source
        self._database = source.database
        self._histories = Histories(source.log, source.find_workflow, lambda: skipped_positions(source.database))
        self._model = model
        self._open_source = open_source
        self._processes = processes or os.cpu_count() or 1
        self._busy = busy
        self._max_differences = max_differences
        self._stopping = stopping or threading.Event()
        self._on_progress = on_progress or (lambda _stage, _events, _goal: None)
        self._chunk = CHUNK_EVENTS

    def rebuild(self, *, dry_run: bool = False, on_begun: Callable[[], None] | None = None) -> RebuildReport:
        """Rebuild from the log and, unless `dry_run`, put the result in the live one's place.

        `on_begun` is called once it is certain that it goes on, and that nobody else can begin the same.

        Raises:
            RebuildRunning: another process is at it.
            RebuildStopped: an event cannot be applied; what was done so far is kept.
            RebuildInterrupted: `stopping` was set; what was done so far is kept.
            ProgramTooOld: the live rows are of a later version.
        """
        started = time.monotonic()
        with self._alone():
            state = self._prepare()
            if on_begun is not None:
                on_begun()
            resumed_at = self._filled(state)
            if not state.is_filled:
                self._fill(state)
            position = self._catch_up(state.position if state.is_filled else state.goal)
            position, replaced, differing, differences = self._compare(position)
            if not dry_run:
                position = self._swap(position)
            report = RebuildReport(
                self._model.name,
                self._model.version,
                replaced,
                position,
                position - resumed_at,
                resumed_at,
                time.monotonic() - started,
                differing,
                differences,
                not dry_run,
            )
            self._conclude(report)
        return report

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._database.connection() as guard:
            row = guard.execute(_SQL.exclusive, {"name": self._model.name}).fetchone()
            if row is None or not row["locked"]:
                raise RebuildRunning(f"{self._model.name} is being rebuilt by another process", name=self._model.name)
            try:
                yield
            finally:
                guard.execute(_SQL.release, {"name": self._model.name})

    def _prepare(self) -> _State:
        """Return where to go on: at an interrupted rebuild of this version, or at the beginning."""
        with self._database.transaction() as connection:
            live = connection.execute(_SQL.live, {"name": self._model.name}).fetchone()
            if live is not None and live["version"] > self._model.version:
                raise ProgramTooOld(
                    f"{self._model.name} is of version {live['version']}, this program makes {self._model.version}"
                )
            goal = live["position"] if live is not None else 0
            row = connection.execute(_SQL.state, {"name": self._model.name}).fetchone()
            if row is not None:
                state = _State(**row)
                # the live one is before it only if somebody has set it back, perhaps to another log
                if state.version == self._model.version and max(state.goal, state.position) <= goal:
                    return state
            connection.execute(self._statement("drop_schema"))
            connection.execute(self._statement("create_schema"))
            connection.execute(self._statement("create_table"))
            self._make_alike(connection, _SQL.options)
            begun = {"name": self._model.name, "version": self._model.version, "goal": goal, "part": PART_EVENTS}
            connection.execute(_SQL.forget, begun)
            connection.execute(_SQL.begin, begun)
            connection.execute(_SQL.divide, begun)
        return _State(self._model.version, goal, 0, False)

    def _fill(self, state: _State) -> None:
        filler = Filler(self._source, self._model)
        with self._children(state.goal - self._filled(state)) as children:
            while (filled := self._filled(state)) < state.goal:
                self._report("fill", filled, state.goal)
                others = children.look()
                # With nothing to take, others are at the last parts: ours, or an orphan of a rebuild that was killed.
                if (others and self._busy) or not filler.fill_part():
                    time.sleep(_LOOK_AGAIN_SECONDS)
        self._report("index", state.goal, state.goal)
        with self._transaction() as connection:
            self._model.settle(connection)
            self._make_alike(connection, _SQL.indexes)
            connection.execute(self._statement("analyze"))
            connection.execute(_SQL.mark_filled, {"name": self._model.name})

    def _children(self, left: int) -> Fillers:
        """Start the processes that help to fill what is left, if it is worth it."""
        if self._open_source is None or left <= _ALONE_EVENTS:
            return Fillers()
        return Fillers(self._open_source, self._model, self._processes - (0 if self._busy else 1))

    def _filled(self, state: _State) -> int:
        if state.is_filled:
            return state.position
        with self._database.connection() as connection:
            row = connection.execute(_SQL.filled, {"name": self._model.name}).fetchone()
        return int(row["filled"]) if row else 0

    def _catch_up(self, position: int) -> int:
        """Project what follows, chunk by chunk, until little is left to where the live one is."""
        while True:
            live = self._live_position()
            self._report("catch up", position, live)
            if live - position <= CATCH_UP_EVENTS:
                return position
            try:
                with self._transaction() as connection:
                    position = self._project(connection, position, min(self._chunk, live - position))
            except DatabaseUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a model cannot do with an event
                position = self._narrow(position, error)
            else:
                self._chunk = min(CHUNK_EVENTS, self._chunk * 2)

    def _narrow(self, position: int, cause: Exception) -> int:
        """Look for the one event that cannot be applied, and go past it if somebody decided to."""
        self._histories.forget()
        if self._chunk > 1:
            self._chunk = max(1, self._chunk // 8)
            return position
        if position + 1 not in skipped_positions(self._database):
            raise RebuildStopped(self._model.name, position + 1, repr(cause)) from cause
        with self._database.connection() as connection:
            self._advance(connection, position + 1)
        return position + 1

    def _live_position(self) -> int:
        with self._database.connection() as connection:
            row = connection.execute(_SQL.live, {"name": self._model.name}).fetchone()
        return int(row["position"]) if row else 0

    def _compare(self, position: int) -> tuple[int, int, int, tuple[RowDifference, ...]]:
        """Compare with the live table as it is at one moment, while it goes on.

        Returns the position of both at that moment, the version of the live one, and how many rows differ and how.
        """
        self._report("compare", position, position)
        with self._transaction(_SQL.one_moment) as connection:
            live = connection.execute(_SQL.live, {"name": self._model.name}).fetchone()
            if live is not None:
                position = self._project_all(connection, position, live["position"])
            rows = connection.execute(self._statement("compare"), {"limit": self._max_differences}).fetchall()
        replaced = int(live["version"]) if live is not None else self._model.version
        differences = tuple(difference(row["old"], row["new"], self._model.key) for row in rows)
        return position, replaced, int(rows[0]["differing"]) if rows else 0, differences

    def _swap(self, position: int) -> int:
        """Bring both tables to the same place and put the new one in."""
        while True:
            position = self._catch_up(position)
            self._report("swap", position, position)
            try:
                with self._transaction(_SQL.no_lock_timeout) as connection:
                    live = connection.execute(_SQL.lock, {"name": self._model.name}).fetchone()
                    reached = self._project_all(connection, position, live["position"]) if live else position
                    connection.execute(self._statement("create_attic"))
                    connection.execute(self._statement("move_old"))
                    connection.execute(self._statement("move_new"))
                    connection.execute(self._statement("drop_attic"))
                    self._model.attach(connection)
                    connection.execute(
                        _SQL.set_version,
                        {"name": self._model.name, "version": self._model.version, "position": reached},
                    )
                    connection.execute(_SQL.forget, {"name": self._model.name})
            except LockNotAvailable:
                # Whoever waits for a table makes all who come later wait too: rather come again.
                logger.info("%s is being read for long; its new table waits", self._model.name)
                self._histories.forget()
                self._stopping.wait(_TRY_AGAIN_SECONDS)
            else:
                return reached

    def _conclude(self, report: RebuildReport) -> None:
        """Clear away what is left and note what the rebuild came to."""
        said = {
            "finishedAt": round(time.time() * 1000),
            "version": report.version,
            "replacedVersion": report.replaced,
            "position": report.position,
            "events": report.events,
            "seconds": round(report.seconds, 3),
            "differing": report.differing,
            "swapped": report.swapped,
        }
        with self._transaction() as connection:
            connection.execute(_SQL.forget, {"name": self._model.name})
            connection.execute(self._statement("drop_schema"))
            connection.execute(_SQL.note, {"name": self._model.name, "report": orjson.dumps(said).decode()})

    def _project_all(self, connection: Connection, position: int, until: int) -> int:
        while position < until:
            position = self._project(connection, position, min(CHUNK_EVENTS, until - position))
        return position

    def _project(self, connection: Connection, position: int, count: int) -> int:
        """Project a chunk into the new table and note the place, in the caller's transaction."""
        until = position + count
        touched = self._histories.fold(self._histories.read_range(position, until))
        upsert(partial(run_once, connection), self._model, touched)
        for projected in touched:
            projected.touched.clear()
        self._advance(connection, until)
        return until

    def _advance(self, connection: Connection, position: int) -> None:
        connection.execute(_SQL.advance, {"name": self._model.name, "position": position})

    def _report(self, stage: str, events: int, goal: int) -> None:
        if self._stopping.is_set():
            raise RebuildInterrupted(f"the rebuild of {self._model.name} was stopped after {events:,} events")
        self._on_progress(stage, min(events, goal), goal)

    @contextmanager
    def _transaction(self, *statements: str) -> Iterator[Connection]:
        """Lend a connection on which the names of read models mean the new tables, without a deadline."""
        with self._database.transaction(bounded=False) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.execute(_SQL.use_schema, {"schema": schema_of(self._model.name)})
            yield connection

    def _make_alike(self, connection: Connection, statements: str) -> None:
        """Give the new table what the live one has; `statements` is a query that answers with the statements for it."""
        names = {"table": self._model.name, "schema": schema_of(self._model.name)}
        for row in connection.execute(statements, names).fetchall():
            connection.execute(row["statement"])

    def _statement(self, name: str) -> Composed:
        schema = schema_of(self._model.name)
        return SQL(_SQL[name]).format(
            schema=Identifier(schema),
            attic=Identifier(f"{schema}_old"),
            table=Identifier(self._model.name),
            new=Literal(f"{schema}.{self._model.name}"),
            key=SQL(", ").join(map(Identifier, self._model.key)),
        )
