"""Rebuilding a read model beside the live one: fill, catch up, compare, swap.

fill       the log from its beginning, chunk by chunk: rows and place in one transaction, so that a rebuild
           that was killed goes on where it was
catch up   what was appended meanwhile; at last with the live one's checkpoint held, so that both are at
           the same place
compare    every row with the live one's; the differences are the report
swap       old table out, new table in, in one transaction: readers see one or the other
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from psycopg.sql import SQL, Composed, Identifier

from orchestrator.eventstore.database import DATABASE_AWAY, Connection, Database
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.runs import FindWorkflow
from orchestrator.eventstore.sql import load_sql
from orchestrator.projections.contract import ProjectedRun, ReadModel, Row
from orchestrator.projections.history import Histories
from orchestrator.projections.projector import skipped_positions

_SQL = load_sql(__file__)

CHUNK_EVENTS = 20_000
CATCH_UP_EVENTS = 2_000
"""So few events behind, the live projector is made to wait for the rest."""

OnProgress = Callable[[int, int], None]
"""Called with the position reached and the position of the live read model."""


class RebuildStopped(Exception):
    """The read model cannot apply an event that nobody passed over."""

    def __init__(self, name: str, position: int, cause: Exception) -> None:
        super().__init__(f"{name} cannot apply the event at position {position}: {cause!r}")
        self.position = position


class RebuildRunning(Exception):
    """Another process is rebuilding this read model right now."""


@dataclass(frozen=True, slots=True)
class RowDifference:
    """A row that is not the same: its key, and for each column that differs the live and the rebuilt value.

    `kind` is missing (the live table lacks it), extra (it should not be there) or changed.
    """

    key: str
    kind: str
    columns: dict[str, tuple[Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild came to: events read, the position both tables were compared at, and the differences.

    `version` is that of the new rows, `replaced` that of the live ones: when it is another, differences are meant.
    """

    name: str
    version: int
    replaced: int
    position: int
    events: int
    resumed_at: int
    differences: tuple[RowDifference, ...]
    swapped: bool

    @property
    def is_faulty(self) -> bool:
        """Whether the live rows were not what the log says."""
        return bool(self.differences) and self.version == self.replaced


class Rebuilder:
    """Rebuilds one read model."""

    def __init__(
        self,
        database: Database,
        log: PostgresLog,
        find_workflow: FindWorkflow,
        model: ReadModel,
        *,
        most_differences: int = 100,
    ) -> None:
        self._database = database
        self._histories = Histories(log, find_workflow, lambda: skipped_positions(database))
        self._model = model
        self._schema = f"rebuild_{model.name}"
        self._most_differences = most_differences
        self._events = 0
        self._chunk = CHUNK_EVENTS

    def rebuild(self, *, dry_run: bool = False, on_progress: OnProgress | None = None) -> RebuildReport:
        """Rebuild from the log and, unless `dry_run`, put the result in the live one's place.

        Raises:
            RebuildRunning: another process is at it.
            RebuildStopped: an event cannot be applied; what was done so far is kept.
        """
        with self._database.connection() as guard:
            row = guard.execute(_SQL.exclusive, {"name": self._model.name}).fetchone()
            if row is None or not row["locked"]:
                raise RebuildRunning(f"{self._model.name} is being rebuilt by another process")
            try:
                resumed_at = self._prepare()
                position = self._fill(resumed_at, on_progress)
                return self._conclude(position, resumed_at, dry_run=dry_run)
            finally:
                guard.execute(_SQL.release, {"name": self._model.name})

    def _prepare(self) -> int:
        """Return the position to go on from: that of an interrupted rebuild of this version, or the beginning."""
        with self._database.transaction() as connection:
            row = connection.execute(_SQL.state, {"name": self._model.name}).fetchone()
            if row is not None and row["version"] == self._model.version:
                return int(row["position"])
            connection.execute(self._statement("drop_schema"))
            connection.execute(self._statement("create_schema"))
            connection.execute(self._statement("create_table"))
            connection.execute(_SQL.begin, {"name": self._model.name, "version": self._model.version})
        return 0

    def _fill(self, position: int, on_progress: OnProgress | None) -> int:
        """Project the log chunk by chunk until little is left to where the live one is."""
        while True:
            live = self._live_position()
            if on_progress is not None:
                on_progress(min(position, live), live)
            if live - position <= CATCH_UP_EVENTS:
                return position
            try:
                with self._database.transaction() as connection:
                    connection.execute(_SQL.no_deadline)
                    position = self._project(connection, position, min(self._chunk, live - position))
            except DATABASE_AWAY:
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
            raise RebuildStopped(self._model.name, position + 1, cause) from cause
        with self._database.connection() as connection:
            connection.execute(_SQL.advance, {"name": self._model.name, "position": position + 1})
        return position + 1

    def _live_position(self) -> int:
        with self._database.connection() as connection:
            row = connection.execute(_SQL.position, {"name": self._model.name}).fetchone()
        return int(row["position"]) if row else 0

    def _conclude(self, position: int, resumed_at: int, *, dry_run: bool) -> RebuildReport:
        """Bring both tables to the same place, compare them, and swap."""
        with self._database.transaction() as connection:
            connection.execute(_SQL.no_deadline)
            row = connection.execute(_SQL.lock, {"name": self._model.name}).fetchone()
            live, replaced = (int(row["position"]), int(row["version"])) if row else (0, self._model.version)
            while position < live:
                position = self._project(connection, position, min(CHUNK_EVENTS, live - position))
            differences = self._compare(connection)
            if not dry_run:
                self._swap(connection, position)
            connection.execute(_SQL.finish, {"name": self._model.name})
            connection.execute(self._statement("drop_schema"))
        return RebuildReport(
            self._model.name,
            self._model.version,
            replaced,
            position,
            self._events,
            resumed_at,
            tuple(differences),
            not dry_run,
        )

    def _project(self, connection: Connection, position: int, count: int) -> int:
        """Project a chunk into the new table and note the place, in the caller's transaction."""
        until = position + count
        batch = self._histories.read_range(position, until, self._model.topics)
        connection.execute(_SQL.use_schema, {"schema": self._schema})
        touched = self._histories.fold(batch)
        begun = [projected for projected in touched if projected.first_position > position]
        older = [projected for projected in touched if projected.first_position <= position]
        self._write(connection, begun, older)
        for projected in touched:
            projected.touched.clear()
        self._events += count
        connection.execute(_SQL.advance, {"name": self._model.name, "position": until})
        return until

    def _write(self, connection: Connection, begun: Sequence[ProjectedRun], older: Sequence[ProjectedRun]) -> None:
        """Rows of runs that begin in the chunk are new and copied in; the others may replace earlier ones."""
        new = [row for projected in begun for row in self._model.rows(projected)]
        if new and self._model.copies:
            columns = list(new[0])
            with connection.cursor().copy(self._statement("copy", columns)) as copy:
                for row in new:
                    copy.write_row([_copied(row[column]) for column in columns])
        elif new:
            self._model.write(connection, new)
        changed = [row for projected in older for row in self._model.rows(projected)]
        if changed:
            self._model.write(connection, changed)

    def _compare(self, connection: Connection) -> list[RowDifference]:
        rows = connection.execute(self._statement("compare"), {"limit": self._most_differences}).fetchall()
        return [_difference(row, self._model.key) for row in rows]

    def _swap(self, connection: Connection, position: int) -> None:
        attic = f"{self._schema}_old"
        connection.execute(self._statement("create_attic", attic=attic))
        connection.execute(self._statement("move_old", attic=attic))
        connection.execute(self._statement("move_new"))
        connection.execute(self._statement("drop_attic", attic=attic))
        connection.execute(
            _SQL.set_version, {"name": self._model.name, "version": self._model.version, "position": position}
        )

    def _statement(self, name: str, columns: Sequence[str] = (), attic: str = "") -> Composed:
        return SQL(_SQL[name]).format(
            schema=Identifier(self._schema),
            attic=Identifier(attic),
            table=Identifier(self._model.name),
            columns=SQL(", ").join(map(Identifier, columns)),
            key=SQL(", ").join(map(Identifier, self._model.key)),
        )


def _copied(value: Any) -> Any:
    """Return a value as COPY takes it: nested ones as JSON text."""
    if value is None or isinstance(value, str | int | float):
        return value
    return orjson.dumps(value).decode()


def _difference(row: Row, key: Sequence[str]) -> RowDifference:
    old, new = row["old"], row["new"]
    if old is None or new is None:
        there = new or old
        name = "/".join(str(there[column]) for column in key)
        return RowDifference(name, "missing" if old is None else "extra")
    name = "/".join(str(new[column]) for column in key)
    columns = {column: (old[column], new[column]) for column in new if old.get(column) != new[column]}
    return RowDifference(name, "changed", columns)
