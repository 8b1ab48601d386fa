"""Rebuild the run queue from the log: one row for each unfinished run.

Claims are not in the log. So `owner` is not compared, and `blocked_on` is compared only if no worker has claimed the
run. A restored row can be claimed again. Runs with events that only a newer release can read are not changed.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

import orjson

from orchestrator.domain.errors import NeedsNewerProgram
from orchestrator.domain.events import EVENTS_OUTSIDE_RUNS, TERMINAL_EVENTS
from orchestrator.eventstore.codec import NAMES, event_format
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.runs import FindWorkflow
from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.projections.history import begin_run
from orchestrator.projections.projector import skipped_positions
from orchestrator.projections.read_models.contract import ProjectedRun, Row
from orchestrator.projections.rebuild.differences import RowDifference
from orchestrator.projections.rebuild.errors import RebuildStopped

_SQL = load_sql(__file__)
_OUTSIDE_RUNS = [event.__name__ for event in EVENTS_OUTSIDE_RUNS]
_PAGE = 500


class RunQueueRebuild:
    """Folds unfinished runs into the rows that the queue must have."""

    name = "run_queue"

    def __init__(self, database: Database, log: PostgresLog, find_workflow: FindWorkflow) -> None:
        self._database = database
        self._log = log
        self._find_workflow = find_workflow
        self._formats: dict[str, int] = {}
        self._unreadable: set[str] = set()

    def compare(self, *, repair: bool, on_events: Callable[[int], None]) -> Sequence[RowDifference]:
        """Return where the queue differs from the log; with `repair`, also correct it.

        Raises:
            RebuildStopped: an event cannot be applied, and was not skipped by an operator.
        """
        skips = skipped_positions(self._database)
        expected: dict[str, Row] = {}
        position = self._log.last_position()
        terminal = [NAMES[kind] for kind in TERMINAL_EVENTS]
        with self._database.transaction(bounded=False) as connection:
            found = connection.execute(_SQL.open_runs, {"until": position, "terminal": terminal}).fetchall()
            self._refresh(expected, (row["run_id"] for row in found), skips)
            on_events(position)
            # no events are appended from here on
            connection.execute(_SQL.hold_appends)
            found = connection.execute(_SQL.touched, {"after": position, "others": _OUTSIDE_RUNS}).fetchall()
            self._refresh(expected, (row["run_id"] for row in found), skips)
            rows = connection.execute(_SQL.live).fetchall()
            live = {row["run_id"]: row for row in rows if row["run_id"] not in self._unreadable}
            differences = _differences(live, expected)
            if repair and differences:
                wrong = [found.key for found in differences]
                rows = [expected[run_id] for run_id in wrong if run_id in expected]
                connection.execute(_SQL.remove, {"run_ids": [run_id for run_id in wrong if run_id not in expected]})
                connection.execute(_SQL.put, {"rows": orjson.dumps(rows).decode()})
        return differences

    def _refresh(self, expected: dict[str, Row], run_ids: Iterable[str], skips: frozenset[int]) -> None:
        """Fold runs again, and update the rows that the queue must have for them."""
        wanted = list(run_ids)
        for first in range(0, len(wanted), _PAGE):
            page = wanted[first : first + _PAGE]
            runs: dict[str, ProjectedRun] = {}
            for stored in self._log.recorder.read_streams([UUID(run_id) for run_id in page]):
                self._fold(runs, stored, skips)
            for run_id in page:
                expected.pop(run_id, None)
                projected = runs.get(run_id)
                if projected is not None and not projected.run.is_finished:
                    expected[run_id] = _row(projected, self._formats[run_id])

    def _fold(self, runs: dict[str, ProjectedRun], stored: Any, skips: frozenset[int]) -> None:
        run_id = str(stored.originator_id)
        try:
            recorded = self._log.mapper.recorded(stored)
            if stored.originator_version == 1:
                runs[run_id] = begin_run(recorded, self._find_workflow)
                self._formats[run_id] = max(runs[run_id].run.workflow.format, event_format(recorded.event))
            elif run_id in runs:
                runs[run_id].take(recorded)
                self._formats[run_id] = max(self._formats[run_id], event_format(recorded.event))
        except DatabaseUnavailable:
            raise
        except NeedsNewerProgram:
            runs.pop(run_id, None)
            self._unreadable.add(run_id)
        except Exception as error:
            if stored.id not in skips:
                raise RebuildStopped(self.name, stored.id, repr(error)) from error


def _row(projected: ProjectedRun, newest_format: int) -> Row:
    run = projected.run
    return {
        "run_id": run.id,
        "tenant": projected.tenant,
        "priority": run.trigger.priority,
        "blocked_on": list(run.missing_skills) if run.status == "blocked" else None,
        "format": newest_format,
        "position": projected.first_position,
    }


def _differences(live: dict[str, Row], expected: dict[str, Row]) -> list[RowDifference]:
    missing = [RowDifference(run_id, "missing") for run_id in expected if run_id not in live]
    found = [RowDifference(run_id, "extra") for run_id in live if run_id not in expected]
    for run_id, row in live.items():
        if run_id in expected and (columns := _changed(row, expected[run_id])):
            found.append(RowDifference(run_id, "changed", columns))
    return missing + sorted(found, key=lambda one: one.key)


def _changed(live: Row, expected: Row) -> dict[str, tuple[Any, Any]]:
    compared = ["tenant", "priority"]
    # a claim clears `blocked_on` before it has an event
    if live["owner"] is None and live["blocked_on"] is not None:
        compared.append("blocked_on")
    if live["format"] < expected["format"]:  # a higher one means that a worker could not read the run
        compared.append("format")
    return {column: (live[column], expected[column]) for column in compared if live[column] != expected[column]}
