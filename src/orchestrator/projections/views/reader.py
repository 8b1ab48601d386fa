"""Queries for the status endpoints, answered from the read models. All methods are synchronous.

A run that the projector has not reached yet is shown as it was triggered. So an accepted run is never unknown, and a
client never sees a state that the next query would take back.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import orjson

from orchestrator.cache.answers import Entry
from orchestrator.domain.errors import NeedsNewerProgram, UnknownStep
from orchestrator.domain.events import Reuse, RunTriggered
from orchestrator.domain.output import Output, output_from_json
from orchestrator.domain.plan import BaseRun
from orchestrator.domain.run import TERMINAL, RunStatus, maker_of
from orchestrator.domain.workflow import Workflow
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.runs import FindWorkflow, LoadedRun, RunStore
from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.read_models.built_in import NAMES
from orchestrator.projections.read_models.contract import ProjectedRun, Row
from orchestrator.projections.read_models.run_steps import RunSteps
from orchestrator.projections.read_models.runs import Runs
from orchestrator.projections.views.run_lists import EVERY_RUN, RunFilter, RunLists
from orchestrator.projections.views.values import (
    View,
    artifact_views,
    progress_view,
    reused_step_view,
    run_view,
    step_view,
    untouched_step_view,
)

_SQL = load_sql(__file__)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run that another one may be based on: its data for planning, its workflow, and the inherited values."""

    base: BaseRun
    workflow: Workflow
    status: RunStatus
    position: int
    priority: int
    labels: Mapping[str, str]


class Reader:
    """Reads runs, steps, artifacts and histories, each for one tenant."""

    def __init__(self, database: Database, runs: RunStore, find_workflow: FindWorkflow) -> None:
        self._database = database
        self._runs = runs
        self._find_workflow = find_workflow
        self._lists = RunLists(database)

    def run(self, tenant: str, run_id: str) -> View:
        """Return the view of a run.

        Raises:
            RunNotFound: there is no run with this id, or it belongs to another tenant.
        """
        row = self._one(_SQL.runs, {"run_ids": [run_id], "tenant": tenant})
        if row is None:
            return self.folded_run(self._triggered(tenant, run_id))
        return run_view(row, row, self._step_count(row))

    def runs_named(self, tenant: str, run_ids: Sequence[str]) -> dict[str, View]:
        """Return the views of the given runs that are in the read models, by id."""
        rows = self._all(_SQL.runs, {"run_ids": list(run_ids), "tenant": tenant})
        return {str(row["run_id"]): run_view(row, row, self._step_count(row)) for row in rows}

    def runs(
        self, tenant: str, wanted: RunFilter = EVERY_RUN, *, before: int | None = None, limit: int = 50
    ) -> tuple[list[View], int | None]:
        """Return a page of runs, newest first, and the `before` value of the next page, or None if this is the last."""
        run_ids, following = self._lists.page(tenant, wanted, before=before, limit=limit)
        found = self.runs_named(tenant, run_ids)
        # A run that was archived since the page was read is left out.
        return [found[run_id] for run_id in run_ids if run_id in found], following

    def steps(self, tenant: str, run_id: str, status: str | None = None) -> list[View]:
        """Return the steps of a run in topological order, including reused ones."""
        views = list(self._step_views(tenant, run_id))
        return [view for view in views if status is None or view["status"] == status]

    def brief_steps(self, tenant: str, run_id: str) -> tuple[list[View], int]:
        """Return the steps of a run in topological order without results and past attempts, and the run's version.

        Raises:
            RunNotFound: there is no run with this id, or it belongs to another tenant.
        """
        row = self._row(tenant, run_id)
        if isinstance(row, LoadedRun):
            return self.folded_steps(row), row.run.version
        rows = self._all(_SQL.steps_brief, {"run_id": run_id, "tenant": tenant, "steps": None})
        found = {item["step_id"]: item for item in rows}
        return list(self._views(tenant, row, found, statement=_SQL.steps_brief)), int(row["stream_version"])

    def full_steps(self, tenant: str, run_id: str, steps: Sequence[str]) -> list[View]:
        """Return the given steps of a run completely, in topological order; raises RunNotFound."""
        wanted, row = set(steps), self._row(tenant, run_id)
        if isinstance(row, LoadedRun):
            return [view for view in self.folded_steps(row) if view["stepId"] in wanted]
        rows = self._all(_SQL.steps_in_full, {"run_id": run_id, "tenant": tenant, "steps": list(steps)})
        found = {item["step_id"]: item for item in rows}
        return list(self._views(tenant, row, found, wanted=wanted))

    def progress(self, run_ids: Sequence[str]) -> dict[str, list[View]]:
        """Return the latest progress of the executing steps of runs, by run, as `progress_view` gives it."""
        found: dict[str, list[View]] = {}
        for row in self._all(_SQL.progress, {"run_ids": list(run_ids)}):
            found.setdefault(row["run_id"], []).append(progress_view(row))
        return found

    def artifacts(self, tenant: str, run_id: str, step_id: str | None = None) -> list[View]:
        """Return the artifacts of a run's completed and skipped steps, with the run that made each."""
        run, rows = self._run_and_steps(tenant, run_id)
        views: list[View] = []
        for name, maker, row in self._results(run, rows, tenant):
            if (step_id is None or name == step_id) and row["output"] and row["status"] in ("completed", "skipped"):
                views.extend(artifact_views(name, str(row["source_run"] or maker), row["output"], row["ended_at"]))
        return views

    def output(self, tenant: str, run_id: str, step_id: str) -> Output | None:
        """Return the output of a step of a run, made there or reused; None while there is none.

        Raises:
            RunNotFound: there is no run with this id, or it belongs to another tenant.
            UnknownStep: the run's workflow has no such step.
        """
        run, rows = self._run_and_steps(tenant, run_id)
        workflow = self._workflow(run)
        if step_id not in workflow.steps:
            raise UnknownStep.of(workflow.name, step_id, workflow.steps)
        for name, _, row in self._results(run, rows, tenant):
            if name == step_id and row["output"] is not None:
                return output_from_json(row["output"])
        return None

    def artifact(self, tenant: str, artifact_id: str) -> Row | None:
        """Return the row of an artifact, or None if there is none."""
        return self._one(_SQL.artifact, {"tenant": tenant, "id": artifact_id})

    def history(self, tenant: str, run_id: str, after_version: int = 0, limit: int | None = None) -> list[Recorded]:
        """Return the recorded events of a run after a version, up to `limit` if it is given.

        Raises:
            RunNotFound: there is no run with this id, or it belongs to another tenant.
        """
        history = self._runs.log.read(run_id, 0, limit if after_version == 0 else 1)
        if not history or history[0].tenant != tenant or not isinstance(history[0].event, RunTriggered):
            raise self._runs.absence(run_id, tenant)
        return history if after_version == 0 else self._runs.log.read(run_id, after_version, limit)

    def outputs(self, tenant: str, run_id: str, steps: Sequence[str]) -> Mapping[str, Output]:
        """Return the outputs of the given steps that a run has completed; fold the log if some are not projected."""
        rows = self._all(_SQL.outputs, {"run_id": run_id, "tenant": tenant, "steps": list(steps)})
        found = {row["step_id"]: output_from_json(row["output"]) for row in rows}
        if len(found) < len(set(steps)):
            run = self._runs.load(run_id, tenant).run
            for step_id in steps:
                output = run.step(step_id).output
                if output is not None:
                    found[step_id] = output
        return found

    def base(self, tenant: str, run_id: str) -> FinishedRun:
        """Return a run as the base of another. If the read models do not show it as finished, fold it from the log.

        Raises:
            RunNotFound: there is no run with this id, or it belongs to another tenant.
        """
        row = self._one(_SQL.runs, {"run_ids": [run_id], "tenant": tenant})
        steps: list[Row] | None = None
        if row is None or row["status"] not in TERMINAL:
            loaded = self._runs.load(run_id, tenant)
            row, folded = self._rows_of(loaded)
            steps = list(folded.values())
        workflow = self._workflow(row)
        omitted: list[str] = list(row["omitted_steps"] or ())
        failed: list[str] = []
        if workflow.shows_outcomes:
            steps = self._all(_SQL.without_result, {"run_id": run_id, "tenant": tenant}) if steps is None else steps
            omitted += [step["step_id"] for step in steps if step["status"] == "omitted"]
            failed += [step["step_id"] for step in steps if step["status"] == "failed"]
        impacted = row["impacted"]
        reused = tuple(
            Reuse(item["run_id"], None if item["steps"] is None else tuple(item["steps"])) for item in row["reused"]
        )
        return FinishedRun(
            BaseRun(
                run_id,
                row["payload"],
                None if impacted is None else tuple(impacted),
                reused,
                tuple(omitted),
                tuple(failed),
            ),
            workflow,
            row["status"],
            row["position"],
            row["priority"],
            row["labels"],
        )

    def with_artifacts(self, tenant: str, run_ids: Sequence[str], limit: int) -> list[tuple[str, str, Output]]:
        """Return `(run, step, output)` for up to `limit` steps of these runs that have artifacts."""
        rows = self._all(_SQL.with_artifacts, {"run_ids": list(run_ids), "tenant": tenant, "limit": limit})
        return [(row["run_id"], row["step_id"], output_from_json(row["output"])) for row in rows]

    def durations(self, tenant: str, wanted: Sequence[tuple[str, str]]) -> Mapping[str, float]:
        """Return the milliseconds that each of these `(run, step)` pairs took, by step, as far as they are known."""
        rows = self._all(_SQL.durations, _pairs(tenant, wanted))
        return {row["step_id"]: row["duration_ms"] for row in rows}

    def earlier(self, tenant: str, wanted: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], tuple[str, Entry]]:
        """Return `(run, step) -> (input hash, result)` for the given pairs that have a result."""
        rows = self._all(_SQL.earlier, _pairs(tenant, wanted))
        return {
            (row["run_id"], row["step_id"]): (
                row["input_hash"],
                Entry(row["skill"], row["source_run"] or row["run_id"], output_from_json(row["output"])),
            )
            for row in rows
        }

    def position(self) -> int:
        """Return the position that all live read models of the status endpoints have reached."""
        row = self._one(_SQL.position, {"names": list(NAMES)})
        return int(row["position"]) if row else 0

    def touched_since(self, position: int, run_ids: Sequence[str]) -> tuple[int, list[str]]:
        """Return the last position of the log, and which of the given runs have events after `position`."""
        rows = self._all(_SQL.touched_since, {"after": position, "run_ids": list(run_ids)})
        return int(rows[0]["position"]), [row["run_id"] for row in rows if row["run_id"] is not None]

    def queues(self) -> dict[str, int]:
        """Return how many runs are queued, running (claimed by a worker) and blocked, and how many workers live."""
        return dict(self._all(_SQL.queues, {})[0])

    def lag(self) -> tuple[int, int, int | None]:
        """Return the position of the read models, that of the log, and the time of the first event between them.

        The time is in milliseconds since 1970 UTC, or None if there is no such event.
        """
        position = self.position()
        try:
            behind = self._runs.log.read_log(position, 1)
        except NeedsNewerProgram:  # a projector of a newer release must project it; this one cannot read the time
            behind = []
        return position, self._runs.log.last_position(), behind[0].event.at if behind else None

    def only_reads(self) -> bool:
        """Return whether the database accepts no writes: it is a standby, or set to read-only."""
        row = self._one(_SQL.only_reads, {})
        return row is not None and bool(row["only_reads"])

    def folded_run(self, loaded: LoadedRun) -> View:
        """Return the view of a run that was folded from its events, without the read models."""
        row, rows = self._rows_of(loaded)
        counts = Counter(item["status"] for item in rows.values())
        return run_view(row, counts, len(loaded.run.workflow.steps))

    def folded_steps(self, loaded: LoadedRun) -> list[View]:
        """Return the views of a folded run's steps."""
        row, rows = self._rows_of(loaded)
        return list(self._views(loaded.tenant, row, rows))

    def _step_count(self, row: Row) -> int:
        """Return how many steps a run's workflow has, even if only a newer release can read the workflow."""
        try:
            return len(self._workflow(row).steps)
        except NeedsNewerProgram as error:
            return int(error.details["steps"])

    def _triggered(self, tenant: str, run_id: str) -> LoadedRun:
        """Return a run that is not in the read models yet, as it was when it was triggered.

        It must not be the current state: the next query, which uses the read models, would then go back in time.
        """
        return self._runs.fold(run_id, self._runs.log.read(run_id, limit=1), tenant)

    def _rows_of(self, loaded: LoadedRun) -> tuple[Row, dict[str, Row]]:
        """Return the rows that the read models will contain for a run."""
        run = loaded.run
        at = max(loaded.updated_at, run.ended_at or 0)  # a cancellation may just have been folded
        projected = ProjectedRun(run, loaded.tenant, loaded.position, at, loaded.position, set(run.steps))
        row = _as_stored(next(iter(Runs().rows(projected))))
        return row, {item["step_id"]: _as_stored(item) for item in RunSteps().rows(projected)}

    def _row(self, tenant: str, run_id: str) -> Row | LoadedRun:
        """Return the row of a run, or the run as it was triggered if the read models do not have it yet."""
        row = self._one(_SQL.runs, {"run_ids": [run_id], "tenant": tenant})
        return self._triggered(tenant, run_id) if row is None else row

    def _run_and_steps(self, tenant: str, run_id: str) -> tuple[Row, dict[str, Row]]:
        row = self._one(_SQL.runs, {"run_ids": [run_id], "tenant": tenant})
        if row is None:
            return self._rows_of(self._triggered(tenant, run_id))
        rows = self._all(_SQL.steps, {"run_id": run_id, "tenant": tenant})
        return row, {item["step_id"]: item for item in rows}

    def _step_views(self, tenant: str, run_id: str) -> Iterator[View]:
        row, rows = self._run_and_steps(tenant, run_id)
        return self._views(tenant, row, rows)

    def _views(
        self,
        tenant: str,
        run: Row,
        rows: Mapping[str, Row],
        *,
        wanted: Set[str] | None = None,
        statement: str = _SQL.steps_named,
    ) -> Iterator[View]:
        """Yield the views of all steps, or of those that are wanted. `statement` reads the rows of other runs."""
        run_id, workflow = str(run["run_id"]), self._workflow(run)
        found = self._results(run, rows, tenant, wanted=wanted, statement=statement)
        results = {name: (maker, row) for name, maker, row in found}
        untouched = "cancelled" if run["status"] == "cancelled" else "pending"
        for step_id in workflow.graph.order:
            if wanted is not None and step_id not in wanted:
                continue
            skill = workflow.steps[step_id].skill
            if step_id not in results:
                yield untouched_step_view(run_id, step_id, skill, untouched)
                continue
            maker, row = results[step_id]
            view = step_view(maker, step_id, skill, row)
            yield view if maker == run_id else reused_step_view(run_id, maker, view)

    def _results(
        self,
        run: Row,
        rows: Mapping[str, Row],
        tenant: str,
        *,
        wanted: Set[str] | None = None,
        statement: str = _SQL.steps_named,
    ) -> Iterator[tuple[str, str, Row]]:
        """Yield `(step, run of the row, row)` for every step with a row, in this run or the run it is reused from."""
        run_id = str(run["run_id"])
        for step_id, row in rows.items():
            yield step_id, run_id, row
        if not run["reused"]:
            return
        reused = [Reuse(item["run_id"], item["steps"]) for item in run["reused"]]
        impacted = set(run["impacted"] or ())
        makers: dict[str, list[str]] = {}
        for step_id in self._workflow(run).steps:
            if step_id not in impacted and (wanted is None or step_id in wanted):
                makers.setdefault(maker_of(step_id, reused), []).append(step_id)
        for maker, steps in makers.items():
            for row in self._all(statement, {"run_id": maker, "tenant": tenant, "steps": steps}):
                yield row["step_id"], maker, row

    def _workflow(self, row: Row) -> Workflow:
        return self._find_workflow(row["tenant"], row["workflow_name"], row["workflow_version"])

    def _one(self, statement: str, parameters: Mapping[str, Any]) -> Row | None:
        with self._database.connection() as connection:
            return connection.execute(statement, parameters, prepare=True).fetchone()

    def _all(self, statement: str, parameters: Mapping[str, Any]) -> list[Row]:
        with self._database.connection() as connection:
            return connection.execute(statement, parameters, prepare=True).fetchall()


def _pairs(tenant: str, wanted: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "run_ids": [run_id for run_id, _ in wanted],
        "steps": [step for _, step in wanted],
    }


def _as_stored(row: Row) -> Row:
    """Return a row as its table would return it, with nested values as plain JSON."""
    stored: Row = orjson.loads(orjson.dumps(row))
    return stored
