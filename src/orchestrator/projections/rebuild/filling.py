"""Fill the new table of a rebuild with the rows of complete runs, part by part.

    claim a part -> events of the runs that began in it -> fold run by run -> rows -> COPY and mark the part as done

Runs share no rows, so parts can be filled in any order and by several processes. A part is filled and marked as done in
one transaction: a process that is killed leaves nothing half done, and another process takes the part. Only one run is
in memory at a time.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain, groupby
from multiprocessing.connection import Connection as Pipe
from operator import itemgetter
from typing import Any
from uuid import UUID

import orjson
from psycopg.sql import SQL, Identifier

from orchestrator.domain.errors import NeedsNewerProgram
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.recorder import RunRow
from orchestrator.eventstore.runs import FindWorkflow
from orchestrator.postgres.database import Connection, Database
from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.projections.history import begin_run
from orchestrator.projections.projector import skipped_positions
from orchestrator.projections.read_models.contract import ProjectedRun, ReadModel, Row
from orchestrator.projections.rebuild.errors import RebuildStopped

_SQL = load_sql(__file__)


@dataclass(frozen=True, slots=True)
class Source:
    """The source of the rows: the database, the log, and the workflow definitions."""

    database: Database
    log: PostgresLog
    find_workflow: FindWorkflow


OpenSource = Callable[[], AbstractContextManager[Source]]
"""Opens a source in another process; it must be picklable."""


@dataclass(frozen=True, slots=True)
class Part:
    """The runs whose first event is after position `after` and up to `until`; they are folded up to position `goal`."""

    after: int
    until: int
    goal: int


_SENT_AS_IS = (RebuildStopped, DatabaseUnavailable, NeedsNewerProgram)


def schema_of(name: str) -> str:
    """Return the schema that holds the new table of a read model."""
    return f"rebuild_{name}"


class Filler:
    """Fills parts of the new table of one read model."""

    def __init__(self, source: Source, model: ReadModel) -> None:
        self._source = source
        self._model = model

    def fill_part(self) -> bool:
        """Fill a part that no other process is filling; return False if there is none.

        Raises:
            RebuildStopped: an event cannot be applied.
            NeedsNewerProgram: a newer release wrote an event.
            DatabaseUnavailable: the database is unavailable.
        """
        try:
            return self._fill(self._rows)
        except (DatabaseUnavailable, NeedsNewerProgram):
            raise
        except Exception:  # noqa: BLE001 - a model may fail in any way; now find the event
            return self._fill(self._checked_rows)

    def _fill(self, rows_of: Callable[[Connection, Part], Iterator[Row]]) -> bool:
        with self._source.database.transaction(bounded=False) as connection:
            found = connection.execute(_SQL.claim, {"name": self._model.name}).fetchone()
            if found is None:
                return False
            part = Part(**found)
            connection.execute(_SQL.use_schema, {"schema": schema_of(self._model.name)})
            self._copy(connection, rows_of(connection, part))
            connection.execute(_SQL.done, {"name": self._model.name, "after": part.after})
        return True

    def _copy(self, connection: Connection, rows: Iterable[Row]) -> None:
        following = iter(rows)
        first = next(following, None)
        if first is None:
            return
        columns = list(first)
        documents = [columns.index(column) for column in self._model.documents]
        statement = SQL(_SQL.copy).format(
            table=Identifier(self._model.name), columns=SQL(", ").join(map(Identifier, columns))
        )
        with connection.cursor().copy(statement) as copy:
            for row in chain((first,), following):
                values = list(row.values())
                for place in documents:
                    if values[place] is not None:
                        values[place] = _json(values[place])
                copy.write_row(values)

    def _rows(self, _connection: Connection, part: Part) -> Iterator[Row]:
        rows_of = self._model.rows
        for run_id, stored in self._runs(part, self._model.topics):
            yield from rows_of(self._whole(run_id, stored))

    def _runs(self, part: Part, topics: Sequence[str] | None) -> Iterator[tuple[str, Iterable[RunRow]]]:
        rows = self._source.log.recorder.begun_rows(part.after, part.until, part.goal, topics)
        return groupby(rows, itemgetter(0))

    def _whole(self, run_id: str, stored: Iterable[RunRow]) -> ProjectedRun:
        """Return a run folded from all the events that its rows depend on.

        Raises:
            ValueError: the first event does not trigger a run.
        """
        event_of = self._source.log.mapper.event
        events = iter(sorted(stored, key=itemgetter(1)))
        _, version, name, state, position = next(events)
        event, tenant, _ = event_of(run_id, version, name, state)
        projected = ProjectedRun.begin(run_id, tenant, event, position, self._source.find_workflow)
        projected.run.version = version
        for _, version, name, state, position in events:
            projected.evolve(event_of(run_id, version, name, state)[0], version, position)
        projected.touched.update(projected.run.steps)
        return projected

    def _checked_rows(self, connection: Connection, part: Part) -> Iterator[Row]:
        """Yield the rows of a part that could not be filled; try the rows of each run before they are copied."""
        skips = skipped_positions(self._source.database)
        kept: list[Row] = []
        for run_id, _ in self._runs(part, ()):
            kept += self._checked_run(connection, run_id, part.goal, skips)
        # Yield only now: during a COPY, the connection cannot execute the trials.
        yield from kept

    def _checked_run(self, connection: Connection, run_id: str, goal: int, skips: frozenset[int]) -> Iterable[Row]:
        """Return the rows that the projector would have written for a run, event by event, without skipped ones."""
        kept: dict[tuple[Any, ...], Row] = {}
        projected: ProjectedRun | None = None
        for stored in self._source.log.recorder.read_stream(UUID(run_id)):
            if stored.id > goal:
                break
            try:
                recorded = self._source.log.mapper.recorded(stored)
                if projected is None:
                    projected = begin_run(recorded, self._source.find_workflow)
                else:
                    projected.touched.clear()
                    projected.take(recorded)
                rows = list(self._model.rows(projected))
                with connection.transaction(force_rollback=True):
                    self._copy(connection, rows)
            except (DatabaseUnavailable, NeedsNewerProgram):
                raise
            except Exception as error:
                if stored.id not in skips:
                    raise RebuildStopped(self._model.name, stored.id, repr(error)) from error
                if projected is None:
                    break  # a run whose first event is skipped has no rows
                continue
            kept.update((tuple(row[column] for column in self._model.key), row) for row in rows)
        return kept.values()


def fill_in_child(open_source: OpenSource, model: ReadModel, sender: Pipe) -> None:
    """Fill parts until none is left, as the body of a child process. Send only an error, if there is one."""
    # Ctrl-C reaches every process of the terminal, but the parent decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with open_source() as source:
            filler = Filler(source, model)
            while filler.fill_part():
                pass
    except Exception as error:  # noqa: BLE001 - the parent raises the error again
        sender.send(error if isinstance(error, _SENT_AS_IS) else RuntimeError(repr(error)))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
