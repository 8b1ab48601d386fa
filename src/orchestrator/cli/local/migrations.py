"""The command `migrate`."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from orchestrator.bootstrap.database import MIGRATIONS, open_custom_models, open_unchecked
from orchestrator.cli.complaint import Complaint
from orchestrator.cli.logging import configure_logging
from orchestrator.cli.output.terminal import print_error, print_json, print_line
from orchestrator.eventstore.formats import FORMAT
from orchestrator.postgres.connect import connect
from orchestrator.postgres.migrate import OnBegin, finish, migrate, select_due
from orchestrator.postgres.migration_files import read_migrations
from orchestrator.postgres.schema import Schema, read_schema
from orchestrator.projections.custom.loading import load_custom_models
from orchestrator.projections.custom.tables import select_due_tables
from orchestrator.settings import Settings

_LINE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class MigrationOrder:
    """What to do: apply migrations up to number `to` (None: all), and whether to finish the format."""

    to: int | None
    finish: bool

    def __post_init__(self) -> None:
        if self.to is not None and self.finish:
            raise Complaint("--to and --finish cannot both be given", "Use --finish after the last migration.")


@dataclass(frozen=True, slots=True)
class Due:
    """What would be done to a database with this schema.

    Migrations to apply, custom read models whose tables to create or update, and the format to finish, if any.
    """

    schema: Schema
    migrations: tuple[str, ...]
    tables: tuple[str, ...]
    format: int | None

    @property
    def is_anything(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.migrations or self.tables) or self.format is not None


@dataclass(frozen=True, slots=True)
class Migrated:
    """What was done: the migrations applied, whether a format was finished, and the schema now."""

    applied: tuple[str, ...]
    finished: bool
    schema: Schema


def look(settings: Settings, order: MigrationOrder) -> Due:
    """Return what an order would do, without changing anything."""
    configure_logging(settings, quiet=True)
    with open_unchecked(settings) as conninfo:
        schema = _schema(conninfo)
        tables = select_due_tables(conninfo, load_custom_models())
    due = select_due(schema, read_migrations(MIGRATIONS), order.to)
    unfinished = FORMAT if order.finish and schema.format < FORMAT else None
    return Due(schema, tuple(migration.name for migration in due), tables, unfinished)


def work(settings: Settings, order: MigrationOrder) -> Migrated:
    """Carry out an order, and report progress on stderr."""
    configure_logging(settings, quiet=True)
    with open_unchecked(settings) as conninfo, _reporting() as on_begin:
        applied = migrate(conninfo, MIGRATIONS, to=order.to, new_format=FORMAT, on_begin=on_begin)
        finished = finish(conninfo, FORMAT) if order.finish else False
        open_custom_models(conninfo, makes=True)
        return Migrated(tuple(applied), finished, _schema(conninfo))


def print_due(due: Due, *, as_json: bool) -> None:
    """Print what would be done."""
    if as_json:
        print_json({**_view(due.schema), "due": due.migrations, "tables": due.tables, "finish": due.format})
        return
    for name in due.migrations:
        print_line(f"would apply {name}")
    for name in due.tables:
        print_line(f"would create or update the table of the read model {name}")
    if due.format is not None:
        print_line(f"would finish format {due.format}")
    if not due.is_anything:
        print_line(f"Nothing to do: the database has schema {due.schema.number}.")


def print_migrated(done: Migrated, *, as_json: bool) -> None:
    """Print what was done."""
    if as_json:
        print_json({**_view(done.schema), "applied": done.applied, "finished": done.finished})
        return
    for name in done.applied:
        print_line(f"applied {name}")
    if done.finished:
        print_line(f"Format {done.schema.format} is finished.")
    nothing = "" if done.applied or done.finished else "Nothing to do: "
    print_line(f"{nothing}{'the' if nothing else 'The'} database has schema {done.schema.number}.")
    if done.schema.oldest is not None and done.schema.format < FORMAT:
        print_line(
            f"Format {FORMAT} is not finished. Run `orchestrator migrate --finish` when no process of an older release "
            "is left."
        )


def _view(schema: Schema) -> dict[str, int | None]:
    return {"schema": schema.number, "oldestProgram": schema.oldest, "format": schema.format}


def _schema(conninfo: str) -> Schema:
    with connect(conninfo, autocommit=True) as connection:
        return read_schema(connection)


@contextmanager
def _reporting() -> Iterator[OnBegin]:
    """Yield the callback for the start of a migration. Report on stderr every few seconds while one runs."""
    under_way: list[tuple[str, float]] = []
    ended = threading.Event()

    def begin(name: str, number: int, count: int) -> None:
        text = f"applying {name} ({number} of {count})"
        print_error(text)
        under_way[:] = [(text, time.monotonic())]

    def report() -> None:
        while not ended.wait(_LINE_SECONDS):
            for text, began in under_way[:]:
                print_error(f"{text}: {time.monotonic() - began:.0f} s")

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        yield begin
    finally:
        ended.set()
        reporter.join()
