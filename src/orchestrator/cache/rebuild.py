"""Rebuild the step cache from the log, and compare or repair the live table.

    fold the log into a temporary table -> block appends -> fold the rest -> compare -> repair

Workers keep running. Their appends are blocked only from the second fold to the end of the transaction.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal

import orjson

from orchestrator.domain.events import (
    TERMINAL_EVENTS,
    RunTriggered,
    StepCacheInvalidated,
    StepCompleted,
    WorkflowRegistered,
    WorkflowRestored,
    WorkflowRetired,
)
from orchestrator.eventstore.folding import FindWorkflow, LoadedRun
from orchestrator.eventstore.inline import inline_rows, withdrawal
from orchestrator.eventstore.log import EventLog
from orchestrator.eventstore.recorded import Recorded
from orchestrator.postgres.database import Connection, Database
from orchestrator.postgres.sql import load_sql

_SQL = load_sql(__file__)
_BATCH = 2000

Change = Literal["put", "drop", "end"]

OnEvents = Callable[[int], None]
"""Called with the position read so far. An exception that it raises aborts the work, and nothing is changed."""


@dataclass(frozen=True, slots=True)
class CacheFault:
    """A row of the live table that is missing, different, or alien (no event in the log accounts for it)."""

    fault: Literal["missing", "different", "alien"]
    tenant: str
    key: str
    run_id: str


class StepCacheRebuild:
    """Computes the correct contents of the step cache from the log. Synchronous."""

    def __init__(self, database: Database, log: EventLog, find_workflow: FindWorkflow) -> None:
        self._database = database
        self._log = log
        self._find_workflow = find_workflow

    def verify(self, on_events: OnEvents | None = None) -> list[CacheFault]:
        """Return the differences between the step cache and the log."""
        with self._database.transaction(bounded=False) as connection:
            return self._compared(connection, on_events)

    def rebuild(self, on_events: OnEvents | None = None) -> list[CacheFault]:
        """Repair the step cache in one transaction, and return the differences that it had.

        The fast tiers drop all entries of the tenants that were repaired.
        """
        with self._database.transaction(bounded=False) as connection:
            faults = self._compared(connection, on_events)
            if faults:
                for statement in (_SQL.remove, _SQL.replace, _SQL.next_epoch):
                    connection.execute(statement)
            return faults

    def _compared(self, connection: Connection, on_events: OnEvents | None) -> list[CacheFault]:
        connection.execute(_SQL.begin)
        runs: dict[str, LoadedRun] = {}
        position = self._fold(connection, runs, 0, on_events)
        connection.execute(_SQL.hold_appends)
        self._fold(connection, runs, position)
        connection.execute(_SQL.leave_out_archived)
        connection.execute(_SQL.compare)
        return [CacheFault(**row) for row in connection.execute(_SQL.faults)]

    def _fold(
        self, connection: Connection, runs: dict[str, LoadedRun], position: int, on_events: OnEvents | None = None
    ) -> int:
        """Fold the events after a position, and return the last position."""
        while batch := self._log.read_log(position, _BATCH):
            changes = (change for recorded in batch for change in self._changes(runs, recorded))
            for kind, group in groupby(changes, itemgetter(0)):
                connection.execute(_SQL[kind], (orjson.dumps([row for _, row in group]).decode(),), prepare=True)
            position = batch[-1].position
            if on_events is not None:
                on_events(position)
        return position

    def _changes(self, runs: dict[str, LoadedRun], recorded: Recorded) -> Iterator[tuple[Change, Any]]:
        """Yield the changes that an event makes; `runs` holds the folded state of unfinished runs."""
        event, run_id, tenant = recorded.event, recorded.stream_id, recorded.tenant
        match event:
            case StepCacheInvalidated():
                yield "drop", withdrawal(tenant, event)
            case WorkflowRegistered() | WorkflowRetired() | WorkflowRestored():
                pass
            case RunTriggered():
                runs[run_id] = LoadedRun.begin(run_id, tenant, event, recorded.position, self._find_workflow)
            case _:
                loaded = runs[run_id]
                loaded.evolve(event, recorded.version, recorded.position)
                if isinstance(event, StepCompleted):
                    for row in inline_rows(loaded.run, tenant, [event]).get("cache_put", ()):
                        yield "put", row
                elif isinstance(event, TERMINAL_EVENTS):
                    del runs[run_id]
                    yield "end", run_id
