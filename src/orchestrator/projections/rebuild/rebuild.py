"""Rebuild a read model beside the live one: fill, catch up, compare, swap.

fill       fill a new table with the rows of complete runs, part by part and in several processes (see `filling`), then
           create its indexes
catch up   project the events appended since, in log order
compare    compare every row with the live table in one snapshot; the differences are the report
catch up   again; the last events with the live checkpoint locked, so that both tables are at the same position
swap       replace the old table with the new one in the same transaction: readers see one or the other

Each stage ends with a commit, so that a rebuild that was stopped or killed continues where it was.
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
"""When the new table is at most this many events behind, the swap begins, and the live projector waits."""

_ALONE_EVENTS = 50_000
"""Up to this many events, filling in this process is faster than starting others."""

_TRY_AGAIN_SECONDS = 0.5
_LOOK_AGAIN_SECONDS = 0.05

OnProgress = Callable[[str, int, int], None]
"""Called with the stage, the number of events in the new table, and the number to reach."""


@dataclass(frozen=True, slots=True)
class _State:
    """The state of a rebuild: parts up to `goal` are being filled; once all are filled, it has reached `position`."""

    version: int
    goal: int
    position: int
    is_filled: bool


class Rebuilder:
    """Rebuilds one read model.

    With `open_source`, a long log is read by several `processes`; by default one per CPU core. This process is one of
    them, unless it is `busy` with other work.
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
        """Rebuild from the log and, unless `dry_run`, replace the live table with the result.

        `on_begun` is called once the rebuild has begun and no other process can begin the same one.

        Raises:
            RebuildRunning: another process is rebuilding the read model.
            RebuildStopped: an event cannot be applied; the progress so far is kept.
            RebuildInterrupted: `stopping` was set; the progress so far is kept.
            ProgramTooOld: a newer release wrote the live rows.
        """
        started = time.monotonic()
        with self._exclusive():
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
            self._record_result(report)
        return report

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._database.own_session() as guard:
            row = guard.execute(_SQL.exclusive, {"name": self._model.name}).fetchone()
            if row is None or not row["locked"]:
                raise RebuildRunning(f"{self._model.name} is being rebuilt by another process", name=self._model.name)
            try:
                yield
            finally:
                guard.execute(_SQL.release, {"name": self._model.name})

    def _prepare(self) -> _State:
        """Return the state to continue from: that of an interrupted rebuild of this version, or a new one."""
        with self._database.transaction() as connection:
            live = connection.execute(_SQL.live, {"name": self._model.name}).fetchone()
            if live is not None and live["version"] > self._model.version:
                raise ProgramTooOld(
                    f"{self._model.name} has version {live['version']}, this release makes {self._model.version}"
                )
            goal = live["position"] if live is not None else 0
            row = connection.execute(_SQL.state, {"name": self._model.name}).fetchone()
            if row is not None:
                state = _State(**row)
                # The live table is behind the rebuild only if it was reset, perhaps to another log.
                if state.version == self._model.version and max(state.goal, state.position) <= goal:
                    return state
            connection.execute(self._statement("drop_schema"))
            connection.execute(self._statement("create_schema"))
            connection.execute(self._statement("create_table"))
            self._copy_properties(connection, _SQL.options)
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
                # No part left: the last ones are being filled by our processes, or by one of a rebuild that was killed.
                if (others and self._busy) or not filler.fill_part():
                    time.sleep(_LOOK_AGAIN_SECONDS)
        self._report("index", state.goal, state.goal)
        with self._transaction() as connection:
            self._model.settle(connection)
            self._copy_properties(connection, _SQL.indexes)
            connection.execute(self._statement("analyze"))
            connection.execute(_SQL.mark_filled, {"name": self._model.name})

    def _children(self, left: int) -> Fillers:
        """Start processes to fill the remaining parts, if that is worthwhile."""
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
        """Project the following events, chunk by chunk, until the new table is almost as far as the live one."""
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
            except Exception as error:  # noqa: BLE001 - a model may fail in any way
                position = self._narrow(position, error)
            else:
                self._chunk = min(CHUNK_EVENTS, self._chunk * 2)

    def _narrow(self, position: int, cause: Exception) -> int:
        """Narrow a failed chunk down to the event that cannot be applied, and pass it if an operator skipped it."""
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
        """Compare with a snapshot of the live table while the live projector continues.

        Return the position of both tables in the snapshot, the version of the live rows, the number of rows that
        differ, and the first differences.
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
        """Bring both tables to the same position, replace the live one, and return the position."""
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
                # Waiting for a table lock makes all later queries wait too, so give up and try again.
                logger.info("table %s is locked by readers, the swap is retried", self._model.name)
                self._histories.forget()
                self._stopping.wait(_TRY_AGAIN_SECONDS)
            else:
                return reached

    def _record_result(self, report: RebuildReport) -> None:
        """Remove the state of the rebuild and record its result."""
        result = {
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
            connection.execute(_SQL.note, {"name": self._model.name, "report": orjson.dumps(result).decode()})

    def _project_all(self, connection: Connection, position: int, until: int) -> int:
        while position < until:
            position = self._project(connection, position, min(CHUNK_EVENTS, until - position))
        return position

    def _project(self, connection: Connection, position: int, count: int) -> int:
        """Project a chunk into the new table and record the position, in the caller's transaction."""
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
        """Yield a connection without a time limit, on which the names of read models refer to the new tables."""
        with self._database.transaction(bounded=False) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.execute(_SQL.use_schema, {"schema": schema_of(self._model.name)})
            yield connection

    def _copy_properties(self, connection: Connection, statements: str) -> None:
        """Give the new table properties of the live one; `statements` is a query that returns the SQL to execute."""
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
